//! Where a server is, as somebody wrote it.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::Scheme;

/// The path of the API where an address has none.
const USUAL_BASE: &str = "/api";

/// The address of a server's API, in one spelling: `http://host:8080/api`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    secure: bool,
    host: String,
    port: u16,
    base: String,
}

/// Why a text is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadServerUrl {
    /// It is no address at all.
    #[error("'{0}' is not the address of a server; it is written http://HOST:PORT or https://HOST")]
    Malformed(String),
    /// Its port is a number that no port has.
    #[error("'{0}' is not the address of a server: port must be 1-65535")]
    Port(String),
    /// It holds a name or a password, which addresses must not: they are kept in histories and logs.
    #[error("the address of a server holds no name and no password")]
    Credentials,
    /// It goes on behind the path.
    #[error("the address of a server ends with its path, without a query")]
    Query,
}

impl ServerUrl {
    /// Reads an address; without a path it means the API below `/api`.
    pub fn parse(text: &str) -> Result<ServerUrl, BadServerUrl> {
        let text = text.trim();
        // Said before the text is repeated in a message.
        if text.contains('@') {
            return Err(BadServerUrl::Credentials);
        }
        if text.contains(['?', '#']) {
            return Err(BadServerUrl::Query);
        }
        let malformed = || BadServerUrl::Malformed(text.escape_debug().to_string());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(malformed()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(malformed)?.to_ascii_lowercase();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // A port that is no number is read as none.
        let port = match authority.strip_prefix(uri.host().unwrap_or_default()).unwrap_or_default() {
            "" => {
                if secure {
                    443
                } else {
                    80
                }
            }
            rest => uri.port_u16().filter(|port| *port != 0).ok_or_else(|| match rest.strip_prefix(':') {
                Some(port) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                    BadServerUrl::Port(text.escape_debug().to_string())
                }
                _ => malformed(),
            })?,
        };
        let base = match uri.path().trim_end_matches('/') {
            "" => USUAL_BASE,
            path if path.contains("//") || path.split('/').any(|part| matches!(part, "." | "..")) => {
                return Err(malformed());
            }
            path => path,
        };
        Ok(ServerUrl { secure, host, port, base: base.to_owned() })
    }

    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Its name or address, as it is resolved and as its certificate must name it.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of the API: `/api`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The path above the API, where deployments are: empty, unless a proxy puts something in front of both.
    pub fn root(&self) -> &str {
        self.base.rsplit_once('/').map_or("", |(root, _)| root)
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => format!("{scheme}://{}", self.host),
            (_, port) => format!("{scheme}://{}:{port}", self.host),
        }
    }

    /// Whether what is sent there stays on this host.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_spelling() {
        for (text, spelled, root) in [
            ("http://localhost:8080/api", "http://localhost:8080/api", ""),
            ("http://localhost:8080", "http://localhost:8080/api", ""),
            (" HTTP://LocalHost:8080/ ", "http://localhost:8080/api", ""),
            ("https://piton.example.org", "https://piton.example.org/api", ""),
            ("https://piton.example.org:443/api/", "https://piton.example.org/api", ""),
            ("http://piton.example.org:80", "http://piton.example.org/api", ""),
            ("https://example.org/tools/piton/v1/", "https://example.org/tools/piton/v1", "/tools/piton"),
            ("http://[::1]:8080/api", "http://[::1]:8080/api", ""),
            ("http://10.0.0.7:9000/API", "http://10.0.0.7:9000/API", ""),
        ] {
            let url = ServerUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.to_string().as_str(), url.root()), (spelled, root), "{text}");
            assert_eq!(ServerUrl::parse(spelled).unwrap(), url, "{text}");
        }
    }

    #[test]
    fn other_servers_are_other_servers() {
        let url = |text| ServerUrl::parse(text).unwrap();
        let here = url("http://localhost:8080/api");
        for other in [
            "https://localhost:8080/api",
            "http://localhost:8081/api",
            "http://127.0.0.1:8080/api",
            "http://localhost.example.org:8080/api",
            "http://localhost:8080/other",
        ] {
            assert_ne!(url(other), here, "{other}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_what_is_secret_not_repeated() {
        for text in [
            "",
            "localhost",
            "localhost:8080",
            "/api",
            "ftp://x",
            "unix:///x",
            "http://",
            "http://x:y",
            "http://x:",
            "http://a b",
            "http://x/../y",
            "http://x//y",
        ] {
            let error = ServerUrl::parse(text).unwrap_err();
            assert!(matches!(error, BadServerUrl::Malformed(_)), "{text}: {error:?}");
        }
        for text in ["http://x:0", "http://x:65536", "https://[::1]:99999/api"] {
            let error = ServerUrl::parse(text).unwrap_err();
            assert_eq!(error, BadServerUrl::Port(text.to_owned()));
            assert!(error.to_string().contains("port must be 1-65535"), "{error}");
        }
        for text in ["http://ada:hush@x", "ada:hush@x"] {
            let error = ServerUrl::parse(text).unwrap_err();
            assert_eq!(error, BadServerUrl::Credentials);
            assert!(!error.to_string().contains("hush"));
        }
        assert_eq!(ServerUrl::parse("http://x/api?token=1").unwrap_err(), BadServerUrl::Query);
        assert_eq!(ServerUrl::parse("http://x/api#y").unwrap_err(), BadServerUrl::Query);
    }

    #[test]
    fn loopback_is_this_host() {
        for (text, here) in [
            ("http://localhost", true),
            ("http://127.1.2.3", true),
            ("http://[::1]", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.org", false),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap().is_loopback(), here, "{text}");
        }
    }
}
