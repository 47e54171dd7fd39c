//! The latest measurements of every instance.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use crate::Usage;

/// A ring of measurements for each instance.
#[derive(Debug)]
pub struct History {
    limit: usize,
    rings: HashMap<String, VecDeque<Sample>>,
}

/// Room is made for so many more at once: rings that double would be half empty for most of their life.
const MORE: usize = 10;

/// [`Usage`] in a little more than half of its memory: it is what most of the memory is for that a process takes.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at_us: i64,
    rss: u64,
    vms: u64,
    /// The largest number where it is not known.
    read_bytes: u64,
    /// The same.
    written_bytes: u64,
    cpu_percent: f32,
    pid: u32,
    swap_kib: u32,
    threads: u32,
    /// The largest number where it is not known.
    fds: u32,
}

impl From<Usage> for Sample {
    #[expect(clippy::cast_possible_truncation, reason = "a share of the processor has few digits that mean anything")]
    fn from(usage: Usage) -> Sample {
        Sample {
            at_us: usage.at.as_microsecond(),
            rss: usage.rss,
            vms: usage.vms,
            read_bytes: usage.read_bytes.unwrap_or(u64::MAX),
            written_bytes: usage.written_bytes.unwrap_or(u64::MAX),
            cpu_percent: usage.cpu_percent as f32,
            pid: usage.pid,
            swap_kib: u32::try_from(usage.swap / 1024).unwrap_or(u32::MAX),
            threads: usage.threads,
            fds: usage.fds.unwrap_or(u32::MAX),
        }
    }
}

impl From<Sample> for Usage {
    fn from(sample: Sample) -> Usage {
        let known = |number: u64| (number != u64::MAX).then_some(number);
        Usage {
            at: Timestamp::from_microsecond(sample.at_us).unwrap_or_default(),
            pid: sample.pid,
            cpu_percent: f64::from(sample.cpu_percent),
            rss: sample.rss,
            vms: sample.vms,
            swap: u64::from(sample.swap_kib) * 1024,
            threads: sample.threads,
            fds: (sample.fds != u32::MAX).then_some(sample.fds),
            read_bytes: known(sample.read_bytes),
            written_bytes: known(sample.written_bytes),
        }
    }
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
            if ring.len() == ring.capacity() {
                ring.reserve_exact(MORE.min(self.limit - ring.len()));
            }
            ring.push_back(usage.into());
        }
    }

    /// All measurements of an instance, the oldest first.
    pub fn of(&self, instance: &str) -> Vec<Usage> {
        self.rings.get(instance).map(|ring| ring.iter().copied().map(Usage::from).collect()).unwrap_or_default()
    }

    /// The latest one.
    pub fn latest(&self, instance: &str) -> Option<Usage> {
        self.rings.get(instance)?.back().copied().map(Usage::from)
    }

    /// The latest one of this process, not of one that was the instance before.
    pub fn latest_of(&self, instance: &str, pid: u32) -> Option<Usage> {
        self.latest(instance).filter(|usage| usage.pid == pid)
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
        pid: 0,
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
        let all =
            Usage { swap: 4096, read_bytes: Some(7), written_bytes: Some(0), vms: 1 << 40, fds: None, ..usage(10) };
        history.push("a", all);
        assert_eq!(history.latest("a"), Some(all));
        let mut none = History::new(0);
        none.push("a", usage(1));
        assert_eq!(none.latest("a"), None);
    }

    #[test]
    fn what_a_process_used_is_not_its_successors() {
        let mut history = History::new(3);
        history.push("a", Usage { pid: 10, ..usage(1) });
        assert_eq!(history.latest_of("a", 10).map(|usage| usage.pid), Some(10));
        assert_eq!(history.latest_of("a", 11), None);
        history.push("a", Usage { pid: 11, ..usage(2) });
        assert_eq!(history.latest_of("a", 11).map(|usage| usage.at.as_second()), Some(2));
        assert_eq!(history.of("a").iter().map(|usage| usage.pid).collect::<Vec<_>>(), [10, 11]);
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
