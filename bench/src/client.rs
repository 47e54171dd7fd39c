//! One connection to an HTTP server, and requests on it, one after the other.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// What to ask for.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    /// JSON; nothing is sent where it is empty.
    pub body: Bytes,
}

impl Ask {
    pub fn get(path: impl Into<String>) -> Ask {
        Ask { method: "GET", path: path.into(), body: Bytes::new() }
    }

    pub fn post(path: impl Into<String>, body: &serde_json::Value) -> Ask {
        Ask { method: "POST", path: path.into(), body: Bytes::from(body.to_string()) }
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Client {
    address: String,
    send: SendRequest<Full<Bytes>>,
    _connection: AbortOnDropHandle<()>,
}

impl Client {
    pub async fn connect(address: &str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (send, connection) = handshake(TokioIo::new(stream)).await?;
        // What becomes of the connection, the next request tells.
        let driving = tokio::spawn(async move { drop(connection.await) });
        Ok(Client { address: address.to_owned(), send, _connection: AbortOnDropHandle::new(driving) })
    }

    /// The head of the answer; its body is to be read.
    pub async fn begin(&mut self, ask: &Ask, accept: &str) -> anyhow::Result<Response<Incoming>> {
        let request = Request::builder().method(ask.method).uri(&ask.path).header(HOST, &self.address);
        let request = request.header(ACCEPT, accept);
        let request = if ask.body.is_empty() { request } else { request.header(CONTENT_TYPE, "application/json") };
        self.send.ready().await?;
        Ok(self.send.send_request(request.body(Full::new(ask.body.clone()))?).await?)
    }

    /// The whole answer, which must be a success.
    pub async fn ask(&mut self, ask: &Ask) -> anyhow::Result<Bytes> {
        let answer = self.begin(ask, "application/json").await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "{} {} was answered {status}: {}",
            ask.method,
            ask.path,
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }

    pub async fn json(&mut self, ask: &Ask) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.ask(ask).await?)?)
    }
}
