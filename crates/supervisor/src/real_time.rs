//! The time that children live in.

use std::time::Duration;

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "processes, their hooks and their probes take real time")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// For people: nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "real processes start and end in real time")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// What the keeper says of when something was.
pub(crate) fn timestamp(unix_us: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(unix_us).ok()
}
