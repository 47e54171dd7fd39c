//! Sets of the numbers of tasks, written `0-2,5`.

use std::fmt;

/// A set of indexes, kept as intervals. There may be many indexes, and they mostly lie side by side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes {
    /// First and last of each, in order; between two of them lies at least one index that is not in the set.
    intervals: Vec<(u32, u32)>,
}

impl Indexes {
    /// Reads a text such as `0-2,5`, without the indexes that a job of so many completions does not have. Of a text that
    /// is not one of these, what stands before the mistake counts.
    pub fn parse(text: &str, completions: u32) -> Indexes {
        let mut indexes = Indexes::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Some(first), Some(last)) = (number(first), number(last)) else { break };
            if let Some(highest) = completions.checked_sub(1).filter(|highest| first <= *highest) {
                indexes.insert_all(first, last.min(highest));
            }
        }
        indexes
    }

    /// Adds one index.
    pub fn insert(&mut self, index: u32) {
        self.insert_all(index, index);
    }

    /// Adds all from `first` to `last`; none if they are in the wrong order.
    pub fn insert_all(&mut self, first: u32, last: u32) {
        if first > last {
            return;
        }
        // Those that touch the new one become part of it.
        let from = self.intervals.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.intervals.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let joined = self.intervals.get(from..to).unwrap_or_default();
        let first = joined.first().map_or(first, |(start, _)| first.min(*start));
        let last = joined.last().map_or(last, |(_, end)| last.max(*end));
        self.intervals.splice(from..to.max(from), [(first, last)]);
    }

    /// Whether this index is in the set.
    pub fn contains(&self, index: u32) -> bool {
        let at = self.intervals.partition_point(|(_, last)| *last < index);
        self.intervals.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.intervals.iter().map(|(first, last)| u64::from(*last) - u64::from(*first) + 1).sum()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// First and last of each interval, in order.
    pub fn intervals(&self) -> &[(u32, u32)] {
        &self.intervals
    }

    /// How many are in both sets.
    pub fn shared_with(&self, other: &Indexes) -> u64 {
        let within = |(first, last): &(u32, u32)| {
            let from = other.intervals.partition_point(|(_, end)| end < first);
            let touching = other.intervals.iter().skip(from).take_while(|(start, _)| start <= last);
            touching.map(|(start, end)| u64::from(*end.min(last)) - u64::from(*start.max(first)) + 1).sum::<u64>()
        };
        self.intervals.iter().map(within).sum()
    }

    /// Those that are below `completions` and not in the set, the lowest first.
    pub fn missing(&self, completions: u32) -> impl Iterator<Item = u32> + '_ {
        let starts = std::iter::once(0).chain(self.intervals.iter().map(|(_, last)| last.saturating_add(1)));
        let ends = self.intervals.iter().map(|(first, _)| *first).chain(std::iter::once(completions));
        starts.zip(ends).flat_map(move |(start, end)| start..end.min(completions))
    }
}

/// A number without a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl FromIterator<u32> for Indexes {
    fn from_iter<I: IntoIterator<Item = u32>>(indexes: I) -> Indexes {
        let mut set = Indexes::default();
        for index in indexes {
            set.insert(index);
        }
        set
    }
}

impl fmt::Display for Indexes {
    /// `0-2,5`; two that lie side by side are written `4,5`, as Kubernetes does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.intervals.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}
