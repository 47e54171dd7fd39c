//! Which addresses may be contacted.
//!
//! Link-local addresses and those where clouds hand out credentials never are; a deployment adds networks of its own.
//! What counts is the address that is connected to, not what a name meant when it was looked at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Outside the link-local ranges: Alibaba Cloud's and Oracle Cloud's over IPv4, Amazon's and Google's over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
];

type Forbids = dyn Fn(IpAddr) -> Option<String> + Send + Sync;

/// Decides which addresses may be connected to. Clones share the rule.
#[derive(Clone)]
pub struct Reach {
    more: Arc<Forbids>,
}

impl Default for Reach {
    fn default() -> Reach {
        Reach::except(|_| None)
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reach")
    }
}

/// Why an address is not contacted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Forbidden(pub(crate) String);

impl Reach {
    /// Forbids, beside what is always forbidden, the addresses for which this gives a reason.
    pub fn except(forbids: impl Fn(IpAddr) -> Option<String> + Send + Sync + 'static) -> Reach {
        Reach { more: Arc::new(forbids) }
    }

    pub(crate) fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        for address in std::iter::once(address.to_canonical()).chain(embedded(address)) {
            if is_never_a_host(address) || METADATA.contains(&address) {
                return Err(Forbidden(format!("{address} is a link-local or metadata address")));
            }
            if let Some(reason) = (self.more)(address) {
                return Err(Forbidden(reason));
            }
        }
        Ok(())
    }

    /// Checks an address that is written in a URL, in whatever spelling: the parser of URLs knows them all. Such a one
    /// is never resolved.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), Forbidden> {
        let literal =
            url.host_str().and_then(|host| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok());
        literal.map_or(Ok(()), |address| self.check(address))
    }

    /// The addresses of `host` that may be connected to; whoever is given none was told why.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
        let found: Vec<SocketAddr> =
            tokio::net::lookup_host((host, port)).await.map_err(Unresolved::Unknown)?.collect();
        let mut refused = None;
        let mut permitted = Vec::with_capacity(found.len());
        for address in found {
            match self.check(address.ip()) {
                Ok(()) => permitted.push(address),
                Err(forbidden) => refused = Some(forbidden),
            }
        }
        match refused {
            Some(forbidden) if permitted.is_empty() => Err(Unresolved::Forbidden(forbidden)),
            _ if permitted.is_empty() => {
                Err(Unresolved::Unknown(std::io::Error::new(std::io::ErrorKind::NotFound, "it has no address")))
            }
            _ => Ok(permitted),
        }
    }
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unresolved {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the name cannot be resolved: {0}")]
    Unknown(#[source] std::io::Error),
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let found = Reach::resolve(&reach, name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn is_never_a_host(address: IpAddr) -> bool {
    match address {
        // `0.0.0.0` is this very host for Linux, and the rest of its network is nobody.
        IpAddr::V4(ip) => ip.is_link_local() || ip.octets()[0] == 0 || ip.is_broadcast() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast(),
    }
}

/// The IPv4 address that an IPv6 address stands for, behind a translator or a gateway.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(ip) = address else { return None };
    let (high, low) = match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_forbidden_in_every_spelling() {
        let reach = Reach::default();
        for host in [
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "169.254.43518",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "0.0.0.0",
            "0",
            "[::]",
            "224.0.0.1",
        ] {
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            assert!(reach.check_url(&url).is_err(), "{host}");
        }
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "git.example.org", "140.82.121.3", "[fd00::1]"] {
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(reach.check_url(&url), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_deployment_forbids_more() {
        let reach = Reach::except(|ip| match ip {
            IpAddr::V4(ip) if ip.octets()[0] == 10 => Some(format!("{ip} is blocked")),
            _ => None,
        });
        for host in ["10.1.2.3", "[::ffff:10.0.0.1]", "[64:ff9b::10.0.0.1]"] {
            assert!(reach.check_url(&Url::parse(&format!("https://{host}")).unwrap()).is_err(), "{host}");
        }
        assert_eq!(reach.check("11.0.0.1".parse().unwrap()), Ok(()));
    }
}
