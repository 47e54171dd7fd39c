//! A decision that a person owes.

use serde::{Deserialize, Serialize};

use crate::{By, Digest};

/// A decision that a person owes, bound to the digest of what was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Digest of the plan that was shown.
    pub digest: Digest,
    /// One line that says what is asked.
    pub question: String,
}

/// The answer to a [`Gate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// Go on with exactly what was shown.
    Approve {
        /// The digest that was approved.
        digest: Digest,
    },
    /// Do not.
    Reject {
        /// Why, in the person's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Nobody answered in time.
    Expire,
}

/// An approval that was given, kept with the run until the apply has checked it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What was approved.
    pub digest: Digest,
    /// Who approved it.
    pub by: By,
}
