//! Addresses to listen on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address to listen on: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, or `:8080` for every address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address; none for every address of the host.
    pub address: Option<IpAddr>,
    /// The port; 0 lets the system choose one.
    pub port: u16,
}

impl Listen {
    /// Reads an address. A host name other than `localhost` is none: which address it means may change.
    pub fn parse(text: &str) -> Option<Listen> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let port = port.parse().ok()?;
        let address = match host {
            "" | "*" => None,
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host => match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                Some(host) => Some(IpAddr::V6(host.parse::<Ipv6Addr>().ok()?)),
                None => Some(IpAddr::V4(host.parse::<Ipv4Addr>().ok()?)),
            },
        };
        Some(Listen { address, port })
    }

    /// Whether only this host can reach it.
    pub fn is_loopback(&self) -> bool {
        self.address.is_some_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => write!(f, ":{}", self.port),
            Some(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_rest() {
        for (text, loopback) in [
            ("127.0.0.1:8080", true),
            ("localhost:1", true),
            ("[::1]:80", true),
            ("127.9.9.9:80", true),
            (":8080", false),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.0.0.1:80", false),
        ] {
            let listen = Listen::parse(text).unwrap();
            assert_eq!(listen.is_loopback(), loopback, "{text}");
            assert_eq!(Listen::parse(&listen.to_string()), Some(listen));
        }
        for bad in ["", "8080", "host.example:80", ":", ":99999", "::1:80", "[127.0.0.1]:80"] {
            assert_eq!(Listen::parse(bad), None, "{bad}");
        }
    }
}
