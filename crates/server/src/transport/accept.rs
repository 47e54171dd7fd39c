//! The loop that accepts connections, the same for every kind of socket.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind::{Accepted, Listener, Stream};
use super::connection;
use super::limits::{Full, Limits, Seats};
use crate::metrics::Metrics;
use crate::tls::Tls;

/// A server: its routes, and what their connections are held to.
#[derive(Debug, Clone)]
pub struct Server {
    router: Router,
    limits: Arc<Limits>,
    tls: Option<Tls>,
    metrics: Option<Metrics>,
}

impl Server {
    /// A server without TLS.
    pub fn new(router: Router, limits: Limits) -> Server {
        Server { router, limits: Arc::new(limits), tls: None, metrics: None }
    }

    /// The same with TLS.
    pub fn with_tls(self, tls: Option<Tls>) -> Server {
        Server { tls, ..self }
    }

    /// The same, with its connections counted.
    pub fn counted_by(self, metrics: Metrics) -> Server {
        Server { metrics: Some(metrics), ..self }
    }

    /// Serves on a socket until `stop`; then no connection is accepted any more, and those that are open may finish the
    /// requests that are under way.
    pub async fn serve(self, listener: Listener, stop: CancellationToken) {
        let seats = Seats::new(self.limits.clone());
        let mut reserve = Reserve::new();
        let connections = TaskTracker::new();
        loop {
            let Accepted { stream, peer, visitor } = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        if let Some(stream) = reserve.accept(&error, &listener).await {
                            refuse(stream, Full::Everywhere).await;
                        } else {
                            tracing::debug!(%error, "a connection was gone before it was accepted");
                            tokio::time::timeout(Duration::from_millis(10), stop.cancelled()).await.ok();
                        }
                        continue;
                    }
                },
            };
            match seats.take(peer.map(|peer| peer.ip())) {
                Ok(seat) => {
                    let (server, stop) = (self.clone(), stop.clone());
                    connections.spawn(async move {
                        let admitted = tokio::select! {
                            () = stop.cancelled() => false,
                            admitted = visitor.admitted() => admitted,
                        };
                        if !admitted {
                            return drop(seat);
                        }
                        server.count(1);
                        server.attend(stream, peer, stop).await;
                        server.count(-1);
                        drop(seat);
                    });
                }
                Err(full) => {
                    tracing::debug!(?peer, ?full, "a connection is refused");
                    refuse(stream, full).await;
                }
            }
        }
        drop(listener);
        connections.close();
        if tokio::time::timeout(self.limits.drain, connections.wait()).await.is_err() {
            tracing::info!(open = connections.len(), "connections are cut off");
        }
    }

    fn count(&self, more: i64) {
        if let Some(metrics) = &self.metrics {
            metrics.connections(more);
        }
    }

    async fn attend(&self, stream: Box<dyn Stream>, peer: Option<SocketAddr>, stop: CancellationToken) {
        let Some(tls) = &self.tls else {
            return self.drive(stream, peer, stop).await;
        };
        let handshake = tokio::time::timeout(self.limits.handshake, tls.accept(stream));
        match handshake.await {
            Ok(Ok(stream)) => self.drive(stream, peer, stop).await,
            Ok(Err(error)) => tracing::debug!(?peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(?peer, "a TLS handshake took too long"),
        }
    }

    async fn drive<S>(&self, stream: S, peer: Option<SocketAddr>, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection::drive(stream, connection::Peer { address: peer }, &self.router, &self.limits, stop).await;
    }
}

/// A file descriptor that is kept for when there is none left: without it, nobody could be told.
struct Reserve {
    kept: Option<File>,
    told: bool,
}

impl Reserve {
    fn new() -> Reserve {
        Reserve { kept: File::open("/dev/null").ok(), told: false }
    }

    /// Accepts a connection with the file descriptor that was kept, if it is for want of one that accepting failed.
    async fn accept(&mut self, error: &std::io::Error, listener: &Listener) -> Option<Box<dyn Stream>> {
        let out_of_files = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
        if !out_of_files.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
            return None;
        }
        if !self.told {
            tracing::warn!(%error, "there are no file descriptors left; connections are refused until there are");
            self.told = true;
        }
        self.kept = None;
        let accepted = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        let stream = accepted.ok()?.ok().map(|accepted| accepted.stream);
        self.kept = File::open("/dev/null").ok();
        self.told = self.kept.is_none();
        stream
    }
}

/// Tells a client that there is no room for it, as far as it listens.
async fn refuse(mut stream: Box<dyn Stream>, full: Full) {
    let (status, code, detail) = match full {
        Full::Everywhere => (503, "overloaded", "there are too many connections"),
        Full::Address => (429, "too_many_connections", "there are too many connections from this address"),
    };
    let problem = piton_api::Problem::new(status, code, detail, None);
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let reason = if status == 503 { "Service Unavailable" } else { "Too Many Requests" };
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Retry-After: 1\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The buffer of a fresh connection takes this at once, or it is not worth waiting for.
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_millis(100), told).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::transport::Admission;

    /// The first to come is asked about for ever.
    #[tokio::test]
    async fn nobody_waits_until_it_is_known_whether_another_is_admitted() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let asked = Arc::new(AtomicBool::new(false));
        let admission = Admission::by(move |_| {
            let first = !asked.swap(true, Ordering::SeqCst);
            Box::pin(async move {
                if first {
                    std::future::pending::<()>().await;
                }
                true
            })
        });
        let listener = Listener::unix(&socket, admission).unwrap();
        let router = Router::new().route("/", axum::routing::get(async || "well"));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(Server::new(router, Limits::default()).serve(listener, stop.clone()));
        let _first = UnixStream::connect(&socket).await.unwrap();
        let mut second = UnixStream::connect(&socket).await.unwrap();
        second.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        second.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("well"), "{text}");
        stop.cancel();
        serving.await.unwrap();
    }
}
