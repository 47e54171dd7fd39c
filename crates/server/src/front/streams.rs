//! Streams of events: how many one caller may read, and that they end when the server does.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::rate;
use crate::metrics::Metrics;
use crate::problem::Refusal;

/// The streams that are being read. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    most: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
    closing: CancellationToken,
    metrics: Metrics,
}

/// A stream that counts, until it is dropped.
#[derive(Debug)]
struct Counted {
    key: Option<String>,
    streams: Streams,
}

impl Streams {
    pub(crate) fn new(most: usize, closing: CancellationToken, metrics: Metrics) -> Streams {
        Streams { most, open: Arc::default(), closing, metrics }
    }

    /// Counts a stream of this caller, unless there are too many; those of the unix socket are never too many.
    fn count(&self, key: Option<String>) -> Option<Counted> {
        if let Some(key) = &key {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(key.clone()).or_default();
            if *count >= self.most {
                return None;
            }
            *count += 1;
        }
        self.metrics.streams(1);
        Some(Counted { key, streams: self.clone() })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.streams.metrics.streams(-1);
        let Some(key) = &self.key else { return };
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                open.remove(key);
            }
        }
    }
}

/// Counts answers that are streams, and sees to it that they end.
pub(crate) async fn limit(streams: Streams, request: Request, next: Next) -> Response {
    let key = rate::key(&request);
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
        return response;
    }
    let Some(counted) = streams.count(key) else {
        let detail = format!("one caller may read {} streams at once", streams.most);
        let hint = Some("close one of them; the events stream tells of every run at once".to_owned());
        return Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", detail, hint)
            .with(header::RETRY_AFTER, HeaderValue::from_static("5"))
            .into_response();
    };
    let closing = Box::pin(streams.closing.clone().cancelled_owned());
    response.map(|body| Body::from_stream(Ending { inner: body.into_data_stream(), closing, _counted: counted }))
}

/// A stream that ends, between two pieces, when the server does. Clients come back to where they were.
struct Ending {
    inner: BodyDataStream,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    _counted: Counted,
}

impl Stream for Ending {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.closing.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.inner).poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn streams(most: usize) -> Streams {
        Streams::new(most, CancellationToken::new(), Metrics::new())
    }

    #[test]
    fn each_caller_has_a_share() {
        let streams = streams(2);
        let count = |key: &str| streams.count(Some(key.to_owned()));
        let held = (count("a").unwrap(), count("a").unwrap());
        assert!(count("a").is_none());
        assert!(count("b").is_some());
        assert!(streams.count(None).is_some());
        drop(held);
        assert!(count("a").is_some());
        assert!(streams.open.lock().unwrap().is_empty(), "nothing is remembered of those who left");
    }

    #[tokio::test]
    async fn streams_end_with_the_server() {
        let streams = streams(1);
        let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, axum::Error>>());
        let closing = Box::pin(streams.closing.clone().cancelled_owned());
        let counted = streams.count(None).unwrap();
        let mut ending = Ending { inner: body.into_data_stream(), closing, _counted: counted };
        assert!(futures_util::poll!(ending.next()).is_pending());
        streams.closing.cancel();
        assert!(ending.next().await.is_none());
    }
}
