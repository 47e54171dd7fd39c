//! Where a repository is: a URL, `user@host:path`, or a path.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use piton_model::with_lower_scheme;

use super::Error;
use crate::guard::Guard;

/// The address of a repository, checked to be nothing but that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    scheme: Scheme,
    /// Everything before the last `@` of the authority.
    user: Option<String>,
    host: Option<(String, u16)>,
}

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTPS.
    Https,
    /// HTTP in clear.
    Http,
    /// SSH, as a URL or as `user@host:path`.
    Ssh,
    /// A path of this host, or a `file:` URL.
    File,
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Address, Error> {
        Address::parse(text, "only https, http, ssh and file are allowed")
    }
}

impl Address {
    /// The address of a repository that is reached over the network: what somebody elsewhere may name.
    pub fn over_network(text: &str) -> Result<Address, Error> {
        let address = Address::parse(text, "only https, http and ssh are allowed")?;
        if address.host.is_some() {
            return Ok(address);
        }
        let problem = "this is a path on the daemon's host; name a repository that is reached over https, http or ssh";
        Err(Error::Address { address: shown(text), problem: problem.to_owned() })
    }

    /// `schemes` says which there are.
    fn parse(text: &str, schemes: &str) -> Result<Address, Error> {
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
        // `git` would look for a helper of the name `HTTPS`.
        let text = with_lower_scheme(text, "://").into_owned();
        let (scheme, authority, port) = match text.split_once("://") {
            Some((scheme, rest)) => {
                let (scheme, port) = match scheme {
                    "https" => (Scheme::Https, 443),
                    "http" => (Scheme::Http, 80),
                    "ssh" => (Scheme::Ssh, 22),
                    "file" => return Ok(Address { text, scheme: Scheme::File, user: None, host: None }),
                    _ => return refuse(schemes),
                };
                (scheme, rest.split(['/', '?', '#']).next().unwrap_or_default(), port)
            }
            // As git sees it: a colon before the first slash makes it `host:path`.
            None => match text.split_once(':') {
                Some((authority, _)) if !authority.contains('/') => (Scheme::Ssh, authority, 22),
                _ => return Ok(Address { text, scheme: Scheme::File, user: None, host: None }),
            },
        };
        let (user, rest) = match authority.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, authority),
        };
        let Some((name, port)) = host_and_port(rest, port) else { return refuse("it names no host") };
        if name.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
            return refuse("its host starts with `-`");
        }
        // Programs differ about other characters: `%2e`, `\\` and wide digits have all led to other hosts than was
        // thought.
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) && !is_ipv6(&name) {
            return refuse("its host is neither a name nor an address; names in other scripts are written as `xn--…`");
        }
        if let Err(blocked) = Guard::default().check_host(&name) {
            return refuse(&blocked.to_string());
        }
        let user = user.map(str::to_owned);
        Ok(Address { text, scheme, user, host: Some((name, port)) })
    }

    /// The address as `git` takes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How it is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, for what is reached over the network.
    pub fn host(&self) -> Option<&str> {
        self.host.as_ref().map(|(name, _)| name.as_str())
    }

    /// The port, for what is reached over the network.
    pub(super) fn port(&self) -> Option<u16> {
        self.host.as_ref().map(|(_, port)| *port)
    }

    /// Host and port as they are written in it, without a user.
    pub(super) fn authority(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
    }

    /// Whether the address itself says who asks: anybody in a web address, a password in any.
    pub fn holds_credentials(&self) -> bool {
        match (self.scheme, &self.user) {
            (Scheme::Https | Scheme::Http, user) => user.is_some(),
            (Scheme::Ssh | Scheme::File, user) => user.as_ref().is_some_and(|user| user.contains(':')),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.text))
    }
}

fn shown(text: &str) -> String {
    masked(&text.escape_debug().to_string())
}

/// An address without the password or the token that a URL may carry. What is no address stays as it is.
pub fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = match user.split_once(':') {
                Some((user, _)) => format!("{user}:***"),
                // A token is often given as the user.
                None if with_lower_scheme(text, "://").starts_with("http") => "***".to_owned(),
                None => user.to_owned(),
            };
            format!("{scheme}://{user}@{host}{path}")
        }
        None => text.to_owned(),
    }
}

fn host_and_port(host: &str, default: u16) -> Option<(String, u16)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            let port = match rest.strip_prefix(':') {
                None if !rest.is_empty() => return None,
                port => port,
            };
            (name, port)
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let port = match port {
        None | Some("") => default,
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
    };
    (!name.is_empty()).then(|| (name.to_owned(), port))
}

fn is_ipv6(name: &str) -> bool {
    name.parse::<Ipv6Addr>().is_ok()
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
            "ssh://-x@host/y",
            "https://host%2e/x",
            "https://host\\@169.254.169.254/x",
            "https://１６９.254.169.254/x",
            "https://2852039166/x",
            "http://[::1]x/y",
            "http://host:0/x",
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
    fn a_scheme_may_be_written_in_capitals() {
        for (text, spelt, scheme) in [
            ("HTTPS://github.com/Org/x", "https://github.com/Org/x", Scheme::Https),
            ("Http://10.0.0.5/x", "http://10.0.0.5/x", Scheme::Http),
            ("SSH://git@host/x", "ssh://git@host/x", Scheme::Ssh),
            ("FILE:///srv/git/x", "file:///srv/git/x", Scheme::File),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.as_str(), address.scheme()), (spelt, scheme), "{text}");
        }
        assert!("HTTP://169.254.169.254/latest".parse::<Address>().is_err());
        assert_eq!(masked("HTTPS://t0ken@host/x"), "HTTPS://***@host/x");
    }

    #[test]
    fn only_what_is_allowed_there_is_named() {
        let told = |found: Result<Address, Error>| found.unwrap_err().to_string();
        assert!(told("ftp://h/x".parse()).ends_with("only https, http, ssh and file are allowed"));
        assert!(told(Address::over_network("ftp://h/x")).ends_with("only https, http and ssh are allowed"));
        for path in ["file:///srv/x", "FILE:///srv/x", "/srv/x", "./x", "x"] {
            assert!(path.parse::<Address>().is_ok(), "{path}");
            let told = told(Address::over_network(path));
            assert!(told.ends_with("name a repository that is reached over https, http or ssh"), "{told}");
        }
        for remote in ["https://h/x", "ssh://git@h/x", "git@h:x.git"] {
            assert_eq!(Address::over_network(remote).unwrap(), remote.parse::<Address>().unwrap());
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let show = |text: &str| text.parse::<Address>().unwrap().to_string();
        assert_eq!(show("https://user:hunter2@host/x"), "https://user:***@host/x");
        assert_eq!(show("https://ghp_token@host/x"), "https://***@host/x");
        assert_eq!(show("ssh://git@host/x"), "ssh://git@host/x");
        assert_eq!(masked("http://token:hunter2@host"), "http://token:***@host");
        for plain in ["", "https://host/a@b", "git@host:x.git", "/srv/it's \"here\""] {
            assert_eq!(masked(plain), plain);
        }
    }
}
