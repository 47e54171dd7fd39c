//! When the memory is given back that was needed to start or end many children at once. Pure.

use std::time::{Duration, Instant};

/// So many starts and ends are a burst.
const MANY: u32 = 200;
/// It is over once nothing was started and nothing ended for so long.
const QUIET: Duration = Duration::from_secs(2);

/// Starts and ends since something was last given back.
#[derive(Debug, Default)]
pub(super) struct Bustle {
    count: u32,
    over_at: Option<Instant>,
}

impl Bustle {
    /// So many children were started, or have ended.
    pub(super) fn note(&mut self, count: usize, now: Instant) {
        self.count = self.count.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if self.count >= MANY {
            self.over_at = Some(now + QUIET);
        }
    }

    /// When it may be over.
    pub(super) fn due(&self) -> Option<Instant> {
        self.over_at
    }

    /// Whether it is over. Once for each.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let is_over = self.over_at.is_some_and(|over_at| over_at <= now);
        if is_over {
            *self = Self::default();
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_once_when_all_has_been_quiet_for_a_while() {
        let begin = Instant::now();
        let mut bustle = Bustle::default();
        bustle.note(MANY as usize - 1, begin);
        assert!(bustle.due().is_none() && !bustle.is_over(begin + 10 * QUIET), "that is not many");
        bustle.note(1, begin);
        bustle.note(1, begin + QUIET / 2);
        assert!(!bustle.is_over(begin + QUIET), "it went on");
        let due = bustle.due().unwrap();
        assert!(due == begin + QUIET + QUIET / 2 && bustle.is_over(due));
        assert!(bustle.due().is_none() && !bustle.is_over(due));
        bustle.note(usize::MAX, due);
        assert!(bustle.is_over(due + QUIET));
    }
}
