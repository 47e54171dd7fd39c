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

/// Why a text is no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoListen {
    /// It is not written like one.
    Form,
    /// Its port is a number that no port has.
    Port,
}

impl Listen {
    /// Reads an address. A host name other than `localhost` is none: which address it means may change.
    pub fn parse(text: &str) -> Option<Listen> {
        Listen::read(text).ok()
    }

    /// The same, or what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Listen, NoListen> {
        let (host, port) = text.trim().rsplit_once(':').ok_or(NoListen::Form)?;
        let address = match host {
            "" | "*" => None,
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host => match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                Some(host) => Some(IpAddr::V6(host.parse::<Ipv6Addr>().map_err(|_| NoListen::Form)?)),
                None => Some(IpAddr::V4(host.parse::<Ipv4Addr>().map_err(|_| NoListen::Form)?)),
            },
        };
        let digits = port.strip_prefix('-').unwrap_or(port);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().map_err(|_| if is_number { NoListen::Port } else { NoListen::Form })?;
        Ok(Listen { address, port })
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

    #[test]
    fn what_is_wrong_with_a_port_is_told() {
        for (bad, why) in [
            (":99999", NoListen::Port),
            ("127.0.0.1:65536", NoListen::Port),
            ("[::1]:-1", NoListen::Port),
            (":http", NoListen::Form),
            (":", NoListen::Form),
            ("host.example:99999", NoListen::Form),
            ("99999", NoListen::Form),
        ] {
            assert_eq!(Listen::read(bad), Err(why), "{bad}");
        }
        assert_eq!(Listen::read(":65535").map(|listen| listen.port), Ok(65535));
    }
}
