//! How fast one host is called, and whether at all.
//!
//! [`Bucket`], [`Breaker`] and [`Lane`] are state machines over a time that is handed to them; [`Turnstile`] is the shell
//! that waits for them.

mod breaker;
mod bucket;
mod lane;
mod turnstile;

pub(crate) use self::breaker::{Breaker, Pass, Verdict};
pub use self::breaker::{BreakerRules, InvalidRules};
pub(crate) use self::bucket::Bucket;
pub use self::bucket::{InvalidRate, Rate};
pub(crate) use self::lane::{Lane, Refusal, Ticket, Turn};
pub(crate) use self::turnstile::{NotAdmitted, Turnstile};
