//! By which name the server is called.
//!
//! Where nobody has to log in, a page on the web could have its own name point to this host, and would then be of the
//! same origin as the API. Such a page calls the server by the page's name, which is none of the server's.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Refusal;

/// The names of this server.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
    /// Whether other names are refused.
    strict: bool,
}

/// The host and the port that a request calls, as it writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Called(pub(crate) String);

impl Hosts {
    /// Where people log in, every name is as good as another.
    pub(crate) fn new(allowed: &[String], guarded: bool) -> Hosts {
        let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let names = allowed.iter().map(|name| name.to_ascii_lowercase()).chain([own, "localhost".to_owned()]);
        Hosts { names: names.filter(|name| !name.is_empty()).collect(), strict: !guarded }
    }

    /// Nobody else can make an address be theirs.
    fn knows(&self, called: &str) -> bool {
        let host = host_of(called).to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        !self.strict
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || host.ends_with(".localhost")
            || self.names.iter().any(|name| name == host)
    }
}

/// `localhost` of `localhost:8080`.
fn host_of(called: &str) -> &str {
    match called.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => called,
    }
}

/// Finds out by which name the server is called, and refuses what is none of its own.
pub(crate) async fn check(hosts: Arc<Hosts>, mut request: Request, next: Next) -> Response {
    let called = match called(&request) {
        Ok(called) => called,
        Err(refusal) => return refusal.into_response(),
    };
    if !hosts.knows(&called.0) {
        let detail = format!("`{}` is none of this server's names", called.0.escape_debug());
        let hint = Some("if it should be one, add it to `server.allowed_hosts`".to_owned());
        return Refusal::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", detail, hint).into_response();
    }
    request.extensions_mut().insert(called);
    next.run(request).await
}

fn called(request: &Request) -> Result<Called, Refusal> {
    let wrong = |detail| Refusal::new(StatusCode::BAD_REQUEST, "invalid_host", detail, None);
    let mut given = request.headers().get_all(header::HOST).iter();
    let header = given.next().map(|value| value.to_str()).transpose();
    let header = header.map_err(|_| wrong("the header `Host` is no text"))?;
    if given.next().is_some() {
        return Err(wrong("there are several headers `Host`"));
    }
    let target = request.uri().authority().map(|authority| authority.as_str());
    match (target, header) {
        (Some(target), Some(header)) if !target.eq_ignore_ascii_case(header) => {
            Err(wrong("the request names two hosts"))
        }
        (Some(called), _) | (None, Some(called)) => Ok(Called(called.to_owned())),
        (None, None) if request.version() < Version::HTTP_11 => Ok(Called("localhost".to_owned())),
        (None, None) => Err(wrong("the header `Host` is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_server_and_others() {
        let hosts = Hosts::new(&["piton.example.org".to_owned()], false);
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:80",
            "x.localhost",
            "127.0.0.1:1",
            "[::1]:8080",
            "[::1]",
            "10.1.2.3",
            "Piton.example.org:443",
        ] {
            assert!(hosts.knows(good), "{good}");
        }
        for bad in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", ":80"]
        {
            assert!(!hosts.knows(bad), "{bad}");
        }
        assert!(Hosts::new(&[], true).knows("any.example"));
    }
}
