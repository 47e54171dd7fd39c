//! Where a push goes.

use std::path::PathBuf;

use piton_model::with_lower_scheme;
use reqwest::Url;

use crate::error::Error;
use crate::web::is_loopback;

/// A repository's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remote {
    Http(Url),
    Ssh(SshRemote),
    /// A directory on this machine.
    File(PathBuf),
}

/// A repository behind SSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshRemote {
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As the server's shell is given it.
    pub(crate) path: String,
}

/// What else may be an address, beside HTTPS and SSH.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowed {
    pub(crate) http: bool,
    pub(crate) file: bool,
}

/// Reads the address of a web site: no password, no query, and nothing in clear beyond this machine unless allowed.
pub(crate) fn parse_web(text: &str, allowed: Allowed) -> Result<Url, Error> {
    let refused = |problem: &str| Error::Address { address: shown(text), problem: problem.to_owned() };
    let url = Url::parse(text.trim()).map_err(|error| refused(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("credentials do not belong in an address, which ends up in logs"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("it has a query or a fragment"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allowed.http || is_loopback(&url) => Ok(url),
        "http" => Err(refused("credentials would travel in clear; use https, or set `git.allow_http`")),
        _ => Err(refused("it must begin with https://")),
    }
}

impl Remote {
    pub(crate) fn parse(text: &str, allowed: Allowed) -> Result<Remote, Error> {
        let refused = |problem: &str| Error::Address { address: shown(text), problem: problem.to_owned() };
        if text.contains(char::is_control) || text.starts_with('-') {
            return Err(refused("it begins with `-` or contains a control character"));
        }
        let spelt = with_lower_scheme(text, "://");
        let text: &str = &spelt;
        if let Some(path) = text.strip_prefix("file://") {
            if !allowed.file {
                return Err(refused("repositories on this disk are not allowed"));
            }
            if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(refused("write file:///PATH, without `..`"));
            }
            return Ok(Remote::File(PathBuf::from(path)));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return parse_web(text, allowed).map(Remote::Http);
        }
        let ssh = match text.strip_prefix("ssh://") {
            Some(rest) => SshRemote::of_url(rest),
            None if text.contains("://") || text.contains("::") => None,
            None => SshRemote::of_scp(text),
        };
        ssh.map(Remote::Ssh).ok_or_else(|| refused("write https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH"))
    }
}

impl SshRemote {
    /// `[USER@]HOST[:PORT]/PATH`
    fn of_url(rest: &str) -> Option<SshRemote> {
        let (authority, path) = rest.split_once('/')?;
        let (user, place) = authority.rsplit_once('@').unwrap_or(("git", authority));
        let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = port.map_or(Some(22), |port| port.parse().ok())?;
        SshRemote::checked(user, host, port, format!("/{path}"))
    }

    /// `[USER@]HOST:PATH`
    fn of_scp(text: &str) -> Option<SshRemote> {
        let (place, path) = text.split_once(':')?;
        let (user, host) = place.rsplit_once('@').unwrap_or(("git", place));
        SshRemote::checked(user, host, 22, path.to_owned())
    }

    fn checked(user: &str, host: &str, port: u16, path: String) -> Option<SshRemote> {
        let is_word = |text: &str, more: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|char| char.is_ascii_alphanumeric() || more.contains(char))
        };
        let is_good = is_word(user, "._-") && is_word(host, ".-:") && port != 0;
        let path_is_good = path.len() > 1 && !path.starts_with('-') && path.split('/').all(|part| part != "..");
        (is_good && path_is_good).then(|| SshRemote { user: user.to_owned(), host: host.to_owned(), port, path })
    }
}

/// Without what may be a password.
fn shown(text: &str) -> String {
    let text: String = text.escape_debug().take(200).collect();
    match text.split_once("://").map(|(scheme, rest)| (scheme, rest.rsplit_once('@'))) {
        Some((scheme, Some((_, rest)))) => format!("{scheme}://***@{rest}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Allowed = Allowed { http: true, file: true };

    #[test]
    fn addresses_are_read() {
        let ssh = |user: &str, host: &str, port, path: &str| {
            Remote::Ssh(SshRemote { user: user.to_owned(), host: host.to_owned(), port, path: path.to_owned() })
        };
        for (text, remote) in [
            ("git@git.example.org:a/b.git", ssh("git", "git.example.org", 22, "a/b.git")),
            ("git.example.org:a/b.git", ssh("git", "git.example.org", 22, "a/b.git")),
            ("ssh://me@git.example.org:2222/a/b.git", ssh("me", "git.example.org", 2222, "/a/b.git")),
            ("SSH://me@git.example.org:2222/a/b.git", ssh("me", "git.example.org", 2222, "/a/b.git")),
            ("FILE:///srv/git/a.git", Remote::File("/srv/git/a.git".into())),
            ("ssh://git.example.org/a", ssh("git", "git.example.org", 22, "/a")),
            ("ssh://git@[::1]:22/a", ssh("git", "::1", 22, "/a")),
            ("file:///srv/git/a.git", Remote::File("/srv/git/a.git".into())),
        ] {
            assert_eq!(Remote::parse(text, ALL).unwrap(), remote, "{text}");
        }
        for web in ["http://127.0.0.1:8080/a.git", "HTTP://127.0.0.1:8080/a.git"] {
            assert!(matches!(Remote::parse(web, Allowed::default()), Ok(Remote::Http(_))), "{web}");
        }
    }

    #[test]
    fn dangerous_addresses_are_refused() {
        for bad in [
            "ext::sh -c touch% /tmp/x",
            "ssh://-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "git@-x:y",
            "git@host:-y",
            "git@host:../y",
            "gopher://host/x",
            "https://user:hunter2@host/x",
            "https://host/x?y",
            "file://host/x",
            "file:///srv/../etc",
            "host",
            "",
            "ssh://host",
            "ssh://ho st/x",
            "git@host:a\nb",
        ] {
            let error = Remote::parse(bad, ALL).unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{bad}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        for bad in ["http://git.example.org/a", "HTTP://git.example.org/a", "file:///srv/a", "FILE:///srv/a"] {
            assert!(Remote::parse(bad, Allowed::default()).is_err(), "{bad}");
        }
    }
}
