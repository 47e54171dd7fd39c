//! Where a repository is: a URL, `user@host:path`, or a path.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Error;

/// The address of a repository, checked to be nothing but that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    host: Option<(String, u16)>,
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Address, Error> {
        let refuse = |problem: &str| Err(Error::Address { address: shown(text), problem: problem.to_owned() });
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.starts_with('-') {
            return refuse("it starts with `-`, which `git` would take for an option");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() && c != ' ') {
            return refuse("it contains a line break or another control character");
        }
        // `helper::address` runs the program `git-remote-helper`.
        if text.split(['/', '@']).next().is_some_and(|head| head.contains("::")) {
            return refuse("remote helpers (`name::…`) are not allowed");
        }
        let host = match text.split_once("://") {
            Some((scheme, rest)) => {
                let port = match scheme {
                    "https" => 443,
                    "http" => 80,
                    "ssh" => 22,
                    "file" => return Ok(Address { text: text.to_owned(), host: None }),
                    _ => return refuse("only https, http, ssh and file are allowed"),
                };
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                match host_and_port(authority, port) {
                    Some(found) => Some(found),
                    None => return refuse("it names no host"),
                }
            }
            // As git sees it: a colon before the first slash makes it `host:path`.
            None => match text.split_once(':') {
                Some((authority, _)) if !authority.contains('/') => match host_and_port(authority, 22) {
                    Some(found) => Some(found),
                    None => return refuse("it names no host"),
                },
                _ => None,
            },
        };
        if let Some((name, _)) = &host {
            if name.starts_with('-') {
                return refuse("its host starts with `-`");
            }
            let literal = name.parse().ok().is_some_and(is_forbidden);
            if literal || name.eq_ignore_ascii_case("metadata.google.internal") {
                return refuse("link-local and metadata addresses are never contacted");
            }
        }
        Ok(Address { text: text.to_owned(), host })
    }
}

impl Address {
    /// The address as `git` takes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Refuses hosts whose name leads to a forbidden address. Names that do not resolve are left to `git` to report.
    pub(super) async fn check_reachable(&self) -> Result<(), Error> {
        let Some((host, port)) = &self.host else { return Ok(()) };
        let Ok(mut found) = tokio::net::lookup_host((host.as_str(), *port)).await else { return Ok(()) };
        match found.find(|address| is_forbidden(address.ip())) {
            None => Ok(()),
            Some(address) => Err(Error::Address {
                address: shown(&self.text),
                problem: format!("its host is {}: link-local and metadata addresses are never contacted", address.ip()),
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.text))
    }
}

/// The address without the password that a URL may carry.
fn shown(text: &str) -> String {
    let text = text.escape_debug().to_string();
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = match user.split_once(':') {
                Some((user, _)) => format!("{user}:***"),
                // A token is often given as the user.
                None if scheme.starts_with("http") => "***".to_owned(),
                None => user.to_owned(),
            };
            format!("{scheme}://{user}@{host}{path}")
        }
        None => text,
    }
}

fn host_and_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            (name, port.strip_prefix(':'))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let port = match port {
        None | Some("") => default,
        Some(port) => port.parse().ok()?,
    };
    (!name.is_empty()).then(|| (name.to_owned(), port))
}

fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => forbidden_v4(ip),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || ip.to_ipv4_mapped().is_some_and(forbidden_v4)
        }
    }
}

fn forbidden_v4(ip: Ipv4Addr) -> bool {
    ip.is_link_local() || ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "-u./x",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c touch% /tmp/x",
            "fd::17",
            "git://host/x",
            "ssh://-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "https://",
            "https://host\n/x",
            "ftp://host/x",
            "http://169.254.169.254/latest",
            "https://[fe80::1]/x",
            "https://[::ffff:169.254.169.254]/x",
            "https://metadata.google.internal/x",
            "http://0.0.0.0/x",
            "user@169.254.1.1:x",
            "ext::x@y:z",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} was accepted");
        }
        for good in [
            "https://github.com/org/templates",
            "https://host:8443/x.git",
            "ssh://git@host/x",
            "git@host:org/x.git",
            "/srv/git/x",
            "./x",
            "../a b/x",
            "file:///srv/git/x",
            "http://10.0.0.5/x",
            "https://[2001:db8::1]:8443/x",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let show = |text: &str| text.parse::<Address>().unwrap().to_string();
        assert_eq!(show("https://user:hunter2@host/x"), "https://user:***@host/x");
        assert_eq!(show("https://ghp_token@host/x"), "https://***@host/x");
        assert_eq!(show("ssh://git@host/x"), "ssh://git@host/x");
    }
}
