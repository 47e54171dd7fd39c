//! How requests come in: over TCP, over the unix socket of the data directory, or by a call in the same process.
//!
//! Whatever the way, the requests come to the same router. What differs is the door in front of it, which finds out who
//! asks ([`owners`], [`outward`](crate::outward)).

mod accept;
mod bind;
mod connection;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use http_body_util::BodyExt;
use piton_api::Transport;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::caller;

pub use accept::serve;
pub use bind::{BindError, Listener};

/// The routes for whoever owns the data directory: commands in the same process, and the unix socket.
pub fn owners(router: Router) -> Router {
    router.layer(from_fn(caller::owner))
}

/// A transport that calls the router directly.
pub fn local(router: Router) -> Transport {
    let router = owners(router);
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
    serve(Listener::unix(path)?, owners(router), stop).await;
    Ok(())
}
