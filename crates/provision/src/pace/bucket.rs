//! A token bucket, kept as the moment at which it will be full again (the generic cell rate algorithm): integers only,
//! and nothing to refill.

use std::time::Duration;

/// So many calls in such a time, all of them at once where none came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    calls: u32,
    per: Duration,
}

/// The rate is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate needs at least one call, and a time that is not zero: {calls} calls in {per:?}")]
pub struct InvalidRate {
    calls: u32,
    per: Duration,
}

impl Rate {
    /// `calls` in each `per`.
    pub fn new(calls: u32, per: Duration) -> Result<Rate, InvalidRate> {
        // A bucket counts nanoseconds between calls.
        if calls == 0 || per.as_nanos() < u128::from(calls) {
            return Err(InvalidRate { calls, per });
        }
        Ok(Rate { calls, per })
    }

    /// The time between two calls when they come evenly.
    pub fn interval(self) -> Duration {
        self.per / self.calls
    }

    /// How many may come at once.
    pub fn burst(self) -> u32 {
        self.calls
    }
}

/// How much of a [`Rate`] is used up.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: Rate,
    full_at: Duration,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Bucket {
        Bucket { rate, full_at: Duration::ZERO }
    }

    /// When the next call may go; at once where that is not after `now`.
    pub(crate) fn ready_at(&self) -> Duration {
        let interval = self.rate.interval();
        self.full_at.saturating_sub(interval * (self.rate.burst() - 1))
    }

    /// Takes a token, or says when there will be one.
    pub(crate) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let ready = self.ready_at();
        if now < ready {
            return Err(ready);
        }
        self.full_at = self.full_at.max(now) + self.rate.interval();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_evenly() {
        let mut bucket = Bucket::new(Rate::new(3, Duration::from_secs(3)).unwrap());
        let at = Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(bucket.take(at), Ok(()));
        }
        assert_eq!(bucket.take(at), Err(Duration::from_secs(101)));
        assert_eq!(bucket.take(Duration::from_secs(101)), Ok(()));
        assert_eq!(bucket.take(Duration::from_secs(101)), Err(Duration::from_secs(102)));
        assert!(Rate::new(0, Duration::from_secs(1)).is_err() && Rate::new(1, Duration::ZERO).is_err());
    }

    proptest! {
        /// In no stretch of time go more calls than the burst and what flows in during it, and whoever comes when it was
        /// told to gets in.
        #[test]
        fn the_rate_is_kept(
            calls in 1u32..20,
            per_ms in 20u64..5_000,
            steps in prop::collection::vec(0u64..400, 1..200),
        ) {
            let rate = Rate::new(calls, Duration::from_millis(per_ms)).unwrap();
            let mut bucket = Bucket::new(rate);
            let (mut now, mut gone) = (Duration::ZERO, Vec::new());
            for step in steps {
                now += Duration::from_millis(step);
                match bucket.take(now) {
                    Ok(()) => gone.push(now),
                    Err(at) => {
                        prop_assert!(at > now && at <= now + rate.interval());
                        prop_assert!(bucket.clone().take(at).is_ok());
                    }
                }
            }
            for (index, from) in gone.iter().enumerate() {
                for (count, to) in gone[index..].iter().enumerate() {
                    let flowed = to.saturating_sub(*from).as_nanos() / rate.interval().as_nanos();
                    prop_assert!((count as u128) < u128::from(rate.burst()) + flowed);
                }
            }
        }
    }
}
