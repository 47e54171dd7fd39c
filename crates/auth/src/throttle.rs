//! How often somebody may guess.

use std::collections::HashMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

/// What is remembered: names, and addresses from which somebody tried.
const CAPACITY: usize = 10_000;
/// Quiet for so long, and a failure is forgotten.
const FORGET: SignedDuration = SignedDuration::from_mins(15);

/// How many failures are free, and the longest that is waited after more of them.
type Limit = (u32, SignedDuration);
/// One address guesses the password of one name.
const OF_PAIRS: Limit = (8, SignedDuration::from_mins(5));
/// Many addresses guess the password of one name. Its owner has to live with the wait, so it is a short one.
const OF_NAMES: Limit = (100, SignedDuration::from_mins(1));
/// One address tries many names. People may share it: an office, a network of a provider.
const OF_ADDRESSES: Limit = (20, SignedDuration::from_mins(15));
/// The address of this host is that of everybody behind a proxy on it.
const OF_LOOPBACK: Limit = (100, SignedDuration::from_secs(30));

/// Nobody is heard under that name or from that address for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Until then.
    pub until: Timestamp,
    /// Whether this is the first try that is refused since the last one that was heard.
    pub news: bool,
}

/// Counts failed tries. Each one that is heard counts as failed until it is known to have succeeded, so that many at
/// once are not heard more often than one after another.
#[derive(Debug, Default)]
pub struct Throttle {
    failures: HashMap<Who, Failures>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Pair(String, Option<IpAddr>),
    Name(String),
    Address(IpAddr),
}

impl Who {
    fn limit(&self) -> Limit {
        match self {
            Who::Pair(..) => OF_PAIRS,
            Who::Name(_) => OF_NAMES,
            Who::Address(address) if address.is_loopback() => OF_LOOPBACK,
            Who::Address(_) => OF_ADDRESSES,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
    told: bool,
}

impl Throttle {
    /// Begins a try under a name, whether or not there is anybody of that name.
    pub fn begin(&mut self, name: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), Refused> {
        let all = keys(name, address);
        let mut blocked: Option<Refused> = None;
        for who in &all {
            let Some(found) = self.failures.get_mut(who).filter(|found| !is_over(found, now)) else { continue };
            let until = found.last.saturating_add(delay(who, found.count)).unwrap_or(found.last);
            if until > now {
                let news = !std::mem::replace(&mut found.told, true);
                let later = blocked.map_or(until, |blocked| blocked.until.max(until));
                blocked = Some(Refused { until: later, news: news || blocked.is_some_and(|blocked| blocked.news) });
            }
        }
        if let Some(blocked) = blocked {
            return Err(blocked);
        }
        for who in all {
            self.make_room(&who, now);
            let found = self.failures.entry(who).or_insert(Failures { count: 0, last: now, told: false });
            if is_over(found, now) {
                found.count = 0;
            }
            *found = Failures { count: found.count.saturating_add(1), last: now, told: false };
        }
        Ok(())
    }

    /// The try succeeded: nobody guesses that name from there. The address has only one failure less, so that somebody
    /// with an account of their own does not get more tries at those of others by it; and so has the name, which others
    /// may be guessing from elsewhere.
    pub fn succeeded(&mut self, name: &str, address: Option<IpAddr>) {
        for who in keys(name, address) {
            match &who {
                Who::Pair(..) => {
                    self.failures.remove(&who);
                }
                Who::Name(_) | Who::Address(_) => self.take_back(&who),
            }
        }
    }

    /// Whether the try would have succeeded was never found out.
    pub fn undecided(&mut self, name: &str, address: Option<IpAddr>) {
        for who in keys(name, address) {
            self.take_back(&who);
        }
    }

    fn take_back(&mut self, who: &Who) {
        let Some(found) = self.failures.get_mut(who) else { return };
        found.count = found.count.saturating_sub(1);
        if found.count == 0 {
            self.failures.remove(who);
        }
    }

    /// Forgets what is over, and if need be those who failed least.
    fn make_room(&mut self, who: &Who, now: Timestamp) {
        if self.failures.len() < CAPACITY || self.failures.contains_key(who) {
            return;
        }
        self.failures.retain(|_, found| !is_over(found, now));
        if self.failures.len() >= CAPACITY {
            // A quarter at once, so that whoever fills this up pays for it and nobody else.
            let mut all: Vec<(u32, Timestamp, Who)> =
                self.failures.iter().map(|(who, found)| (found.count, found.last, who.clone())).collect();
            all.sort_unstable_by_key(|(count, last, _)| (*count, *last));
            for (_, _, who) in all.iter().take(CAPACITY / 4) {
                self.failures.remove(who);
            }
        }
    }
}

fn keys(name: &str, address: Option<IpAddr>) -> Vec<Who> {
    // Whoever has an IPv6 network has 2^64 addresses.
    let network = |address: IpAddr| match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        other => other,
    };
    let name: String = name.to_lowercase().chars().take(64).collect();
    let address = address.map(network);
    let pair = Who::Pair(name.clone(), address);
    [pair, Who::Name(name)].into_iter().chain(address.map(Who::Address)).collect()
}

fn is_over(found: &Failures, now: Timestamp) -> bool {
    found.last.saturating_add(FORGET).is_ok_and(|end| end <= now)
}

/// How long nobody is heard after the last of so many failures: doubled by each.
fn delay(who: &Who, count: u32) -> SignedDuration {
    let (free, longest) = who.limit();
    if count < free {
        return SignedDuration::ZERO;
    }
    SignedDuration::from_secs(1_i64 << (count - free).min(20)).min(longest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_guesser_is_stopped_by_the_tenth_try_and_slower_with_each() {
        let mut throttle = Throttle::default();
        let heard = (0..100).filter(|n| throttle.begin("anna", HERE, at(*n)).is_ok()).count();
        assert_eq!(heard, 8);
        let refused = throttle.begin("Anna", HERE, at(100)).unwrap_err();
        assert_eq!((refused.until, refused.news), (at(1007), false), "however it is capitalised");
        assert_eq!(throttle.begin("bert", HERE, at(100)), Ok(()), "others at the same address are heard");

        let mut now = refused.until;
        for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            throttle.begin("anna", HERE, now).unwrap_or_else(|refused| panic!("{refused:?} at {now}"));
            let refused = throttle.begin("anna", HERE, now).unwrap_err();
            assert_eq!(refused.until.duration_since(now), SignedDuration::from_secs(seconds));
            assert!(refused.news && !throttle.begin("anna", HERE, now).unwrap_err().news, "it is told once");
            now = refused.until;
        }
        now = now.saturating_add(FORGET).unwrap();
        let heard = (0..100).filter(|_| throttle.begin("anna", HERE, now).is_ok()).count();
        assert_eq!(heard, 8, "a quiet quarter of an hour forgets all");
    }

    #[test]
    fn whoever_guesses_a_name_does_not_lock_its_owner_out() {
        let mut throttle = Throttle::default();
        assert!((0..100).any(|n| throttle.begin("anna", HERE, at(n)).is_err()));
        let elsewhere = |n: u16| Some(IpAddr::from([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]));
        assert_eq!(throttle.begin("anna", elsewhere(1), at(100)), Ok(()));
        throttle.succeeded("anna", elsewhere(1));
        assert!(throttle.begin("anna", HERE, at(101)).is_err(), "the guesser still waits");
        let heard = (0..1000).filter(|n| throttle.begin("anna", elsewhere(*n), at(200)).is_ok()).count();
        assert_eq!(heard, 92, "guessing from everywhere is guessing too");
        let refused = throttle.begin("anna", elsewhere(2000), at(200)).unwrap_err();
        assert!(refused.until <= at(200 + 60_000));
    }

    #[test]
    fn people_behind_a_proxy_on_this_host_are_not_one_guesser() {
        let proxy: [IpAddr; 2] = [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
        for proxy in proxy {
            let mut throttle = Throttle::default();
            let heard = (0..500).filter(|n| throttle.begin(&format!("u{n}"), Some(proxy), at(0)).is_ok()).count();
            assert_eq!(heard, 100);
        }
    }

    #[test]
    fn trying_many_names_is_guessing_too() {
        let mut throttle = Throttle::default();
        let heard = (0..100).filter(|n| throttle.begin(&format!("user{n}"), HERE, at(*n)).is_ok()).count();
        assert_eq!(heard, 20);
        assert_eq!(throttle.begin("user0", None, at(100)), Ok(()), "from elsewhere they are heard");
        let neighbour: Vec<Option<IpAddr>> = (0..100).map(|n| format!("2001:db8::{n}").parse().ok()).collect();
        let heard = (0..100).filter(|n| throttle.begin(&format!("u{n}"), neighbour[*n], at(0)).is_ok()).count();
        assert_eq!(heard, 20, "a network of IPv6 is one address");
    }

    #[test]
    fn success_clears_the_name_and_not_the_address() {
        let mut throttle = Throttle::default();
        for round in 0..7 {
            throttle.begin("anna", HERE, at(round)).unwrap();
        }
        throttle.succeeded("anna", HERE);
        assert_eq!(throttle.begin("anna", HERE, at(8)), Ok(()));
        throttle.succeeded("anna", HERE);
        // Six failures are on record for the address; a login of one's own between guesses adds none.
        let mut heard = 0;
        for round in 0..100 {
            throttle.begin("mallory", HERE, at(100 + round)).map(|()| throttle.succeeded("mallory", HERE)).ok();
            heard += usize::from(throttle.begin(&format!("victim{round}"), HERE, at(100 + round)).is_ok());
        }
        assert_eq!(heard, 14);
        let mut throttle = Throttle::default();
        for round in 0..100 {
            throttle.begin("anna", HERE, at(round)).unwrap();
            throttle.undecided("anna", HERE);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_guessed_name_is_not_crowded_out() {
        let mut throttle = Throttle::default();
        for n in 0..8 {
            throttle.begin("anna", None, at(n)).unwrap();
        }
        for n in 0..30_000 {
            let _ = throttle.begin(&format!("x{n}"), None, at(9));
        }
        assert!(throttle.failures.len() <= CAPACITY);
        assert!(throttle.begin("anna", None, at(10)).is_err());
    }

    proptest! {
        #[test]
        fn no_order_of_tries_gets_more_than_the_free_ones_and_one_for_each_wait(
            steps in proptest::collection::vec((0_i64..5_000, any::<bool>()), 1..200),
        ) {
            let mut throttle = Throttle::default();
            let (mut now, mut heard, mut waits) = (0, 0_u32, 0_u32);
            let mut until = None;
            for (pause, _) in steps {
                now += pause;
                if until.is_some_and(|until| at(now) >= until) {
                    waits += 1;
                    until = None;
                }
                match throttle.begin("anna", HERE, at(now)) {
                    Ok(()) => heard += 1,
                    Err(refused) => until = Some(refused.until),
                }
            }
            // A try that comes only after the wait is over has waited as well.
            let slow = u32::try_from(now / 1_000).unwrap_or(0);
            prop_assert!(heard <= OF_PAIRS.0 + waits + slow, "{heard} {waits} {slow}");
        }
    }
}
