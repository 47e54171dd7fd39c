//! Whether a trigger that fired becomes a run. Pure.

use piton_model::{
    Action, Digest, Event, JobStatus, Mode, Operation, Phase, Run, RunId, SkipReason, WorkspacePhase, WorkspaceState,
};

/// What becomes of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admit {
    /// A run is made, and takes the place of these, which nobody has begun or which wait for a person.
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
    let same = |run: &&Run| match &run.action {
        Action::Iac(iac) => {
            iac.operation == wanted.operation()
                && (*wanted == Wanted::Destroy || iac.source_digest.as_ref() == Some(digest))
        }
        Action::Command(_) => false,
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
    match &run.action {
        Action::Iac(iac) => !matches!(iac.operation, Operation::Plan { .. }),
        Action::Command(_) => false,
    }
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

/// Decides about a job. A job never overlaps itself.
pub(crate) fn job(suspended: bool, late: bool, live: &[Run], dependencies: &[Dependency]) -> Admit {
    if suspended {
        return Admit::Skip(SkipReason::Suspended);
    }
    if let Some(run) = live.first() {
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
        None => Admit::Enqueue { instead_of: vec![] },
    }
}

/// The events that cancel the runs whose place `newer` takes.
pub(crate) fn supersede(runs: &[RunId], newer: RunId) -> Vec<(RunId, Event)> {
    let event = Event::CancelAsked { by: piton_model::By::System, reason: None, superseded_by: Some(newer) };
    runs.iter().map(|run| (*run, event.clone())).collect()
}
