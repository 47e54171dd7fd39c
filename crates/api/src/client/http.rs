//! Requests over TCP, plain or by TLS, on connections that are kept for the next one.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::server_url::ServerUrl;
use super::tls::{TlsError, TlsOptions};
use super::{Body, Error};

/// How long one address of a server may take to answer at all.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the parts of an answer may be apart. A followed log says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// How long a connection waits for the next request.
const IDLE: Duration = Duration::from_secs(30);

/// Whom the server is told who asks.
#[derive(Clone)]
pub enum Credentials {
    /// A token.
    Bearer(String),
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::Bearer(_) => "Bearer",
            Credentials::Basic { .. } => "Basic",
        })
    }
}

impl Credentials {
    fn header(&self) -> Result<HeaderValue, Error> {
        let text = match self {
            Credentials::Bearer(token) => format!("Bearer {token}"),
            Credentials::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
            }
        };
        // The message must not repeat it.
        let mut value = HeaderValue::try_from(text).map_err(|_| Error::Credentials)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A server that is reached over TCP. Clones share their connections.
#[derive(Clone)]
pub struct Http {
    url: ServerUrl,
    authorization: Option<HeaderValue>,
    pool: Pool<Connector, Full<Bytes>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http").field(&self.url.to_string()).finish()
    }
}

impl Http {
    /// A server, and how it is recognized where it speaks TLS.
    pub fn new(url: ServerUrl, tls: &TlsOptions) -> Result<Http, TlsError> {
        let secure = if url.is_secure() {
            Some((TlsConnector::from(Arc::new(tls.config()?)), tls.name_of(url.host())?))
        } else {
            None
        };
        let connector = Connector { host: url.host().into(), port: url.port(), secure };
        let pool =
            Pool::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).build(connector);
        Ok(Http { url, authorization: None, pool })
    }

    /// The same server, told who asks.
    pub fn with(mut self, credentials: &Credentials) -> Result<Http, Error> {
        self.authorization = Some(credentials.header()?);
        Ok(self)
    }

    /// Where it is.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Response<Body>, Error> {
        let place = self.url.origin();
        let absolute = format!("{place}{}", request.uri());
        *request.uri_mut() = absolute.parse::<Uri>().map_err(|error| Error::Unexpected(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("piton/", env!("CARGO_PKG_VERSION"))));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let response = match timeout(patience, self.pool.request(request)).await {
            Ok(answered) => answered.map_err(|error| why(place.clone(), &error))?,
            Err(_) => return Err(Error::TimedOut { place, after: patience }),
        };
        Ok(response.map(|body| patient(place, body)))
    }
}

/// The body, which fails where nothing comes for too long.
fn patient(place: String, body: hyper::body::Incoming) -> Body {
    let frames = stream::unfold(Some((body, place)), |state| async move {
        let (mut body, place) = state?;
        match timeout(SILENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => Some((Ok(frame), Some((body, place)))),
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Ok(None) => None,
            Err(_) => {
                let message = format!("{place} said nothing for {} s", SILENCE.as_secs());
                Some((Err(io::Error::new(io::ErrorKind::TimedOut, message).into()), None))
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Why there is no answer, in this crate's words.
fn why(place: String, error: &(dyn StdError + 'static)) -> Error {
    let mut causes = vec![];
    let mut at = Some(error);
    while let Some(cause) = at {
        if let Some(refused) = cause.downcast_ref::<NoConnection>() {
            return match refused {
                NoConnection::Io(kind, text) => {
                    Error::Unreachable { place, source: io::Error::new(*kind, text.clone()) }
                }
                NoConnection::Tls(reason) => Error::Tls { place, reason: reason.clone() },
            };
        }
        causes.push(cause.to_string());
        at = cause.source();
    }
    // The first ones say in general what the last one says precisely.
    Error::Broken(causes.pop().unwrap_or_default())
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
enum NoConnection {
    #[error("{1}")]
    Io(io::ErrorKind, String),
    #[error("{0}")]
    Tls(String),
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> NoConnection {
        // Of a handshake that failed, rustls tells why.
        if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            NoConnection::Tls(error.to_string())
        } else {
            NoConnection::Io(error.kind(), error.to_string())
        }
    }
}

/// Makes connections to one server.
#[derive(Clone)]
struct Connector {
    host: Arc<str>,
    port: u16,
    secure: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    async fn connect(self) -> Result<Wire, NoConnection> {
        let stream = self.reach().await?;
        let Some((tls, name)) = self.secure else { return Ok(Wire::Plain(TokioIo::new(stream))) };
        match timeout(CONNECT, tls.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Wire::Secure(TokioIo::new(Box::new(stream)))),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(NoConnection::Tls("it began no conversation in time".to_owned())),
        }
    }

    async fn reach(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in tokio::net::lookup_host((&*self.host, self.port)).await? {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    attend(&stream);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => {
                    let message = format!("no answer within {} s", CONNECT.as_secs());
                    last = io::Error::new(io::ErrorKind::TimedOut, message);
                }
            }
        }
        Err(last)
    }
}

/// Lets the system notice a peer that is gone without a word. Where it cannot, silence is noticed later.
fn attend(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(15));
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10));
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
}

impl tower::Service<Uri> for Connector {
    type Response = Wire;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// A connection, plain or not.
enum Wire {
    Plain(TokioIo<TcpStream>),
    Secure(TokioIo<Box<TlsStream<TcpStream>>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Secure(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
