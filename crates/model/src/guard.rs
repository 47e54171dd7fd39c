//! Which addresses outgoing connections may reach: never link-local ones and those where clouds hand out credentials,
//! and none that the installation blocks. Resolving names is left to whoever connects.
//!
//! Private networks and loopback are fine unasked: internal git servers and registries are normal.

mod network;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub use network::{InvalidNetwork, Network};

/// Services outside the link-local ranges that hand out credentials: Alibaba Cloud's and Oracle Cloud's over IPv4,
/// Amazon's and Google's over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
];

/// Names that only ever lead there.
const METADATA_NAMES: [&str; 3] = ["metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];

/// Decides which addresses may be connected to. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    blocked: Arc<[Network]>,
}

/// An address that must not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// It is link-local, or hands out credentials, or is no host at all.
    #[error("{0}: link-local and metadata addresses are never contacted")]
    Always(String),
    /// The installation does not want it.
    #[error("{address} is in {network}, which `security.blocked_networks` blocks")]
    Network {
        /// The address.
        address: IpAddr,
        /// The network that holds it.
        network: Network,
    },
}

impl Guard {
    /// Blocks these networks beside what is always blocked.
    pub fn new(blocked: impl IntoIterator<Item = Network>) -> Guard {
        Guard { blocked: blocked.into_iter().collect() }
    }

    /// Whether `address` may be connected to.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        for address in std::iter::once(address.to_canonical()).chain(embedded(address).map(IpAddr::V4)) {
            if is_never_a_host(address) || METADATA.contains(&address) {
                return Err(Blocked::Always(address.to_string()));
            }
            if let Some(network) = self.blocked.iter().find(|network| network.contains(address)) {
                return Err(Blocked::Network { address, network: *network });
            }
        }
        Ok(())
    }

    /// Whether `host`, as a URL names it, may be connected to as far as its text tells. What a name resolves to is
    /// [checked](Guard::permitted) when it was resolved.
    pub fn check_host(&self, host: &str) -> Result<(), Blocked> {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if METADATA_NAMES.contains(&name.as_str()) {
            return Err(Blocked::Always(name));
        }
        match literal(&name) {
            Some(address) => self.check(address),
            None => Ok(()),
        }
    }

    /// Those of `found`, which a name resolved to, that may be connected to. To be safe from a name that changes what it
    /// means, connect to one of these and not to the name. An error where all of them are forbidden.
    pub fn permitted(&self, found: impl IntoIterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Blocked> {
        let mut refused = None;
        let mut permitted = Vec::new();
        for address in found {
            match self.check(address.ip()) {
                Ok(()) => permitted.push(address),
                Err(blocked) => refused = Some(blocked),
            }
        }
        match refused {
            Some(blocked) if permitted.is_empty() => Err(blocked),
            _ => Ok(permitted),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix())
    }
}

fn is_never_a_host(address: IpAddr) -> bool {
    match address {
        // `0.0.0.0` is this very host for Linux, and the rest of its network is nobody.
        IpAddr::V4(ip) => ip.is_link_local() || ip.octets()[0] == 0 || ip.is_broadcast() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast(),
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, behind a translator or a 6to4 gateway.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = address else { return None };
    let s = ip.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(pair(high, low))
        }
        _ => None,
    }
}

/// The address that is written in the host of a URL, in any of the forms that programs take: `[::1]`, `127.0.0.1`,
/// `127.1`, `0x7f.1`, `017700000001`, `2130706433`.
pub fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    // A zone only says through which interface.
    let bare = bare.split('%').next().unwrap_or(bare);
    if let Ok(ip) = bare.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(ip));
    }
    old_style(bare.trim_end_matches('.')).map(IpAddr::V4)
}

/// As `inet_aton` reads it: one to four numbers, the last of which fills what is left.
fn old_style(text: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|number| *number > 255) {
        return None;
    }
    let room = 8 * (4 - u32::try_from(first.len()).ok()?);
    if *last >= 1 << room {
        return None;
    }
    let high = first.iter().enumerate().fold(0, |sum, (at, number)| sum | number << (24 - 8 * at));
    u32::try_from(high | last).ok().map(Ipv4Addr::from)
}

fn number(text: &str) -> Option<u64> {
    let digits = |text: &str, radix| {
        if text.starts_with('+') { None } else { u64::from_str_radix(text, radix).ok() }
    };
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some("") => Some(0),
        Some(hex) => digits(hex, 16),
        None if text.len() > 1 && text.starts_with('0') => digits(text, 8),
        None => digits(text, 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_blocked_in_every_spelling() {
        let guard = Guard::default();
        for host in [
            "169.254.169.254",
            "169.254.169.254.",
            "2852039166",
            "0xa9fea9fe",
            "0xA9.0xFE.0xA9.0xFE",
            "0251.0376.0251.0376",
            "025177524776",
            "169.254.43518",
            "169.16689662",
            "[::ffff:169.254.169.254]",
            "::ffff:a9fe:a9fe",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fe80::1]",
            "[fe80::1%eth0]",
            "[fe80::1%25eth0]",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
            "100.100.100.200",
            "192.0.0.192",
            "0.0.0.0",
            "0",
            "0x0",
            "0.1.2.3",
            "[::]",
            "[::ffff:0.0.0.0]",
            "255.255.255.255",
            "224.0.0.1",
            "[ff02::1]",
            "Metadata.Google.Internal",
            "metadata.google.internal.",
        ] {
            assert!(guard.check_host(host).is_err(), "{host}");
        }
        for host in [
            "127.0.0.1",
            "127.1",
            "localhost",
            "[::1]",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "[fd00::1]",
            "git.example.org",
            "140.82.121.3",
            "[2606:50c0::1]",
            "1.2.3.4.example.org",
            "169.254.169.254.example.org",
            "256.1.1.1",
            "1.2.3.4.5",
        ] {
            assert_eq!(guard.check_host(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn more_is_blocked_by_configuration() {
        let guard = Guard::new(["10.0.0.0/8", "fd00::/8", "127.0.0.1"].map(|text| text.parse().unwrap()));
        for host in ["10.1.2.3", "167772161", "[::ffff:10.0.0.1]", "[64:ff9b::10.0.0.1]", "[fd12::1]", "127.1"] {
            assert!(matches!(guard.check_host(host), Err(Blocked::Network { .. })), "{host}");
        }
        for host in ["11.0.0.1", "127.0.0.2", "[fe00::1]", "192.168.0.1"] {
            assert_eq!(guard.check_host(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_name_is_as_good_as_its_best_address() {
        let guard = Guard::default();
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = addresses(&["169.254.169.254:1", "10.0.0.1:1"]);
        assert_eq!(guard.permitted(mixed).unwrap(), addresses(&["10.0.0.1:1"]));
        assert!(matches!(guard.permitted(addresses(&["169.254.1.1:1"])), Err(Blocked::Always(_))));
        assert_eq!(guard.permitted(Vec::new()), Ok(Vec::new()));
    }
}
