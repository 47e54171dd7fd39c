//! When a connection last did something, and when it has done nothing for too long.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

/// What happens on a connection. Clones tell of the same one.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Requests that are not answered to the last byte.
    open: usize,
    /// Whether there was any.
    any: bool,
    /// Since when there is none.
    since: Instant,
}

impl Activity {
    pub(super) fn new() -> Activity {
        Activity(Arc::new(Mutex::new(State { open: 0, any: false, since: Instant::now() })))
    }

    /// A request begins; it ends when the mark is dropped.
    pub(super) fn begin(&self) -> Mark {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.open += 1;
        state.any = true;
        Mark(self.clone())
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open > 0
    }

    /// Returns once there was no request for `idle`, or for `first` from the beginning.
    pub(super) async fn quiet(&self, first: Duration, idle: Duration) {
        loop {
            let (busy, until) = {
                let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let patience = if state.any { idle } else { first };
                (state.open > 0, state.since + patience)
            };
            let now = Instant::now();
            if !busy && now >= until {
                return;
            }
            // A request that is under way ends later than now, and then `idle` begins.
            tokio::time::sleep_until(if busy { now + idle } else { until }).await;
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Mark(Activity);

impl Drop for Mark {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.open -= 1;
        state.since = Instant::now();
    }
}

/// A body that keeps its request under way until it was sent.
pub(super) struct Marked {
    pub(super) body: Body,
    pub(super) _mark: Mark,
}

impl hyper::body::Body for Marked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn silence_from_the_beginning_is_borne_for_less_long() {
        let begun = Instant::now();
        Activity::new().quiet(FIRST, IDLE).await;
        assert_eq!(begun.elapsed(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_holds_the_connection_for_as_long_as_it_takes() {
        let activity = Activity::new();
        let mark = activity.begin();
        let held = tokio::time::timeout(IDLE * 100, activity.quiet(FIRST, IDLE)).await;
        assert!(held.is_err(), "it was closed under a request");
        drop(mark);
        let begun = Instant::now();
        activity.quiet(FIRST, IDLE).await;
        assert_eq!(begun.elapsed(), IDLE);
    }
}
