//! The typed client: over a unix socket, or straight to a router in the same process.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::{Problem, SseEvent, SseParser};

/// A response's body.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// How a request reaches the server.
#[derive(Clone)]
pub enum Transport {
    /// Over a unix socket.
    Unix(PathBuf),
    /// By a function call.
    Local(Arc<dyn Fn(Request<Full<Bytes>>) -> Answer + Send + Sync>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Transport::Local(_) => f.write_str("Local"),
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("cannot reach piton at {place}: {source}")]
    Unreachable {
        /// Where.
        place: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The server said no.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The connection broke.
    #[error("the connection to piton broke: {0}")]
    Broken(String),
    /// The answer is not what this client understands.
    #[error("piton answered something else than expected: {0}")]
    Unexpected(String),
}

/// A piece of a log that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// A line, and the offset after it, to resume at.
    Line {
        /// Without its end.
        text: String,
        /// Byte offset after it.
        offset: u64,
    },
    /// The run ended, or waits for a person: how.
    End(String),
}

/// The typed client.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    base: String,
}

impl Client {
    /// A client of the server behind `transport`, with the routes below `base`.
    pub fn new(transport: Transport, base: &str) -> Client {
        Client { transport, base: base.trim_end_matches('/').to_owned() }
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Asks for something.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Removes something.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// Reads a text.
    pub async fn text(&self, path: &str) -> Result<Bytes, Error> {
        let response = self.send(Method::GET, path, None::<&()>, "text/plain", None).await?;
        collect(response).await
    }

    /// Reads a text that may be long, piece by piece.
    pub async fn pieces(&self, path: &str) -> Result<impl Stream<Item = Result<Bytes, Error>> + use<>, Error> {
        let response = self.send(Method::GET, path, None::<&()>, "text/plain", None).await?;
        let body = response.into_body().into_data_stream();
        Ok(body.map(|piece| piece.map_err(|error| Error::Broken(error.to_string()))))
    }

    /// Follows the log of a run from `offset`, until the run ends or the connection breaks.
    pub async fn follow_log(
        &self,
        run: &str,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<LogItem, Error>> + use<>, Error> {
        let path = format!("/runs/{run}/logs");
        let response = self.send(Method::GET, &path, None::<&()>, "text/event-stream", Some(offset)).await?;
        let state = (response.into_body(), SseParser::default(), Vec::<SseEvent>::new().into_iter());
        Ok(stream::unfold(state, |(mut body, mut parser, mut ready)| async move {
            loop {
                if let Some(event) = ready.next() {
                    match log_item(event) {
                        Some(item) => return Some((Ok(item), (body, parser, ready))),
                        None => continue,
                    }
                }
                match body.frame().await? {
                    Ok(frame) => {
                        if let Some(data) = frame.data_ref() {
                            ready = parser.push(data).into_iter();
                        }
                    }
                    Err(error) => return Some((Err(Error::Broken(error.to_string())), (body, parser, ready))),
                }
            }
        }))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let response = self.send(method, path, body, "application/json", None).await?;
        let bytes = collect(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Unexpected(error.to_string()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        accept: &str,
        resume_at: Option<u64>,
    ) -> Result<Response<Body>, Error> {
        let unexpected = |error: &dyn fmt::Display| Error::Unexpected(error.to_string());
        let bytes = body.map(serde_json::to_vec).transpose().map_err(|error| unexpected(&error))?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(HOST, "localhost")
            .header(ACCEPT, accept)
            .header("x-piton-user", user());
        if bytes.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(offset) = resume_at {
            request = request.header("last-event-id", offset);
        }
        let request = request.body(Full::from(bytes.unwrap_or_default())).map_err(|error| unexpected(&error))?;
        let response = match &self.transport {
            Transport::Local(call) => call(request).await?,
            Transport::Unix(path) => over_unix(path, request).await?,
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = collect(response).await?;
        match serde_json::from_slice(&bytes) {
            Ok(problem) => Err(Error::Problem(Box::new(problem))),
            Err(_) => Err(Error::Unexpected(format!("{status}: {}", String::from_utf8_lossy(&bytes)))),
        }
    }
}

/// Who asks, for the record. The socket lets nobody else in, so the name needs no proof.
fn user() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|key| std::env::var(key).ok());
    name.filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

async fn over_unix(path: &Path, request: Request<Full<Bytes>>) -> Result<Response<Body>, Error> {
    let place = path.display().to_string();
    let stream = UnixStream::connect(path).await.map_err(|source| Error::Unreachable { place, source })?;
    let broken = |error: hyper::Error| Error::Broken(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

async fn collect(response: Response<Body>) -> Result<Bytes, Error> {
    let body = response.into_body().collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| Error::Broken(error.to_string()))
}

fn log_item(event: SseEvent) -> Option<LogItem> {
    match event.event.as_str() {
        "log" => Some(LogItem::Line { text: event.data, offset: event.id?.parse().ok()? }),
        "end" => Some(LogItem::End(event.data)),
        _ => None,
    }
}
