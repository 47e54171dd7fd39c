//! Secrets of runs: not in the database in any form, and there for whoever has the key.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use piton_model::{
    Action, Event, Failure, FailureClass, GitAuth, GitSource, NewRun, RunState, Secret, Source, Subject,
};
use piton_store::{Options, RunQuery, Store, Tended};
use piton_vault::{Key, Vault};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::fixture::{Fixture, at, claim_one, deployment, end, guard, job, new_run, submit_one, to_the_gate, worker};

/// Each with something that a text format has to escape.
const SECRETS: [&str; 4] =
    ["env-s3cret \"quoted\"/1", "var-s3cret\\2 & more", "t0ken+of=git/3", "key-material\nof several lines"];

async fn open(fixture: &Fixture, keys: &[&Key]) -> Store {
    let vault = Vault::new(keys.iter().map(|key| (*key).clone()));
    Store::open(&fixture.url, Options { vault, ..Options::default() }).await.unwrap()
}

fn secret(index: usize) -> Secret<String> {
    Secret::new(SECRETS[index].to_owned())
}

fn secretive(name: &str) -> NewRun {
    let mut new = deployment(name, at(0));
    new.subject = Subject::Deployment(new.id);
    new.lock_key = None;
    let Action::Iac(iac) = &mut new.action else { panic!() };
    iac.env = BTreeMap::from([("A_NAME".to_owned(), secret(0))]);
    iac.vars = BTreeMap::from([("a_variable".to_owned(), SECRETS[1].into())]);
    iac.source = Source::Git(GitSource {
        url: "https://git.example.org/a/b".to_owned(),
        reference: "main".to_owned(),
        path: ".".into(),
        auth: Some(GitAuth::Http { username: SECRETS[3].to_owned(), password: secret(2) }),
    });
    iac.plan_flags = vec!["-refresh=false".to_owned(), format!("-var=x={}", SECRETS[1])];
    new
}

/// A text as it is, and as the usual formats write it.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(text).unwrap();
    let url: String = text
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let mut forms = vec![text.as_bytes().to_vec(), json.trim_matches('"').as_bytes().to_vec(), url.into_bytes()];
    for offset in 0..3 {
        let padded = [&b"xx"[..offset], text.as_bytes()].concat();
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            // Without the groups that what is around it has a say in.
            forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
    }
    forms
}

fn assert_without_secrets(what: &str, bytes: &[u8]) {
    for secret in SECRETS {
        for form in forms(secret) {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{} is in {what}", String::from_utf8_lossy(&form));
        }
    }
}

/// Everything that the database holds.
async fn dump(fixture: &Fixture) -> Vec<u8> {
    if fixture.url.starts_with("sqlite") {
        let file = fixture.file();
        let beside = |end: &str| std::fs::read(Path::new(&format!("{}{end}", file.display()))).unwrap_or_default();
        return ["", "-wal", "-shm"].map(beside).concat();
    }
    let options: PgConnectOptions = fixture.url.parse().unwrap();
    let options = options.options([("search_path", "piton,public")]);
    let mut conn: PgConnection = options.connect().await.unwrap();
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    let mut bytes = Vec::new();
    for table in sqlx::query(tables).fetch_all(&mut conn).await.unwrap() {
        let table: String = table.get(0);
        let rows = format!("SELECT t::text FROM \"{table}\" t");
        for row in sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut conn).await.unwrap() {
            bytes.extend_from_slice(row.get::<String, _>(0).as_bytes());
        }
    }
    conn.close().await.unwrap();
    bytes
}

async fn secrets_are_in_no_row(fixture: &Fixture) {
    let key = Key::generate().unwrap();
    let store = open(fixture, &[&key]).await;
    let new = secretive("everest");
    let action = new.action.clone();
    let run = submit_one(&store, new, at(0)).await;
    assert_eq!(*run.action, action);
    let run = claim_one(&store, &worker("w"), at(1)).await;
    assert_eq!(*run.action, action, "whoever claims it needs all of it");
    let gated = to_the_gate(&store, &run, at(2)).await;
    assert_eq!(*gated.action, action);
    // What is ended lies elsewhere.
    submit_one(&store, secretive("kilimanjaro"), at(3)).await;
    let other = claim_one(&store, &worker("w"), at(3)).await;
    end(&store, &other, at(4)).await;
    let bytes = dump(fixture).await;
    assert_without_secrets("the database", &bytes);
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("https://git.example.org/a/b") && holds("-refresh=false"), "the rest is for people to read");
    store.close().await;

    // Nothing but the key is needed to read it all again.
    let store = open(fixture, &[&key]).await;
    let run = store.run(gated.id).await.unwrap().unwrap();
    assert_eq!((&*run.action, &run.sealed, run.forgotten), (&action, &None, false));
    // What went well is not done again with what was given for it.
    let run = store.run(other.id).await.unwrap().unwrap();
    assert_eq!((&*run.action, &run.sealed, run.forgotten), (&other.action.without_secrets(), &None, true));
    assert_eq!(store.audit().await.unwrap(), []);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    store.close().await;
}

async fn a_run_of_another_key_is_kept_and_left_alone(fixture: &Fixture) {
    let (own, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let store = open(fixture, &[&other]).await;
    let mut theirs = Vec::new();
    for number in 0..5 {
        theirs.push(submit_one(&store, secretive(&format!("theirs-{number}")), at(0)).await);
    }
    store.close().await;

    let store = open(fixture, &[&own]).await;
    let shown = store.run(theirs[0].id).await.unwrap().unwrap();
    assert_eq!(shown.sealed.as_ref().unwrap().key, other.fingerprint());
    assert_eq!(*shown.action, theirs[0].action.without_secrets());
    assert_eq!(store.runs(&RunQuery::default()).await.unwrap().runs.len(), 5);
    assert!(store.check().await.unwrap()[0].contains(other.fingerprint()));
    assert_eq!(store.audit().await.unwrap(), []);
    // It does not stand in the way of what is behind it, however little is taken at once.
    let mine = submit_one(&store, new_run(&job("mine"), at(5)), at(5)).await;
    let claimed = store.claim(&worker("w"), 1, at(20), at(6), None).await.unwrap();
    assert_eq!(claimed.iter().map(|run| run.id).collect::<Vec<_>>(), [mine.id]);
    assert_eq!(store.claim(&worker("w"), 10, at(20), at(6), None).await.unwrap(), []);
    // It may be cancelled, and what is written of it then is still theirs to read.
    let cancelled = store.record(theirs[1].id, crate::fixture::cancel(), piton_store::Guard::Any, at(7)).await.unwrap();
    assert!(matches!(cancelled.state, RunState::Ended { .. }));
    store.close().await;

    let store = open(fixture, &[&own, &other]).await;
    for run in &theirs {
        let found = store.run(run.id).await.unwrap().unwrap();
        assert_eq!((&found.action, &found.sealed), (&run.action, &None));
    }
    assert_eq!(store.claim(&worker("w"), 10, at(20), at(8), None).await.unwrap().len(), 4);
    assert_without_secrets("the database", &dump(fixture).await);
    store.close().await;
}

async fn what_was_written_in_clear_stays_readable(fixture: &Fixture) {
    let store = fixture.open().await;
    let run = submit_one(&store, secretive("old"), at(0)).await;
    store.close().await;
    let key = Key::generate().unwrap();
    let store = open(fixture, &[&key]).await;
    assert_eq!(store.run(run.id).await.unwrap().unwrap(), run);
    // The next change seals it.
    let claimed = claim_one(&store, &worker("w"), at(1)).await;
    assert_eq!(claimed.action, run.action);
    let event = Event::Failed { failure: Failure::new(FailureClass::Permanent, "test", "it failed") };
    store.record(run.id, event, guard(&claimed), at(2)).await.unwrap();
    store.close().await;
    let store = fixture.open().await;
    assert!(store.run(run.id).await.unwrap().unwrap().sealed.is_some());
    store.close().await;
}

/// A deployment that failed at this second.
async fn failed(store: &Store, name: &str, second: i64) -> piton_model::Run {
    submit_one(store, secretive(name), at(second)).await;
    let run = claim_one(store, &worker("w"), at(second)).await;
    let failure = Failure::new(FailureClass::Permanent, "test", "it failed");
    store.record(run.id, Event::Failed { failure }, guard(&run), at(second)).await.unwrap()
}

async fn secrets_are_sealed_anew_and_forgotten_in_time(fixture: &Fixture) {
    let (old, new, lost) = (Key::generate().unwrap(), Key::generate().unwrap(), Key::generate().unwrap());
    let store = open(fixture, &[&lost]).await;
    let theirs = failed(&store, "theirs", 1).await;
    store.close().await;
    let store = open(fixture, &[&old]).await;
    let early = failed(&store, "early", 10).await;
    let late = failed(&store, "late", 20).await;
    let waiting = submit_one(&store, secretive("waiting"), at(30)).await;
    store.close().await;

    let store = open(fixture, &[&new, &old]).await;
    let live = store.reseal_live().await.unwrap();
    assert_eq!((live.resealed, live.forgotten, live.unknown.len()), (1, 0, 0));
    let tended = store.tend_history(jiff::Timestamp::MIN..at(100), at(15)).await.unwrap();
    // One was sealed with a key that nobody has any more: it is of no use, and goes too.
    assert_eq!((tended.resealed, tended.forgotten, tended.unknown.len()), (1, 2, 0));
    assert_eq!(store.tend_history(jiff::Timestamp::MIN..at(100), at(15)).await.unwrap(), Tended::default());
    assert_eq!(store.tend_history(at(0)..at(15), at(15)).await.unwrap(), Tended::default());
    store.close().await;

    // The old key is not needed any more.
    let store = open(fixture, &[&new]).await;
    for run in [&late, &waiting] {
        let found = store.run(run.id).await.unwrap().unwrap();
        assert_eq!((&found.action, &found.sealed), (&run.action, &None));
    }
    for run in [&early, &theirs] {
        let found = store.run(run.id).await.unwrap().unwrap();
        assert_eq!((&*found.action, &found.sealed, found.forgotten), (&run.action.without_secrets(), &None, true));
        assert_eq!(found.outcome(), run.outcome());
    }
    assert_eq!(store.audit().await.unwrap(), []);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    assert_without_secrets("the database", &dump(fixture).await);
    store.close().await;
}

/// It ended while nobody looked, before what was seen to last.
async fn secrets_go_as_long_after_an_end_that_was_found_late(fixture: &Fixture) {
    let key = Key::generate().unwrap();
    let store = open(fixture, &[&key]).await;
    submit_one(&store, secretive("everest"), at(1)).await;
    let run = claim_one(&store, &worker("w"), at(1)).await;
    assert_eq!(store.tend_history(jiff::Timestamp::MIN..at(100), at(50)).await.unwrap(), Tended::default());
    let failure = Failure::new(FailureClass::Permanent, "test", "it failed").exited_at(at(2));
    let run = store.record(run.id, Event::Failed { failure }, guard(&run), at(101)).await.unwrap();
    assert!(matches!(run.state, RunState::Ended { at: found, .. } if found == at(2)), "{:?}", run.state);
    // Until then it can be tried again, also after a restart.
    assert_eq!(store.tend_history(at(50)..at(101), at(101)).await.unwrap(), Tended::default());
    assert_eq!(store.tend_history(jiff::Timestamp::MIN..at(200), at(101)).await.unwrap(), Tended::default());
    assert_eq!(store.tend_history(at(101)..at(102), at(102)).await.unwrap().forgotten, 1);
    assert!(store.run(run.id).await.unwrap().unwrap().forgotten);
    assert_eq!(store.audit().await.unwrap(), []);
    store.close().await;
}

async fn runs_of_an_unknown_key_are_counted(fixture: &Fixture) {
    let (own, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let store = open(fixture, &[&other]).await;
    failed(&store, "ended", 10).await;
    submit_one(&store, secretive("waiting"), at(30)).await;
    store.close().await;
    let store = open(fixture, &[&own]).await;
    let unknown = BTreeMap::from([(other.fingerprint().to_owned(), 1)]);
    assert_eq!(store.reseal_live().await.unwrap().unknown, unknown);
    assert_eq!(store.tend_history(jiff::Timestamp::MIN..at(100), at(0)).await.unwrap().unknown, unknown);
    store.close().await;
}

/// Without the audit of other tests, which has no key.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::fixture::Fixture::sqlite()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::fixture::Fixture::postgres().await).await;
            })*
        }
    };
}

on_both!(
    secrets_are_in_no_row,
    a_run_of_another_key_is_kept_and_left_alone,
    what_was_written_in_clear_stays_readable,
    secrets_are_sealed_anew_and_forgotten_in_time,
    secrets_go_as_long_after_an_end_that_was_found_late,
    runs_of_an_unknown_key_are_counted,
);
