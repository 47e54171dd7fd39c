//! Scheduled provisions, on both engines; and on PostgreSQL with other programs at the table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use piton_model::{
    Alteration, ApprovalStatus, Backoff, By, Event, Failure, FailureClass, JobType, NewProvision, NotAltered, Record,
    Run, ScheduleId, ScheduleStatus, ScheduledProvision, Secret,
};
use piton_store::{AlterError, Dialect, Error, ProvisionQuery, Scope, Store, Submitted, Taking};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};

use crate::fixture::{Fixture, at, done, guard, job, new_run, on_both_engines, run_id, submit_one, worker};
use crate::postgres::until;
use crate::suite::raw;

const RETRY: Backoff = Backoff { max_attempts: 3, first: Duration::from_secs(60), cap: Duration::from_secs(3600) };

pub fn new(due: Timestamp) -> NewProvision {
    NewProvision {
        id: run_id(at(0)).into(),
        job_type: JobType::Provision,
        employee: Secret::new(json!({"fullName": "Ada \u{1f600} \"x\"", "workEmail": "ada@example.org"})),
        applications: Secret::new(json!({"google": true, "microsoft": {"groups": ["a"]}})),
        payload: Some(Secret::new(json!({"n": 1, "text": "a\tb\\c\r\n\\N"}))),
        schedule_time: due,
        timezone: Some("Europe/Berlin".to_owned()),
        tags: ["to be created", "new-hire", "a \"b\", {c} \\d", ""].map(str::to_owned).to_vec(),
        target_user_email: Some("ada@example.org".to_owned()),
        requested_by: Some("bob".to_owned()),
        approval: ApprovalStatus::AutoApproved,
    }
}

fn bob() -> By {
    By::User("bob".to_owned())
}

pub async fn schedule(store: &Store, new: NewProvision) -> ScheduleId {
    let id = new.id;
    assert_eq!(store.schedule_provisions(vec![new], bob(), at(0)).await.unwrap(), [id]);
    id
}

pub async fn row(store: &Store, id: ScheduleId) -> ScheduledProvision {
    store.provision(id).await.unwrap().unwrap()
}

async fn counts(store: &Store) -> BTreeMap<ScheduleStatus, i64> {
    store.census(Scope::Provisions).await.unwrap().provisions.unwrap()
}

/// For one row.
fn taking(now: Timestamp) -> Taking {
    Taking {
        worker: worker("w"),
        lease_until: now + Duration::from_secs(15),
        uptime: None,
        retry: RETRY,
        runs: vec![run_id(now)],
        horizon: now,
        after: None,
    }
}

async fn take(store: &Store, most: usize, now: Timestamp) -> Vec<Run> {
    let taking = Taking { runs: (0..most).map(|_| run_id(now)).collect(), ..taking(now) };
    store.take_provisions(taking, now).await.unwrap().runs
}

/// Takes the one row that is due.
pub async fn take_one(store: &Store, now: Timestamp) -> Run {
    let mut taken = take(store, 10, now).await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    taken.remove(0)
}

fn of(run: &Run) -> ScheduleId {
    match &*run.action {
        piton_model::Action::Provision(provision) => provision.schedule,
        other => panic!("{other:?}"),
    }
}

fn failed(class: FailureClass) -> Event {
    Event::Failed { failure: Failure::new(class, "target_failed", "it did not work") }
}

async fn list(store: &Store, query: ProvisionQuery) -> Vec<ScheduleId> {
    let query = ProvisionQuery { limit: 100, ..query };
    store.provisions(&query).await.unwrap().provisions.iter().map(|row| row.wanted.id).collect()
}

on_both_engines![
    what_is_scheduled_is_there,
    rows_are_taken_when_they_are_due,
    a_take_goes_on_after_the_last_one,
    rows_follow_their_runs,
    what_people_do_to_rows,
    lists_have_filters_and_pages,
    a_page_of_large_rows_ends_early,
    many_are_scheduled_at_once,
    a_nul_stops_nothing,
    a_row_that_cannot_be_read_says_where,
];

async fn what_is_scheduled_is_there(fixture: &Fixture) {
    let store = fixture.open().await;
    let wanted = new(at(100));
    let id = schedule(&store, wanted.clone()).await;
    let found = row(&store, id).await;
    assert_eq!(found.wanted, wanted);
    assert_eq!((found.status, found.created_at, found.updated_at), (ScheduleStatus::Pending, at(0), at(0)));
    assert_eq!((found.retry_count, found.last_run, found.executed_at), (0, None, None));
    // Asked for again, it is there already.
    let other = new(at(200));
    let again = NewProvision { schedule_time: at(900), ..wanted };
    let made = store.schedule_provisions(vec![again, other.clone()], bob(), at(1)).await.unwrap();
    assert_eq!(made, [other.id]);
    assert_eq!(row(&store, id).await.wanted.schedule_time, at(100));
    assert_eq!(store.provision(run_id(at(0)).into()).await.unwrap(), None);
    assert_eq!(store.next_provision().await.unwrap(), Some(at(100)));
    assert_eq!(counts(&store).await, BTreeMap::from([(ScheduleStatus::Pending, 2)]));
    store.close().await;
}

async fn rows_are_taken_when_they_are_due(fixture: &Fixture) {
    let store = fixture.open().await;
    let held = NewProvision { approval: ApprovalStatus::PendingApproval, ..new(at(1)) };
    schedule(&store, held).await;
    let (late, early) = (schedule(&store, new(at(20))).await, schedule(&store, new(at(10))).await);
    let future = schedule(&store, new(at(1000))).await;
    assert!(take(&store, 10, at(9)).await.is_empty(), "nothing is due, and nobody takes what is not approved");
    let first = take(&store, 1, at(30)).await;
    assert_eq!(first.iter().map(of).collect::<Vec<_>>(), [early], "what waits longest goes first");
    let run = take_one(&store, at(30)).await;
    assert_eq!(of(&run), late);
    let found = row(&store, late).await;
    assert_eq!(
        (found.status, found.first_run, found.last_run),
        (ScheduleStatus::Executing, Some(run.id), Some(run.id))
    );
    assert!(take(&store, 10, at(31)).await.is_empty(), "nobody takes a row twice");
    assert_eq!(store.next_provision().await.unwrap(), Some(at(1000)));
    // What was tried before goes before what is due.
    store.record(run.id, failed(FailureClass::Transient), guard(&run), at(40)).await.unwrap();
    let both = take(&store, 10, at(2000)).await;
    assert_eq!(both.iter().map(of).collect::<Vec<_>>(), [late, future]);
    store.close().await;
}

async fn a_take_goes_on_after_the_last_one(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut all = Vec::new();
    for second in 0..9 {
        // Several have the same time.
        all.push(schedule(&store, new(at(second / 3))).await);
    }
    let (mut taken, mut after) = (Vec::new(), None);
    for most in [4, 4, 4] {
        let runs = (0..most).map(|_| run_id(at(50))).collect();
        let taking = Taking { runs, after, ..taking(at(50)) };
        let found = store.take_provisions(taking, at(50)).await.unwrap();
        taken.extend(found.runs.iter().map(of));
        after = found.last;
    }
    assert_eq!((taken, after), (all.clone(), None));
    // What comes before is not found, and is when the whole of it is looked at.
    let late = schedule(&store, new(at(0))).await;
    let taking = Taking { after: Some((at(2), all[8])), ..taking(at(50)) };
    assert!(store.take_provisions(taking, at(50)).await.unwrap().runs.is_empty());
    assert_eq!(of(&take_one(&store, at(50)).await), late);
    store.close().await;
}

async fn rows_follow_their_runs(fixture: &Fixture) {
    let store = fixture.open().await;
    let id = schedule(&store, new(at(10))).await;
    let first = take_one(&store, at(10)).await;
    store.record(first.id, failed(FailureClass::Transient), guard(&first), at(20)).await.unwrap();
    let again = row(&store, id).await;
    assert_eq!((again.status, again.retry_count), (ScheduleStatus::Pending, 1));
    assert_eq!(again.error_message.as_deref(), Some("it did not work"));
    assert_eq!((again.executed_at, again.first_run), (Some(at(20)), Some(first.id)));
    let next = again.next_attempt_at.unwrap();
    assert!(next >= at(50) && next <= at(80), "{next}");
    assert!(take(&store, 10, at(49)).await.is_empty());
    let second = take_one(&store, at(80)).await;
    assert_eq!(second.retry_of, Some(first.id));
    store.record(second.id, done(), guard(&second), at(90)).await.unwrap();
    let over = row(&store, id).await;
    assert_eq!((over.status, over.error_message, over.next_attempt_at), (ScheduleStatus::Completed, None, None));
    assert_eq!((over.executed_at, over.last_run, over.retry_count), (Some(at(90)), Some(second.id), 1));

    // As often as it may be, and no more.
    let id = schedule(&store, new(at(10))).await;
    let mut now = at(1000);
    for retries in 0..3 {
        assert_eq!(row(&store, id).await.retry_count, retries);
        let run = take_one(&store, now).await;
        store.record(run.id, failed(FailureClass::Transient), guard(&run), now).await.unwrap();
        now += Duration::from_secs(1000);
    }
    let over = row(&store, id).await;
    assert_eq!((over.status, over.retry_count), (ScheduleStatus::Failed, 2));

    let id = schedule(&store, new(at(10))).await;
    let run = take_one(&store, now).await;
    store.record(run.id, failed(FailureClass::Permanent), guard(&run), now).await.unwrap();
    assert_eq!(row(&store, id).await.status, ScheduleStatus::Failed);
    assert_eq!(store.next_provision().await.unwrap(), None);
    assert_eq!(store.catch_up_provisions(now).await.unwrap(), 0, "each row knows how its run ended");
    store.close().await;
}

async fn what_people_do_to_rows(fixture: &Fixture) {
    let store = fixture.open().await;
    let id = schedule(&store, new(at(1000))).await;
    let alter = async |alteration| store.alter_provision(id, alteration, bob(), at(5)).await;
    let to = Alteration::Reschedule { to: at(2000), timezone: Some("UTC".to_owned()) };
    let moved = alter(to).await.unwrap();
    assert_eq!(moved, row(&store, id).await);
    assert_eq!((moved.wanted.schedule_time, moved.wanted.timezone.as_deref()), (at(2000), Some("UTC")));
    assert_eq!(store.next_provision().await.unwrap(), Some(at(2000)));
    alter(Alteration::ExecuteNow).await.unwrap();
    let run = take_one(&store, at(5)).await;
    let refused = alter(Alteration::Cancel).await.unwrap_err();
    assert_eq!(refused, AlterError::Refused(NotAltered::NoLongerPending(ScheduleStatus::Executing)));
    store.record(run.id, failed(FailureClass::Permanent), guard(&run), at(6)).await.unwrap();
    let retried = alter(Alteration::Retry).await.unwrap();
    assert_eq!(
        (retried.status, retried.retry_count, retried.next_attempt_at),
        (ScheduleStatus::Pending, 0, Some(at(5)))
    );
    assert_eq!(alter(Alteration::Cancel).await.unwrap().status, ScheduleStatus::Cancelled);
    assert!(take(&store, 10, at(5000)).await.is_empty(), "nobody takes what nobody wants");

    let held = schedule(&store, NewProvision { approval: ApprovalStatus::PendingApproval, ..new(at(1)) }).await;
    let approve = Alteration::Approve { by: "carol".to_owned(), reason: Some("she knows".to_owned()) };
    let approved = store.alter_provision(held, approve, bob(), at(7)).await.unwrap();
    assert_eq!(
        (approved.approved_by.as_deref(), approved.approval_reason.as_deref()),
        (Some("carol"), Some("she knows"))
    );
    assert_eq!(row(&store, held).await, approved);
    let trail = store.audit_trail(None, 1).await.unwrap();
    let told = matches!(&trail[0].record, Record::Audit(deed) if deed.detail.as_deref() == Some("she knows"));
    assert!(told, "{trail:?}");
    assert_eq!(of(&take_one(&store, at(8)).await), held);
    let nobody: ScheduleId = run_id(at(0)).into();
    let unknown = store.alter_provision(nobody, Alteration::Cancel, bob(), at(9)).await.unwrap_err();
    assert_eq!(unknown, AlterError::NotFound(nobody));
    store.close().await;
}

async fn lists_have_filters_and_pages(fixture: &Fixture) {
    let store = fixture.open().await;
    let tagged =
        |due, tags: &[&str]| NewProvision { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..new(due) };
    let mut all = Vec::new();
    for second in 0..10 {
        // Several have the same time.
        all.push(schedule(&store, tagged(at(second / 3), &["a b", "c"])).await);
    }
    let other = schedule(&store, NewProvision { job_type: JobType::Terminate, ..tagged(at(50), &["d"]) }).await;
    store.alter_provision(other, Alteration::Cancel, bob(), at(1)).await.unwrap();

    let every = list(&store, ProvisionQuery::default()).await;
    assert_eq!((every.len(), every[0]), (11, other), "the latest time first");
    let status = |status| ProvisionQuery { status: Some(status), ..ProvisionQuery::default() };
    assert_eq!(list(&store, status(ScheduleStatus::Cancelled)).await, [other]);
    assert_eq!(list(&store, status(ScheduleStatus::Pending)).await.len(), 10);
    let job_type = Some(JobType::Terminate);
    assert_eq!(list(&store, ProvisionQuery { job_type, ..ProvisionQuery::default() }).await, [other]);
    let tags = |tags: &[&str]| ProvisionQuery {
        tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()),
        ..ProvisionQuery::default()
    };
    assert_eq!(list(&store, tags(&["x", "a b"])).await.len(), 10);
    assert_eq!(list(&store, tags(&["d", "c"])).await.len(), 11);
    assert!(list(&store, tags(&["a"])).await.is_empty());
    let both = ProvisionQuery { status: Some(ScheduleStatus::Pending), ..tags(&["d"]) };
    assert!(list(&store, both).await.is_empty());

    let mut seen = Vec::new();
    let mut query = ProvisionQuery { limit: 4, ..ProvisionQuery::default() };
    loop {
        let page = store.provisions(&query).await.unwrap();
        seen.extend(page.provisions.iter().map(|row| row.wanted.id));
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, every, "page after page, each is seen once");
    assert_eq!(list(&store, ProvisionQuery { offset: 9, ..ProvisionQuery::default() }).await, every[9..]);
    store.close().await;
}

async fn a_page_of_large_rows_ends_early(fixture: &Fixture) {
    let store = fixture.open().await;
    let large = Secret::new(json!({"note": "x".repeat(9 << 20)}));
    let mut all = Vec::new();
    for second in 0..3 {
        all.push(schedule(&store, NewProvision { employee: large.clone(), ..new(at(second)) }).await);
    }
    all.reverse();
    let query = ProvisionQuery { limit: 1000, ..ProvisionQuery::default() };
    let page = store.provisions(&query).await.unwrap();
    let ids = |rows: &[ScheduledProvision]| rows.iter().map(|row| row.wanted.id).collect::<Vec<_>>();
    assert_eq!((ids(&page.provisions), page.next), (all[..2].to_vec(), Some((at(1), all[1]))));
    let page = store.provisions(&ProvisionQuery { after: page.next, ..query }).await.unwrap();
    assert_eq!((ids(&page.provisions), page.next), (all[2..].to_vec(), None));

    // Small ones come on one page, however often it is read for that.
    let small: Vec<NewProvision> = (0..450).map(|second| new(at(1000 + second))).collect();
    store.schedule_provisions(small, bob(), at(0)).await.unwrap();
    for limit in [99, 100, 101, 450] {
        let page = store.provisions(&ProvisionQuery { limit, ..ProvisionQuery::default() }).await.unwrap();
        assert_eq!(page.provisions.len(), limit);
        assert_eq!(page.next, page.provisions.last().map(|row| (row.wanted.schedule_time, row.wanted.id)));
    }
    store.close().await;
}

async fn many_are_scheduled_at_once(fixture: &Fixture) {
    let store = fixture.open().await;
    let many: Vec<NewProvision> = (0..2500).map(|second| new(at(second))).collect();
    let ids: BTreeSet<ScheduleId> = many.iter().map(|new| new.id).collect();
    let made = store.schedule_provisions(many.clone(), bob(), at(0)).await.unwrap();
    assert_eq!(made.into_iter().collect::<BTreeSet<_>>(), ids);
    for wanted in [&many[0], &many[2499]] {
        assert_eq!(row(&store, wanted.id).await.wanted, *wanted, "as if it had come alone");
    }
    assert!(store.schedule_provisions(many.clone(), bob(), at(1)).await.unwrap().is_empty());
    assert_eq!(counts(&store).await, BTreeMap::from([(ScheduleStatus::Pending, 2500)]));
    // One that is there already does not keep the others away.
    let mut half: Vec<NewProvision> = (0..200).map(|second| new(at(second))).collect();
    let fresh: BTreeSet<ScheduleId> = half.iter().map(|new| new.id).collect();
    half.push(many[7].clone());
    let made = store.schedule_provisions(half, bob(), at(2)).await.unwrap();
    assert_eq!(made.into_iter().collect::<BTreeSet<_>>(), fresh);
    store.close().await;
}

async fn a_nul_stops_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let odd = |number: i64| NewProvision {
        employee: Secret::new(json!({"fullName": "A\0da", "path": "C:\\u0000"})),
        tags: vec!["x\0y".to_owned()],
        requested_by: Some("bo\0b".to_owned()),
        ..new(at(number))
    };
    let id = schedule(&store, odd(10)).await;
    let found = row(&store, id).await.wanted;
    assert_eq!(*found.employee.expose(), json!({"fullName": "A\u{fffd}da", "path": "C:\\u0000"}));
    assert_eq!((found.tags, found.requested_by.as_deref()), (vec!["x\u{fffd}y".to_owned()], Some("bo\u{fffd}b")));
    let tags = Some(vec!["x\0y".to_owned()]);
    assert_eq!(list(&store, ProvisionQuery { tags, ..ProvisionQuery::default() }).await, [id]);
    // However the words came into a failure, the row hears of its end.
    let run = take_one(&store, at(10)).await;
    let refused = Event::Failed { failure: Failure::new(FailureClass::Permanent, "target_refused", "bad\0body") };
    store.record(run.id, refused, guard(&run), at(20)).await.unwrap();
    let over = row(&store, id).await;
    assert_eq!((over.status, over.error_message.as_deref()), (ScheduleStatus::Failed, Some("bad\u{fffd}body")));
    // In bulk, too.
    assert_eq!(store.schedule_provisions((0..150).map(odd).collect(), bob(), at(0)).await.unwrap().len(), 150);
    store.close().await;
}

async fn a_row_that_cannot_be_read_says_where(fixture: &Fixture) {
    let store = fixture.open().await;
    let id = schedule(&store, new(at(10))).await;
    let spoil = match store.dialect() {
        Dialect::Sqlite => "UPDATE scheduled_provisions SET tags = '[1]'",
        Dialect::Postgres => "UPDATE scheduled_provisions SET tags = '{NULL}'",
    };
    raw(fixture, spoil).await;
    let good = schedule(&store, new(at(5))).await;
    let is_told = |error: &Error| match error {
        Error::UnreadableProvision { id: found, column, .. } => *found == id.to_string() && column == "tags",
        _ => false,
    };
    let unread = store.provision(id).await;
    assert!(unread.as_ref().is_err_and(is_told), "{unread:?}");
    // Alone, and beside others in its transaction.
    let (refused, altered) = tokio::join!(
        store.alter_provision(id, Alteration::Cancel, bob(), at(1)),
        store.alter_provision(good, Alteration::ExecuteNow, bob(), at(1)),
    );
    assert!(matches!(&refused, Err(AlterError::Store(error)) if is_told(error)), "{refused:?}");
    assert_eq!(altered.unwrap().wanted.id, good);
    let page = store.provisions(&ProvisionQuery { limit: 1, ..ProvisionQuery::default() }).await.unwrap();
    assert_eq!(page.provisions.iter().map(|row| row.wanted.id).collect::<Vec<_>>(), [good], "the page is full");
    assert_eq!((page.left_out, page.next), (1, None));
    store.close().await;
}

pub async fn outsider(fixture: &Fixture) -> PgConnection {
    let options: PgConnectOptions = fixture.url.parse().unwrap();
    options.connect().await.unwrap()
}

pub async fn insert(outsider: &mut PgConnection, columns: &str, values: &str) -> ScheduleId {
    let statement = format!("INSERT INTO scheduled_provisions ({columns}) VALUES ({values}) RETURNING id::text");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_one(outsider).await.unwrap();
    row.get::<String, _>(0).parse().unwrap()
}

/// What the documented interface of the table needs, and no more.
pub const COLUMNS: &str = "employee_data, applications, schedule_time, tags";
pub const VALUES: &str = "'{\"fullName\": \"Ada\"}', '{\"google\": true}', '2023-11-14T22:13:30Z', '{new-hire}'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_programs_write_the_table() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    let mut changes = store.provision_changes();
    changes.mark_unchanged();
    let id = insert(&mut outsider, COLUMNS, VALUES).await;
    let woken = tokio::time::timeout(Duration::from_secs(30), changes.changed()).await;
    assert!(woken.is_ok(), "whoever waits hears of it");
    let found = row(&store, id).await;
    assert_eq!((found.wanted.job_type, found.wanted.approval), (JobType::Provision, ApprovalStatus::AutoApproved));
    assert_eq!((found.wanted.schedule_time, found.wanted.payload.is_none()), (at(10), true));

    // Cancelled while it waits.
    let cancelled = insert(&mut outsider, COLUMNS, VALUES).await;
    let statement = format!("UPDATE scheduled_provisions SET status = 'cancelled' WHERE id = '{cancelled}'");
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    let run = take_one(&store, at(20)).await;
    assert_eq!(of(&run), id);

    // Cancelled while it is executed: its run is told, and what is done stays done.
    assert!(store.unwanted_provisions().await.unwrap().is_empty());
    let statement = format!("UPDATE scheduled_provisions SET status = 'cancelled' WHERE id = '{id}'");
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    assert_eq!(store.unwanted_provisions().await.unwrap(), [run.id]);
    store.record(run.id, done(), guard(&run), at(30)).await.unwrap();
    assert_eq!(row(&store, id).await.status, ScheduleStatus::Completed);
    assert!(store.unwanted_provisions().await.unwrap().is_empty());

    // Put back to waiting, it is executed anew.
    let statement = format!("UPDATE scheduled_provisions SET status = 'pending' WHERE id = '{cancelled}'");
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    let run = take_one(&store, at(40)).await;
    assert_eq!(of(&run), cancelled);
    // While its run is under way it is not taken once more.
    let statement = format!("UPDATE scheduled_provisions SET status = 'pending' WHERE id = '{cancelled}'");
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    assert!(take(&store, 10, at(50)).await.is_empty());
    store.record(run.id, done(), guard(&run), at(60)).await.unwrap();
    assert_eq!(row(&store, cancelled).await.status, ScheduleStatus::Completed);

    // Cancelled while it is executed, and put back to waiting before it was stopped, it is executed anew.
    let wanted = insert(&mut outsider, COLUMNS, VALUES).await;
    let run = take_one(&store, at(62)).await;
    let cancel = Event::CancelAsked { by: By::System, reason: None, superseded_by: None };
    store.record(run.id, cancel, guard(&run), at(63)).await.unwrap();
    let statement = format!("UPDATE scheduled_provisions SET status = 'pending' WHERE id = '{wanted}'");
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    store.record(run.id, failed(FailureClass::Interrupted), guard(&run), at(64)).await.unwrap();
    assert_eq!(row(&store, wanted).await.status, ScheduleStatus::Pending);
    let run = take_one(&store, at(65)).await;
    assert_eq!((of(&run), run.retry_of), (wanted, None));
    store.record(run.id, done(), guard(&run), at(66)).await.unwrap();

    // Put back while it is executed, for another time, it is tried again at that time.
    let postponed = insert(&mut outsider, COLUMNS, VALUES).await;
    let run = take_one(&store, at(67)).await;
    let later = "status = 'pending', schedule_time = '2033-05-18T03:33:20Z'";
    let statement = format!("UPDATE scheduled_provisions SET {later} WHERE id = '{postponed}'");
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    store.record(run.id, failed(FailureClass::Transient), guard(&run), at(68)).await.unwrap();
    let found = row(&store, postponed).await;
    assert_eq!((found.status, found.retry_count, found.next_attempt_at), (ScheduleStatus::Pending, 1, None));

    // Deleted while it is executed.
    let deleted = insert(&mut outsider, COLUMNS, VALUES).await;
    let run = take_one(&store, at(70)).await;
    assert!(store.unwanted_provisions().await.unwrap().is_empty());
    let statement = format!("DELETE FROM scheduled_provisions WHERE id = '{deleted}'");
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    assert_eq!(store.unwanted_provisions().await.unwrap(), [run.id]);
    store.record(run.id, done(), guard(&run), at(80)).await.unwrap();
    outsider.close().await.unwrap();
    store.close().await;
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_holds_is_waited_for_by_nobody() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    let held = insert(&mut outsider, COLUMNS, VALUES).await;
    let free = insert(&mut outsider, COLUMNS, VALUES).await;
    let lock = format!("SELECT 1 FROM scheduled_provisions WHERE id = '{held}' FOR UPDATE");

    let mut open = outsider.begin().await.unwrap();
    open.execute(sqlx::AssertSqlSafe(lock.clone())).await.unwrap();
    let run = take_one(&store, at(20)).await;
    assert_eq!(of(&run), free, "the other one is taken");
    let busy = store.alter_provision(held, Alteration::Cancel, bob(), at(20)).await.unwrap_err();
    assert_eq!(busy, AlterError::Busy(held));
    open.rollback().await.unwrap();
    let run = take_one(&store, at(21)).await;
    assert_eq!(of(&run), held, "as soon as nobody holds it, it is taken");

    // Held while its run ends, it follows later.
    let mut open = outsider.begin().await.unwrap();
    open.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
    store.record(run.id, done(), guard(&run), at(30)).await.unwrap();
    assert_eq!(row(&store, held).await.status, ScheduleStatus::Executing);
    open.rollback().await.unwrap();
    assert!(store.catch_up_provisions(at(31)).await.unwrap() >= 1);
    assert_eq!(row(&store, held).await.status, ScheduleStatus::Completed);
    outsider.close().await.unwrap();
    store.close().await;
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_that_are_scheduled_at_once_keep_nobody_waiting() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let (mut outsider, mut observer) = (outsider(&fixture).await, outsider(&fixture).await);
    let many: Vec<NewProvision> = (0..3_000).map(|second| new(at(second))).collect();
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY %'";
    // It waits for that other program for a second, in which a busy machine may come to nothing else.
    for _ in 0..20 {
        let mut open = outsider.begin().await.unwrap();
        let taken = format!("'{}', {VALUES}", many[2_999].id);
        insert(&mut open, &format!("id, {COLUMNS}"), &taken).await;
        let (sender, rows) = (store.clone(), many.clone());
        let sent = tokio::spawn(async move { sender.schedule_provisions(rows, bob(), at(0)).await });
        while !sent.is_finished() && sqlx::query(waiting).fetch_optional(&mut observer).await.unwrap().is_none() {}
        submit_one(&store, new_run(&job("backup"), at(0)), at(0)).await;
        let is_kept = !sent.is_finished();
        open.rollback().await.unwrap();
        match sent.await.unwrap() {
            Ok(made) => assert_eq!(made.len(), many.len()),
            Err(error) => assert!(matches!(error, Error::Locked(_)), "{error:?}"),
        }
        if is_kept {
            outsider.close().await.unwrap();
            observer.close().await.unwrap();
            store.close().await;
            return;
        }
    }
    panic!("whoever submitted a run waited for all of them");
}

const LOCK_TABLE: &str = "LOCK TABLE scheduled_provisions IN ACCESS EXCLUSIVE MODE";

pub fn lock_row(id: ScheduleId) -> String {
    format!("SELECT 1 FROM scheduled_provisions WHERE id = '{id}' FOR UPDATE")
}

/// Another program changes a row that is being executed, and keeps it or the table locked while its run ends.
pub async fn end_unheard(store: &Store, outsider: &mut PgConnection, set: &str, lock: &str, ended: (&Run, Event)) {
    let (run, event) = ended;
    let statement = format!("UPDATE scheduled_provisions SET {set} WHERE id = '{}'", of(run));
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    let mut open = outsider.begin().await.unwrap();
    open.execute(sqlx::AssertSqlSafe(lock.to_owned())).await.unwrap();
    store.record(run.id, event, guard(run), at(30)).await.unwrap();
    open.rollback().await.unwrap();
    assert_eq!(row(store, of(run)).await.status, ScheduleStatus::Pending, "it has not heard how its run ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_back_and_held_until_its_run_has_ended_is_not_executed_twice() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    for locks_table in [false, true] {
        let lock = |id| if locks_table { LOCK_TABLE.to_owned() } else { lock_row(id) };
        let put_back = "status = 'pending'";
        let id = insert(&mut outsider, COLUMNS, VALUES).await;
        let run = take_one(&store, at(20)).await;
        end_unheard(&store, &mut outsider, put_back, &lock(id), (&run, done())).await;
        assert!(take(&store, 10, at(40)).await.is_empty(), "it is done");
        let over = row(&store, id).await;
        assert_eq!(
            (over.status, over.last_run, over.executed_at),
            (ScheduleStatus::Completed, Some(run.id), Some(at(30)))
        );
        // What is put back after that is wanted once more.
        let statement = format!("UPDATE scheduled_provisions SET {put_back} WHERE id = '{id}'");
        outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        let run = take_one(&store, at(50)).await;
        assert_eq!((of(&run), run.retry_of), (id, None));
        store.record(run.id, done(), guard(&run), at(51)).await.unwrap();

        // One that did not succeed is tried again, as the same.
        let id = insert(&mut outsider, COLUMNS, VALUES).await;
        let first = take_one(&store, at(20)).await;
        let busy = failed(FailureClass::Transient);
        end_unheard(&store, &mut outsider, put_back, &lock(id), (&first, busy)).await;
        assert!(take(&store, 10, at(40)).await.is_empty(), "first it hears of it");
        let again = row(&store, id).await;
        assert_eq!((again.status, again.retry_count), (ScheduleStatus::Pending, 1));
        assert!(again.next_attempt_at.is_some_and(|next| next >= at(60)), "{:?}: not at once", again.next_attempt_at);
        let second = take_one(&store, at(100)).await;
        assert_eq!((of(&second), second.retry_of), (id, Some(first.id)));
        store.record(second.id, done(), guard(&second), at(101)).await.unwrap();
        assert_eq!(row(&store, id).await.status, ScheduleStatus::Completed);

        // Nor is one altered that is done, whenever it would be due.
        let id = insert(&mut outsider, COLUMNS, VALUES).await;
        let run = take_one(&store, at(20)).await;
        let later = "status = 'pending', schedule_time = '2033-05-18T03:33:20Z'";
        end_unheard(&store, &mut outsider, later, &lock(id), (&run, done())).await;
        let refused = store.alter_provision(id, Alteration::ExecuteNow, bob(), at(40)).await.unwrap_err();
        assert_eq!(refused, AlterError::Refused(NotAltered::NoLongerPending(ScheduleStatus::Completed)));
        assert_eq!(row(&store, id).await.status, ScheduleStatus::Completed);
    }
    outsider.close().await.unwrap();
    store.close().await;
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_stays_held_is_no_news_each_time_that_it_is_looked_at() {
    let fixture = Fixture::postgres().await;
    let (store, waits) = (fixture.open().await, fixture.open().await);
    let mut outsider = outsider(&fixture).await;
    let heard = async || {
        let head = store.head().await.unwrap();
        until(|| !waits.may_have_grown(head)).await;
        *waits.provision_changes().borrow()
    };
    for (event, status) in
        [(done(), ScheduleStatus::Completed), (failed(FailureClass::Transient), ScheduleStatus::Pending)]
    {
        let held = insert(&mut outsider, COLUMNS, VALUES).await;
        let run = take_one(&store, at(20)).await;
        let before = heard().await;
        let mut open = outsider.begin().await.unwrap();
        open.execute(sqlx::AssertSqlSafe(lock_row(held))).await.unwrap();
        store.record(run.id, event, guard(&run), at(30)).await.unwrap();
        for _ in 0..3 {
            assert_eq!(store.catch_up_provisions(at(31)).await.unwrap(), 1, "it is found each time");
        }
        assert_eq!(row(&store, held).await.status, ScheduleStatus::Executing);
        store.submit(vec![new_run(&job("a"), at(32))], at(32)).await.unwrap();
        assert_eq!(heard().await - before, 1, "only the end of the run is news");
        open.rollback().await.unwrap();
        assert_eq!(store.catch_up_provisions(at(33)).await.unwrap(), 1);
        assert_eq!(row(&store, held).await.status, status);
    }
    outsider.close().await.unwrap();
    store.close().await;
    waits.close().await;
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_with_a_run_that_is_none_does_not_keep_others_from_catching_up() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    let odd =
        insert(&mut outsider, &format!("{COLUMNS}, status, last_run"), &format!("{VALUES}, 'executing', '?'")).await;
    assert_eq!(store.catch_up_provisions(at(20)).await.unwrap(), 1);
    assert_eq!(row(&store, odd).await.status, ScheduleStatus::Failed);
    assert_eq!(store.catch_up_provisions(at(21)).await.unwrap(), 0);
    outsider.close().await.unwrap();
    store.close().await;
}

/// Another program has copied it, with all that Piton keeps there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_with_the_run_of_another_row_does_not_change_that() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    let id = insert(&mut outsider, COLUMNS, VALUES).await;
    let first = take_one(&store, at(20)).await;
    store.record(first.id, failed(FailureClass::Transient), guard(&first), at(30)).await.unwrap();
    let second = take_one(&store, at(100)).await;
    store.record(second.id, done(), guard(&second), at(101)).await.unwrap();
    let columns = format!("{COLUMNS}, status, first_run, last_run");
    for status in ["pending", "executing"] {
        let copied = format!("{VALUES}, '{status}', '{0}', '{0}'", first.id);
        let copy = insert(&mut outsider, &columns, &copied).await;
        store.catch_up_provisions(at(110)).await.unwrap();
        assert!(take(&store, 10, at(111)).await.is_empty(), "nobody knows whether it was done");
        assert_eq!(row(&store, copy).await.status, ScheduleStatus::Failed, "{status}");
        assert_eq!(row(&store, id).await.status, ScheduleStatus::Completed, "{status}: it is done");
    }
    outsider.close().await.unwrap();
    store.close().await;
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_somebody_locks_holds_up_only_what_needs_it() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    let id = schedule(&store, new(at(10))).await;
    let run = take_one(&store, at(10)).await;

    let mut open = outsider.begin().await.unwrap();
    open.execute("LOCK TABLE scheduled_provisions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (begun, later) = (Instant::now(), new(at(1000)));
    let another = || store.schedule_provisions(vec![later.clone()], bob(), at(20));
    // A run that ends, a row that is new and a job, be it in one transaction or in several.
    let (ended, refused, submitted) = tokio::join!(
        store.record(run.id, done(), guard(&run), at(20)),
        another(),
        store.submit(vec![new_run(&job("a"), at(20))], at(20)),
    );
    ended.unwrap();
    assert!(matches!(refused, Err(Error::Locked(_))), "{refused:?}");
    assert!(matches!(submitted.unwrap().as_slice(), [Submitted::New(_)]));
    for _ in 0..10 {
        let refused = another().await;
        assert!(matches!(refused, Err(Error::Locked(_))), "{refused:?}");
    }
    let refused = store.alter_provision(id, Alteration::Cancel, bob(), at(20)).await;
    assert!(matches!(refused, Err(AlterError::Store(Error::Locked(_)))), "{refused:?}");
    let unread = store.provision(id).await;
    assert!(matches!(unread, Err(Error::Locked(_))), "{unread:?}");
    assert!(matches!(store.census(Scope::Provisions).await, Err(Error::Locked(_))));
    assert_eq!(store.census(Scope::Runs).await.unwrap().waiting.iter().map(|kind| kind.count).sum::<i64>(), 1);
    // That is less than one lock was waited for once.
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    open.rollback().await.unwrap();

    assert_eq!(row(&store, id).await.status, ScheduleStatus::Executing);
    assert_eq!(store.catch_up_provisions(at(30)).await.unwrap(), 1);
    assert_eq!(row(&store, id).await.status, ScheduleStatus::Completed);
    assert_eq!(another().await.unwrap(), [later.id], "as soon as nobody locks it");
    let next = take_one(&store, at(1000)).await;
    store.record(next.id, done(), guard(&next), at(1001)).await.unwrap();
    assert_eq!(row(&store, later.id).await.status, ScheduleStatus::Completed, "rows follow at once again");
    outsider.close().await.unwrap();
    store.close().await;
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_hears_of_what_was_altered() {
    let fixture = Fixture::postgres().await;
    let (alters, waits) = (fixture.open().await, fixture.open().await);
    let id = schedule(&alters, new(at(1000))).await;
    let head = alters.head().await.unwrap();
    until(|| !waits.may_have_grown(head)).await;
    let mut changes = waits.provision_changes();
    changes.mark_unchanged();
    alters.alter_provision(id, Alteration::ExecuteNow, bob(), at(1)).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(20), changes.changed()).await;
    assert!(woken.is_ok(), "nobody was woken");
    alters.close().await;
    waits.close().await;
    fixture.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_does_not_stop_the_rest() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    // A status and types are kept right by the table itself; a table of older times may hold others.
    let refused = "INSERT INTO scheduled_provisions (employee_data, applications, schedule_time, tags, job_type) \
         VALUES ('{}', '{}', 'epoch', '{}', 'explode')";
    assert!(outsider.execute(refused).await.is_err());
    let constraint = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'piton_job_type'";
    let constraint: String = sqlx::query(constraint).fetch_one(&mut outsider).await.unwrap().get(0);
    assert!(constraint.ends_with("NOT VALID"), "{constraint}");
    outsider.execute("ALTER TABLE scheduled_provisions DROP CONSTRAINT piton_job_type").await.unwrap();
    let broken = insert(&mut outsider, &format!("{COLUMNS}, job_type"), &format!("{VALUES}, 'explode'")).await;
    let good = insert(&mut outsider, COLUMNS, VALUES).await;
    assert_eq!(list(&store, ProvisionQuery::default()).await, [good], "lists leave it out");
    pages_are_full(&store, &mut outsider).await;
    // It may not keep Piton from writing that the row is over.
    let add = format!("ALTER TABLE scheduled_provisions ADD CONSTRAINT piton_job_type {constraint}");
    outsider.execute(sqlx::AssertSqlSafe(add)).await.unwrap();
    let taken: Vec<ScheduleId> = take(&store, 10, at(20)).await.iter().map(of).collect();
    assert_eq!(taken, [good]);
    let statement = format!("SELECT status, error_message FROM scheduled_provisions WHERE id = '{broken}'");
    let spoiled = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_one(&mut outsider).await.unwrap();
    assert_eq!(spoiled.get::<String, _>(0), "failed");
    let why: String = spoiled.get(1);
    assert!(why.contains("job_type"), "{why}");
    assert_eq!(store.unreadable_provisions().await.unwrap(), [why], "it is told of as long as it is there");
    outsider.execute("DELETE FROM scheduled_provisions WHERE status = 'failed'").await.unwrap();
    assert_eq!(store.unreadable_provisions().await.unwrap(), Vec::<String>::new());

    // Nor is the target told of a number that was not written.
    let payload = r#"'{"cost": {"centre": 18446744073709551616}}'"#;
    let large = insert(&mut outsider, &format!("{COLUMNS}, payload"), &format!("{VALUES}, {payload}")).await;
    assert!(take(&store, 10, at(20)).await.is_empty());
    let (status, why) = told(&mut outsider, large).await;
    assert!(status == "failed" && why.contains("`payload.cost.centre`"), "{status}: {why}");
    outsider.close().await.unwrap();
    store.close().await;
    fixture.audited().await;
}

/// Many rows, of which every other one cannot be read, that are gone again afterwards.
async fn pages_are_full(store: &Store, outsider: &mut PgConnection) {
    for second in 31..59 {
        let values = VALUES.replace("22:13:30", &format!("22:13:{second}"));
        let job_type = if second % 2 == 0 { "terminate" } else { "explode" };
        insert(outsider, &format!("{COLUMNS}, job_type"), &format!("{values}, '{job_type}'")).await;
    }
    let all = list(store, ProvisionQuery::default()).await;
    assert_eq!(all.len(), 15);
    for limit in 1..=16 {
        let (mut seen, mut query) = (Vec::new(), ProvisionQuery { limit, ..ProvisionQuery::default() });
        loop {
            let page = store.provisions(&query).await.unwrap();
            let shown = page.provisions.len();
            assert!(shown == limit || page.next.is_none(), "a page of {limit} has {shown}");
            seen.extend(page.provisions.iter().map(|row| row.wanted.id));
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        assert_eq!(seen, all, "page after page of {limit}");
    }
    outsider.execute("DELETE FROM scheduled_provisions WHERE schedule_time > '2023-11-14T22:13:30Z'").await.unwrap();
}

pub async fn told(outsider: &mut PgConnection, id: ScheduleId) -> (String, String) {
    let statement = format!("SELECT status, COALESCE(error_message, '') FROM scheduled_provisions WHERE id = '{id}'");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_one(outsider).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_that_never_come_or_came_stop_nobody_else() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    let mut odd = Vec::new();
    for time in ["-infinity", "4000-01-01 BC", "0001-12-31 BC", "9999-12-31 12:00:00+00", "294276-12-31", "infinity"] {
        let values = VALUES.replace("2023-11-14T22:13:30Z", time);
        odd.push(insert(&mut outsider, COLUMNS, &values).await);
    }
    // What is only told about a row does not matter so much.
    let mut good = Vec::new();
    for time in ["infinity", "294276-12-31", "4000-01-01 BC"] {
        good.push(insert(&mut outsider, &format!("{COLUMNS}, created_at"), &format!("{VALUES}, '{time}'")).await);
    }
    good.push(insert(&mut outsider, COLUMNS, VALUES).await);

    let listed: BTreeSet<ScheduleId> = list(&store, ProvisionQuery::default()).await.into_iter().collect();
    assert_eq!(listed, good.iter().copied().collect(), "lists leave the others out");
    let unreadable = store.unreadable_provisions().await.unwrap();
    assert_eq!(unreadable.len(), odd.len(), "{unreadable:?}");
    for id in &odd {
        let id = id.to_string();
        assert!(unreadable.iter().any(|told| told.contains(&id) && told.contains("schedule_time")), "{unreadable:?}");
    }
    for limit in 1..4 {
        let (mut seen, mut query) = (BTreeSet::new(), ProvisionQuery { limit, ..ProvisionQuery::default() });
        let mut pages = 0;
        loop {
            let page = store.provisions(&query).await.unwrap();
            seen.extend(page.provisions.iter().map(|row| row.wanted.id));
            pages += 1;
            assert!(pages <= 10, "each page goes on where the last one ended");
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        assert_eq!(seen, listed, "page after page of {limit}");
    }

    assert!(store.next_provision().await.unwrap().is_some_and(|next| next < at(0)), "something is due");
    let taken: BTreeSet<ScheduleId> = take(&store, 20, at(20)).await.iter().map(of).collect();
    assert_eq!(taken, listed);
    assert_eq!(store.catch_up_provisions(at(21)).await.unwrap(), 3, "nobody takes what is never due");
    assert_eq!(store.catch_up_provisions(at(22)).await.unwrap(), 0);
    for id in odd {
        let (status, why) = told(&mut outsider, id).await;
        assert!(status == "failed" && why.contains("schedule_time"), "{status}: {why}");
    }
    assert_eq!(store.next_provision().await.unwrap(), None);
    outsider.close().await.unwrap();
    store.close().await;
    fixture.audited().await;
}
