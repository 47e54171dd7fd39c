//! The time that children live in.

use jiff::Timestamp;
pub(crate) use piton_process::wait::{now, pause};

/// What the keeper says of when something was.
pub(crate) fn timestamp(unix_us: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(unix_us).ok()
}
