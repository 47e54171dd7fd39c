//! The time in which children live.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// A clock that begins with what the wall clock shows and then goes on by itself, whoever sets the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealTime {
    began: Timestamp,
    since: Instant,
}

impl RealTime {
    #[expect(clippy::disallowed_methods, reason = "deadlines and delays of real processes pass in real time")]
    pub(crate) fn begin() -> RealTime {
        RealTime { began: Timestamp::now(), since: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.began.checked_add(self.since.elapsed()).unwrap_or(Timestamp::MAX)
    }

    /// Waits until then; for ever where there is no such time.
    pub(crate) async fn reach(&self, at: Option<Timestamp>) {
        match at {
            // A millisecond more: timers may be early by less than that, and who wakes too early looks in vain.
            Some(at) => {
                let left = Duration::try_from(self.now().duration_until(at)).unwrap_or_default();
                pause(left.saturating_add(Duration::from_millis(1))).await;
            }
            None => std::future::pending().await,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a child's timeout passes in real time even where schedules are simulated"
)]
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
