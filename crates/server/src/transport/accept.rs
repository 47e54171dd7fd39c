//! The loop that accepts connections, the same for every kind of socket.

use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind::Listener;
use super::connection;

/// How long open connections may go on after `stop`.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves the routes on a socket until `stop`; then no connection is accepted any more, and those that are open may
/// finish the requests that are under way.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: those who wait are served when one is free again.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::timeout(Duration::from_millis(100), stop.cancelled()).await.ok();
                    continue;
                }
            },
        };
        connections.spawn(connection::drive(stream, peer, router.clone(), stop.clone()));
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(DRAIN, connections.wait()).await;
}
