//! What the deliveries of a measurement go to.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use piton_engine::Clock;

use crate::spread::Spread;

/// A server that answers at once, and remembers when it was called for which row.
pub struct Target {
    pub url: String,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    arrivals: Mutex<HashMap<String, Timestamp>>,
    holds: AtomicBool,
}

impl Target {
    pub async fn start() -> anyhow::Result<Target> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/provision", listener.local_addr()?);
        let seen = Arc::new(Seen::default());
        let remembers = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = remembers.clone();
                tokio::spawn(async move {
                    drop(stream.set_nodelay(true));
                    let service = service_fn(move |request| answer(request, seen.clone()));
                    let http = hyper::server::conn::http1::Builder::new();
                    // The connection ends when the client leaves.
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Ok(Target { url, seen })
    }

    /// From now on it answers nobody, or everybody again.
    pub fn hold(&self, holds: bool) {
        self.seen.holds.store(holds, Ordering::SeqCst);
    }

    /// For how many rows it was called.
    pub fn called(&self) -> usize {
        self.seen.arrivals.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How long after their due times these rows were delivered, in milliseconds.
    pub fn lateness(&self, due: &HashMap<String, Timestamp>) -> Spread {
        let arrivals = self.seen.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let late = due
            .iter()
            .filter_map(|(id, due)| arrivals.get(id).and_then(|at| (*at - *due).total(jiff::Unit::Millisecond).ok()));
        Spread::of(late.collect())
    }
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Full<Bytes>>, Infallible> {
    let now = Clock::system().now();
    if let Some(id) = request.headers().get("x-piton-schedule").and_then(|id| id.to_str().ok()) {
        let mut arrivals = seen.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.entry(id.to_owned()).or_insert(now);
    }
    // A body that is not read would end the connection.
    drop(request.into_body().collect().await);
    if seen.holds.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}"))))
}
