//! Runs and events to test with.

use std::time::Duration;

use jiff::Timestamp;
use piton_model::{
    Action, ApprovalPolicy, AttemptNo, Backoff, By, Decision, Digest, Event, Failure, FailureClass, Gate, Iac, IacStep,
    Name, NewRun, Operation, Origin, Report, Run, RunId, Source, Step, Subject, ToolChoice, WorkerId,
};
use proptest::prelude::*;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub fn deploy(random: u8, retry: Backoff) -> Run {
    let name = Name::parse("everest").unwrap();
    let subject = Subject::Workspace(name.clone());
    let action = Action::Iac(Iac {
        operation: Operation::Deploy { mode: None },
        source: Source::Directory { path: "/srv/everest".into() },
        deployment: name.clone(),
        workspace_name: Some(name),
        tool: ToolChoice::Auto,
        version: None,
        vars: [].into(),
        var_files: vec![],
        env: [].into(),
        approval: ApprovalPolicy::None,
        timeout: Duration::from_secs(60),
        commands: piton_model::CustomCommands::default(),
        init_flags: vec![],
        plan_flags: vec![],
        source_digest: None,
        declaration_digest: None,
        state_at: None,
    });
    let lock_key = Some(subject.lock_key());
    let origin = Origin::call(By::System);
    let id = RunId::new(at(0), [random; 10]);
    let new = NewRun {
        id,
        subject,
        action,
        origin,
        due: at(0),
        priority: 0,
        retry,
        retry_of: None,
        dedup_key: None,
        lock_key,
    };
    Run::submitted(new, at(0))
}

pub fn claimed(run: &Run, second: i64) -> Event {
    Event::Claimed {
        worker: WorkerId::new("w"),
        attempt: AttemptNo::after(run.attempts),
        lease_until: at(second + 15),
        uptime: None,
    }
}

pub fn any_event() -> impl Strategy<Value = Event> {
    let digest = prop_oneof![Just(Digest::of(b"a")), Just(Digest::of(b"b"))];
    let step = prop_oneof![
        Just(Step::Iac(IacStep::Prepare)),
        Just(Step::Iac(IacStep::Checkout)),
        Just(Step::Iac(IacStep::Init)),
        Just(Step::Iac(IacStep::Plan)),
        Just(Step::Iac(IacStep::Apply)),
        Just(Step::Iac(IacStep::Outputs)),
    ];
    let class = prop_oneof![
        Just(FailureClass::Transient),
        Just(FailureClass::Permanent),
        Just(FailureClass::TimedOut),
        Just(FailureClass::Interrupted),
        Just(FailureClass::Uncertain),
    ];
    let gate = digest.clone().prop_map(|digest| Gate { digest, question: "?".into() });
    let decision = prop_oneof![
        digest.prop_map(|digest| Decision::Approve { digest }),
        Just(Decision::Reject { reason: None }),
        Just(Decision::Expire),
    ];
    prop_oneof![
        (1u32..6).prop_map(|n| Event::Claimed {
            worker: WorkerId::new("w"),
            attempt: AttemptNo::after(n - 1),
            lease_until: at(100),
            uptime: None,
        }),
        step.prop_map(|step| Event::StepPassed { step, report: Report::default() }),
        Just(Event::Progressed { report: Report::default() }),
        (gate, 0i64..50).prop_map(|(gate, s)| Event::GateReached { gate, expires: at(s), report: Report::default() }),
        class.prop_map(|class| Event::Failed { failure: Failure::new(class, "x", "x") }),
        Just(Event::LeaseLost),
        Just(Event::CancelAsked { by: By::System, reason: None, superseded_by: None }),
        decision.prop_map(|decision| Event::Decided { decision, by: By::System }),
        Just(Event::Done { report: Report::default() }),
    ]
}

/// Events that the run can take, mostly.
pub fn walk(run: &Run, events: &[Event]) -> Vec<(Event, Run)> {
    let mut now = run.clone();
    let mut taken = vec![];
    for (second, event) in (1i64..).zip(events) {
        // A random attempt number or step is nearly always wrong: every other one is put right.
        let event = match (event, now.step()) {
            (Event::Claimed { .. }, _) if second % 2 == 0 => claimed(&now, second),
            (Event::StepPassed { report, .. }, Some(step)) if second % 2 == 0 => {
                Event::StepPassed { step, report: report.clone() }
            }
            (other, _) => other.clone(),
        };
        if let Ok(next) = now.apply(&event, at(second)) {
            now = next.clone();
            taken.push((event, next));
        }
    }
    taken
}
