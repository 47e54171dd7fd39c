//! How long to wait after failures.

use std::time::Duration;

use jiff::Timestamp;

/// How the delay grows: `first` after one failure, twice as much after each further one, at most `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryDelay {
    /// After one failure.
    pub first: Duration,
    /// Never longer.
    pub cap: Duration,
}

impl RetryDelay {
    /// What Kubernetes does: ten seconds, doubled, at most ten minutes.
    pub const KUBERNETES: RetryDelay = RetryDelay { first: Duration::from_secs(10), cap: Duration::from_secs(600) };

    /// The delay after so many failures in a row.
    pub fn after(self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => self.first.saturating_mul(2_u32.saturating_pow(doublings)).min(self.cap),
        }
    }

    /// What is left of it, so long after the last failure.
    pub fn remaining(self, failures: u32, since: Duration) -> Duration {
        self.after(failures).saturating_sub(since)
    }
}

/// Failures since something last succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailureStreak {
    /// How many.
    pub failures: u32,
    /// When the last of them was.
    pub last: Option<Timestamp>,
}

impl FailureStreak {
    /// What it is after these as well, in whatever order they are given. A success ends it, and so does one at the very
    /// moment of a failure.
    #[must_use]
    pub fn after(
        self,
        succeeded: impl IntoIterator<Item = Timestamp>,
        failed: impl IntoIterator<Item = Timestamp>,
    ) -> FailureStreak {
        let success = succeeded.into_iter().max();
        let before = if success.is_some() { FailureStreak::default() } else { self };
        let failed = failed.into_iter().filter(|at| success.is_none_or(|success| *at > success));
        failed.fold(before, |streak, at| FailureStreak {
            failures: streak.failures.saturating_add(1),
            last: streak.last.max(Some(at)),
        })
    }

    /// When the next try may begin; none if at once.
    pub fn over_at(self, delay: RetryDelay) -> Option<Timestamp> {
        let last = self.last.filter(|_| self.failures > 0)?;
        Some(last.checked_add(delay.after(self.failures)).unwrap_or(Timestamp::MAX))
    }
}
