//! Addresses that are never asked: link-local ones, and those where clouds hand out credentials.
//!
//! A mirror's address comes from configuration and its redirects from the network. Neither has any business there, and
//! a name that resolves to one of them is how such services are reached by stealth.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services outside the link-local ranges: Alibaba Cloud's, and Amazon's over IPv6.
const METADATA: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254))];

/// The address written in `url`, if it is written as one.
pub(crate) fn literal(url: &Url) -> Option<IpAddr> {
    // IPv6 hosts are written in brackets.
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether nothing may be fetched from here.
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    link_local || METADATA.contains(&address)
}

/// Somebody tried.
#[derive(Debug)]
pub(crate) struct Forbidden(pub(crate) IpAddr);

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is a link-local or metadata address", self.0)
    }
}

impl std::error::Error for Forbidden {}

/// The system's resolver, less the forbidden answers. It guards the connection itself, so a name cannot resolve to one
/// thing when it is checked and to another when it is used.
#[derive(Debug)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(permitted(found)?.into_iter()) as Addrs)
        })
    }
}

fn permitted(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
    let (forbidden, permitted): (Vec<_>, Vec<_>) = found.partition(|address| is_forbidden(address.ip()));
    match forbidden.first() {
        Some(address) if permitted.is_empty() => Err(Forbidden(address.ip())),
        _ => Ok(permitted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbids_what_is_never_a_mirror() {
        for address in ["169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "::ffff:169.254.169.254"] {
            assert!(is_forbidden(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "140.82.121.3", "::1", "fd00::1", "2606:50c0::1"] {
            assert!(!is_forbidden(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_name_is_as_good_as_its_best_address() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = addresses(&["169.254.169.254:0", "10.0.0.1:0"]);
        assert_eq!(permitted(mixed.into_iter()).unwrap(), addresses(&["10.0.0.1:0"]));
        assert!(permitted(addresses(&["169.254.169.254:0"]).into_iter()).is_err());
        assert!(permitted(std::iter::empty()).unwrap().is_empty());
    }
}
