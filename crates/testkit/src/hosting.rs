//! A place that hosts code over HTTP: git's own server, with and without a password, and a registry of modules.
//!
//! | path | answer |
//! |---|---|
//! | `/open/…` | the bare repository below `open/`, for anybody |
//! | `/closed/…` | the one below `closed/`, for [`PASSWORD`] of [`USER`], or for [`TOKEN`] in place of any password |
//! | `/stuck/…` | never |
//! | `/away/…` | a redirect to the same path at another address |
//! | `/api/internal/registry-token` | [`REGISTRY_TOKEN`] as JSON |
//! | `/v1/modules/NAMESPACE/NAME/SYSTEM/…` | for that token: the module in `open/NAME.git`, whose version 1.N.0 is the tag `vN` |
//! | `/.well-known/terraform.json` | where the modules are |
//!
//! The server has a thread of its own, so that tests need not be asynchronous.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::http_backend;
use crate::repository::git;

/// Who may read the repositories below `closed/`.
pub const USER: &str = "robot";
/// With this password, in which a URL needs escapes.
pub const PASSWORD: &str = "p4ss/w0rd+1@x";
/// Or with this in place of the password, as hosts of code have it; then the user's name is of no account.
pub const TOKEN: &str = "t0ken_0f_a_r0b0t";
/// What the registry of modules wants to see as a bearer's token.
pub const REGISTRY_TOKEN: &str = "reg1stry-t0ken-value";

/// `Authorization` as a client sends it that knows the password.
pub fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")))
}

/// A request that came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The whole header.
    pub authorization: Option<String>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.authorization.as_deref().unwrap_or("anonymous"))
    }
}

/// A running server; it ends with this.
pub struct Hosting {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hosting {
    /// Serves the repositories below `root` on a free port of the loopback.
    pub fn start(root: &Path) -> io::Result<Hosting> {
        Hosting::start_with(root, None)
    }

    /// The same; `/away/` redirects to `away`, which ends with a slash.
    pub fn start_with(root: &Path, away: Option<String>) -> io::Result<Hosting> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let asked = Arc::default();
        let place = Arc::new(Place { root: root.to_owned(), asked: Arc::clone(&asked), away, address });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("hosting".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = place.serve(listener) => {}
                    // Also where the sender is gone.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Hosting { address, asked, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT/PATH`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What came in so far, the oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Hosting {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed.
            let _ = thread.join();
        }
    }
}

type Answer = Response<Full<Bytes>>;

struct Place {
    root: PathBuf,
    asked: Arc<Mutex<Vec<Asked>>>,
    away: Option<String>,
    address: SocketAddr,
}

impl Place {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let place = self.clone();
            connections.spawn(async move {
                let answer = service_fn(|request| {
                    let place = place.clone();
                    async move { Ok::<_, Infallible>(place.answer(request).await) }
                });
                // A client that goes away in the middle is no concern of a fixture.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let authorization = authorization.map(str::to_owned);
        let method = request.method().to_string();
        let asked = Asked { method, path: path.clone(), authorization: authorization.clone() };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        if path.starts_with("/stuck/") {
            return std::future::pending().await;
        }
        if let (Some(rest), Some(away)) = (path.strip_prefix("/away/"), &self.away) {
            let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
            return answer(StatusCode::MOVED_PERMANENTLY, &[(LOCATION.as_str(), &format!("{away}{rest}{query}"))], "");
        }
        if path == "/.well-known/terraform.json" {
            return json(r#"{"modules.v1":"/v1/modules/"}"#.to_owned());
        }
        if path == "/api/internal/registry-token" {
            return json(format!(r#"{{"token":"{REGISTRY_TOKEN}"}}"#));
        }
        if let Some(rest) = path.strip_prefix("/v1/modules/") {
            if authorization.as_deref() != Some(&format!("Bearer {REGISTRY_TOKEN}")) {
                return answer(StatusCode::UNAUTHORIZED, &[], "");
            }
            return self.module(rest).unwrap_or_else(|| answer(StatusCode::NOT_FOUND, &[], "no such module"));
        }
        if path.starts_with("/closed/") && !authorization.is_some_and(|header| may_read(&header)) {
            let who = [(WWW_AUTHENTICATE.as_str(), "Basic realm=\"git\"")];
            return answer(StatusCode::UNAUTHORIZED, &who, "who is it?");
        }
        if path.starts_with("/open/") || path.starts_with("/closed/") {
            return self.git(request).await.unwrap_or_else(|error| {
                answer(StatusCode::INTERNAL_SERVER_ERROR, &[], &format!("git http-backend: {error}"))
            });
        }
        answer(StatusCode::NOT_FOUND, &[], "nothing is here")
    }

    /// `NAMESPACE/NAME/SYSTEM/versions` or `NAMESPACE/NAME/SYSTEM/VERSION/download`.
    fn module(&self, path: &str) -> Option<Answer> {
        let parts: Vec<&str> = path.split('/').collect();
        let name = *parts.get(1)?;
        let tags = git(&self.root.join("open").join(format!("{name}.git")), ["tag"]).ok()?;
        let numbers = tags.lines().filter_map(|tag| tag.strip_prefix('v'));
        match parts.get(3..)? {
            ["versions"] => {
                let versions: Vec<String> = numbers.map(|number| format!(r#"{{"version":"1.{number}.0"}}"#)).collect();
                Some(json(format!(r#"{{"modules":[{{"versions":[{}]}}]}}"#, versions.join(","))))
            }
            [version, "download"] => {
                let number = version.strip_prefix("1.")?.strip_suffix(".0")?;
                numbers.clone().find(|known| *known == number)?;
                let source = format!("git::http://{}/open/{name}.git?ref=v{number}", self.address);
                Some(answer(StatusCode::NO_CONTENT, &[("X-Terraform-Get", &source)], ""))
            }
            _ => None,
        }
    }

    async fn git(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        http_backend::answer(&self.root, &head, body, None).await
    }
}

fn may_read(authorization: &str) -> bool {
    let given = authorization.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok());
    let given = given.and_then(|bytes| String::from_utf8(bytes).ok());
    given
        .and_then(|pair| pair.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned())))
        .is_some_and(|(user, password)| (user == USER && password == PASSWORD) || password == TOKEN)
}

fn json(body: String) -> Answer {
    answer(StatusCode::OK, &[(CONTENT_TYPE.as_str(), "application/json")], &body)
}

fn answer(status: StatusCode, headers: &[(&str, &str)], body: &str) -> Answer {
    let answer =
        headers.iter().fold(Response::builder().status(status), |answer, (name, value)| answer.header(*name, *value));
    answer.body(Full::from(body.to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::repository;

    fn clone(url: &str, into: &Path) -> io::Result<String> {
        git(into, ["-c", "credential.helper=", "-c", "core.askPass=false", "clone", "-q", "--depth=1", url, "."])
    }

    #[test]
    fn repositories_are_cloned_by_whom_they_are_for() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        for name in ["open/a.git", "closed/a.git"] {
            repository(root.path(), name, &[&[("one", "1"), ("link", "-> one")], &[("two", "2")]])?;
        }
        let hosting = Hosting::start(root.path())?;
        let closed = |who: &str| format!("http://{who}@{}/closed/a.git", hosting.address());
        let known = closed(&format!("{USER}:p4ss%2Fw0rd%2B1%40x"));
        for url in [hosting.url("open/a.git"), known, closed(&format!("anybody:{TOKEN}"))] {
            let into = tempfile::tempdir()?;
            clone(&url, into.path())?;
            assert_eq!(std::fs::read_to_string(into.path().join("link"))?, "1");
            assert_eq!(std::fs::read_to_string(into.path().join("two"))?, "2");
        }
        for url in [hosting.url("closed/a.git"), closed(&format!("{USER}:wrong")), hosting.url("elsewhere/a.git")] {
            clone(&url, tempfile::tempdir()?.path()).expect_err(&url);
        }
        assert!(hosting.asked().iter().any(|asked| asked.authorization == Some(basic())), "{:?}", hosting.asked());
        Ok(())
    }
}
