//! The words of the runner, for every state that a run can be in.

use std::time::Duration;

use jiff::Timestamp;
use piton_model::{
    Action, ApprovalPolicy, AttemptNo, Backoff, By, CustomCommands, Decision, Digest, Event, Failure, FailureClass,
    Gate, Iac, Name, NewRun, Origin, OutputValue, Report, ResourceChange, RunId, Subject, ToolChoice, WorkerId,
};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn accepted() -> Run {
    let id: RunId = "0199d6a2-7c00-7000-8000-000000000000".parse().unwrap();
    let iac = Iac {
        operation: Operation::Deploy { mode: None },
        source: Source::Git(GitSource {
            url: "https://git.example.org/a.git".to_owned(),
            reference: "main".to_owned(),
            path: "examples/basic".into(),
            auth: None,
        }),
        deployment: Name::parse("x").unwrap(),
        workspace_name: None,
        tool: ToolChoice::Tofu,
        version: None,
        vars: BTreeMap::new(),
        var_files: vec![],
        env: BTreeMap::new(),
        approval: ApprovalPolicy::Manual { timeout: Duration::from_secs(60) },
        timeout: Duration::from_secs(60),
        commands: CustomCommands::default(),
        init_flags: vec![],
        plan_flags: vec![],
        source_digest: None,
        declaration_digest: None,
        state_at: None,
    };
    let new = NewRun {
        id,
        subject: Subject::Deployment(id),
        action: Action::Iac(iac),
        origin: Origin::call(By::User("ada".to_owned())),
        due: at(0),
        priority: 0,
        retry: Backoff::NONE,
        retry_of: None,
        dedup_key: None,
        lock_key: None,
    };
    Run::submitted(new, at(0))
}

fn go(run: &Run, events: &[Event]) -> Run {
    events.iter().fold(run.clone(), |run, event| run.apply(event, at(5)).unwrap())
}

fn claimed(attempt: u32) -> Event {
    let (worker, attempt) = (WorkerId::new("w"), AttemptNo::after(attempt));
    Event::Claimed { worker, attempt, lease_until: at(60), uptime: None }
}

fn passed(step: IacStep) -> Event {
    Event::StepPassed { step: Step::Iac(step), report: Report::default() }
}

fn gate() -> Event {
    let gate = Gate { digest: Digest::of(b"plan"), question: "deploy?".to_owned() };
    let report = Report { plan: Some(plan()), ..Report::default() };
    Event::GateReached { gate, expires: at(100), report }
}

fn plan() -> PlanSummary {
    let change = |action: &str, address: &str| ResourceChange {
        address: address.to_owned(),
        action: action.to_owned(),
        reason: None,
    };
    PlanSummary {
        digest: Digest::of(b"plan"),
        file_digest: Digest::of(b"file"),
        add: 1,
        change: 0,
        replace: 1,
        destroy: 0,
        output_changes: 0,
        changes: vec![change("replace", "a.b"), change("create", "c.d")],
    }
}

fn decided(decision: Decision) -> Event {
    Event::Decided { decision, by: By::User("grace".to_owned()) }
}

fn words(run: &Run) -> (String, String, bool) {
    let seen = summary(run, None, None);
    (seen.status, seen.phase, seen.queued)
}

#[test]
fn each_state_has_its_words() {
    use IacStep::{Checkout, Init, Plan, Prepare};
    let (before, approve) = ([Prepare, Checkout, Init].map(passed), Decision::Approve { digest: Digest::of(b"plan") });
    let queued = accepted();
    let prepare = go(&queued, &[claimed(0)]);
    let gated = go(&go(&prepare, &before), &[gate()]);
    let approved = go(&gated, &[decided(approve)]);
    let apply = go(&approved, &[claimed(1)]);
    let table = [
        (&queued, "running", "initializing", true),
        (&prepare, "running", "initializing", false),
        (&go(&prepare, &before[..1]), "running", "cloning", false),
        (&go(&prepare, &before[..2]), "running", "init", false),
        (&go(&prepare, &before), "running", "plan", false),
        (&gated, "awaiting_approval", "plan", false),
        (&approved, "running", "apply", true),
        (&apply, "running", "apply", false),
        (&go(&apply, &[passed(IacStep::Apply)]), "running", "apply", false),
        (&go(&apply, &[Event::Done { report: Report::default() }]), "success", "completed", false),
        (&go(&go(&prepare, &before), &[passed(Plan), Event::LeaseLost]), "failed", "completed", false),
        (&go(&gated, &[decided(Decision::Reject { reason: None })]), "cancelled", "completed", false),
    ];
    for (run, word, phase, is_queued) in table {
        assert_eq!(words(run), (word.to_owned(), phase.to_owned(), is_queued), "{:?}", run.state);
    }
    assert_eq!(status(&apply, StageLogs::default(), None, None).summary.approved_by.as_deref(), Some("grace"));
}

#[test]
fn each_outcome_has_its_word() {
    let failure = |class| Failure::new(class, "x_failed", "x failed");
    let by = By::User("ada".to_owned());
    let table = [
        (Outcome::Succeeded, Status::Success, ""),
        (Outcome::Failed { failure: failure(FailureClass::Permanent) }, Status::Failed, "x failed"),
        (Outcome::TimedOut { failure: failure(FailureClass::TimedOut) }, Status::Failed, "x failed"),
        (Outcome::Indeterminate { failure: failure(FailureClass::Uncertain) }, Status::Failed, "x failed"),
        (Outcome::Cancelled { by: by.clone(), reason: None }, Status::Cancelled, "cancelled by ada"),
        (Outcome::Rejected { by, reason: Some("no".to_owned()) }, Status::Cancelled, "rejected by ada: no"),
        (Outcome::Expired, Status::Cancelled, "nobody decided in time"),
        (Outcome::Superseded { by: accepted().id }, Status::Cancelled, "superseded by run"),
    ];
    for (outcome, status, error) in table {
        let kind = outcome.kind();
        let run = Run { state: RunState::Ended { outcome, at: at(9) }, ..accepted() };
        let seen = summary(&run, None, None);
        assert_eq!(seen.status, status.as_str(), "{kind}");
        assert!(seen.error.starts_with(error) && seen.error.is_empty() == error.is_empty(), "{}", seen.error);
        assert_eq!((seen.outcome.as_deref(), seen.ended_at), (Some(kind.as_str()), Some(at(9))));
    }
}

#[test]
fn the_documented_members_are_there_and_of_their_types() {
    let told = status(&accepted(), StageLogs::default(), Some(3), None);
    let value = serde_json::to_value(&told).unwrap();
    for member in ["deployment_id", "status", "phase", "started_at", "error"] {
        assert!(value[member].is_string(), "{member}: {value}");
    }
    for log in ["init_log", "plan_log", "plan_output", "apply_log", "apply_output"] {
        assert_eq!(value[log], "", "{log}");
    }
    assert!(value.as_object().unwrap().contains_key("ended_at") && value["ended_at"].is_null());
    assert_eq!((&value["error"], &value["position"]), (&json!(""), &json!(3)));
    assert!(value["deployment_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
}

#[test]
fn a_plan_is_told_without_values_and_outputs_without_secrets() {
    assert_eq!(plan_text(&plan(), false), "-/+ a.b\n  + c.d\nPlan: 2 to add, 0 to change, 1 to destroy.\n");
    let nothing = PlanSummary { add: 0, replace: 0, changes: vec![], ..plan() };
    assert!(plan_text(&nothing, false).starts_with("No changes."));
    let outputs = BTreeMap::from([
        ("ip".to_owned(), OutputValue { value: "10.0.0.1".into(), sensitive: false }),
        ("pw".to_owned(), OutputValue { value: serde_json::Value::Null, sensitive: true }),
    ]);
    let text: serde_json::Value = serde_json::from_str(&outputs_text(&outputs)).unwrap();
    assert_eq!(text["ip"], json!({ "sensitive": false, "value": "10.0.0.1" }));
    assert_eq!(text["pw"], json!({ "sensitive": true, "value": null }));
}

#[test]
fn the_log_of_the_stage_that_failed_ends_with_the_reason() {
    let failure = Failure::new(FailureClass::Permanent, "git_failed", "the repository asks for a password");
    let run = go(&accepted(), &[claimed(0), passed(IacStep::Prepare), Event::Failed { failure }]);
    let logs = StageLogs { init: "piton: fetching".to_owned(), ..StageLogs::default() };
    let told = status(&run, logs, None, None);
    assert_eq!(told.init_log, "piton: fetching\npiton: the repository asks for a password\n");
    assert_eq!((told.plan_log.as_str(), told.summary.error_code.as_deref()), ("", Some("git_failed")));
}
