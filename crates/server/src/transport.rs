//! How requests come in: over a unix socket, or by a call in the same process.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use piton_api::Transport;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::caller;

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// How long open connections may go on after `stop`.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// A transport that calls the router directly.
pub fn local(router: Router) -> Transport {
    let router = router.layer(from_fn(caller::owner));
    Transport::Local(Arc::new(move |request| {
        let router = router.clone();
        Box::pin(async move {
            let request = request.map(axum::body::Body::new);
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }))
}

/// Listens on the unix socket at `path`, for its owner only, until `stop`.
///
/// The caller holds the lock of the data directory, so a socket that is in the way belongs to nobody.
pub async fn serve_unix(path: &Path, router: Router, stop: CancellationToken) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let router = router.layer(from_fn(caller::owner));
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: those who wait are served when one is free again.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::timeout(std::time::Duration::from_millis(100), stop.cancelled()).await.ok();
                    continue;
                }
            },
        };
        let router = router.clone();
        let stop = stop.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                router.clone().oneshot(request.map(axum::body::Body::new))
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
            let result = tokio::select! {
                result = connection.as_mut() => result,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    let _ = std::fs::remove_file(path);
    connections.close();
    let _ = tokio::time::timeout(DRAIN, connections.wait()).await;
    Ok(())
}
