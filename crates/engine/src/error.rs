//! What can go wrong with a request, by what the caller can do about it.

use piton_model::{Digest, IllegalTransition, InvalidName, Mode, Name, NotAltered, RunId, ScheduleId, Subject};

/// A request that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("{what} '{name}' not found")]
    NotFound {
        /// What was looked for: `workspace`, `standalone job`, `run`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// It is declared, but what declares it was never valid.
    #[error("{what} '{name}' not found, since its declaration is broken")]
    Broken {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// A text that cannot be a name.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// Nothing declares the workspace any more, although it is deployed.
    #[error("workspace '{workspace}' is deployed, but not declared any more")]
    NotDeclared {
        /// The workspace.
        workspace: Name,
        /// Whether it is known how to destroy what it deployed.
        destroyable: bool,
    },
    /// The declaration is disabled.
    #[error("{subject} is disabled", subject = quoted(.0))]
    Disabled(Subject),
    /// A run of the same subject is under way.
    #[error("{subject} is currently {doing}", subject = quoted(.subject))]
    Busy {
        /// What is busy.
        subject: Subject,
        /// `deploying`, `destroying`, `running`, `waiting for approval`.
        doing: &'static str,
        /// The run that is under way.
        run: RunId,
    },
    /// The workspace has modes and none was named.
    #[error("workspace '{workspace}' needs a mode: {}", list(.modes))]
    ModeRequired {
        /// The workspace.
        workspace: String,
        /// What there is to choose from.
        modes: Vec<Mode>,
    },
    /// The workspace has no such mode.
    #[error("workspace '{workspace}' has no mode '{mode}'; {}", list(.modes))]
    UnknownMode {
        /// The workspace.
        workspace: String,
        /// What was asked for.
        mode: String,
        /// What there is to choose from.
        modes: Vec<Mode>,
    },
    /// Several jobs have this name where it is put together of that of a workspace and their own.
    #[error("'{name}' may mean {}", any_of(.meant))]
    AmbiguousName {
        /// The name.
        name: String,
        /// What it may mean.
        meant: Vec<Subject>,
    },
    /// There is such a job already.
    #[error("{} exists already", quoted(.0))]
    JobExists(Subject),
    /// A job of a schedule is not held back by itself.
    #[error("job '{job}' was made by the schedule of '{schedule}' and cannot be suspended or resumed by itself")]
    OfSchedule {
        /// The job.
        job: String,
        /// What made it.
        schedule: String,
    },
    /// The job is not running.
    #[error("{} is not running", quoted(.0))]
    NotRunning(Subject),
    /// The run is in a state that does not allow it.
    #[error("this cannot be done to a run that is {}: {}", .0.phase, .0.why)]
    Illegal(#[from] IllegalTransition),
    /// An answer where nothing is asked.
    #[error("run {0} has no plan that waits for approval")]
    NothingToApprove(RunId),
    /// An approval of something else than what is asked now.
    #[error("run {run} asks about plan {}, which is another one", .asked.short())]
    AnotherPlan {
        /// The run.
        run: RunId,
        /// The digest of the plan that it shows.
        asked: Digest,
    },
    /// Whoever asked for a run must not approve it.
    #[error("run {0} must be approved by somebody else than who asked for it")]
    SelfApproval(RunId),
    /// The run has not ended, so it cannot be retried.
    #[error("run {0} has not ended yet")]
    NotEnded(RunId),
    /// The run is carried out elsewhere.
    #[error("run {0} is carried out by a worker elsewhere, and can only be cancelled there")]
    CancelledElsewhere(RunId),
    /// The run was not carried out here.
    #[error("run {0} was not carried out here, and cannot be tried again here")]
    RetriedElsewhere(RunId),
    /// The run is a try of a scheduled provision, which says itself when it is tried again.
    #[error("run {run} is a try of scheduled provision {schedule} and is not tried again by itself")]
    OfProvision {
        /// The run.
        run: RunId,
        /// What it is a try of.
        schedule: ScheduleId,
    },
    /// The secrets of the run cannot be read here.
    #[error("the secrets of run {run} are sealed with the key {key}, which is not known here")]
    Sealed {
        /// The run.
        run: RunId,
        /// What names the key.
        key: String,
    },
    /// The secrets that came with the run are gone.
    #[error("the secrets that run {0} was given were forgotten when it was over")]
    Forgotten(RunId),
    /// As many deployments wait as may.
    #[error("{waiting} deployments wait already, and no more than {most} may")]
    QueueFull {
        /// How many wait.
        waiting: u64,
        /// How many may.
        most: u64,
    },
    /// As many deployments of one requester wait as may.
    #[error("{waiting} of your deployments wait already, and no more than {most} may")]
    ShareFull {
        /// How many wait.
        waiting: u64,
        /// How many may.
        most: u64,
    },
    /// Another program is changing the scheduled provision.
    #[error("another program is changing the scheduled provision {0}")]
    ProvisionBusy(ScheduleId),
    /// The scheduled provision is in a state that does not allow it.
    #[error("this cannot be done to scheduled provision {id}: {problem}")]
    ProvisionState {
        /// Which.
        id: ScheduleId,
        /// Why not.
        problem: NotAltered,
    },
    /// Whoever asked for it must not approve it.
    #[error("scheduled provision {0} must be approved by somebody else than who asked for it")]
    OwnProvision(ScheduleId),
    /// Piton is shutting down and takes no new work.
    #[error("piton is shutting down")]
    ShuttingDown,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] piton_store::Error),
}

/// What to do about a run whose secrets cannot be read.
pub(crate) const SEALED: &str = "give every daemon of this database the same `security.encryption_key`, with the old key \
                                 behind the new one while runs of the old one are left";

impl Error {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotFound { .. } | Error::Broken { .. } => "not_found",
            Error::InvalidName(_) => "invalid_name",
            Error::NotDeclared { .. } => "not_declared",
            Error::Disabled(_) => "disabled",
            Error::Busy { .. } => "busy",
            Error::ModeRequired { .. } => "mode_required",
            Error::UnknownMode { .. } => "unknown_mode",
            Error::AmbiguousName { .. } => "ambiguous_name",
            Error::JobExists(_) => "job_exists",
            Error::OfSchedule { .. } => "job_of_schedule",
            Error::NotRunning(_) => "not_running",
            Error::Illegal(_) => "illegal_transition",
            Error::NothingToApprove(_) => "nothing_to_approve",
            Error::AnotherPlan { .. } => "another_plan",
            Error::SelfApproval(_) | Error::OwnProvision(_) => "self_approval",
            Error::ProvisionBusy(_) => "provision_busy",
            Error::ProvisionState { problem: NotAltered::NoLongerPending(_), .. } => "provision_not_pending",
            Error::ProvisionState { problem: NotAltered::Unapproved, .. } => "approval_required",
            Error::ProvisionState { problem: NotAltered::Unasked(_), .. } => "nothing_to_approve",
            Error::ProvisionState { problem: NotAltered::Unfinished(_), .. } => "not_ended",
            Error::NotEnded(_) => "not_ended",
            Error::CancelledElsewhere(_) | Error::RetriedElsewhere(_) => "remote_run",
            Error::OfProvision { .. } => "run_of_provision",
            Error::Sealed { .. } => "run_sealed",
            Error::Forgotten(_) => "secrets_forgotten",
            Error::QueueFull { .. } | Error::ShareFull { .. } => "queue_full",
            Error::ShuttingDown => "shutting_down",
            Error::Store(piton_store::Error::Full(_)) => "disk_full",
            Error::Store(piton_store::Error::Unknown(_)) => "outcome_unknown",
            Error::Store(piton_store::Error::UnreadableProvision { .. }) => "unreadable_provision",
            Error::Store(_) => "store_unavailable",
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NotFound { nearest, .. } => nearest.as_ref().map(|name| format!("did you mean '{name}'?")),
            Error::Broken { problem, .. } => Some(format!("mend it: {problem}")),
            Error::NotDeclared { workspace, destroyable: true } => Some(format!(
                "put its directory back, or destroy what it deployed: piton workspace destroy {workspace}"
            )),
            Error::NotDeclared { destroyable: false, .. } => {
                Some("put its directory back: the commands that destroy it were declared there".to_owned())
            }
            Error::Disabled(_) => Some("set \"enabled\": true in its configuration".to_owned()),
            Error::AmbiguousName { meant, .. } => {
                let exact: Vec<String> = meant.iter().filter_map(Subject::exact_job_name).collect();
                Some(format!("say which: {}", exact.join(", ")))
            }
            Error::JobExists(_) => Some("delete it first, or choose another name".to_owned()),
            Error::OfSchedule { schedule, .. } => {
                Some(format!("suspend or resume its schedule, '{schedule}', or stop the job"))
            }
            Error::Busy { run, .. } => Some(format!("wait for run {run}, or cancel it: piton run cancel {run}")),
            Error::AnotherPlan { run, .. } => Some(format!("look at it again: piton run show {run}")),
            Error::CancelledElsewhere(_) => Some("cancel it where its worker is".to_owned()),
            Error::RetriedElsewhere(_) => Some("publish its message again: piton scaffold enqueue FILE".to_owned()),
            Error::OfProvision { schedule, .. } => Some(format!("piton schedule retry {schedule}")),
            Error::Sealed { .. } => Some(SEALED.to_owned()),
            Error::Forgotten(_) => Some("ask for it again, with its credentials and variables".to_owned()),
            Error::NothingToApprove(_) => {
                Some("only a run that waits for approval can be approved or rejected".to_owned())
            }
            Error::ProvisionBusy(_) => Some("try again in a moment".to_owned()),
            Error::ShareFull { .. } => Some("wait until some have begun, or cancel some".to_owned()),
            Error::QueueFull { .. } => Some("try again later, or raise iac.max_queued_deployments".to_owned()),
            Error::InvalidName(_)
            | Error::ModeRequired { .. }
            | Error::UnknownMode { .. }
            | Error::NotRunning(_)
            | Error::Illegal(_)
            | Error::SelfApproval(_)
            | Error::OwnProvision(_)
            | Error::ProvisionState { .. }
            | Error::NotEnded(_)
            | Error::ShuttingDown => None,
            Error::Store(error) => error.hint().map(str::to_owned),
        }
    }
}

fn quoted(subject: &Subject) -> String {
    match subject {
        Subject::Workspace(name) => format!("workspace '{name}'"),
        Subject::Job { workspace: None, name } => format!("standalone job '{name}'"),
        Subject::Job { workspace: Some(workspace), name } => format!("job '{name}' of workspace '{workspace}'"),
        Subject::Deployment(id) => format!("deployment '{id}'"),
        Subject::Provision(id) => format!("scheduled provision '{id}'"),
        Subject::Scaffold(id) => format!("scaffold '{id}'"),
    }
}

fn any_of(subjects: &[Subject]) -> String {
    subjects.iter().map(quoted).collect::<Vec<_>>().join(" or ")
}

fn list(modes: &[Mode]) -> String {
    if modes.is_empty() {
        return "it has none".to_owned();
    }
    format!("there is {}", modes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
