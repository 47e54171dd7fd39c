//! Jobs of several tasks: how many run at once, how many have to succeed, and what a failure means.

mod backoff;
mod end;
mod indexes;
mod next;
mod policy;
mod tally;
mod tasks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Confinement, Hooks, Program, Secret};

pub use backoff::{FailureStreak, RetryDelay};
pub use end::{BatchEnd, BatchReason};
pub use indexes::Indexes;
pub use next::Next;
pub use policy::{DISRUPTION_TARGET, TaskCondition, failure_action, success_rule};
pub use tasks::{Claim, NotATask, Task, TaskExit, TaskId, TaskState, Tasks, surplus};

/// Runs one program until it has succeeded often enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// What each task runs.
    pub program: Program,
    /// Environment, beside what Piton sets itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Secret<String>>,
    /// Whether it sees the whole environment of the daemon below that.
    #[serde(default)]
    pub inherit_env: bool,
    /// The absolute working directory; none for the directory of the declarations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<PathBuf>,
    /// So many tasks run at once.
    pub parallelism: u32,
    /// So many have to succeed; none if the first success ends the job.
    pub completions: Option<u32>,
    /// Whether each completion has a number of its own.
    pub completion_mode: CompletionMode,
    /// So many failures are made up for.
    pub backoff_limit: u32,
    /// So many failures of one index are made up for, in place of `backoff_limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_limit_per_index: Option<u32>,
    /// More failed indexes than that end the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed_indexes: Option<u32>,
    /// Whether a task that failed is restarted in its place.
    pub restart_policy: TaskRestart,
    /// How long it may take in all; suspended time does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline: Option<Duration>,
    /// How long it is kept after its end; none for as long as any run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_after_finished: Option<Duration>,
    /// What certain failures mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_policy: Vec<FailureRule>,
    /// What certain successes mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success_policy: Vec<SuccessRule>,
    /// What is run around the whole job.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// As whom and within which limits its tasks run.
    #[serde(default)]
    pub confinement: Confinement,
}

impl Batch {
    /// One task, with what holds where nobody says anything else.
    pub fn new(program: Program) -> Batch {
        Batch {
            program,
            env: BTreeMap::new(),
            inherit_env: false,
            work_dir: None,
            parallelism: 1,
            completions: Some(1),
            completion_mode: CompletionMode::NonIndexed,
            backoff_limit: 6,
            backoff_limit_per_index: None,
            max_failed_indexes: None,
            restart_policy: TaskRestart::Never,
            active_deadline: None,
            ttl_after_finished: None,
            failure_policy: Vec::new(),
            success_policy: Vec::new(),
            hooks: Hooks::default(),
            confinement: Confinement::default(),
        }
    }
}

/// Whether each completion of a [`Batch`] has a number of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompletionMode {
    /// All are alike.
    #[default]
    NonIndexed,
    /// Numbers from 0; a task finds its own in `JOB_COMPLETION_INDEX`.
    Indexed,
}

/// Whether a task that failed is restarted in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskRestart {
    /// A new task takes its place.
    #[default]
    Never,
    /// The same task is started again.
    OnFailure,
}

/// What failures with certain exit codes mean. The first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRule {
    /// What they mean.
    pub action: FailureAction,
    /// Whether the codes are those that fit, or those that do not.
    pub operator: CodeOperator,
    /// Exit codes; 0 never fits.
    pub values: Vec<i32>,
    /// Conditions in place of exit codes: one that the task has is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<TaskCondition>,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureAction {
    /// The job has failed.
    FailJob,
    /// The index has failed.
    FailIndex,
    /// It counts against no limit.
    Ignore,
    /// It counts as any other.
    Count,
}

/// Whether listed codes fit, or all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodeOperator {
    /// Those that are listed.
    In,
    /// Those that are not.
    NotIn,
}

/// When a job of numbered tasks has succeeded early. One rule that is met is enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccessRule {
    /// All of these, as in `0-2,5`; none for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_indexes: Option<String>,
    /// At least so many of them; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_count: Option<u32>,
}

/// What became of the tasks of a job so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// Running now.
    pub active: u32,
    /// Ended with success.
    pub succeeded: u32,
    /// Ended with a failure that counts.
    pub failed: u32,
}

/// What became of the tasks of a job so far, and what is known about its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchProgress {
    /// How many there are of what.
    #[serde(flatten)]
    pub counts: BatchCounts,
    /// The indexes that have succeeded, as in `0-2,5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_indexes: Option<String>,
    /// The indexes that are given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_indexes: Option<String>,
    /// It is held back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// When it was last held back or let go on; none where it never was held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension_changed_at: Option<Timestamp>,
    /// How it ends, as soon as that is decided: what still runs then is stopped first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<BatchEnd>,
}

impl BatchProgress {
    /// Whether it is held back and nothing of it runs or is about to: it stays as it is until somebody lets it go on.
    pub fn is_at_rest(&self) -> bool {
        self.suspended && self.counts.active == 0 && self.end.is_none()
    }
}
