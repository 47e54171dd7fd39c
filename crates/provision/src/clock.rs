//! The port through which time comes in.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;

/// What waits until a moment.
pub type Sleeping<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Time, from whoever owns it: the engine's clock, or one that a test moves.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// What the wall clock shows: for signatures and tokens, which others check against theirs.
    fn now(&self) -> Timestamp;

    /// How far the time has got that nobody sets: for everything that is waited for.
    fn uptime(&self) -> Duration;

    /// Waits until [`uptime`](Clock::uptime) has got to `at`.
    fn sleep_until(&self, at: Duration) -> Sleeping<'_>;
}
