//! The typed client: over TCP, over a unix socket, or straight to a router in the same process.

mod follow;
mod http;
mod server_url;
mod tls;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, LINK, LOCATION};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use uuid::Uuid;

use crate::Problem;

pub use follow::{LogItem, LogStart};
pub use http::{Credentials, Http};
pub use server_url::{BadServerUrl, ServerUrl};
pub use tls::{TlsError, TlsOptions, TlsVersion};

/// A response's body.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// How long the beginning of an answer is waited for, over TCP.
const PATIENCE: Duration = Duration::from_secs(30);

/// Names what a request creates.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How often, and after which pause, a request is sent again whose answer was lost.
const AGAIN: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(500);

/// How much of an answer that is no problem is repeated.
const REPEATED: usize = 200;

/// How a request reaches the server.
#[derive(Clone)]
pub enum Transport {
    /// Over TCP.
    Http(Box<Http>),
    /// Over a unix socket.
    Unix(PathBuf),
    /// By a function call.
    Local(Arc<dyn Fn(Request<Full<Bytes>>) -> Answer + Send + Sync>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Http(http) => http.fmt(f),
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
    /// Somebody listens there, but it could not be agreed who it is.
    #[error("no secure connection to {place}: {reason}")]
    Tls {
        /// Where.
        place: String,
        /// Why not.
        reason: String,
    },
    /// The server takes too long.
    #[error("{place} did not answer within {} s", after.as_secs())]
    TimedOut {
        /// Where.
        place: String,
        /// What was waited.
        after: Duration,
    },
    /// The server said no.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// Something between here and the server said no, or something that is no server of Piton's.
    #[error("the answer was {status}{}", said(.text))]
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        text: String,
    },
    /// The server wants to be asked elsewhere. It is not: the credentials are for this one.
    #[error("{place} answered that it is found elsewhere: {target}")]
    Redirected {
        /// Where.
        place: String,
        /// Where it sends everybody.
        target: String,
    },
    /// A token or a password that cannot travel in a header.
    #[error("the credentials hold characters that cannot be sent")]
    Credentials,
    /// The connection broke.
    #[error("the connection to piton broke: {0}")]
    Broken(String),
    /// The answer is not what this client understands.
    #[error("piton answered something else than expected: {0}")]
    Unexpected(String),
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl Error {
    /// Whether the same request may find an answer a little later.
    pub fn may_pass(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::TimedOut { .. } | Error::Broken(_) => true,
            Error::Problem(problem) => matches!(problem.status, 429 | 502..=504),
            Error::Status { status, .. } => matches!(status, 429 | 502..=504),
            Error::Tls { .. } | Error::Redirected { .. } | Error::Credentials | Error::Unexpected(_) => false,
        }
    }
}

/// The typed client.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    base: String,
    patience: Duration,
}

impl Client {
    /// A client of the server behind `transport`, with the routes below `base`.
    pub fn new(transport: Transport, base: &str) -> Client {
        Client { transport, base: base.trim_end_matches('/').to_owned(), patience: PATIENCE }
    }

    /// A client of the server at an address.
    pub fn of_server(http: Http) -> Client {
        let base = http.url().base().to_owned();
        Client::new(Transport::Http(Box::new(http)), &base)
    }

    /// The same server, above the routes of the API, where health and deployments are.
    pub fn at_root(&self) -> Client {
        let root = match &self.transport {
            Transport::Http(http) => http.url().root().to_owned(),
            Transport::Unix(_) | Transport::Local(_) => String::new(),
        };
        Client { base: root, ..self.clone() }
    }

    /// The same server, for requests that it works on before it answers.
    pub fn with_patience(&self, patience: Duration) -> Client {
        Client { patience, ..self.clone() }
    }

    /// Where the server is, if it is reached over TCP.
    pub fn server_url(&self) -> Option<&ServerUrl> {
        match &self.transport {
            Transport::Http(http) => Some(http.url()),
            Transport::Unix(_) | Transport::Local(_) => None,
        }
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Reads a part of a list, and the parameters of the next part where the `Link` of the answer names one.
    pub async fn part<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Option<String>), Error> {
        let response = self.send(Method::GET, path, None::<&()>, "application/json", None).await?;
        let next = response.headers().get(LINK).and_then(|link| link.to_str().ok()).and_then(next_part);
        Ok((understood(response).await?, next))
    }

    /// Asks for something.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Creates something, once: asked again because the answer was lost, the server gives the answer of the first time.
    pub async fn create<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        self.create_from(path, &as_json(body)?).await
    }

    /// The same from a text of this media type.
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, kind: &'static str, text: Bytes) -> Result<T, Error> {
        self.create_from(path, &Content { kind, bytes: text }).await
    }

    async fn create_from<T: DeserializeOwned>(&self, path: &str, content: &Content) -> Result<T, Error> {
        let key = Uuid::now_v7().to_string();
        let mut asked = 0;
        loop {
            let header = Some((IDEMPOTENCY_KEY, key.as_str()));
            let answered = self.request(Method::POST, path, Some(content.clone()), "application/json", header).await;
            let said = match answered {
                Ok(response) => understood(response).await,
                Err(error) => Err(error),
            };
            let error = match said {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            asked += 1;
            let may_come = match &error {
                Error::Broken(_) => true,
                Error::Problem(problem) if problem.code == "idempotency_in_flight" => true,
                // Nothing is created where nobody is reached. Once somebody was, they may be on their way back.
                Error::TimedOut { .. } => false,
                error => asked > 1 && error.may_pass(),
            };
            if asked > AGAIN || !may_come {
                return Err(error);
            }
            tokio::time::timeout(BETWEEN, std::future::pending::<()>()).await.ok();
        }
    }

    /// Changes something.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        self.call(Method::PUT, path, Some(body)).await
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

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        understood(self.send(method, path, body, "application/json", None).await?).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        accept: &str,
        resume_at: Option<u64>,
    ) -> Result<Response<Body>, Error> {
        let resume_at = resume_at.map(|offset| offset.to_string());
        let content = body.map(as_json).transpose()?;
        self.request(method, path, content, accept, resume_at.as_deref().map(|offset| ("last-event-id", offset))).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
        accept: &str,
        header: Option<(&str, &str)>,
    ) -> Result<Response<Body>, Error> {
        let unexpected = |error: &dyn fmt::Display| Error::Unexpected(error.to_string());
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base)).header(ACCEPT, accept);
        if let Some(content) = &content {
            request = request.header(CONTENT_TYPE, content.kind);
        }
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if !matches!(self.transport, Transport::Http(_)) {
            request = request.header(HOST, "localhost").header("x-piton-user", user());
        }
        let bytes = content.map(|content| content.bytes).unwrap_or_default();
        let request = request.body(Full::from(bytes)).map_err(|error| unexpected(&error))?;
        let response = match &self.transport {
            Transport::Http(http) => http.send(request, self.patience).await?,
            Transport::Local(call) => call(request).await?,
            Transport::Unix(path) => over_unix(path, request).await?,
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// What an answer means that is no success.
    async fn refusal(&self, response: Response<Body>) -> Error {
        let status = response.status();
        if status.is_redirection() {
            let place = self.server_url().map_or_else(|| "piton".to_owned(), ServerUrl::origin);
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            return Error::Redirected { place, target: target.unwrap_or("nowhere").to_owned() };
        }
        let bytes = match collect(response).await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        match serde_json::from_slice(&bytes) {
            Ok(problem) => Error::Problem(Box::new(problem)),
            Err(_) => {
                let text = String::from_utf8_lossy(&bytes);
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(REPEATED).collect();
                Error::Status { status: status.as_u16(), text }
            }
        }
    }
}

/// A body, and what it is.
#[derive(Clone)]
struct Content {
    kind: &'static str,
    bytes: Bytes,
}

fn as_json(body: &impl Serialize) -> Result<Content, Error> {
    let bytes = serde_json::to_vec(body).map_err(|error| Error::Unexpected(error.to_string()))?;
    Ok(Content { kind: "application/json", bytes: bytes.into() })
}

async fn understood<T: DeserializeOwned>(response: Response<Body>) -> Result<T, Error> {
    let bytes = collect(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Unexpected(error.to_string()))
}

/// The parameters of `<ADDRESS?PARAMETERS>; rel="next"`. Pure.
fn next_part(link: &str) -> Option<String> {
    let (address, relation) = link.strip_prefix('<')?.split_once('>')?;
    let (_, parameters) = address.split_once('?')?;
    relation.contains("rel=\"next\"").then(|| parameters.to_owned())
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

#[cfg(test)]
mod tests {
    use super::next_part;

    #[test]
    fn the_next_part_is_found_in_the_link() {
        let next = next_part("</api/schedule?tag=a%20b&cursor=7>; rel=\"next\"");
        assert_eq!(next.as_deref(), Some("tag=a%20b&cursor=7"));
        for other in ["", "<x>", "</a?b=1>; rel=\"prev\"", "/a?b=1; rel=\"next\"", "</a>; rel=\"next\""] {
            assert_eq!(next_part(other), None, "{other}");
        }
    }
}
