//! What is kept of a request that was carried out.

use std::time::Duration;

use piton_model::{Answer, Failure};

/// No more is kept of the body of an answer.
pub const LONGEST_BODY: usize = 16 * 1024;
/// No more is kept of a body where there are several.
pub(crate) const LONGEST_PART: usize = 2 * 1024;
/// No more exchanges are kept.
pub(crate) const MOST_EXCHANGES: usize = 50;

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
    pub(crate) failure: Box<Failure>,
    pub(crate) retry_after: Option<Duration>,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        Problem::after(failure, None)
    }
}

impl Problem {
    pub(crate) fn after(failure: Failure, retry_after: Option<Duration>) -> Problem {
        Problem { failure: Box::new(failure), retry_after }
    }
}
