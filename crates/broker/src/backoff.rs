//! How long to wait before the next connection. Pure, but for the die.

use std::time::Duration;

/// Waits grow from the first to the longest, each by a random part, so that many workers do not come back as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Never longer.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after this many failures in a row, with a die between 0 and 1: from half of it to all.
    pub fn wait(self, failures: u32, die: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(f64::midpoint(1.0, die.clamp(0.0, 1.0)))
    }
}
