//! A git server over smart HTTP, which is git's own, behind a password; and a registry of modules behind a token.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

/// `user:password` in base64, as `Authorization: Basic` has it.
pub(crate) const BASIC: (&str, &str, &str) = ("robot", "p4ss/w0rd+1", "cm9ib3Q6cDRzcy93MHJkKzE=");

/// What the registry wants to see.
pub(crate) const TOKEN: &str = "reg1stry-t0ken-value";

/// What was asked: method, path, and the header that says who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

pub(crate) struct Hosting {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    root: PathBuf,
    asked: Mutex<Vec<Asked>>,
    /// Where the paths below `/away/` are sent.
    away: Option<String>,
    port: u16,
}

impl Hosting {
    /// Serves the bare repositories below `root`: those below `open/` to anybody, those below `closed/` for a password.
    /// `/stuck/` never answers, `/away/` redirects.
    pub(crate) async fn start(root: &Path, away: Option<String>) -> Hosting {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { root: root.to_owned(), asked: Mutex::default(), away, port: address.port() });
        let serving = shared.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                tokio::spawn(async move { shared.serve(stream).await });
            }
        });
        Hosting { address, shared, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.lines();
        let mut request = lines.next()?.split(' ');
        let (method, target) = (request.next()?.to_owned(), request.next()?.to_owned());
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let authorization = headers.get("authorization").cloned();
        self.asked.lock().unwrap().push(Asked { path: path.to_owned(), authorization: authorization.clone() });
        let answer = if path.starts_with("/stuck/") {
            std::future::pending::<Vec<u8>>().await
        } else if let (Some(rest), Some(away)) = (path.strip_prefix("/away/"), &self.away) {
            let query = if query.is_empty() { String::new() } else { format!("?{query}") };
            answer("301 Moved Permanently", &[("Location", &format!("{away}{rest}{query}"))], b"")
        } else if path == "/api/internal/registry-token" {
            answer("200 OK", &[("Content-Type", "application/json")], format!("{{\"token\":\"{TOKEN}\"}}").as_bytes())
        } else if let Some(rest) = path.strip_prefix("/v1/modules/") {
            if authorization.as_deref() == Some(&format!("Bearer {TOKEN}")) {
                self.module(rest)
            } else {
                answer("401 Unauthorized", &[], b"")
            }
        } else if path.starts_with("/closed/") && authorization.as_deref() != Some(&format!("Basic {}", BASIC.2)) {
            answer("401 Unauthorized", &[("WWW-Authenticate", "Basic realm=\"git\"")], b"who is it?")
        } else {
            self.git(&method, path, query, &headers, &body).await?
        };
        stream.write_all(&answer).await.ok()?;
        stream.shutdown().await.ok()
    }

    fn module(&self, path: &str) -> Vec<u8> {
        if path.ends_with("/versions") {
            let body = r#"{"modules":[{"versions":[{"version":"1.0.0"},{"version":"1.1.0"}]}]}"#;
            return answer("200 OK", &[("Content-Type", "application/json")], body.as_bytes());
        }
        let source = format!("git::http://127.0.0.1:{}/open/module.git", self.port);
        answer("204 No Content", &[("X-Terraform-Get", &source)], b"")
    }

    /// As a web server calls it.
    async fn git(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Option<Vec<u8>> {
        let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut stdin = child.stdin.take()?;
        stdin.write_all(body).await.ok()?;
        drop(stdin);
        let output = child.wait_with_output().await.ok()?.stdout;
        let end = output.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = (std::str::from_utf8(&output[..end]).ok()?, &output[end + 4..]);
        let fields: Vec<(&str, &str)> = head.lines().filter_map(|line| line.split_once(": ")).collect();
        let status = fields.iter().find(|(name, _)| *name == "Status").map_or("200 OK", |(_, status)| *status);
        Some(answer(status, &fields, body))
    }
}

fn answer(status: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = vec![format!("HTTP/1.1 {status}"), "Connection: close".to_owned()];
    if !status.starts_with("204") {
        head.push(format!("Content-Length: {}", body.len()));
    }
    let fields = fields.iter().filter(|(name, _)| *name != "Status");
    head.extend(fields.map(|(name, value)| format!("{name}: {value}")));
    [format!("{}\r\n\r\n", head.join("\r\n")).as_bytes(), body].concat()
}

/// Makes a bare repository of these files below `root`, and answers with its commits, the oldest first. A text that
/// begins with `-> ` is the target of a link.
pub(crate) fn repository(root: &Path, name: &str, commits: &[&[(&str, &str)]]) -> Vec<String> {
    let work = tempfile::tempdir().unwrap();
    let at = work.path();
    git(at, &["init", "-q", "-b", "main", "."]);
    let mut ids = Vec::new();
    for (number, files) in commits.iter().enumerate() {
        for (file, text) in *files {
            let path = at.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        git(at, &["add", "-A"]);
        git(at, &["commit", "-q", "-m", &format!("commit {number}")]);
        git(at, &["tag", &format!("v{number}")]);
        ids.push(git(at, &["rev-parse", "HEAD"]).trim().to_owned());
    }
    let bare = root.join(name);
    fs::create_dir_all(bare.parent().unwrap()).unwrap();
    git(at, &["clone", "-q", "--bare", ".", &bare.display().to_string()]);
    ids
}

#[expect(clippy::disallowed_methods, reason = "the fixture is made with the real git")]
pub(crate) fn git(at: &Path, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(args)
        .current_dir(at)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@example.org")])
        .envs([("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.org")])
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
