//! How a run ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{By, Failure, RunId};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// All steps are done.
    Succeeded,
    /// A step failed for good.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It was stopped because it took too long.
    TimedOut {
        /// What was running.
        failure: Failure,
    },
    /// It was stopped because someone asked for it.
    Cancelled {
        /// Who.
        by: By,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The plan was not approved.
    Rejected {
        /// Who said no.
        by: By,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Nobody decided in time.
    Expired,
    /// A newer run took its place.
    Superseded {
        /// That run.
        by: RunId,
    },
    /// Nobody saw how it ended, and it may have had an effect. Only a person moves on from here.
    Indeterminate {
        /// What is known.
        failure: Failure,
    },
}

/// An outcome without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the outcome of the same name")]
pub enum OutcomeKind {
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    Rejected,
    Expired,
    Superseded,
    Indeterminate,
}

impl OutcomeKind {
    /// All kinds.
    pub const ALL: [OutcomeKind; 8] = [
        OutcomeKind::Succeeded,
        OutcomeKind::Failed,
        OutcomeKind::TimedOut,
        OutcomeKind::Cancelled,
        OutcomeKind::Rejected,
        OutcomeKind::Expired,
        OutcomeKind::Superseded,
        OutcomeKind::Indeterminate,
    ];

    /// The outcome's word.
    pub fn as_str(self) -> &'static str {
        match self {
            OutcomeKind::Succeeded => "succeeded",
            OutcomeKind::Failed => "failed",
            OutcomeKind::TimedOut => "timed_out",
            OutcomeKind::Cancelled => "cancelled",
            OutcomeKind::Rejected => "rejected",
            OutcomeKind::Expired => "expired",
            OutcomeKind::Superseded => "superseded",
            OutcomeKind::Indeterminate => "indeterminate",
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Outcome {
    /// The outcome without its data.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Outcome::Succeeded => OutcomeKind::Succeeded,
            Outcome::Failed { .. } => OutcomeKind::Failed,
            Outcome::TimedOut { .. } => OutcomeKind::TimedOut,
            Outcome::Cancelled { .. } => OutcomeKind::Cancelled,
            Outcome::Rejected { .. } => OutcomeKind::Rejected,
            Outcome::Expired => OutcomeKind::Expired,
            Outcome::Superseded { .. } => OutcomeKind::Superseded,
            Outcome::Indeterminate { .. } => OutcomeKind::Indeterminate,
        }
    }

    /// The failure behind it, where there is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Outcome::Failed { failure } | Outcome::TimedOut { failure } | Outcome::Indeterminate { failure } => {
                Some(failure)
            }
            Outcome::Succeeded
            | Outcome::Cancelled { .. }
            | Outcome::Rejected { .. }
            | Outcome::Expired
            | Outcome::Superseded { .. } => None,
        }
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let because = |reason: &Option<String>| reason.as_ref().map_or(String::new(), |r| format!(": {r}"));
        match self {
            Outcome::Succeeded => "succeeded".to_owned(),
            Outcome::Failed { failure } | Outcome::TimedOut { failure } | Outcome::Indeterminate { failure } => {
                failure.message.clone()
            }
            Outcome::Cancelled { by, reason } => format!("cancelled by {by}{}", because(reason)),
            Outcome::Rejected { by, reason } => format!("rejected by {by}{}", because(reason)),
            Outcome::Expired => "nobody decided in time".to_owned(),
            Outcome::Superseded { by } => format!("superseded by run {by}"),
        }
    }
}
