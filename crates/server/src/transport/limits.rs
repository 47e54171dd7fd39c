//! How many connections may be open, and for how long they may do nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What connections are held to.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a client may take to send the head of a request.
    pub head: Duration,
    /// How long a connection may be open without a request.
    pub idle: Duration,
    /// How long a client may take nothing of what is sent.
    pub write: Duration,
    /// How long requests that are under way may go on once the server ends.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            connections_per_address: 6_000,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// The connections that are open. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    limits: Arc<Limits>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection that counts, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    address: Option<IpAddr>,
    taken: Arc<Mutex<Taken>>,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many connections in all.
    Everywhere,
    /// Too many from this address.
    Address,
}

impl Seats {
    pub(super) fn new(limits: Arc<Limits>) -> Seats {
        Seats { limits, taken: Arc::default() }
    }

    /// A seat for a connection from `address`; connections of the unix socket have none.
    pub(super) fn take(&self, address: Option<IpAddr>) -> Result<Seat, Full> {
        // To whoever has one, 2^64 addresses of IPv6 are as cheap as one.
        let address = address.map(network);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.limits.connections {
            return Err(Full::Everywhere);
        }
        if let Some(address) = address {
            let count = taken.by_address.entry(address).or_default();
            if *count >= self.limits.connections_per_address {
                return Err(Full::Address);
            }
            *count += 1;
        }
        taken.all += 1;
        Ok(Seat { address, taken: self.taken.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

/// What counts as one place that requests come from: an address of IPv4, or a /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(connections: usize, connections_per_address: usize) -> Seats {
        Seats::new(Arc::new(Limits { connections, connections_per_address, ..Limits::default() }))
    }

    #[test]
    fn seats_are_counted_and_given_back() {
        let seats = seats(3, 2);
        let one = Some("10.0.0.1".parse().unwrap());
        let same = Some("::ffff:10.0.0.1".parse().unwrap());
        let first = seats.take(one).unwrap();
        let second = seats.take(same).unwrap();
        assert_eq!(seats.take(one).unwrap_err(), Full::Address);
        let third = seats.take(None).unwrap();
        assert_eq!(seats.take(None).unwrap_err(), Full::Everywhere);
        drop((first, third));
        let again = seats.take(one).unwrap();
        drop((second, again));
        assert_eq!(seats.taken.lock().unwrap().by_address.len(), 0, "nothing is remembered of those who left");
        assert_eq!(seats.taken.lock().unwrap().all, 0);
    }

    #[test]
    fn neighbours_in_a_network_of_ipv6_are_one() {
        let seats = seats(9, 1);
        let _seat = seats.take(Some("2001:db8::1".parse().unwrap())).unwrap();
        assert_eq!(seats.take(Some("2001:db8::2".parse().unwrap())).unwrap_err(), Full::Address);
        assert!(seats.take(Some("2001:db8:0:1::1".parse().unwrap())).is_ok());
    }
}
