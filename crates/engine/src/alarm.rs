//! Waiting for the same instant together: a schedule may start hundreds of jobs at one second, and the end of every wait is
//! a thread's.

use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use jiff::Timestamp;

use crate::clock::Clock;

/// The wait that was begun last.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Mutex<Option<(Timestamp, WeakShared<BoxFuture<'static, ()>>)>>);

impl Alarms {
    /// Waits until it is `due`, with whoever waits for that already.
    pub(crate) fn at(&self, due: Timestamp, clock: &Clock) -> Shared<BoxFuture<'static, ()>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, wait)) = &*last
            && *at == due
            && let Some(wait) = wait.upgrade()
        {
            return wait;
        }
        let clock = clock.clone();
        let wait = async move { clock.sleep_until(due).await }.boxed().shared();
        *last = wait.downgrade().map(|wait| (due, wait));
        wait
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::VirtualClock;
    use crate::clock::after;

    #[tokio::test]
    async fn who_waits_for_one_instant_waits_once_and_for_another_one_again() {
        let hand = VirtualClock::at(Timestamp::UNIX_EPOCH);
        let (clock, alarms) = (hand.clock(), Alarms::default());
        let (soon, later) = (after(hand.now(), Duration::from_secs(1)), after(hand.now(), Duration::from_secs(2)));
        let waits = [alarms.at(soon, &clock), alarms.at(soon, &clock), alarms.at(later, &clock)];
        assert!(waits[0].ptr_eq(&waits[1]) && !waits[1].ptr_eq(&waits[2]));
        let [first, second, third] = waits.map(tokio::spawn);
        while hand.next_wake().is_none() {
            tokio::task::yield_now().await;
        }
        hand.set(soon);
        first.await.unwrap();
        second.await.unwrap();
        assert!(!third.is_finished());
        hand.set(later);
        third.await.unwrap();
    }
}
