//! Scheduled provisions: what becomes of a row when its run ends, and what people may do to it.

use std::time::Duration;

use piton_model::{
    Alteration, ApprovalStatus, Backoff, By, DedupKey, Event, Failure, FailureClass, JobType, NewProvision, NotAltered,
    Outcome, RowChange, Run, RunId, RunState, ScheduleId, ScheduleStatus, ScheduledProvision, Secret, Unsent,
};
use proptest::prelude::*;
use serde_json::json;

use crate::samples::{at, claimed};

fn row(status: ScheduleStatus, approval: ApprovalStatus) -> ScheduledProvision {
    ScheduledProvision {
        wanted: NewProvision {
            id: RunId::new(at(0), [7; 10]).into(),
            job_type: JobType::Provision,
            employee: Secret::new(json!({"fullName": "Ada"})),
            applications: Secret::new(json!({"google": true})),
            payload: None,
            schedule_time: at(100),
            timezone: Some("Europe/Berlin".to_owned()),
            tags: vec![],
            target_user_email: None,
            requested_by: Some("ada".to_owned()),
            approval,
        },
        status,
        approved_by: None,
        approval_reason: None,
        created_at: at(0),
        updated_at: at(0),
        executed_at: None,
        error_message: None,
        retry_count: 2,
        next_attempt_at: Some(at(50)),
        first_run: None,
        last_run: None,
    }
}

/// A try that ended so.
fn ended(row: &ScheduledProvision, random: [u8; 10], retry: Backoff, outcome: Outcome) -> Run {
    let new = row.run(RunId::new(at(100), random), retry);
    let mut run = Run::submitted(new, at(100));
    run.state = RunState::Ended { outcome, at: at(200) };
    run
}

fn transient(retry_after: Option<Duration>) -> Outcome {
    let failure = Failure::new(FailureClass::Transient, "target_busy", "not now");
    Outcome::Failed { failure: Failure { retry_after, ..failure } }
}

proptest! {
    /// As often as it may be, and not sooner than half of the delay or what the target asks for.
    #[test]
    fn tries_are_counted_and_spread(
        retries in 0u32..10,
        attempts in 1u32..8,
        random in any::<[u8; 10]>(),
        asked in prop::option::of(0u64..5000),
    ) {
        let first = Duration::from_secs(60);
        let retry = Backoff { max_attempts: attempts, first, cap: Duration::from_secs(300) };
        let row = ScheduledProvision { retry_count: retries, ..row(ScheduleStatus::Pending, ApprovalStatus::Approved) };
        let asked = asked.map(Duration::from_secs);
        let run = ended(&row, random, retry, transient(asked));
        match (RowChange::of(&run), retry.delay(retries + 1)) {
            (Some(RowChange::Again { at: again, retry_count, executed_at, .. }), Some(delay)) => {
                prop_assert_eq!((retry_count, executed_at), (retries + 1, at(200)));
                prop_assert!(retry_count < attempts);
                let waited = Duration::try_from(again.duration_since(at(200))).unwrap();
                let asked = asked.unwrap_or_default();
                prop_assert!(waited >= asked && waited >= delay / 2, "{:?}", waited);
                prop_assert!(waited <= delay.max(asked), "{:?}", waited);
            }
            (Some(RowChange::Failed { .. }), None) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn whoever_takes_a_row_again_and_again_comes_to_an_end(attempts in 1u32..6, random in any::<[u8; 10]>()) {
        let retry = Backoff { max_attempts: attempts, first: Duration::from_secs(1), cap: Duration::from_secs(9) };
        let mut row = ScheduledProvision { retry_count: 0, ..row(ScheduleStatus::Pending, ApprovalStatus::Approved) };
        let mut tries = 0;
        loop {
            tries += 1;
            match RowChange::of(&ended(&row, random, retry, transient(None))) {
                Some(RowChange::Again { retry_count, .. }) => row.retry_count = retry_count,
                Some(RowChange::Failed { .. }) => break,
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(tries, attempts);
    }
}

#[test]
fn what_an_outcome_makes_of_the_row() {
    let row = row(ScheduleStatus::Pending, ApprovalStatus::AutoApproved);
    let retry = Backoff { max_attempts: 4, first: Duration::from_secs(60), cap: Duration::from_secs(3600) };
    let failure = |class| Failure::new(class, "x", "it did not work");
    let of = |outcome| RowChange::of(&ended(&row, [1; 10], retry, outcome)).unwrap();
    assert_eq!(of(Outcome::Succeeded), RowChange::Completed { at: at(200) });
    let failed = RowChange::Failed { at: at(200), error: "it did not work".to_owned() };
    assert_eq!(of(Outcome::Failed { failure: failure(FailureClass::Permanent) }), failed);
    assert_eq!(of(Outcome::TimedOut { failure: failure(FailureClass::TimedOut) }), failed);
    assert_eq!(of(Outcome::Indeterminate { failure: failure(FailureClass::Uncertain) }), failed);
    assert!(matches!(of(Outcome::Cancelled { by: By::System, reason: None }), RowChange::Cancelled { .. }));
    // Nobody's fault but that of a worker or of the database: at once, and for nothing, also where there is no retry.
    for code in ["lease_lost", "lease_not_renewed"] {
        let lost = Failure::new(FailureClass::Transient, code, "the worker was lost");
        let run = ended(&row, [1; 10], Backoff::NONE, Outcome::Failed { failure: lost });
        let again = RowChange::of(&run).unwrap();
        assert!(matches!(again, RowChange::Again { at: again, retry_count: 2, .. } if again == at(200)), "{again:?}");
    }
}

#[test]
fn what_was_never_sent_is_no_try() {
    let row = row(ScheduleStatus::Pending, ApprovalStatus::AutoApproved);
    let soon = at(201);
    for unsent in Unsent::ALL {
        for (asked, next) in [(None, soon), (Some(0), soon), (Some(100), at(300))] {
            let failure = Failure::new(FailureClass::Transient, unsent.code(), "it is left alone");
            let failure = Failure { retry_after: asked.map(Duration::from_secs), ..failure };
            // There may be no retry at all.
            let run = ended(&row, [1; 10], Backoff::NONE, Outcome::Failed { failure });
            let change = RowChange::of(&run);
            assert!(
                matches!(change, Some(RowChange::Again { at, retry_count: 2, .. }) if at == next),
                "{unsent:?} {asked:?}: {change:?}"
            );
        }
    }
    let refused = ended(&row, [1; 10], Backoff::NONE, transient(Some(Duration::from_secs(100))));
    assert!(matches!(RowChange::of(&refused), Some(RowChange::Failed { .. })), "the target itself was asked");
}

#[test]
fn what_can_be_done_in_which_status() {
    use ApprovalStatus::{AutoApproved, PendingApproval, Rejected};
    use ScheduleStatus as S;
    let by = || "bob".to_owned();
    let reschedule = Alteration::Reschedule { to: at(500), timezone: None };
    let reject = Alteration::Reject { by: by(), reason: Some("no budget".to_owned()) };
    let approve = Alteration::Approve { by: by(), reason: Some("fine".to_owned()) };
    for status in S::ALL.iter().copied().filter(|status| *status != S::Pending) {
        for alteration in [&Alteration::Cancel, &Alteration::ExecuteNow, &reschedule, &approve, &reject] {
            let refused = alteration.apply(&row(status, AutoApproved), at(10));
            assert_eq!(refused, Err(NotAltered::NoLongerPending(status)), "{alteration:?}");
        }
        let retried = Alteration::Retry.apply(&row(status, AutoApproved), at(10));
        let may = matches!(status, S::Failed | S::Cancelled);
        assert_eq!(retried.is_ok(), may, "{status}");
        if let Ok(retried) = retried {
            assert_eq!((retried.status, retried.retry_count, retried.due()), (S::Pending, 0, at(10)));
        }
    }
    let pending = row(S::Pending, AutoApproved);
    assert_eq!(Alteration::Retry.apply(&pending, at(10)), Err(NotAltered::Unfinished(S::Pending)));
    assert_eq!(Alteration::Cancel.apply(&pending, at(10)).unwrap().status, S::Cancelled);
    assert_eq!(Alteration::ExecuteNow.apply(&pending, at(10)).unwrap().due(), at(10));
    let later = reschedule.apply(&pending, at(10)).unwrap();
    assert_eq!((later.due(), later.wanted.timezone.as_deref()), (at(500), Some("Europe/Berlin")));
    assert_eq!(later.updated_at, at(10));
    assert_eq!(approve.apply(&pending, at(10)), Err(NotAltered::Unasked(AutoApproved)));

    let held = row(S::Pending, PendingApproval);
    assert_eq!(Alteration::ExecuteNow.apply(&held, at(10)), Err(NotAltered::Unapproved));
    let approved = approve.apply(&held, at(10)).unwrap();
    assert_eq!((approved.wanted.approval.allows(), approved.approved_by), (true, Some(by())));
    assert_eq!(approved.approval_reason.as_deref(), Some("fine"));
    let rejected = reject.apply(&held, at(10)).unwrap();
    assert_eq!((rejected.status, rejected.wanted.approval), (S::Cancelled, Rejected));
    assert_eq!(rejected.error_message.as_deref(), Some("rejected by bob: no budget"));
    assert_eq!(rejected.approval_reason.as_deref(), Some("no budget"));
    let asked = Alteration::Retry.apply(&rejected, at(11)).unwrap();
    assert_eq!((asked.status, asked.wanted.approval, asked.due()), (S::Pending, PendingApproval, at(100)));
    assert_eq!((&asked.approved_by, &asked.approval_reason, &asked.error_message), (&None, &None, &None));
    assert!(approve.apply(&asked, at(12)).unwrap().wanted.approval.allows(), "it is no dead end");
    let cancelled = Alteration::Cancel.apply(&held, at(10)).unwrap();
    let asked = Alteration::Retry.apply(&cancelled, at(11)).unwrap();
    assert_eq!((asked.status, asked.wanted.approval, asked.due()), (S::Pending, PendingApproval, at(100)));
    assert!(reschedule.apply(&held, at(10)).is_ok() && Alteration::Cancel.apply(&held, at(10)).is_ok());
}

#[test]
fn what_was_refused_in_the_table_says_so_as_far_as_it_knows() {
    let row = row(ScheduleStatus::Pending, ApprovalStatus::Rejected);
    for (by, reason, message) in [
        (None, None, "rejected"),
        (Some("bob"), None, "rejected by bob"),
        (None, Some("no budget"), "rejected: no budget"),
        (Some("bob"), Some("no budget"), "rejected by bob: no budget"),
    ] {
        let (approved_by, approval_reason) = (by.map(str::to_owned), reason.map(str::to_owned));
        let refused = ScheduledProvision { approved_by, approval_reason, ..row.clone() }.refused(at(10));
        assert_eq!((refused.status, refused.next_attempt_at), (ScheduleStatus::Cancelled, None));
        assert_eq!((refused.error_message.as_deref(), refused.updated_at), (Some(message), at(10)));
    }
}

#[test]
fn what_was_cancelled_stays_cancelled_when_its_worker_is_lost_and_says_that_it_may_be_done() {
    let row = row(ScheduleStatus::Pending, ApprovalStatus::AutoApproved);
    let run = Run::submitted(row.run(RunId::new(at(100), [1; 10]), Backoff::NONE), at(100));
    let called = run.apply(&claimed(&run, 100), at(100)).unwrap();
    let lost = "its worker was lost during the call, which may have been made";
    for (reason, wanted) in [
        (None, format!("cancelled by piton: {lost}")),
        (Some("its row was cancelled"), format!("cancelled by piton: its row was cancelled; {lost}")),
    ] {
        let reason = reason.map(str::to_owned);
        let asked = called.apply(&Event::CancelAsked { by: By::System, reason, superseded_by: None }, at(101)).unwrap();
        let over = asked.apply(&Event::LeaseLost, at(120)).unwrap();
        assert_eq!(RowChange::of(&over), Some(RowChange::Cancelled { reason: wanted }));
    }
    // What is still wanted is called again.
    let again = RowChange::of(&called.apply(&Event::LeaseLost, at(120)).unwrap());
    assert!(matches!(again, Some(RowChange::Again { .. })), "{again:?}");
}

#[test]
fn every_try_has_the_key_of_the_first() {
    let first = row(ScheduleStatus::Pending, ApprovalStatus::AutoApproved);
    let (one, two) = (RunId::new(at(1), [1; 10]), RunId::new(at(2), [2; 10]));
    let key = |row: &ScheduledProvision, id| match row.run(id, Backoff::NONE).action {
        piton_model::Action::Provision(provision) => provision.key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(&first, one), one);
    let again = ScheduledProvision { first_run: Some(one), last_run: Some(one), ..first };
    assert_eq!(key(&again, two), one);
    assert_eq!(again.run(two, Backoff::NONE).retry_of, Some(one));
}

#[test]
fn the_ids_of_a_request_are_the_same_whenever_it_is_asked() {
    let key = DedupKey::new("request:1");
    let ids: Vec<ScheduleId> = (0..100).map(|index| ScheduleId::of_request(&key, index)).collect();
    assert_eq!(ids[7], ScheduleId::of_request(&key, 7));
    assert_ne!(ids[7], ScheduleId::of_request(&DedupKey::new("request:2"), 7));
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
    assert_eq!(ids[0].to_string().parse(), Ok(ids[0]));
}
