//! The only source of time: the system's, or one that a test moves by hand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::nap::nap;

/// The only source of time for everything that decides by it.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Virtual(VirtualClock),
}

/// The longest stretch that a sleeper waits without looking at the wall clock again, so that a step of the wall clock
/// is noticed.
const LONGEST_NAP: Duration = Duration::from_secs(30);

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock(Kind::System)
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
            Kind::System => Timestamp::now(),
            Kind::Virtual(clock) => clock.now(),
        }
    }

    /// Waits until it is `due`. Where the wall clock is set back meanwhile, this wakes when it would have without that:
    /// too early for what is due then, which its loop notices, but not so late that a loop stands still.
    pub async fn sleep_until(&self, due: Timestamp) {
        match &self.0 {
            Kind::System => {
                let due_or_set_forward = async {
                    loop {
                        let left = until(self.now(), due);
                        if left.is_zero() {
                            return;
                        }
                        nap(left.min(LONGEST_NAP)).await;
                    }
                };
                let _ = tokio::time::timeout(until(self.now(), due), due_or_set_forward).await;
            }
            Kind::Virtual(clock) => clock.sleep_until(due).await,
        }
    }

    /// Waits until it is `due`, or for ever where nothing is.
    pub async fn sleep_until_some(&self, due: Option<Timestamp>) {
        match due {
            Some(due) => self.sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Waits for a while, whatever happens to the wall clock.
    pub async fn sleep(&self, span: Duration) {
        match &self.0 {
            Kind::System => nap(span).await,
            Kind::Virtual(clock) => clock.sleep_until(after(clock.now(), span)).await,
        }
    }
}

/// How long a loop waits before it tries again what failed.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// `span` after `at`, or the end of time.
pub(crate) fn after(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// `span` before `at`, or the beginning of time.
pub(crate) fn before(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// How long it is from `now` until `due`; nothing if that is past.
fn until(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(due)).unwrap_or(Duration::ZERO)
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    now: watch::Sender<Timestamp>,
    sleepers: Arc<Mutex<Vec<Timestamp>>>,
}

impl VirtualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> VirtualClock {
        VirtualClock { now: watch::Sender::new(now), sleepers: Arc::default() }
    }

    /// This clock, for the engine.
    pub fn clock(&self) -> Clock {
        Clock(Kind::Virtual(self.clone()))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    /// Moves it. It may go backwards, as wall clocks do.
    pub fn set(&self, now: Timestamp) {
        self.now.send_replace(now);
    }

    /// The earliest time that somebody waits for.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner).iter().min().copied()
    }

    async fn sleep_until(&self, due: Timestamp) {
        let _registered = Sleeper::new(self, due);
        let mut now = self.now.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = now.wait_for(|now| *now >= due).await;
    }
}

struct Sleeper<'a>(&'a VirtualClock, Timestamp);

impl<'a> Sleeper<'a> {
    fn new(clock: &'a VirtualClock, due: Timestamp) -> Sleeper<'a> {
        clock.sleepers.lock().unwrap_or_else(PoisonError::into_inner).push(due);
        Sleeper(clock, due)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut sleepers = self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = sleepers.iter().position(|due| *due == self.1) {
            sleepers.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_their_time_comes() {
        let start = Timestamp::UNIX_EPOCH;
        let hand = VirtualClock::at(start);
        let clock = hand.clock();
        let sleeper = tokio::spawn(async move { clock.sleep(Duration::from_secs(60)).await });
        while hand.next_wake().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(hand.next_wake(), Some(after(start, Duration::from_secs(60))));
        hand.set(after(start, Duration::from_secs(59)));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        hand.set(after(start, Duration::from_secs(60)));
        sleeper.await.unwrap();
        assert_eq!(hand.next_wake(), None);
    }
}
