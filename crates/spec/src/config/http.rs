//! `[server]` and `[metrics]`: what the HTTP API is held to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Listen;
use super::settings::Settings;
use super::tls::Tls;
use crate::diagnostic::Diagnostic;
use crate::fields::shown;

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Address of the API.
    pub listen: Listen,
    /// Path below which it lies: `/api`, or nothing.
    pub base_path: String,
    /// Web origins that may call it.
    pub allowed_origins: Vec<String>,
    /// Pages of those origins may send cookies and certificates.
    pub allow_credentials: bool,
    /// Names by which this server is called, beside those of this host itself.
    pub allowed_hosts: Vec<String>,
    /// Listening beyond this host without authentication is wanted.
    pub insecure: bool,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_address: usize,
    /// Streams of logs and events that one caller may read at once.
    pub max_streams: usize,
    /// Requests that one caller may make in a second; none for as many as they like.
    pub rate_limit: Option<u32>,
    /// How long requests, and calls of scheduled provisions, that are under way may take when the daemon ends.
    pub drain_timeout: Duration,
    /// How long the daemon says that it is not ready before it stops to listen.
    pub shutdown_delay: Option<Duration>,
    /// Receives the process id of the daemon.
    pub pidfile: Option<PathBuf>,
    /// Receives the daemon's log when it is daemonized.
    pub logfile: Option<PathBuf>,
    /// HTTPS, where it is wanted.
    pub tls: Option<Tls>,
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// An address that serves nothing but metrics.
    pub listen: Option<Listen>,
    /// Whether metrics may be read without logging in.
    pub public: bool,
}

impl Server {
    pub(super) fn read(s: &Settings, root: &Path, found: &mut Vec<Diagnostic>) -> Server {
        check_origins(s, found);
        let count = |key| s.integer(key).and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX);
        let rate = s.integer("server.rate_limit").and_then(|number| u32::try_from(number).ok());
        Server {
            listen: s.text("server.listen").and_then(Listen::parse).unwrap_or(super::LOCAL),
            base_path: s.text("server.base_path").unwrap_or_default().to_owned(),
            allowed_origins: s.texts("server.allowed_origins"),
            allow_credentials: s.flag("server.allow_credentials"),
            allowed_hosts: s.texts("server.allowed_hosts"),
            insecure: s.flag("server.insecure"),
            max_connections: count("server.max_connections"),
            max_connections_per_address: count("server.max_connections_per_address"),
            max_streams: count("server.max_streams"),
            rate_limit: rate.filter(|rate| *rate > 0),
            drain_timeout: s.duration("server.drain_timeout"),
            shutdown_delay: Some(s.duration("server.shutdown_delay")).filter(|delay| !delay.is_zero()),
            pidfile: s.path("server.pidfile", root).or_else(|| s.path("daemon.pid_file", root)),
            logfile: s.path("server.logfile", root).or_else(|| s.path("daemon.log_file", root)),
            tls: Tls::read(s, root, found),
        }
    }
}

/// `*` with credentials would let every page on the web act as whoever looks at it.
fn check_origins(s: &Settings, found: &mut Vec<Diagnostic>) {
    let origins = s.texts("server.allowed_origins");
    if origins.iter().any(|origin| origin == "*") && s.flag("server.allow_credentials") {
        let message = "`*` in `allowed_origins` cannot go with `allow_credentials`";
        found.push(s.error("server.allow_credentials", message).hint("name the origins"));
    }
    for origin in origins.iter().filter(|origin| !is_origin(origin)) {
        let message = format!("`{}` is not a web origin", shown(origin));
        found.push(s.error("server.allowed_origins", &message).hint("write `https://app.example.org`, or `*` for any"));
    }
}

/// `scheme://host`, perhaps with a port, as browsers send it.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return text == "*" };
    ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme))
        && !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c))
}

impl Metrics {
    pub(super) fn read(s: &Settings) -> Metrics {
        let listen = s.text("metrics.listen").and_then(Listen::parse);
        Metrics { listen: listen.filter(|_| s.flag("metrics.enabled")), public: s.flag("metrics.public") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for good in ["*", "https://app.example.org", "http://localhost:3000", "http://[::1]:8080", "HTTPS://a.example"]
        {
            assert!(is_origin(good), "{good}");
        }
        for bad in ["", "app.example.org", "https://", "https://a.example/", "ftp://a", "https://a,b", "null"] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
