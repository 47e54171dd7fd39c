use super::*;

const LOCKED: &str = "╷\n│ Error: Error acquiring the state lock\n│ \n│ Lock Info:\n│   ID:        3c1f\n│   Operation: OperationTypeApply\n│   Who:       carol@host\n│   Created:   2025-01-15 10:30:00\n╵\n";
const TIMED_OUT: &str = "╷\n│ Error: Failed to query available provider packages\n│ \n│ Could not retrieve the list of available versions for provider\n│ hashicorp/null: could not connect to registry.opentofu.org: dial tcp: i/o\n│ timeout\n╵\n";
const TYPO: &str = "╷\n│ Error: Failed to query available provider packages\n│ \n│ Could not retrieve the list: provider registry\n│ registry.opentofu.org does not have a provider named hashicorp/nul\n╵\n";

fn ending(doing: Doing, status: Status, output: &str) -> Ending<'_> {
    Ending { doing, custom: false, status, stopped: false, killed: false, output, left_lock: None }
}

#[test]
fn exits_of_tools() {
    use Doing::{Apply, Init, Job, Outputs, Plan, PushState, Show};
    use FailureClass::{Permanent, Transient, Uncertain};
    use Status::{Code, Signal, Unknown};
    type Row<'a> = (Doing, Status, &'a str, Result<Passed, (FailureClass, &'a str)>);
    let table: &[Row<'_>] = &[
        (Init, Code(0), "", Ok(Passed::Well)),
        (Plan, Code(0), "", Ok(Passed::Well)),
        (Plan, Code(2), "", Ok(Passed::WithChanges)),
        (Apply, Code(2), "", Err((Permanent, "apply_failed"))),
        (Init, Code(1), "Error: Bad", Err((Permanent, "init_failed"))),
        (Init, Code(1), TIMED_OUT, Err((Transient, "init_network"))),
        (Init, Code(1), TYPO, Err((Permanent, "init_failed"))),
        (Plan, Code(1), TIMED_OUT, Err((Permanent, "plan_failed"))),
        (Plan, Code(1), "Error: Bad", Err((Permanent, "plan_failed"))),
        (Plan, Code(1), LOCKED, Err((Transient, "state_locked"))),
        (Apply, Code(1), LOCKED, Err((Transient, "state_locked"))),
        (Apply, Code(1), "Error: Saved plan is stale", Err((Permanent, "plan_stale"))),
        (Apply, Code(1), "Error: Bad", Err((Permanent, "apply_failed"))),
        (Show, Code(1), "", Err((Permanent, "plan_unreadable"))),
        (Outputs, Code(1), "", Err((Permanent, "outputs_failed"))),
        (PushState, Code(1), "", Err((Permanent, "state_push_failed"))),
        (Plan, Signal(9), "", Err((Permanent, "plan_failed"))),
        (Apply, Signal(9), "", Err((Uncertain, "tool_killed"))),
        (Apply, Signal(11), "", Err((Uncertain, "tool_killed"))),
        (Apply, Code(137), "", Err((Uncertain, "tool_killed"))),
        (Job, Code(1), "", Err((Permanent, "command_failed"))),
        (Job, Signal(9), "", Err((Permanent, "command_failed"))),
        (Apply, Unknown, "", Err((Uncertain, "exit_unseen"))),
        (Job, Unknown, "", Err((Uncertain, "exit_unseen"))),
        (Plan, Unknown, "", Err((Transient, "exit_unseen"))),
    ];
    for (doing, status, output, expected) in table {
        let verdict = judge(&ending(*doing, *status, output));
        let seen = verdict.as_ref().map(|passed| *passed).map_err(|f| (f.class, f.code.as_str()));
        assert_eq!(seen, *expected, "{doing:?} {status:?} {output:?}");
    }
}

#[test]
fn a_destroy_is_told_as_one() {
    let of = |doing, status| judge(&ending(doing, status, "Error: Bad")).unwrap_err();
    assert!(of(Doing::Destroy, Status::Code(1)).message.starts_with("destroy failed: "));
    for status in [Status::Code(1), Status::Code(137), Status::Signal(9), Status::Unknown] {
        let (apply, destroy) = (of(Doing::Apply, status), of(Doing::Destroy, status));
        let told = |failure: &Failure| (failure.class, failure.code.clone(), failure.hint.clone(), failure.exit_code);
        assert_eq!(told(&apply), told(&destroy), "{status:?}");
        assert_eq!(apply.message.replace("apply", "destroy"), destroy.message);
    }
}

#[test]
fn a_custom_plan_has_no_exit_code_two() {
    let ending = Ending { custom: true, ..ending(Doing::Plan, Status::Code(2), "make: *** Error") };
    let failure = judge(&ending).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.exit_code), ("plan_failed", Some(2)));
}

#[test]
fn stopping_is_told_apart_from_failing() {
    let stopped = |doing, status, killed| {
        judge(&Ending { stopped: true, killed, ..ending(doing, status, "Error: operation canceled") })
    };
    let graceful = stopped(Doing::Apply, Status::Code(1), false).unwrap_err();
    assert_eq!((graceful.class, graceful.code.as_str()), (FailureClass::Interrupted, "stopped"));
    assert!(graceful.message.contains("in the state"), "{}", graceful.message);

    let unwilling = stopped(Doing::Apply, Status::Signal(9), true).unwrap_err();
    assert_eq!((unwilling.class, unwilling.code.as_str()), (FailureClass::Uncertain, "tool_killed"));

    let job = stopped(Doing::Job, Status::Signal(9), true).unwrap_err();
    assert_eq!(job.class, FailureClass::Interrupted);
    let job = stopped(Doing::Job, Status::Signal(15), false).unwrap_err();
    assert_eq!((job.class, job.exit_code), (FailureClass::Interrupted, Some(143)));
    // It cleaned up and went, as it was asked to.
    let job = stopped(Doing::Job, Status::Code(0), false).unwrap_err();
    assert_eq!((job.class, job.code.as_str(), job.exit_code), (FailureClass::Interrupted, "stopped", Some(0)));

    // It was done before the signal reached it.
    assert_eq!(stopped(Doing::Apply, Status::Code(0), false), Ok(Passed::Well));
}

#[test]
fn the_words_that_users_know() {
    let message = |status| judge(&ending(Doing::Job, status, "")).unwrap_err().message;
    assert_eq!(message(Status::Code(1)), "Command failed: exit status 1");
    assert_eq!(message(Status::Signal(9)), "Command failed: signal: killed");
    let not_found = judge(&ending(Doing::Job, Status::Code(127), "")).unwrap_err();
    assert!(not_found.hint.unwrap().contains("not found"));
}

#[test]
fn locks_are_shown_with_their_holder() {
    let failure = judge(&ending(Doing::Plan, Status::Code(1), LOCKED)).unwrap_err();
    assert!(failure.message.contains("carol@host"), "{}", failure.message);
    assert!(failure.hint.unwrap().contains("force-unlock 3c1f"));

    let holder = LockHolder { id: "77".into(), who: Some("piton@host".into()), operation: None, created: None };
    let ending = Ending { left_lock: Some(&holder), ..ending(Doing::Apply, Status::Signal(9), "") };
    assert!(judge(&ending).unwrap_err().hint.unwrap().contains("lock 77, held by piton@host"));
}

#[test]
fn only_what_changes_something_is_waited_for_long() {
    let first = |doing: Doing| doing.stop(Duration::from_secs(300)).0.first().unwrap().wait;
    for doing in [Doing::Apply, Doing::Destroy, Doing::PushState] {
        assert_eq!(first(doing), Duration::from_secs(300), "{doing:?}");
    }
    for doing in [Doing::Init, Doing::Plan, Doing::Show, Doing::Outputs] {
        assert_eq!(first(doing), HARMLESS_GRACE, "{doing:?}");
        assert_eq!(doing.stop(Duration::from_secs(1)).0.first().unwrap().wait, Duration::from_secs(1), "{doing:?}");
    }
    assert_eq!(Doing::Job.stop(Duration::from_secs(300)), StopSequence::job());
}
