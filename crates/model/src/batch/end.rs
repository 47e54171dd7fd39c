//! Why a job of tasks is over.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Failure, FailureClass};

/// Why a job of tasks is over, in the words of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchReason {
    /// As many tasks have succeeded as had to.
    CompletionsReached,
    /// A rule says that it has succeeded.
    SuccessPolicy,
    /// More tasks have failed than are made up for.
    BackoffLimitExceeded,
    /// It took too long.
    DeadlineExceeded,
    /// A rule says that it has failed.
    PodFailurePolicy,
    /// Too many indexes have failed.
    MaxFailedIndexesExceeded,
    /// Every index has ended, and some have failed.
    FailedIndexes,
}

impl BatchReason {
    /// All reasons.
    pub const ALL: [BatchReason; 7] = [
        BatchReason::CompletionsReached,
        BatchReason::SuccessPolicy,
        BatchReason::BackoffLimitExceeded,
        BatchReason::DeadlineExceeded,
        BatchReason::PodFailurePolicy,
        BatchReason::MaxFailedIndexesExceeded,
        BatchReason::FailedIndexes,
    ];

    /// Whether the job has succeeded.
    pub fn is_success(self) -> bool {
        matches!(self, BatchReason::CompletionsReached | BatchReason::SuccessPolicy)
    }

    /// Kubernetes' word.
    pub fn as_str(self) -> &'static str {
        match self {
            BatchReason::CompletionsReached => "CompletionsReached",
            BatchReason::SuccessPolicy => "SuccessPolicy",
            BatchReason::BackoffLimitExceeded => "BackoffLimitExceeded",
            BatchReason::DeadlineExceeded => "DeadlineExceeded",
            BatchReason::PodFailurePolicy => "PodFailurePolicy",
            BatchReason::MaxFailedIndexesExceeded => "MaxFailedIndexesExceeded",
            BatchReason::FailedIndexes => "FailedIndexes",
        }
    }

    /// The same as the code of a [`Failure`].
    pub fn code(self) -> &'static str {
        match self {
            BatchReason::CompletionsReached => "completions_reached",
            BatchReason::SuccessPolicy => "success_policy",
            BatchReason::BackoffLimitExceeded => "backoff_limit_exceeded",
            BatchReason::DeadlineExceeded => "deadline_exceeded",
            BatchReason::PodFailurePolicy => "pod_failure_policy",
            BatchReason::MaxFailedIndexesExceeded => "max_failed_indexes_exceeded",
            BatchReason::FailedIndexes => "failed_indexes",
        }
    }

    /// The reason behind the code of a [`Failure`], if it is one of these.
    pub fn of_code(code: &str) -> Option<BatchReason> {
        BatchReason::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for BatchReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The end of a job of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEnd {
    /// Why.
    pub reason: BatchReason,
    /// The same for people.
    pub message: String,
    /// The exit code of the task that failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

impl BatchEnd {
    /// What the run has failed with; none for a success.
    pub fn failure(&self) -> Option<Failure> {
        let class = match self.reason {
            BatchReason::CompletionsReached | BatchReason::SuccessPolicy => return None,
            BatchReason::DeadlineExceeded => FailureClass::TimedOut,
            BatchReason::BackoffLimitExceeded
            | BatchReason::PodFailurePolicy
            | BatchReason::MaxFailedIndexesExceeded
            | BatchReason::FailedIndexes => FailureClass::Permanent,
        };
        let failure = Failure::new(class, self.reason.code(), self.message.clone());
        Some(Failure { exit_code: self.exit_code, ..failure })
    }
}
