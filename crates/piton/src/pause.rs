//! Waiting for somebody else's doing that nobody tells of: a daemon that starts or ends, a server that is away.

use std::time::Duration;

/// Waits for a while.
pub async fn pause(span: Duration) {
    let _ = tokio::time::timeout(span, std::future::pending::<()>()).await;
}
