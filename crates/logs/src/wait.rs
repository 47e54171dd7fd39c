//! Waiting for what nobody announces.

use std::time::Duration;

/// Lets real time pass: children, and daemons that share a directory, live in it.
#[expect(
    clippy::disallowed_methods,
    reason = "files are polled that another process writes, in real time even in simulations"
)]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Ever longer pauses between a shortest and a longest.
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Backoff {
        Backoff { shortest, longest, next: shortest }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.shortest;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = now.mul_f64(1.5).min(self.longest);
        now
    }
}
