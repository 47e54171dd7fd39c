//! Scheduled provisions that nobody wants any more, whoever says so and wherever.

use piton_model::{ApprovalStatus, Event, ScheduleStatus};
use sqlx::{Connection as _, Executor as _};

use crate::fixture::{Fixture, at, cancel, done, guard, on_both_engines};
use crate::provisions::{COLUMNS, VALUES, end_unheard, insert, lock_row, new, outsider, row, schedule, take_one, told};

on_both_engines![what_was_cancelled_stays_cancelled_when_its_worker_is_lost];

async fn what_was_cancelled_stays_cancelled_when_its_worker_is_lost(fixture: &Fixture) {
    let store = fixture.open().await;
    let id = schedule(&store, new(at(10))).await;
    let run = take_one(&store, at(10)).await;
    let asked = store.record(run.id, cancel(), guard(&run), at(11)).await.unwrap();
    store.record(run.id, Event::LeaseLost, guard(&asked), at(30)).await.unwrap();
    let over = row(&store, id).await;
    assert_eq!((over.status, over.executed_at), (ScheduleStatus::Cancelled, None));
    let told = over.error_message.unwrap();
    assert!(told.contains("cancelled by") && told.contains("may have been made"), "{told}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_program_refuses_is_cancelled() {
    let fixture = Fixture::postgres().await;
    let store = fixture.open().await;
    let mut outsider = outsider(&fixture).await;
    let asked = |status: &str| (format!("{COLUMNS}, approval_status"), format!("{VALUES}, '{status}'"));
    let (columns, values) = asked("pending_approval");
    let written = insert(&mut outsider, &columns, &values).await;
    let held = insert(&mut outsider, &columns, &values).await;
    let waits = insert(&mut outsider, &columns, &values).await;
    let (columns, values) = asked("rejected");
    let inserted = insert(&mut outsider, &columns, &values).await;
    let unreadable = insert(&mut outsider, &columns, &values.replace("{new-hire}", "{NULL}")).await;
    assert_eq!(store.catch_up_provisions(at(20)).await.unwrap(), 2);
    assert_eq!(told(&mut outsider, inserted).await, ("cancelled".to_owned(), "rejected".to_owned()));
    let (status, why) = told(&mut outsider, unreadable).await;
    assert!(status == "failed" && why.contains("tags"), "{status}: {why}");

    let refuse = "approval_status = 'rejected', approved_by = 'carol', approval_reason = 'no budget'";
    let statement = format!("UPDATE scheduled_provisions SET {refuse} WHERE id IN ('{written}', '{held}')");
    outsider.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    let mut open = outsider.begin().await.unwrap();
    open.execute(sqlx::AssertSqlSafe(lock_row(held))).await.unwrap();
    assert_eq!(store.catch_up_provisions(at(21)).await.unwrap(), 1, "one is held, and nobody waits for that");
    let over = row(&store, written).await;
    assert_eq!((over.status, over.wanted.approval), (ScheduleStatus::Cancelled, ApprovalStatus::Rejected));
    assert_eq!(over.error_message.as_deref(), Some("rejected by carol: no budget"));
    assert_eq!(row(&store, held).await.status, ScheduleStatus::Pending);
    open.rollback().await.unwrap();
    assert_eq!(store.catch_up_provisions(at(22)).await.unwrap(), 1);
    assert_eq!(row(&store, held).await.status, ScheduleStatus::Cancelled);
    assert_eq!(store.catch_up_provisions(at(23)).await.unwrap(), 0);
    assert_eq!(row(&store, waits).await.status, ScheduleStatus::Pending, "nobody has decided about it");

    // One whose run has ended, as it never heard, is what the run has made of it.
    let id = insert(&mut outsider, COLUMNS, VALUES).await;
    let run = take_one(&store, at(24)).await;
    let put_back = "status = 'pending', approval_status = 'rejected'";
    end_unheard(&store, &mut outsider, put_back, &lock_row(id), (&run, done())).await;
    assert_eq!(store.catch_up_provisions(at(40)).await.unwrap(), 1);
    assert_eq!(row(&store, id).await.status, ScheduleStatus::Completed);
    assert_eq!(store.catch_up_provisions(at(41)).await.unwrap(), 0);
    outsider.close().await.unwrap();
    store.close().await;
    fixture.audited().await;
}
