//! How long to wait before the next try.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Nobody is left alone for longer because it asked for that: servers at fault name days.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// Exponential delays with a cap: `first × 2^(n-1)`, at most `cap`, for at most `max_attempts` attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// How many attempts there may be in all; 1 means no retry.
    pub max_attempts: u32,
    /// Delay after the first failure.
    pub first: Duration,
    /// No delay is longer.
    pub cap: Duration,
}

impl Backoff {
    /// One attempt and no retry.
    pub const NONE: Backoff = Backoff { max_attempts: 1, first: Duration::ZERO, cap: Duration::ZERO };

    /// The delay after `attempts` failed attempts; none when no further attempt is allowed.
    pub fn delay(&self, attempts: u32) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let factor = 2u32.saturating_pow(attempts.saturating_sub(1));
        Some(self.first.saturating_mul(factor).min(self.cap))
    }

    /// The same where whoever refused may have said how long to stay away: not less than that, but for what nobody would
    /// wait for.
    pub fn delay_after(&self, attempts: u32, failure: &Failure) -> Option<Duration> {
        let asked = failure.retry_after.unwrap_or_default().min(LONGEST_ASKED);
        self.delay(attempts).map(|delay| delay.max(asked))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureClass;

    #[test]
    fn delays_double_up_to_the_cap() {
        let backoff = Backoff { max_attempts: 5, first: Duration::from_secs(10), cap: Duration::from_secs(30) };
        let delays: Vec<_> = (1..=5).map(|n| backoff.delay(n).map(|d| d.as_secs())).collect();
        assert_eq!(delays, [Some(10), Some(20), Some(30), Some(30), None]);
        assert_eq!(Backoff::NONE.delay(1), None);
        let huge = Backoff { max_attempts: u32::MAX, ..backoff };
        assert_eq!(huge.delay(1_000_000), Some(Duration::from_secs(30)));
    }

    #[test]
    fn whoever_refused_is_left_alone_for_as_long_as_it_asked_within_reason() {
        let backoff = Backoff { max_attempts: 3, first: Duration::from_secs(10), cap: Duration::from_secs(30) };
        let after = |attempts, asked: Option<u64>| {
            let failure = Failure::new(FailureClass::Transient, "x", "x");
            let failure = match asked {
                Some(seconds) => failure.retry_after(Duration::from_secs(seconds)),
                None => failure,
            };
            backoff.delay_after(attempts, &failure).map(|delay| delay.as_secs())
        };
        assert_eq!([after(1, None), after(1, Some(3)), after(1, Some(75))], [Some(10), Some(10), Some(75)]);
        assert_eq!(after(2, Some(86_400)), Some(3600));
        assert_eq!(after(3, Some(1)), None, "it is no further try");
    }
}
