//! Ids that ascend although many are made in the same moment.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::RunId;

/// So much of an id tells less than a millisecond: with the milliseconds it is what orders ids.
const FINE: u32 = 12;
/// A clock that is set back by less than that is not followed: what is made later sorts later.
const SET_BACK: u64 = 10_000 << FINE;

/// Makes ids, each greater than the one before it unless the clock is set back by ten seconds or more.
///
/// What is made one after the other then stands side by side in every index, however many are made at once. The rest of
/// an id is random: two processes never make the same one.
#[derive(Debug, Default)]
pub struct Ascending(AtomicU64);

impl Ascending {
    /// The first of these ids is of the moment in which it is made.
    pub const fn new() -> Ascending {
        Ascending(AtomicU64::new(0))
    }

    /// An id of this moment from ten random bytes.
    pub fn next(&self, at: Timestamp, random: [u8; 10]) -> RunId {
        let (Ok(last) | Err(last)) =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(place_after(last, at)));
        let place = place_after(last, at);
        let millis = i64::try_from(place >> FINE).unwrap_or(i64::MAX);
        // Twelve bits; what stands above them gives way to the version.
        let [.., high, low] = place.to_be_bytes();
        let mut bytes = random;
        (bytes[0], bytes[1]) = (high, low);
        RunId::new(Timestamp::from_millisecond(millis).unwrap_or(at), bytes)
    }
}

/// Where an id of this moment stands: in 4,096ths of a millisecond, and after the last one. Pure.
fn place_after(last: u64, at: Timestamp) -> u64 {
    let micros = u64::try_from(at.as_microsecond()).unwrap_or(0);
    let now = ((micros / 1_000) << FINE) + (((micros % 1_000) << FINE) / 1_000);
    if (now..now + SET_BACK).contains(&last) { last + 1 } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(1_764_500_000_000_000 + micros).unwrap()
    }

    #[test]
    fn ids_of_one_moment_and_of_later_ones_ascend() {
        let ids = Ascending::default();
        let times = std::iter::repeat_n(0, 10_000).chain([1, 2, 2, 999, 1_000, 5_000, -300_000, 5_001]);
        let made: Vec<RunId> = times.map(|micros| ids.next(at(micros), [0xff; 10])).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn an_id_tells_its_moment_and_is_random_otherwise() {
        let of = |micros, random| Ascending::default().next(at(micros), [random; 10]).to_string();
        assert_eq!(of(1_500, 0), "019ad465-4d01-7800-8000-000000000000");
        assert_eq!(of(1_500, 0xff), "019ad465-4d01-7800-bfff-ffffffffffff");
    }

    #[test]
    fn a_clock_that_was_set_back_by_much_is_followed() {
        let ids = Ascending::default();
        let late = ids.next(at(60_000_000), [0; 10]);
        assert!(ids.next(at(0), [0; 10]) < late);
    }
}
