//! One connection: HTTP/1.1 or HTTP/2, whichever the client speaks.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::IntoResponse;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::activity::{Activity, Marked};
use super::heads::Watched;
use super::limits::Limits;
use super::patience::Patient;
use crate::problem::Refusal;

/// The longest head of a request, and the longest list of headers.
const HEAD_SIZE: usize = 32 * 1024;

/// The most headers.
const HEADERS: usize = 100;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// None for the unix socket.
    pub(crate) address: Option<SocketAddr>,
}

/// Serves one connection to its end.
pub(super) async fn drive<S>(stream: S, peer: Peer, router: &Router, limits: &Limits, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new();
    let (stream, contradiction) = Watched::new(stream);
    let (marks, router) = (activity.clone(), router.clone());
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mark = marks.begin();
        // Whoever is between may have another opinion of where such a request ends: nothing that follows is believed.
        let is_last =
            request.version() == Version::HTTP_11 && request.headers().contains_key(header::TRANSFER_ENCODING);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let answer = if is_last && contradiction.is_there() {
            Err(ambiguous_length())
        } else {
            Ok(router.clone().oneshot(request))
        };
        async move {
            let mut response = match answer {
                Ok(answer) => answer.await.unwrap_or_else(|never| match never {}),
                Err(refusal) => refusal.into_response(),
            };
            if is_last {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Marked { body, _mark: mark }))
        }
    });
    let builder = builder(limits);
    let stream = TokioIo::new(Patient::new(stream, limits.write));
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = activity.quiet(limits.head, limits.idle) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.head, connection.as_mut()).await {
                Ok(result) => result,
                // A request came in the last moment; none comes after it.
                Err(_) if activity.is_busy() => connection.await,
                // What has sent half a request has had its time.
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(peer = ?peer.address, %error, "a connection ended");
    }
}

fn ambiguous_length() -> Refusal {
    let detail = "the request has both a Content-Length and a Transfer-Encoding";
    Refusal::new(StatusCode::BAD_REQUEST, "ambiguous_length", detail, None)
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The clock starts with the end of the request before; waiting for the first is watched from outside.
        .header_read_timeout(limits.idle)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_SIZE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(HEAD_SIZE as u32)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(limits.write)
        .keep_alive_timeout(limits.write);
    builder
}
