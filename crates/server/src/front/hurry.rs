//! Requests do not wait for a database that is away: whoever has sent one is told, and can send it again.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use piton_store::hurried;

/// How long the database may be away for one request: longer than a restart takes that nobody should notice.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Answers a request in time. Streams that go on after the head of the answer have all the time there is.
pub(crate) async fn answer(request: Request, next: Next) -> Response {
    hurried(PATIENCE, next.run(request)).await
}
