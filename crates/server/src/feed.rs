//! The body of a stream of events: what a future hands over, one piece after the other.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

/// The most pieces that are made before they are taken.
const AHEAD: usize = 16;

/// Where a future puts the pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames(Arc<Mutex<VecDeque<Bytes>>>);

impl Frames {
    /// Hands a piece over, once there is room for it.
    ///
    /// Nothing has to be woken: whoever takes a piece asks again, and has the future polled before it is told to wait.
    pub(crate) async fn send(&self, frame: impl Into<Bytes>) {
        let mut frame = Some(frame.into());
        poll_fn(move |_| {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= AHEAD {
                return Poll::Pending;
            }
            waiting.extend(frame.take());
            Poll::Ready(())
        })
        .await;
    }

    fn take(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// What a future hands over until it ends.
///
/// It goes on only while somebody reads, and ends with the reader. A task and a channel for each of thousands of readers
/// would take more memory than all else that they need.
pub(crate) struct Feed {
    frames: Frames,
    source: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Feed {
    pub(crate) fn new<F>(source: impl FnOnce(Frames) -> F) -> Feed
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let frames = Frames::default();
        Feed { source: Some(Box::pin(source(frames.clone()))), frames }
    }
}

impl Stream for Feed {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(frame) = self.frames.take() {
            return Poll::Ready(Some(frame));
        }
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        if source.as_mut().poll(context).is_ready() {
            self.source = None;
        }
        match self.frames.take() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if self.source.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, poll};
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn all_pieces_come_in_order_and_then_the_end() {
        let feed = Feed::new(|frames| async move {
            for number in 0..100_u32 {
                frames.send(number.to_string()).await;
                if number % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        let found: Vec<Bytes> = feed.collect().await;
        assert_eq!(found, (0..100_u32).map(|number| Bytes::from(number.to_string())).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn no_more_is_made_than_somebody_takes() {
        let made = Arc::new(Mutex::new(0));
        let counted = made.clone();
        let mut feed = Feed::new(move |frames| async move {
            loop {
                frames.send("x").await;
                *counted.lock().unwrap() += 1;
            }
        });
        for taken in 1..=3 * AHEAD {
            assert!(feed.next().now_or_never().flatten().is_some());
            assert!(*made.lock().unwrap() <= taken + AHEAD);
        }
    }

    #[tokio::test]
    async fn it_waits_for_what_its_source_waits_for() {
        let news = Arc::new(Notify::new());
        let told = news.clone();
        let mut feed = Feed::new(move |frames| async move {
            told.notified().await;
            frames.send("now").await;
        });
        assert!(poll!(feed.next()).is_pending());
        news.notify_one();
        assert_eq!(feed.next().await.as_deref(), Some(&b"now"[..]));
        assert!(feed.next().await.is_none() && feed.next().await.is_none());
    }
}
