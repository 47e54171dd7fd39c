//! What becomes of a row when something happens to its run.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Provision;
use crate::{Action, Failure, FailureClass, Outcome, Run, RunId, RunState};

/// The code of the failure of a try whose worker was lost.
pub(crate) const LEASE_LOST: &str = "lease_lost";
/// The code of the failure of a step that was stopped because its worker could not renew its lease.
pub const LEASE_NOT_RENEWED: &str = "lease_not_renewed";

/// Nobody is asked again sooner than this, whatever is said of when.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Why a call was not even made. Whoever was to be called knows nothing of it, so it counts as no try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The target fails so often that it is left alone.
    Open,
    /// The target asked not to be called for a while.
    Held,
    /// Too many others were waiting.
    Crowded,
}

impl Unsent {
    /// All of them.
    pub const ALL: [Unsent; 3] = [Unsent::Open, Unsent::Held, Unsent::Crowded];

    /// The code of a failure that is this.
    pub fn code(self) -> &'static str {
        match self {
            Unsent::Open => "target_open",
            Unsent::Held => "target_held",
            Unsent::Crowded => "target_crowded",
        }
    }

    fn is(failure: &Failure) -> bool {
        Unsent::ALL.iter().any(|unsent| unsent.code() == failure.code)
    }
}

/// What the row of a run is after something happened to the run.
#[derive(Debug, Clone, PartialEq)]
pub enum RowChange {
    /// The provisioning API is being called.
    Executing,
    /// It was done.
    Completed {
        /// When.
        at: Timestamp,
    },
    /// It waits for the next try.
    Again {
        /// When that is.
        at: Timestamp,
        /// How often it was tried again by then.
        retry_count: u32,
        /// When the call failed.
        executed_at: Timestamp,
        /// Why.
        error: String,
    },
    /// It will not be tried again.
    Failed {
        /// When the last call failed.
        at: Timestamp,
        /// Why.
        error: String,
    },
    /// Nobody wants it any more.
    Cancelled {
        /// In words.
        reason: String,
    },
}

impl RowChange {
    /// What the row of `run` is now; nothing where the run is not about a row, or is not under way yet. Pure.
    pub fn of(run: &Run) -> Option<RowChange> {
        let Action::Provision(provision) = &*run.action else { return None };
        match &run.state {
            RunState::Pending { .. } | RunState::Gated { .. } => None,
            RunState::Running { .. } => Some(RowChange::Executing),
            RunState::Ended { outcome, at } => Some(provision.after(run.id, outcome, *at)),
        }
    }
}

impl Provision {
    /// What the row is when the run has ended.
    fn after(&self, run: RunId, outcome: &Outcome, at: Timestamp) -> RowChange {
        match outcome {
            Outcome::Succeeded => RowChange::Completed { at },
            Outcome::Failed { failure } => match self.next_try(run, failure) {
                Some((retry_count, delay)) => RowChange::Again {
                    at: at.checked_add(delay).unwrap_or(Timestamp::MAX),
                    retry_count,
                    executed_at: at,
                    error: failure.message.clone(),
                },
                None => RowChange::Failed { at, error: failure.message.clone() },
            },
            Outcome::TimedOut { failure } | Outcome::Indeterminate { failure } => {
                RowChange::Failed { at, error: failure.message.clone() }
            }
            Outcome::Expired => RowChange::Failed { at, error: outcome.sentence() },
            Outcome::Cancelled { .. } | Outcome::Rejected { .. } | Outcome::Superseded { .. } => {
                RowChange::Cancelled { reason: outcome.sentence() }
            }
        }
    }

    /// How often it was tried again then, and when that is; none if it is not.
    fn next_try(&self, run: RunId, failure: &Failure) -> Option<(u32, SignedDuration)> {
        if failure.class != FailureClass::Transient {
            return None;
        }
        if matches!(failure.code.as_str(), LEASE_LOST | LEASE_NOT_RENEWED) {
            // Not the provisioning API's fault, and nobody is helped by waiting.
            return Some((self.retries, SignedDuration::ZERO));
        }
        let asked = failure.retry_after.unwrap_or_default();
        let (tries, delay) = if Unsent::is(failure) {
            (self.retries, asked.max(A_MOMENT))
        } else {
            let again = self.retries.saturating_add(1);
            (again, spread(self.retry.delay(again)?, run).max(asked))
        };
        Some((tries, SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX)))
    }
}

/// Somewhere in the second half of `delay`, so that what failed together is not tried again together. Where is a matter
/// of the run's id, which is random.
fn spread(delay: Duration, run: RunId) -> Duration {
    let half = delay / 2;
    half + half.mul_f64(run.fraction())
}
