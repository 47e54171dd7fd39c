//! What must hold whatever happens to a run.

use std::sync::Arc;
use std::time::Duration;

use piton_model::{
    Action, AttemptNo, Backoff, By, Decision, Digest, Event, Failure, FailureClass, Gate, GitSource, IacStep, Outcome,
    Phase, Report, Resume, Run, RunState, Source, Step, Uptime, WorkerId,
};
use proptest::prelude::*;

use crate::samples::{any_event, at, claimed, deploy, walk};

const RETRY: Backoff = Backoff { max_attempts: 3, first: Duration::from_secs(1), cap: Duration::from_secs(9) };

proptest! {
    #[test]
    fn invariants_hold_under_random_events(events in prop::collection::vec(any_event(), 0..60)) {
        let start = deploy(1, RETRY);
        let mut before = start.clone();
        for (event, after) in walk(&start, &events) {
            prop_assert!(before.phase() != Phase::Ended, "an ended run took {event:?}");
            prop_assert!(after.attempts >= before.attempts);
            prop_assert_eq!(after.attempts > before.attempts, matches!(event, Event::Claimed { .. }));
            if after.outcome() == Some(&Outcome::Succeeded) && !matches!(event, Event::Done { .. }) {
                let seen = match (&event, before.step()) {
                    // A cancel request was too late.
                    (Event::StepPassed { .. }, Some(step)) => step.may_have_effect(),
                    (Event::LeaseLost, Some(step)) => step == Step::Iac(IacStep::Outputs),
                    _ => false,
                };
                prop_assert!(seen, "{event:?} is no success");
            }
            let began_apply = after.step() == Some(Step::Iac(IacStep::Apply)) && before.step() != after.step();
            if began_apply && matches!(event, Event::Claimed { .. }) {
                let approved = matches!(&after.state, RunState::Running { approval: Some(_), .. });
                prop_assert!(approved, "a claim led to apply without an approval");
            }
            if matches!(event, Event::LeaseLost) && before.step().is_some_and(Step::may_have_effect) {
                let indeterminate = matches!(after.outcome(), Some(Outcome::Indeterminate { .. }));
                prop_assert!(indeterminate, "a lost apply was put back");
            }
            before = after;
        }
    }

    #[test]
    fn runs_survive_being_stored(events in prop::collection::vec(any_event(), 0..60)) {
        for (event, run) in walk(&deploy(1, RETRY), &events) {
            let text = serde_json::to_string(&run).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Run>(&text).unwrap(), &run);
            let text = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), &event);
        }
    }
}

fn drive(mut run: Run, events: &[Event]) -> Run {
    for (second, event) in (1i64..).zip(events) {
        run = run.apply(event, at(second)).unwrap();
    }
    run
}

fn passed(step: IacStep) -> Event {
    Event::StepPassed { step: Step::Iac(step), report: Report::default() }
}

fn gated(digest: &[u8]) -> Run {
    let run = deploy(1, Backoff::NONE);
    let gate = Gate { digest: Digest::of(digest), question: "1 to add".into() };
    let first = claimed(&run, 1);
    let reached = Event::GateReached { gate, expires: at(1000), report: Report::default() };
    drive(run, &[first, passed(IacStep::Prepare), passed(IacStep::Init), reached])
}

#[test]
fn an_approval_of_another_plan_is_refused() {
    let approve =
        |digest: &[u8]| Event::Decided { decision: Decision::Approve { digest: Digest::of(digest) }, by: By::System };
    let run = gated(b"plan A");
    assert!(run.apply(&approve(b"plan B"), at(10)).is_err());
    let approved = run.apply(&approve(b"plan A"), at(10)).unwrap();
    let running = approved.apply(&claimed(&approved, 11), at(11)).unwrap();
    assert_eq!(running.step(), Some(Step::Iac(IacStep::Apply)));
    assert_eq!(running.attempts, 2);
}

/// A plan that was lost after its approval is made anew in the step that applies it, and may differ.
#[test]
fn an_apply_may_ask_again_until_it_is_done() {
    let approval = Event::Decided { decision: Decision::Approve { digest: Digest::of(b"plan") }, by: By::System };
    let approved = gated(b"plan").apply(&approval, at(10)).unwrap();
    let applying = approved.apply(&claimed(&approved, 11), at(11)).unwrap();
    let gate = Gate { digest: Digest::of(b"plan B"), question: "1 to add".into() };
    let again = Event::GateReached { gate, expires: at(1000), report: Report::default() };
    assert_eq!(applying.apply(&again, at(12)).unwrap().phase(), Phase::Gated);
    let done = applying.apply(&passed(IacStep::Apply), at(12)).unwrap();
    assert!(done.apply(&again, at(13)).is_err());
}

#[test]
fn a_gate_expires_only_when_its_time_has_come() {
    let expire = Event::Decided { decision: Decision::Expire, by: By::System };
    let run = gated(b"plan");
    assert!(run.apply(&expire, at(999)).is_err());
    assert_eq!(run.apply(&expire, at(1000)).unwrap().outcome(), Some(&Outcome::Expired));
}

#[test]
fn transient_failures_are_retried_until_the_policy_says_no() {
    let mut run = deploy(1, RETRY);
    let failure = Failure::new(FailureClass::Transient, "network", "no route");
    for expected in [Phase::Pending, Phase::Pending, Phase::Ended] {
        run = run.apply(&claimed(&run, 1), at(1)).unwrap();
        run = run.apply(&Event::Failed { failure: failure.clone() }, at(2)).unwrap();
        assert_eq!(run.phase(), expected);
    }
}

#[test]
fn a_cancelled_run_ends_cancelled_unless_nobody_saw_its_end() {
    let cancel = Event::CancelAsked { by: By::User("ana".into()), reason: None, superseded_by: None };
    let run = deploy(1, RETRY);
    let running = drive(run.clone(), &[claimed(&run, 1), cancel.clone()]);
    assert_eq!(running.phase(), Phase::Running);
    let stopped = Failure::new(FailureClass::Interrupted, "interrupted", "stopped");
    let ended = running.apply(&Event::Failed { failure: stopped }, at(9)).unwrap();
    assert!(matches!(ended.outcome(), Some(Outcome::Cancelled { .. })));
    let unseen = Failure::new(FailureClass::Uncertain, "killed", "killed");
    let ended = running.apply(&Event::Failed { failure: unseen }, at(9)).unwrap();
    assert!(matches!(ended.outcome(), Some(Outcome::Indeterminate { .. })));
}

#[test]
fn what_was_asked_to_stop_begins_no_further_step() {
    let cancel = Event::CancelAsked { by: By::System, reason: None, superseded_by: None };
    let run = deploy(1, RETRY);
    let planned = [claimed(&run, 1), passed(IacStep::Prepare), passed(IacStep::Init)];
    let before_apply = drive(drive(run.clone(), &planned), &[cancel.clone(), passed(IacStep::Plan)]);
    assert!(matches!(before_apply.outcome(), Some(Outcome::Cancelled { .. })));
    assert_eq!(before_apply.reached, Some(Step::Iac(IacStep::Plan)), "it never came to the apply");
    let applied = drive(drive(run, &planned), &[passed(IacStep::Plan), cancel, passed(IacStep::Apply)]);
    assert_eq!(applied.outcome(), Some(&Outcome::Succeeded), "what is done stays done");
}

#[test]
fn an_effect_that_was_seen_to_succeed_is_not_repeated_for_its_outputs() {
    let run = deploy(1, RETRY);
    let steps = [IacStep::Prepare, IacStep::Init, IacStep::Plan, IacStep::Apply].map(passed);
    let reading = drive(drive(run.clone(), &[claimed(&run, 1)]), &steps);
    assert_eq!(reading.apply(&Event::LeaseLost, at(99)).unwrap().outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn only_code_from_git_is_checked_out() {
    let mut run = deploy(1, Backoff::NONE);
    let steps_of = |run: &Run| {
        let mut steps = vec![run.action.first_step()];
        while let Some(next) = run.action.step_after(steps[steps.len() - 1]) {
            assert!(next > steps[steps.len() - 1], "steps go forward");
            steps.push(next);
        }
        assert!(steps.iter().rev().skip(1).all(|step| !step.is_last()) && steps[steps.len() - 1].is_last());
        steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(steps_of(&run), "prepare init plan apply outputs");
    let Action::Iac(iac) = Arc::make_mut(&mut run.action) else { panic!("{run:?}") };
    iac.source = Source::Git(GitSource {
        url: "https://host/repository".into(),
        reference: "main".into(),
        path: ".".into(),
        auth: None,
    });
    assert_eq!(steps_of(&run), "prepare checkout init plan apply outputs");
}

#[test]
fn a_run_ends_when_its_program_did() {
    let run = deploy(1, Backoff::NONE);
    let planned = [passed(IacStep::Prepare), passed(IacStep::Init), passed(IacStep::Plan)];
    let running = drive(drive(run.clone(), &[claimed(&run, 1)]), &planned);
    // News is recorded when somebody looks again, and tells of what was before.
    let running = running.apply(&Event::Progressed { report: Report::default() }, at(90)).unwrap();
    assert_eq!(running.known_to_have_ended(), None);
    let failed = || Failure::new(FailureClass::Permanent, "apply_failed", "no");
    for (exited, recorded, end) in [
        (None, 100, 100),
        (Some(7), 100, 7),
        // Not before what is known of the run, nor after it was recorded, wherever clocks were set to.
        (Some(2), 100, 3),
        (Some(-5), 100, 3),
        (Some(200), 100, 100),
        (None, 2, 3),
    ] {
        let exited_at = exited.map(at);
        let report = Report { exited_at, ..Report::default() };
        for event in [
            Event::Failed { failure: Failure { exited_at: exited_at.map(Box::new), ..failed() } },
            Event::Done { report },
        ] {
            let ended = running.apply(&event, at(recorded)).unwrap();
            assert_eq!(ended.known_to_have_ended(), Some(at(recorded.max(3))), "{exited:?}: {event:?}");
            let RunState::Ended { at: found, .. } = ended.state else { panic!("{ended:?}") };
            assert_eq!(found, at(end), "{exited:?}, recorded at {recorded}: {event:?}");
        }
    }
    // What was heard of an earlier step says nothing about the end of a later one.
    let report = Report { exited_at: Some(at(7)), ..Report::default() };
    let applied = running.apply(&Event::StepPassed { step: Step::Iac(IacStep::Apply), report }, at(100)).unwrap();
    let ended = applied.apply(&Event::Done { report: Report::default() }, at(101)).unwrap();
    assert!(matches!(ended.state, RunState::Ended { at: found, .. } if found == at(101)));
}

#[test]
fn what_is_claimed_ahead_begins_when_it_is_due_and_ages_from_then() {
    let (due, boot) = (at(100), "boot");
    let run = deploy(1, RETRY);
    let pending = Run { state: RunState::Pending { due, resume: Resume::Fresh }, ..run };
    let up = |millis| Some(Uptime::new(boot, Duration::from_millis(millis)));
    for (claim, begins, uptime) in [
        (at(100) - Duration::from_millis(25), due, up(5_025)),
        (at(100), at(100), up(5_000)),
        (at(103), at(103), up(5_000)),
        // The ledger counts in microseconds, and this is none.
        (at(100) + Duration::from_nanos(1), at(100) + Duration::from_nanos(1), up(5_000)),
    ] {
        let event = Event::Claimed {
            worker: WorkerId::new("w"),
            attempt: AttemptNo::FIRST,
            lease_until: at(115),
            uptime: up(5_000),
        };
        let claimed = pending.apply(&event, claim).unwrap();
        let lease = claimed.lease().unwrap();
        assert_eq!((lease.since, claimed.started_at, &lease.uptime), (begins, Some(begins), &uptime), "{claim}");
    }
}
