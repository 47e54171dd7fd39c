//! Waiting in real time, which is the time that children live in.

use std::time::Duration;

#[expect(clippy::disallowed_methods, reason = "a child's grace passes in real time even where schedules are simulated")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The time at which the end of a process was noticed, for people.
#[expect(clippy::disallowed_methods, reason = "real processes end in real time; nothing is decided by this value")]
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
