//! How requests come in: over TCP, over the unix socket of the data directory, or by a call in the same process.
//!
//! Whatever the way, the requests come to the same router. What differs is the door in front of it, which finds out who
//! asks.

mod accept;
mod activity;
mod admission;
mod bind;
mod connection;
mod heads;
mod limits;
mod patience;
mod prefixed;

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
use crate::front::Front;

pub use accept::Server;
pub use admission::Admission;
pub(crate) use bind::Stream;
pub use bind::{BindError, Listener};
pub(crate) use connection::Peer;
pub use limits::Limits;
pub(crate) use limits::network;
pub(crate) use prefixed::Prefixed;

/// The routes for whoever owns the data directory: commands in the same process, and the unix socket.
fn owners(front: &Front, router: Router) -> Router {
    front.inward(router.layer(from_fn(caller::owner)))
}

/// A transport that calls the router directly.
pub fn local(front: &Front, router: Router) -> Transport {
    let router = owners(front, router);
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

/// Listens on the unix socket at `path`, for its owner only, until `stop`, and for whom `admission` admits.
///
/// The caller holds the lock of the data directory, so a socket that is in the way belongs to nobody.
pub async fn serve_unix(
    front: &Front,
    path: &Path,
    admission: Admission,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = Listener::unix(path, admission)?;
    Server::new(owners(front, router), Limits::default()).serve(listener, stop).await;
    Ok(())
}
