//! What only a server can do: go away and come back.

use std::time::Duration;

use piton_model::{Event, FailureClass};
use piton_store::{Error, Guard, Options, RecordError, Store, Submitted, hurried};
use piton_testkit::postgres::Cluster;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};
use tokio::task::JoinSet;

use crate::fixture::{
    Fixture, at, cancel, claim_one, deployment, done, failed, guard, job, new_run, submit_one, worker,
};
use crate::suite::raw;

const KILL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid()";

async fn admin(fixture: &Fixture) -> PgConnection {
    let options: PgConnectOptions = fixture.url.parse().unwrap();
    options.connect().await.unwrap()
}

/// A server that is stopped in its tracks: the system takes the call for it.
#[tokio::test(start_paused = true)]
async fn a_server_that_lets_nobody_in_is_away() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/nothing", silent.local_addr().unwrap());
    assert!(matches!(Store::reach(&url).await, Err(Error::Unavailable(_))));
    assert!(matches!(Store::open(&url, Options::default()).await, Err(Error::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_killed_lose_nothing() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut writers = JoinSet::new();
    for task in 0..6 {
        let store = store.clone();
        writers.spawn(async move {
            let mut accepted = Vec::new();
            for _ in 0..100 {
                let run = new_run(&job(&format!("j{task}")), at(0));
                // The outcome of a commit may be unknown; then the same is asked again, and its id makes it one run.
                loop {
                    match store.submit(vec![run.clone()], at(0)).await {
                        Ok(_) => break,
                        Err(Error::Unknown(_) | Error::Unavailable(_)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
                accepted.push(run.id);
            }
            accepted
        });
    }
    let mut admin = admin(&fixture).await;
    let mut killed = 0;
    let mut accepted = Vec::new();
    // One kill for each writer that comes to its end, and as many before as the load allows.
    for round in 0..10 {
        let head = store.head().await.unwrap_or(0);
        let mut changes = store.changes();
        let _ = tokio::time::timeout(Duration::from_secs(5), changes.wait_for(|now| *now > head + 20)).await;
        let row = sqlx::query(KILL).fetch_one(&mut admin).await.unwrap();
        killed += row.get::<i64, _>(0);
        if round > 3 && writers.is_empty() {
            break;
        }
    }
    for ids in writers.join_all().await {
        accepted.extend(ids);
    }
    assert!(killed > 5, "only {killed} connections were killed");
    let live = store.live().await.unwrap();
    assert_eq!(live.len(), accepted.len(), "each accepted run is there once");
    assert_eq!(store.head().await.unwrap(), 600);
    store.close().await;
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_is_heard_again_after_the_connection_was_lost() {
    let fixture = Fixture::postgres().await;
    let (writes, waits) = (fixture.open().await, fixture.open().await);
    let mut changes = waits.changes();
    sqlx::query(KILL).fetch_one(&mut admin(&fixture).await).await.unwrap();
    let submitted = writes.submit(vec![new_run(&job("a"), at(0))], at(0)).await.unwrap();
    assert!(matches!(submitted.as_slice(), [Submitted::New(_)]));
    let woken = tokio::time::timeout(Duration::from_secs(30), changes.wait_for(|head| *head == 1)).await;
    assert!(woken.is_ok(), "nobody was woken");
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_knows_of_its_runs_ends_where_another_writes() {
    let fixture = Fixture::postgres().await;
    let (one, other) = (fixture.open().await, fixture.open().await);
    let me = worker("me");
    submit_one(&one, deployment("cancelled", at(0)), at(0)).await;
    let cancelled = claim_one(&one, &me, at(0)).await;
    submit_one(&one, deployment("lost", at(0)), at(0)).await;
    let lost = claim_one(&one, &me, at(0)).await;
    other.record(cancelled.id, cancel(), Guard::Any, at(1)).await.unwrap();
    let interrupted = failed(FailureClass::Interrupted);
    let expected = cancelled.apply(&cancel(), at(1)).unwrap().apply(&interrupted, at(2)).unwrap();
    assert_ne!(expected, cancelled.apply(&interrupted, at(2)).unwrap());
    assert_eq!(one.record(cancelled.id, interrupted, guard(&cancelled), at(2)).await, Ok(expected));
    other.record(lost.id, Event::LeaseLost, guard(&lost), at(3)).await.unwrap();
    let late = one.record(lost.id, done(), guard(&lost), at(4)).await;
    assert_eq!(late, Err(RecordError::Fenced { run: lost.id, holder: None }));
    one.close().await;
    other.close().await;
    fixture.audited().await;
}

/// Awaits what nobody tells of.
pub async fn until(holds: impl Fn() -> bool) {
    let look = async {
        while !holds() {
            let _ = tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look).await.expect("it takes too long");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_need_look_while_others_are_heard_and_nothing_was_said() {
    let cluster = Cluster::start().unwrap();
    let open = || Store::open(cluster.url(), Options::default());
    let (writes, waits) = (open().await.unwrap(), open().await.unwrap());
    until(|| !waits.may_have_grown(0)).await;
    writes.submit(vec![new_run(&job("a"), at(0))], at(0)).await.unwrap();
    until(|| waits.may_have_grown(0)).await;
    until(|| !writes.may_have_grown(1)).await;
    assert!(!waits.may_have_grown(1));
    // Nobody is heard while the server is away.
    cluster.stop().unwrap();
    until(|| waits.may_have_grown(1)).await;
    cluster.start_again().unwrap();
    until(|| !waits.may_have_grown(1)).await;
    writes.close().await;
    waits.close().await;

    let fixture = Fixture::sqlite();
    let file = fixture.open().await;
    assert!(file.may_have_grown(0), "nobody tells of what others write into a file");
    file.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_in_a_hurry_does_not_wait_for_a_server_that_is_away() {
    let cluster = Cluster::start().unwrap();
    let options = Options { patience: Duration::from_secs(3600), ..Options::default() };
    let store = Store::open(cluster.url(), options).await.unwrap();
    assert_eq!(store.head().await.unwrap(), 0);
    cluster.stop().unwrap();
    let (hasty, patient) = (new_run(&job("hasty"), at(0)), new_run(&job("patient"), at(0)));
    let waits = tokio::spawn({
        let (store, patient) = (store.clone(), patient.clone());
        async move { store.submit(vec![patient], at(0)).await }
    });
    let asked = async {
        let written = store.submit(vec![hasty.clone()], at(0)).await;
        (written, store.head().await, store.live().await)
    };
    let told = tokio::time::timeout(Duration::from_secs(60), hurried(Duration::from_millis(300), asked)).await;
    let (written, head, live) = told.expect("nobody waits for an hour");
    assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
    assert!(matches!(head, Err(Error::Unavailable(_))), "{head:?}");
    assert!(matches!(live, Err(Error::Unavailable(_))), "{live:?}");
    cluster.start_again().unwrap();
    assert!(matches!(waits.await.unwrap().unwrap().as_slice(), [Submitted::New(_)]), "others have all the time");
    let found = hurried(Duration::from_secs(60), store.live()).await.unwrap();
    assert_eq!(found.iter().map(|run| run.id).collect::<Vec<_>>(), [patient.id]);
    store.close().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_available() {
    let error = Store::open("postgres://nobody@localhost/x?host=/nonexistent", Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn names_that_other_programs_took_are_theirs() {
    let fixture = Fixture::postgres().await;
    let theirs = "SET search_path TO public; CREATE TABLE users (id INT); CREATE TABLE migrations (name TEXT); \
                  CREATE TABLE ledger (amount INT); \
                  CREATE TABLE scheduled_provisions (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), \
                    employee_data JSONB NOT NULL, applications JSONB NOT NULL, schedule_time TIMESTAMPTZ NOT NULL, \
                    status VARCHAR(50) NOT NULL DEFAULT 'pending', tags TEXT[] NOT NULL, created_at TIMESTAMPTZ, \
                    updated_at TIMESTAMPTZ, executed_at TIMESTAMPTZ, error_message TEXT, retry_count INTEGER); \
                  INSERT INTO scheduled_provisions (employee_data, applications, schedule_time, tags) \
                    VALUES ('{}', '{}', 'epoch', '{}')";
    raw(&fixture, theirs).await;
    // The second time, everything is there already.
    for _ in 0..2 {
        let store = fixture.open().await;
        let epoch = Some(jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(store.next_provision().await.unwrap(), epoch, "their row waits");
        store.close().await;
    }
    fixture.audited().await;
}
