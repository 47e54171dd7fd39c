//! Waiting in real time, which is the time that children live in.

use std::time::Duration;

/// Lets real time pass.
#[expect(clippy::disallowed_methods, reason = "a child's grace passes in real time even where schedules are simulated")]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// What the wall clock shows, for people.
#[expect(clippy::disallowed_methods, reason = "real processes end in real time; nothing is decided by this value")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
