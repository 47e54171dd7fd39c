//! What is kept of a request that was carried out.

use std::collections::BTreeMap;
use std::time::Duration;

use piton_model::Failure;
use serde::{Deserialize, Serialize};

/// No more is kept of the body of an answer.
pub const LONGEST_BODY: usize = 16 * 1024;
/// No more is kept of a body where there are several.
pub(crate) const LONGEST_PART: usize = 2 * 1024;
/// No more exchanges are kept.
pub(crate) const MOST_EXCHANGES: usize = 50;

/// How a request was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status of the HTTP target's answer, or of the last one of a provider; none where nothing was answered.
    pub status: Option<u16>,
    /// The body of that answer, masked and cut.
    pub body: String,
    /// Its headers that help to find it again on the other side.
    pub headers: BTreeMap<String, String>,
    /// How long all of it took, waiting included.
    pub took: Duration,
    /// What was called, in that order: the first fifty.
    pub exchanges: Vec<Exchange>,
}

/// One call and its answer, masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The address, without its query.
    pub url: String,
    /// The body that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The status of the answer, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The body of the answer, or what went wrong.
    pub response: String,
    /// How long it took.
    pub took: Duration,
}

/// A request that was not carried out, or only in part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .failure.message)]
pub struct CallFailed {
    /// Why, and what may be done about it.
    pub failure: Failure,
    /// The other side asked not to be called again before this has passed.
    pub retry_after: Option<Duration>,
    /// What was exchanged until then; none where nothing was sent.
    pub answer: Option<Answer>,
}

/// Why a call failed, before what was exchanged is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) failure: Failure,
    pub(crate) retry_after: Option<Duration>,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        Problem { failure, retry_after: None }
    }
}

impl Problem {
    pub(crate) fn after(failure: Failure, retry_after: Option<Duration>) -> Problem {
        Problem { failure, retry_after }
    }
}
