//! What people see of a workspace or a job: a fold of the events of its runs.
//!
//! A deployment has only one run, which says it all; a scheduled provision has a row of its own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Action, Digest, Event, Iac, IacStep, Mode, Operation, Origin, Outcome, Run, RunId, RunState, Step, Subject,
    WorkerId,
};

/// What people see of a subject. Written in the same transaction as the event that changes it; never set by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Projection {
    /// Of a workspace.
    Workspace(WorkspaceState),
    /// Of a job.
    Job(JobState),
}

impl Projection {
    /// What is seen of `subject` before anything happened to it; nothing ever is of a
    /// deployment or a scaffold but its run, and of a scheduled provision but its row.
    pub fn empty(subject: &Subject) -> Option<Projection> {
        match subject {
            Subject::Workspace(_) => Some(Projection::Workspace(WorkspaceState::default())),
            Subject::Job { .. } => Some(Projection::Job(JobState::default())),
            Subject::Deployment(_) | Subject::Provision(_) | Subject::Scaffold(_) => None,
        }
    }

    /// What is seen after `event`, which made `run` what it is now.
    pub fn after(&self, run: &Run, event: &Event, at: Timestamp) -> Projection {
        match self {
            Projection::Workspace(state) => Projection::Workspace(state.after(run, event)),
            Projection::Job(state) => Projection::Job(state.after(run, event, at)),
        }
    }
}

/// The status of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum WorkspacePhase {
    /// Never deployed.
    #[default]
    Pending,
    /// A deployment is under way.
    Deploying {
        /// In this mode.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<Mode>,
    },
    /// It is active.
    Deployed {
        /// In this mode.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<Mode>,
    },
    /// It is being destroyed.
    Destroying,
    /// It is inactive.
    Destroyed,
    /// The last operation failed part-way or without an answer.
    Failed,
}

impl WorkspacePhase {
    /// The status's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            WorkspacePhase::Pending => "pending",
            WorkspacePhase::Deploying { .. } => "deploying",
            WorkspacePhase::Deployed { .. } => "deployed",
            WorkspacePhase::Destroying => "destroying",
            WorkspacePhase::Destroyed => "destroyed",
            WorkspacePhase::Failed => "failed",
        }
    }

    /// The mode, where there is one.
    pub fn mode(&self) -> Option<&Mode> {
        match self {
            WorkspacePhase::Deploying { mode } | WorkspacePhase::Deployed { mode } => mode.as_ref(),
            WorkspacePhase::Pending
            | WorkspacePhase::Destroying
            | WorkspacePhase::Destroyed
            | WorkspacePhase::Failed => None,
        }
    }
}

/// What people see of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceState {
    /// Where it stands when no run is active.
    #[serde(default)]
    pub settled: WorkspacePhase,
    /// The deploy or destroy that is active (running or gated), and what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<(RunId, Operation)>,
    /// When a deployment last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_deployed: Option<Timestamp>,
    /// When it was last destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_destroyed: Option<Timestamp>,
    /// Why the last deployment failed; none after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_deploy_error: Option<String>,
    /// The mode in which the last deployment failed, where it has one; none after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_mode: Option<Mode>,
    /// Why the last destroy failed; none after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_destroy_error: Option<String>,
    /// Digest of all that was last deployed, or that the last deployment failed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted: Option<Digest>,
    /// The part of it that is the declaration and its own files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted_declaration: Option<Digest>,
    /// The worker that last applied something, until it is destroyed. State that the code keeps in its directory lies
    /// there and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_at: Option<WorkerId>,
    /// The latest run of any kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunId>,
}

impl WorkspaceState {
    /// The status: that of the active run, else where things settled.
    pub fn phase(&self) -> WorkspacePhase {
        match &self.active {
            Some((_, Operation::Deploy { mode })) => WorkspacePhase::Deploying { mode: mode.clone() },
            Some((_, Operation::Destroy)) => WorkspacePhase::Destroying,
            Some((_, Operation::Plan { .. })) | None => self.settled.clone(),
        }
    }

    /// Whether the last deployment failed.
    pub fn deploy_failed(&self) -> bool {
        self.settled == WorkspacePhase::Failed && self.last_deploy_error.is_some()
    }

    fn after(&self, run: &Run, event: &Event) -> WorkspaceState {
        let mut next = self.clone();
        next.last_run = Some(run.id);
        let Action::Iac(iac) = &*run.action else { return next };
        if matches!(iac.operation, Operation::Plan { .. }) {
            return next;
        }
        if let RunState::Running { lease, step: Step::Iac(IacStep::Apply), .. } = &run.state {
            next.state_at = Some(lease.worker.clone());
        }
        match (&run.state, event) {
            (RunState::Running { .. }, Event::Claimed { .. }) => {
                next.active = Some((run.id, iac.operation.clone()));
            }
            (RunState::Pending { .. }, Event::Failed { .. } | Event::LeaseLost) => next.active = None,
            (RunState::Ended { outcome, at: ended }, _) => {
                if next.active.as_ref().is_some_and(|(id, _)| *id == run.id) {
                    next.active = None;
                }
                next.settle(run, &iac.operation, outcome, *ended);
            }
            _ => {}
        }
        next
    }

    fn attempt(&mut self, iac: &Iac) {
        self.attempted.clone_from(&iac.source_digest);
        self.attempted_declaration.clone_from(&iac.declaration_digest);
    }

    fn settle(&mut self, run: &Run, operation: &Operation, outcome: &Outcome, at: Timestamp) {
        let Action::Iac(iac) = &*run.action else { return };
        let began_to_apply = run.reached >= Some(Step::Iac(IacStep::Apply));
        match (outcome, operation) {
            (Outcome::Succeeded, Operation::Deploy { mode }) => {
                self.settled = WorkspacePhase::Deployed { mode: mode.clone() };
                self.last_deployed = Some(at);
                (self.last_deploy_error, self.failed_mode) = (None, None);
                self.attempt(iac);
            }
            (Outcome::Succeeded, Operation::Destroy) => {
                self.settled = WorkspacePhase::Destroyed;
                self.last_destroyed = Some(at);
                self.last_destroy_error = None;
                (self.last_deploy_error, self.failed_mode) = (None, None);
                (self.attempted, self.attempted_declaration, self.state_at) = (None, None, None);
            }
            (
                Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Indeterminate { .. },
                Operation::Deploy { mode },
            ) => {
                self.settled = WorkspacePhase::Failed;
                (self.last_deploy_error, self.failed_mode) = (Some(outcome.sentence()), mode.clone());
                self.attempt(iac);
            }
            (Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Indeterminate { .. }, Operation::Destroy) => {
                self.settled = WorkspacePhase::Failed;
                self.last_destroy_error = Some(outcome.sentence());
            }
            // Stopped by a person: before the apply nothing has changed, during it nobody knows.
            (Outcome::Cancelled { .. } | Outcome::Superseded { .. }, Operation::Deploy { mode }) if began_to_apply => {
                self.settled = WorkspacePhase::Failed;
                (self.last_deploy_error, self.failed_mode) = (Some(outcome.sentence()), mode.clone());
                self.attempt(iac);
            }
            (Outcome::Cancelled { .. } | Outcome::Superseded { .. }, Operation::Destroy) if began_to_apply => {
                self.settled = WorkspacePhase::Failed;
                self.last_destroy_error = Some(outcome.sentence());
            }
            (
                Outcome::Cancelled { .. } | Outcome::Superseded { .. } | Outcome::Rejected { .. } | Outcome::Expired,
                Operation::Deploy { .. } | Operation::Destroy,
            )
            | (_, Operation::Plan { .. }) => {}
        }
    }
}

/// How a job's last run went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// It has not run yet.
    #[default]
    Pending,
    /// It is running.
    Running,
    /// Its last run succeeded.
    Success,
    /// Its last run failed, was stopped, or nobody knows.
    Failed,
    /// Its last run took too long.
    Timeout,
}

impl JobStatus {
    /// The status's word.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Pending => "pending",
            JobStatus::Running => "running",
            JobStatus::Success => "success",
            JobStatus::Failed => "failed",
            JobStatus::Timeout => "timeout",
        }
    }
}

/// What people see of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    /// How its last run went.
    #[serde(default)]
    pub status: JobStatus,
    /// Runs that were begun.
    #[serde(default)]
    pub run_count: u64,
    /// Runs that succeeded.
    #[serde(default)]
    pub success_count: u64,
    /// Runs that did not.
    #[serde(default)]
    pub failure_count: u64,
    /// When a run last began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Timestamp>,
    /// When a run last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// When a run last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Timestamp>,
    /// Why it failed; none after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Exit code of the last run, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit_code: Option<i32>,
    /// The latest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_id: Option<RunId>,
    /// When the latest run was due that its schedule made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule: Option<Timestamp>,
}

impl JobState {
    fn after(&self, run: &Run, event: &Event, at: Timestamp) -> JobState {
        let mut next = self.clone();
        next.last_run_id = Some(run.id);
        if let (Event::Submitted { .. }, Origin::Cron { fire, .. }) = (event, &run.origin) {
            next.last_schedule = next.last_schedule.max(Some(*fire));
        }
        match (&run.state, event) {
            (RunState::Running { .. }, Event::Claimed { .. }) => {
                next.status = JobStatus::Running;
                if run.attempts == 1 {
                    next.run_count += 1;
                    next.last_run = run.started_at.or(Some(at));
                }
            }
            // A run that was stopped before it began says nothing about the job.
            (RunState::Ended { .. }, _) if run.started_at.is_none() => {}
            (RunState::Ended { outcome, at: ended }, _) => {
                next.last_exit_code = run.report.exit_code;
                if *outcome == Outcome::Succeeded {
                    next.status = JobStatus::Success;
                    next.success_count += 1;
                    next.last_success = Some(*ended);
                    next.last_error = None;
                } else {
                    next.status = match outcome {
                        Outcome::TimedOut { .. } => JobStatus::Timeout,
                        _ => JobStatus::Failed,
                    };
                    next.failure_count += 1;
                    next.last_failure = Some(*ended);
                    next.last_error = Some(outcome.sentence());
                }
            }
            _ => {}
        }
        next
    }
}
