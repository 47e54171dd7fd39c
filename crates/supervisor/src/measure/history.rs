//! The latest measurements of every instance.

use std::collections::{HashMap, VecDeque};

use crate::Usage;

/// A ring of measurements for each instance.
#[derive(Debug)]
pub struct History {
    limit: usize,
    rings: HashMap<String, VecDeque<Usage>>,
}

impl History {
    /// With so many measurements of each instance.
    pub fn new(limit: usize) -> History {
        History { limit, rings: HashMap::new() }
    }

    /// Adds a measurement in place of the oldest.
    pub fn push(&mut self, instance: &str, usage: Usage) {
        if self.limit == 0 {
            return;
        }
        if !self.rings.contains_key(instance) {
            self.rings.insert(instance.to_owned(), VecDeque::new());
        }
        if let Some(ring) = self.rings.get_mut(instance) {
            while ring.len() >= self.limit {
                ring.pop_front();
            }
            ring.push_back(usage);
        }
    }

    /// All measurements of an instance, the oldest first.
    pub fn of(&self, instance: &str) -> Vec<Usage> {
        self.rings.get(instance).map(|ring| ring.iter().copied().collect()).unwrap_or_default()
    }

    /// The latest one.
    pub fn latest(&self, instance: &str) -> Option<Usage> {
        self.rings.get(instance)?.back().copied()
    }

    /// Forgets all instances but these.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.rings.retain(|instance, _| keep(instance));
    }
}

/// What several instances use together, as of the latest of these measurements; none of none.
///
/// What is unknown of one is left out of the sum, and unknown if it is unknown of all.
pub fn sum<'a>(usages: impl IntoIterator<Item = &'a Usage>) -> Option<Usage> {
    let plus = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (one, other) => one.or(other),
    };
    usages.into_iter().copied().reduce(|a, b| Usage {
        at: a.at.max(b.at),
        cpu_percent: a.cpu_percent + b.cpu_percent,
        rss: a.rss.saturating_add(b.rss),
        vms: a.vms.saturating_add(b.vms),
        swap: a.swap.saturating_add(b.swap),
        threads: a.threads.saturating_add(b.threads),
        fds: match (a.fds, b.fds) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (one, other) => one.or(other),
        },
        read_bytes: plus(a.read_bytes, b.read_bytes),
        written_bytes: plus(a.written_bytes, b.written_bytes),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn usage(second: i64) -> Usage {
        let at = Timestamp::from_second(second).unwrap();
        Usage { at, cpu_percent: 50.0, rss: 10, threads: 2, fds: Some(3), ..Usage::default() }
    }

    #[test]
    fn keeps_the_latest_and_no_more() {
        let mut history = History::new(3);
        for second in 0..10 {
            history.push("a", usage(second));
        }
        history.push("b", usage(1));
        let seconds: Vec<i64> = history.of("a").iter().map(|usage| usage.at.as_second()).collect();
        assert_eq!(seconds, [7, 8, 9]);
        assert_eq!(history.latest("a"), Some(usage(9)));
        history.retain(|instance| instance == "b");
        assert_eq!((history.of("a").len(), history.of("b").len()), (0, 1));
        let mut none = History::new(0);
        none.push("a", usage(1));
        assert_eq!(none.latest("a"), None);
    }

    #[test]
    fn what_is_unknown_of_one_is_left_out() {
        let unknown = Usage { fds: None, read_bytes: Some(7), ..usage(5) };
        let both = sum([&usage(1), &unknown]).unwrap();
        assert_eq!((both.at.as_second(), both.rss, both.threads, both.fds), (5, 20, 4, Some(3)));
        assert!((both.cpu_percent - 100.0).abs() < f64::EPSILON);
        assert_eq!((both.read_bytes, both.written_bytes), (Some(7), None));
        assert_eq!(sum([]), None);
    }
}
