//! Sleeping to the point: the runtime's timers tick in milliseconds and wake after the tick, which is most of the time
//! between a due time and its pick-up.

use std::time::{Duration, Instant};

/// The end of a nap, which a thread waits out: longer than the runtime's timers are ever late on an idle machine.
const LAST_STRETCH: Duration = Duration::from_millis(2);

/// Sleeps for `span` of monotonic time; for ever where it ends after all that can be counted.
pub(crate) async fn nap(span: Duration) {
    let Some(end) = now().checked_add(span) else { return std::future::pending().await };
    if let Some(most) = span.checked_sub(LAST_STRETCH) {
        doze(most).await;
    }
    if now() < end {
        // The runtime refuses only while it ends, and then nobody waits for the end of a nap.
        let _ = tokio::task::spawn_blocking(move || wait_out(end)).await;
    }
}

fn wait_out(end: Instant) {
    loop {
        let left = end.saturating_duration_since(now());
        if left.is_zero() {
            return;
        }
        // May return early, never late: nobody ever unparks this thread on purpose.
        std::thread::park_timeout(left);
    }
}

/// Not the clock of decisions: how long a nap was does not depend on what time it is.
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the clock sleeps here")]
async fn doze(span: Duration) {
    tokio::time::sleep(span).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_nap_is_too_short() {
        for span in [0, 1, 300, 1_000, 1_999, 2_000, 25_300].map(Duration::from_micros) {
            let begun = now();
            nap(span).await;
            assert!(begun.elapsed() >= span, "{span:?}");
        }
    }

    #[tokio::test]
    async fn a_nap_may_last_for_ever() {
        for span in [Duration::MAX, Duration::from_secs(u64::from(u32::MAX))] {
            let asleep = nap(span);
            tokio::pin!(asleep);
            assert!(futures_util::poll!(&mut asleep).is_pending(), "{span:?}");
        }
    }
}
