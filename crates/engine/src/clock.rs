//! The only source of time: the system's, or one that a test moves by hand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::nap::nap;

/// A moment that does not move when the wall clock is set: how long the host had been up and awake then. Another process
/// of the same boot counts alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// How long the host had been up.
    pub fn uptime(self) -> Duration {
        self.0
    }

    /// This much later.
    pub fn after(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(span))
    }
}

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

    /// How far the time has got that nobody sets.
    pub fn moment(&self) -> Moment {
        match &self.0 {
            Kind::System => {
                let up = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                Moment(Duration::try_from(up).unwrap_or_default())
            }
            Kind::Virtual(clock) => Moment(clock.shown().elapsed),
        }
    }

    /// How long ago the host was booted, with the time that it slept: what a wall clock that is right moves by.
    pub(crate) fn since_boot(&self) -> Duration {
        match &self.0 {
            Kind::System => {
                let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::try_from(up).unwrap_or_default()
            }
            Kind::Virtual(clock) => clock.shown().elapsed,
        }
    }

    /// What the wall clock shows at `moment`, unless it is set before.
    pub fn shows_at(&self, moment: Moment) -> Timestamp {
        let (now, here) = (self.now(), self.moment());
        match moment.0.checked_sub(here.0) {
            Some(ahead) => after(now, ahead),
            None => before(now, here.0.saturating_sub(moment.0)),
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
            Kind::Virtual(clock) => clock.sleep_to(self.moment().after(span)).await,
        }
    }

    /// Waits until `moment`, whatever happens to the wall clock.
    pub async fn sleep_to(&self, moment: Moment) {
        match &self.0 {
            Kind::System => nap(moment.0.saturating_sub(self.moment().0)).await,
            Kind::Virtual(clock) => clock.sleep_to(moment).await,
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
    shown: watch::Sender<Shown>,
    sleepers: Arc<Mutex<Vec<Until>>>,
}

#[derive(Debug, Clone, Copy)]
struct Shown {
    wall: Timestamp,
    elapsed: Duration,
}

/// What a sleeper waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Wall(Timestamp),
    Moment(Moment),
}

impl Until {
    fn reached(self, shown: Shown) -> bool {
        match self {
            Until::Wall(due) => shown.wall >= due,
            Until::Moment(moment) => shown.elapsed >= moment.0,
        }
    }
}

impl VirtualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> VirtualClock {
        let shown = Shown { wall: now, elapsed: Duration::ZERO };
        VirtualClock { shown: watch::Sender::new(shown), sleepers: Arc::default() }
    }

    /// This clock, for the engine.
    pub fn clock(&self) -> Clock {
        Clock(Kind::Virtual(self.clone()))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.shown().wall
    }

    /// Lets time go by until it shows `now`. It may go backwards, as wall clocks do: then no time has gone by.
    pub fn set(&self, now: Timestamp) {
        self.shown.send_modify(|shown| {
            shown.elapsed = shown.elapsed.saturating_add(until(shown.wall, now));
            shown.wall = now;
        });
    }

    /// Somebody sets the wall clock to `now`, in no time.
    pub fn jump(&self, now: Timestamp) {
        self.shown.send_modify(|shown| shown.wall = now);
    }

    /// The earliest time that somebody waits for.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let clock = self.clock();
        let sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |until: &Until| match until {
            Until::Wall(due) => *due,
            Until::Moment(moment) => clock.shows_at(*moment),
        };
        sleepers.iter().map(shown).min()
    }

    fn shown(&self) -> Shown {
        *self.shown.borrow()
    }

    async fn sleep_until(&self, due: Timestamp) {
        self.sleep(Until::Wall(due)).await;
    }

    async fn sleep_to(&self, moment: Moment) {
        self.sleep(Until::Moment(moment)).await;
    }

    async fn sleep(&self, until: Until) {
        let _registered = Sleeper::new(self, until);
        let mut shown = self.shown.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = shown.wait_for(|shown| until.reached(*shown)).await;
    }
}

struct Sleeper<'a>(&'a VirtualClock, Until);

impl<'a> Sleeper<'a> {
    fn new(clock: &'a VirtualClock, until: Until) -> Sleeper<'a> {
        clock.sleepers.lock().unwrap_or_else(PoisonError::into_inner).push(until);
        Sleeper(clock, until)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut sleepers = self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = sleepers.iter().position(|until| *until == self.1) {
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

    #[tokio::test]
    async fn a_wall_clock_that_is_set_wakes_nobody_who_waits_for_a_while() {
        let start = Timestamp::UNIX_EPOCH;
        let hand = VirtualClock::at(start);
        let (clock, span) = (hand.clock(), Duration::from_secs(60));
        let end = clock.moment().after(span);
        let sleeper = tokio::spawn(async move { clock.sleep(span).await });
        while hand.next_wake().is_none() {
            tokio::task::yield_now().await;
        }
        let year = Duration::from_secs(365 * 24 * 3600);
        for set_to in [after(start, year), before(start, year)] {
            hand.jump(set_to);
            tokio::task::yield_now().await;
            assert!(!sleeper.is_finished());
            assert_eq!(hand.next_wake(), Some(after(set_to, span)));
            assert_eq!(hand.clock().shows_at(end), after(set_to, span));
        }
        hand.set(after(hand.now(), span));
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn the_systems_moments_pass_as_time_does() {
        let clock = Clock::system();
        let begun = clock.moment();
        clock.sleep_to(begun.after(Duration::from_millis(3))).await;
        let slept = clock.moment().uptime().saturating_sub(begun.uptime());
        assert!(slept >= Duration::from_millis(3), "{slept:?}");
        assert!(clock.shows_at(begun) <= clock.now());
    }
}
