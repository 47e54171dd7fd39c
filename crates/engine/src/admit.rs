//! Whether a trigger that fired becomes a run. Pure.

use piton_model::{
    Digest, Event, JobStatus, Mode, Operation, Phase, Run, RunId, SkipReason, WorkspacePhase, WorkspaceState,
};
use piton_spec::ConcurrencyPolicy;

/// What becomes of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admit {
    /// A run is made, and takes the place of these. Those that are under way are stopped first.
    Enqueue {
        /// Runs to cancel as superseded.
        instead_of: Vec<RunId>,
    },
    /// There is no run, for this reason.
    Skip(SkipReason),
    /// It is too early to say: look again when something has happened.
    Wait,
}

/// What a schedule or a changed configuration wants of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Deploy(Option<Mode>),
    Destroy,
}

impl Wanted {
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Wanted::Deploy(mode) => Operation::Deploy { mode: mode.clone() },
            Wanted::Destroy => Operation::Destroy,
        }
    }
}

/// Decides about a workspace. `live` are its runs that have not ended.
pub(crate) fn workspace(wanted: &Wanted, digest: &Digest, state: &WorkspaceState, live: &[Run]) -> Admit {
    let same = |run: &&Run| {
        run.action.iac().is_some_and(|iac| {
            iac.operation == wanted.operation()
                && (*wanted == Wanted::Destroy || iac.source_digest.as_ref() == Some(digest))
        })
    };
    let changing: Vec<&Run> = live.iter().filter(|run| changes_workspace(run)).collect();
    // The run that will have the last word as things are now.
    let last = changing.iter().max_by_key(|run| (run.phase() == Phase::Pending, run.id));
    if let Some(run) = last.copied().filter(same) {
        return Admit::Skip(SkipReason::StillActive { run: run.id });
    }
    // Where a run is under way for something else, what is settled now says nothing about what will be; and one that
    // waits for something else must not go on when the schedule wants what already is.
    if changing.is_empty()
        && let Some(reason) = settled_reason(wanted, digest, state)
    {
        return Admit::Skip(reason);
    }
    let instead_of = changing.iter().filter(|run| run.phase() != Phase::Running).map(|run| run.id).collect();
    Admit::Enqueue { instead_of }
}

fn changes_workspace(run: &Run) -> bool {
    run.action.iac().is_some_and(|iac| iac.operation.changes())
}

fn settled_reason(wanted: &Wanted, digest: &Digest, state: &WorkspaceState) -> Option<SkipReason> {
    let unchanged = state.attempted.as_ref() == Some(digest);
    match wanted {
        Wanted::Deploy(mode) => match &state.settled {
            // What was taken over from elsewhere has no digest: it is left alone until somebody asks.
            WorkspacePhase::Deployed { mode: now } if now == mode && (unchanged || state.attempted.is_none()) => {
                Some(SkipReason::AlreadyDeployed)
            }
            WorkspacePhase::Failed if state.deploy_failed() && unchanged => Some(SkipReason::WaitingForChange),
            _ => None,
        },
        Wanted::Destroy => match &state.settled {
            WorkspacePhase::Pending | WorkspacePhase::Destroyed => Some(SkipReason::NothingToDestroy),
            _ => None,
        },
    }
}

/// A job on which another one depends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) status: JobStatus,
    /// It has a run that has not ended, or one is due now.
    pub(crate) live: bool,
}

/// Decides about a job, some of whose runs may be under way.
pub(crate) fn job(
    suspended: bool,
    late: bool,
    live: &[Run],
    concurrency: ConcurrencyPolicy,
    dependencies: &[Dependency],
) -> Admit {
    if suspended {
        return Admit::Skip(SkipReason::Suspended);
    }
    if let (Some(run), ConcurrencyPolicy::Forbid) = (live.first(), concurrency) {
        return Admit::Skip(SkipReason::StillActive { run: run.id });
    }
    if dependencies.iter().any(|dependency| dependency.live) {
        return Admit::Wait;
    }
    if late {
        return Admit::Skip(SkipReason::TooLate);
    }
    match dependencies.iter().find(|dependency| dependency.status != JobStatus::Success) {
        Some(missing) => Admit::Skip(SkipReason::Dependency { job: missing.name.clone() }),
        None => Admit::Enqueue {
            instead_of: match concurrency {
                ConcurrencyPolicy::Replace => live.iter().map(|run| run.id).collect(),
                ConcurrencyPolicy::Allow | ConcurrencyPolicy::Forbid => vec![],
            },
        },
    }
}

/// The events that cancel the runs whose place `newer` takes.
pub(crate) fn supersede(runs: &[RunId], newer: RunId) -> Vec<(RunId, Event)> {
    let event = Event::CancelAsked { by: piton_model::By::System, reason: None, superseded_by: Some(newer) };
    runs.iter().map(|run| (*run, event.clone())).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use piton_model::{
        Action, AttemptNo, Backoff, Command, Event, Gate, Iac, Name, NewRun, Origin, Program, Report, Subject, WorkerId,
    };

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn mode(name: &str) -> Mode {
        Mode(Name::parse(name).unwrap())
    }

    fn pending(id: u8, operation: Operation, source: &str) -> Run {
        let name = Name::parse("everest").unwrap();
        let subject = Subject::Workspace(name.clone());
        let action = Action::Iac(Iac {
            operation,
            source: piton_model::Source::Directory { path: "/srv".into() },
            deployment: name.clone(),
            workspace_name: Some(name),
            tool: piton_model::ToolChoice::Auto,
            version: None,
            vars: [].into(),
            var_files: vec![],
            env: [].into(),
            approval: piton_model::ApprovalPolicy::None,
            timeout: std::time::Duration::from_secs(60),
            commands: piton_model::CustomCommands::default(),
            init_flags: vec![],
            plan_flags: vec![],
            source_digest: Some(digest(source)),
            declaration_digest: None,
            state_at: None,
        });
        submitted(id, subject, action)
    }

    fn submitted(id: u8, subject: Subject, action: Action) -> Run {
        let new = NewRun {
            id: RunId::new(at(0), [id; 10]),
            lock_key: Some(subject.lock_key()),
            subject,
            action,
            origin: Origin::call(piton_model::By::System),
            due: at(0),
            priority: 0,
            retry: Backoff::NONE,
            retry_of: None,
            dedup_key: None,
        };
        Run::submitted(new, at(0))
    }

    fn running(run: Run) -> Run {
        let (worker, attempt) = (WorkerId::new("w"), AttemptNo::FIRST);
        run.apply(&Event::Claimed { worker, attempt, lease_until: at(9), uptime: None }, at(1)).unwrap()
    }

    fn gated(run: Run) -> Run {
        let gate = Gate { digest: digest("plan"), question: "1 to add".to_owned() };
        running(run).apply(&Event::GateReached { gate, expires: at(9), report: Report::default() }, at(2)).unwrap()
    }

    fn deploy(id: u8, source: &str) -> Run {
        pending(id, Operation::Deploy { mode: None }, source)
    }

    fn destroy(id: u8) -> Run {
        pending(id, Operation::Destroy, "now")
    }

    fn plan(id: u8) -> Run {
        pending(id, Operation::Plan { mode: None }, "now")
    }

    fn state(settled: WorkspacePhase, attempted: Option<&str>, failed: bool) -> WorkspaceState {
        WorkspaceState {
            settled,
            attempted: attempted.map(digest),
            last_deploy_error: failed.then(|| "no".to_owned()),
            ..WorkspaceState::default()
        }
    }

    fn enqueue(instead_of: &[&Run]) -> Admit {
        Admit::Enqueue { instead_of: instead_of.iter().map(|run| run.id).collect() }
    }

    #[test]
    fn what_is_settled_decides_where_nothing_is_under_way() {
        use SkipReason::{AlreadyDeployed, NothingToDestroy, WaitingForChange};
        use WorkspacePhase::{Deployed, Destroyed, Failed, Pending};
        let plain = || Deployed { mode: None };
        let busy = || Deployed { mode: Some(mode("busy")) };
        let (up, down) = (Wanted::Deploy(None), Wanted::Destroy);
        let table = [
            (&up, state(Pending, None, false), enqueue(&[])),
            (&up, state(Destroyed, None, false), enqueue(&[])),
            (&up, state(plain(), Some("now"), false), Admit::Skip(AlreadyDeployed)),
            (&up, state(plain(), Some("before"), false), enqueue(&[])),
            // Taken over from elsewhere.
            (&up, state(plain(), None, false), Admit::Skip(AlreadyDeployed)),
            (&up, state(busy(), Some("now"), false), enqueue(&[])),
            (&Wanted::Deploy(Some(mode("busy"))), state(busy(), Some("now"), false), Admit::Skip(AlreadyDeployed)),
            (&Wanted::Deploy(Some(mode("quiet"))), state(busy(), Some("now"), false), enqueue(&[])),
            (&up, state(Failed, Some("now"), true), Admit::Skip(WaitingForChange)),
            (&up, state(Failed, Some("before"), true), enqueue(&[])),
            // It was the destroy that failed.
            (&up, state(Failed, Some("now"), false), enqueue(&[])),
            (&down, state(Pending, None, false), Admit::Skip(NothingToDestroy)),
            (&down, state(Destroyed, None, false), Admit::Skip(NothingToDestroy)),
            (&down, state(plain(), Some("now"), false), enqueue(&[])),
            (&down, state(Failed, Some("now"), true), enqueue(&[])),
        ];
        for (wanted, state, expected) in table {
            assert_eq!(workspace(wanted, &digest("now"), &state, &[]), expected, "{wanted:?} of {state:?}");
        }
    }

    #[test]
    fn what_is_under_way_decides_before_what_is_settled() {
        let deployed = state(WorkspacePhase::Deployed { mode: None }, Some("now"), false);
        let still = |run: &Run| Admit::Skip(SkipReason::StillActive { run: run.id });
        let (up, down) = (Wanted::Deploy(None), Wanted::Destroy);
        let decide = |wanted, live: &[Run]| workspace(wanted, &digest("now"), &deployed, live);
        // The same is under way, waits its turn, or waits for a person.
        for run in [deploy(1, "now"), running(deploy(1, "now")), gated(deploy(1, "now"))] {
            assert_eq!(decide(&up, std::slice::from_ref(&run)), still(&run));
        }
        assert_eq!(decide(&down, &[running(destroy(1))]), still(&destroy(1)));
        // Another one is: what has not begun or waits for a person gives way.
        assert_eq!(decide(&up, &[running(destroy(1))]), enqueue(&[]));
        assert_eq!(decide(&up, &[destroy(1)]), enqueue(&[&destroy(1)]));
        assert_eq!(decide(&down, &[gated(deploy(1, "now"))]), enqueue(&[&deploy(1, "now")]));
        assert_eq!(decide(&up, &[running(deploy(1, "before"))]), enqueue(&[]));
        // Only the last word counts.
        assert_eq!(decide(&up, &[running(deploy(1, "now")), destroy(2)]), enqueue(&[&destroy(2)]));
        assert_eq!(decide(&down, &[running(deploy(1, "now")), destroy(2)]), still(&destroy(2)));
        // A plan changes nothing.
        assert_eq!(decide(&up, &[running(plan(1))]), Admit::Skip(SkipReason::AlreadyDeployed));
        assert_eq!(decide(&down, &[plan(1)]), enqueue(&[]));
    }

    #[test]
    fn a_job_is_held_back_for_the_first_reason_there_is() {
        let subject = Subject::Job { workspace: None, name: Name::parse("report").unwrap() };
        let action = Action::Command(Command {
            program: Program::Shell { line: "true".to_owned() },
            env: [].into(),
            deployment: Name::parse("x").unwrap(),
            working_dir: None,
            timeout: std::time::Duration::from_secs(60),
        });
        let live = [submitted(1, subject, action)];
        let still = || Admit::Skip(SkipReason::StillActive { run: live[0].id });
        let on = |status, live| [Dependency { name: "dump".to_owned(), status, live }];
        let good = on(JobStatus::Success, false);
        let bad = on(JobStatus::Failed, false);
        let busy = on(JobStatus::Running, true);
        let job = |suspended, late, live: &[Run], on: &[Dependency]| {
            job(suspended, late, live, ConcurrencyPolicy::Forbid, on)
        };
        assert_eq!(job(true, true, &live, &bad), Admit::Skip(SkipReason::Suspended));
        assert_eq!(job(false, true, &live, &bad), still());
        assert_eq!(job(false, true, &[], &busy), Admit::Wait);
        assert_eq!(job(false, true, &[], &good), Admit::Skip(SkipReason::TooLate));
        let missing = Admit::Skip(SkipReason::Dependency { job: "dump".to_owned() });
        assert_eq!(job(false, false, &[], &bad), missing);
        assert_eq!(job(false, false, &[], &on(JobStatus::Pending, false)), missing);
        assert_eq!(job(false, false, &[], &good), enqueue(&[]));
        assert_eq!(job(false, false, &[], &[]), enqueue(&[]));
        let beside = |policy| super::job(false, false, &live, policy, &[]);
        assert_eq!(beside(ConcurrencyPolicy::Allow), enqueue(&[]));
        assert_eq!(beside(ConcurrencyPolicy::Replace), enqueue(&[&live[0]]));
        assert_eq!(beside(ConcurrencyPolicy::Forbid), still());
    }
}
