//! GitLab, GitHub and Gitea, as far as making repositories goes, with git's own server behind them.
//!
//! Statuses and bodies are those of the real ones: a taken name is 400 at GitLab, 422 at GitHub, 409 at Gitea. [`TOKEN`]
//! may do everything, [`READ_ONLY`] may look. Any request can be made to fail ([`Fault`]), also after it was done, as when
//! a connection breaks. The repositories are real ones, in a directory.
//!
//! The server has a thread of its own, so that tests need not be asynchronous.

mod gitlab;
mod hold;
mod hub;
mod ledger;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::hosting::Asked;
use crate::http_backend;
pub use hold::Hold;
use ledger::Ledger;

/// May do everything.
pub const TOKEN: &str = "t0ken-that-may-all";
/// May look.
pub const READ_ONLY: &str = "t0ken-that-may-l00k";
/// Whose tokens they are.
pub const USER: &str = "robot";

/// Which forge is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `/api/v4`.
    GitLab,
    /// `/api/v3`, as on premises.
    GitHub,
    /// `/api/v1`.
    Gitea,
}

/// What happens to the next request that it fits.
#[derive(Debug, Clone)]
pub struct Fault {
    /// `POST`.
    pub method: &'static str,
    /// Some part of its path.
    pub path: &'static str,
    /// What happens.
    pub act: Act,
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Act {
    /// The connection breaks before anything is done.
    CutBefore,
    /// The connection breaks after it was done.
    CutAfter,
    /// Nothing is done, and this is the answer.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It waits before anything is done, until it is let go or whoever asked has gone.
    HoldBefore(Hold),
    /// It is done, and its answer waits.
    HoldAfter(Hold),
}

/// A running forge; it ends with this.
pub struct Forge {
    address: SocketAddr,
    server: Arc<Server>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Forge {
    /// Serves on a free port of the loopback, with its repositories below `root`.
    pub fn start(flavour: Flavour, root: &Path) -> io::Result<Forge> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let server = Arc::new(Server {
            flavour,
            root: root.to_owned(),
            url: format!("http://{address}"),
            asked: Mutex::default(),
            faults: Mutex::default(),
            ledger: Mutex::new(Ledger::new(root)),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = server.clone();
        let thread = std::thread::Builder::new().name("forge".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving.serve(listener) => {}
                    // Also where the sender is gone.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Forge { address, server, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a group or an organisation.
    pub fn add_group(&self, id: u64, full_path: &str) {
        self.server.ledger().add_group(id, full_path);
    }

    /// Adds a repository that is there already, empty, of some owner.
    pub fn add_repository(&self, owner: &str, name: &str, description: &str) -> io::Result<PathBuf> {
        let made =
            self.server.ledger().make(owner, name, |project| description.clone_into(&mut project.description))?;
        Ok(self.server.root.join(format!("{}.git", made.full_name())))
    }

    /// The real repository behind a name.
    pub fn repository(&self, full_name: &str) -> PathBuf {
        self.server.root.join(format!("{full_name}.git"))
    }

    /// The names of all repositories.
    pub fn names(&self) -> Vec<String> {
        self.server.ledger().projects().iter().map(ledger::Project::full_name).collect()
    }

    /// Removes a repository, as somebody at the forge would; whether there was one.
    pub fn remove(&self, full_name: &str) -> io::Result<bool> {
        self.server.ledger().remove(full_name)
    }

    /// What is known of a repository: description, topics, default branch.
    pub fn about(&self, full_name: &str) -> Option<(String, Vec<String>, String)> {
        let ledger = self.server.ledger();
        let project = ledger.find(full_name)?;
        Some((project.description.clone(), project.topics.clone(), project.default_branch.clone()))
    }

    /// Every repository refuses pushes with these words, as forges do for protected branches.
    pub fn refuse_pushes(&self, words: &str) -> io::Result<()> {
        self.server.ledger().set_hook(&format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n"))
    }

    /// Makes a later request fail.
    pub fn fail(&self, fault: Fault) {
        self.server.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// What came in so far, the oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.server.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed.
            let _ = thread.join();
        }
    }
}

type Answer = Response<Full<Bytes>>;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    All,
    Look,
}

struct Server {
    flavour: Flavour,
    root: PathBuf,
    url: String,
    asked: Mutex<Vec<Asked>>,
    faults: Mutex<Vec<Fault>>,
    ledger: Mutex<Ledger>,
}

/// A request of an interface, taken apart.
struct Call<'a> {
    method: &'a str,
    /// The names of the path below the interface, decoded.
    path: Vec<String>,
    query: Vec<(String, String)>,
    body: Value,
    right: Right,
}

impl Call<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    fn asks(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Server {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let server = self.clone();
            connections.spawn(async move {
                let answer = service_fn(|request| {
                    let server = server.clone();
                    async move { server.answer_or_cut(request).await }
                });
                // A client that goes away in the middle is no concern of a fixture.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }

    /// An error breaks the connection.
    async fn answer_or_cut(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let path = head.uri.path().to_owned();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let authorization = header(AUTHORIZATION.as_str()).or_else(|| header("private-token"));
        let asked = Asked { method: head.method.to_string(), path: path.clone(), authorization };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let fault = {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            let fits =
                faults.iter().position(|fault| fault.method == head.method.as_str() && path.contains(fault.path));
            fits.map(|at| faults.remove(at).act)
        };
        let cut = || Err(io::ErrorKind::ConnectionReset.into());
        match fault {
            Some(Act::CutBefore) => cut(),
            Some(Act::CutAfter) => {
                self.answer(&head, body).await?;
                cut()
            }
            Some(Act::HoldBefore(hold)) => {
                hold.wait().await;
                self.answer(&head, body).await
            }
            Some(Act::HoldAfter(hold)) => {
                let answer = self.answer(&head, body).await;
                hold.wait().await;
                answer
            }
            Some(Act::Answer(status, headers, body)) => {
                let mut answer = Response::builder().status(status);
                for (name, value) in headers {
                    answer = answer.header(name, value);
                }
                answer.body(Full::from(body)).map_err(io::Error::other)
            }
            None => self.answer(&head, body).await,
        }
    }

    async fn answer(&self, head: &Parts, body: Bytes) -> io::Result<Answer> {
        let interface = match self.flavour {
            Flavour::GitLab => "/api/v4/",
            Flavour::GitHub => "/api/v3/",
            Flavour::Gitea => "/api/v1/",
        };
        let Some(rest) = head.uri.path().strip_prefix(interface) else { return self.git(head, body).await };
        let Some(right) = self.right(head) else {
            return Ok(match self.flavour {
                Flavour::GitLab => json(401, &serde_json::json!({"message": "401 Unauthorized"})),
                Flavour::GitHub => json(401, &hub::said_by_github("Bad credentials", 401)),
                Flavour::Gitea => json(401, &serde_json::json!({"message": "token is required", "url": self.url})),
            });
        };
        // A plus is a space, but only in a query.
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let query = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let call = Call {
            method: head.method.as_str(),
            path: rest.split('/').map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned()).collect(),
            query: query.map(|(key, value)| (decode(key), decode(value))).collect(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            right,
        };
        match self.flavour {
            Flavour::GitLab => self.gitlab(&call),
            Flavour::GitHub | Flavour::Gitea => self.hub(&call),
        }
    }

    fn right(&self, head: &Parts) -> Option<Right> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let token = match (self.flavour, header("private-token"), header(AUTHORIZATION.as_str())) {
            (Flavour::GitLab, Some(token), _) => token,
            (Flavour::GitLab, None, Some(header)) => header.strip_prefix("Bearer ")?,
            (_, _, Some(header)) => header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("token "))?,
            (_, _, None) => return None,
        };
        right_of(token)
    }

    /// Git itself: a token is the password of any user.
    async fn git(&self, head: &Parts, body: Bytes) -> io::Result<Answer> {
        let given = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let right = given.and_then(|header| {
            let pair = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
            right_of(pair.split_once(':')?.1)
        });
        let Some(right) = right else {
            return Response::builder()
                .status(StatusCode::UNAUTHORIZED)
                .header(WWW_AUTHENTICATE, "Basic realm=\"Git\"")
                .body(Full::from("HTTP Basic: Access denied"))
                .map_err(io::Error::other);
        };
        let pushes = head.uri.path().ends_with("/git-receive-pack")
            || head.uri.query().is_some_and(|query| query.contains("service=git-receive-pack"));
        if pushes && right == Right::Look {
            return Ok(plain(403, "You are not allowed to push code to this project."));
        }
        let name = head.uri.path().trim_start_matches('/').split(".git/").next().unwrap_or_default().to_owned();
        if self.ledger().find(&name).is_none() {
            return Ok(plain(404, "The project you were looking for could not be found."));
        }
        let answer = http_backend::answer(&self.root, head, body, Some(USER)).await?;
        self.ledger().choose_default_branch(&name)?;
        Ok(answer)
    }
}

fn right_of(token: &str) -> Option<Right> {
    match token {
        TOKEN => Some(Right::All),
        READ_ONLY => Some(Right::Look),
        _ => None,
    }
}

fn json(status: u16, body: &Value) -> Answer {
    let mut answer = plain(status, &body.to_string());
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    answer
}

fn plain(status: u16, body: &str) -> Answer {
    let mut answer = Response::new(Full::from(body.to_owned()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

/// Makes an empty repository without calling git, which would take longer than all the rest.
fn make_bare(at: &Path, branch: &str, hook: Option<&str>) -> io::Result<()> {
    for dir in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "hooks"] {
        fs::create_dir_all(at.join(dir))?;
    }
    fs::write(at.join("HEAD"), format!("ref: refs/heads/{branch}\n"))?;
    fs::write(at.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")?;
    hook.map_or(Ok(()), |hook| write_hook(at, hook))
}

fn write_hook(at: &Path, hook: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = at.join("hooks/pre-receive");
    fs::write(&path, hook)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
