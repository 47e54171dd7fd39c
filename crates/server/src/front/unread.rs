//! What a route has not read of its request, over HTTP/2.
//!
//! A body that is dropped before its end resets its stream, and clients as common as curl take that for a failure although
//! the answer is there, and repeat what was done. So the rest is read before the answer is given, as long as it is small.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::Version;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// More than this is not read for courtesy, in bytes.
const MOST: usize = 64 * 1024;
/// Nor is it waited for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads what is left of a request before its answer is given.
pub(crate) async fn read(request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_2 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (give_back, mut unread) = oneshot::channel();
    let request = request.map(|body| Body::new(Lent { body, give_back: Some(give_back) }));
    let response = next.run(request).await;
    if let Ok(rest) = unread.try_recv() {
        // Who sends on is reset as before.
        let _ = timeout(PATIENCE, pass_over(rest)).await;
    }
    response
}

async fn pass_over(mut body: Body) {
    let mut passed = 0;
    while passed <= MOST
        && let Some(Ok(frame)) = body.frame().await
    {
        passed += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A body that comes back when nobody wants to read on.
struct Lent {
    body: Body,
    give_back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
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

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take().filter(|_| !self.body.is_end_stream()) {
            // Whoever answered already does not take it back.
            let _ = give_back.send(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use futures_util::{StreamExt as _, stream};
    use tower::ServiceExt as _;

    use super::*;

    /// How many of `pieces` are read of a request of this version to a route that reads none of them, or all.
    async fn pieces_read(version: Version, pieces: usize, route: &str) -> usize {
        let routes = Router::new()
            .route("/none", post(|| async { "done" }))
            .route("/all", post(|body: String| async move { body.len().to_string() }))
            .layer(from_fn(read));
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let body = stream::iter(0..pieces).map(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, axum::Error>(Bytes::from_static(&[b'x'; 1024]))
        });
        let request = Request::post(route).version(version).body(Body::from_stream(body)).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        taken.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn the_rest_is_read_before_the_answer_is_given() {
        assert_eq!(pieces_read(Version::HTTP_2, 3, "/none").await, 3);
        assert_eq!(pieces_read(Version::HTTP_2, 3, "/all").await, 3);
        // Its connection is closed, or read to the end, by whoever reads requests.
        assert_eq!(pieces_read(Version::HTTP_11, 3, "/none").await, 0);
    }

    #[tokio::test]
    async fn what_is_large_is_not_read_to_its_end() {
        assert_eq!(pieces_read(Version::HTTP_2, 1_000, "/none").await, MOST / 1024 + 1);
        assert_eq!(pieces_read(Version::HTTP_2, 1_000, "/all").await, 1_000);
    }
}
