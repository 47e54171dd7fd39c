//! The functions of sprig.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::function::Functions;

/// What the time is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Fills a buffer with random bytes.
pub type RandomBytes = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What functions know of the world.
#[derive(Clone)]
pub struct Surroundings {
    /// For `now`, `ago` and their like.
    pub now: Clock,
    /// The local time zone.
    pub zone: TimeZone,
    /// For `randAlphaNum`, `uuidv4`, `bcrypt` and their like.
    pub random: RandomBytes,
}

impl Functions {
    /// The functions of the language and those of sprig.
    pub fn sprig(surroundings: &Surroundings) -> Functions {
        let _ = surroundings;
        Functions::default()
    }
}
