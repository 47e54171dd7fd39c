//! A wall clock that leaps ahead is not believed at once by what removes things for good.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Clock, after};

/// How far the wall clock may run ahead of the time that goes by between two looks, on a host that may sleep meanwhile.
const LEAP: Duration = Duration::from_secs(3600);

/// For how long a wall clock that leapt must be left alone before it is believed.
const PROBATION: Duration = Duration::from_secs(24 * 3600);

/// Looks at the wall clock from time to time.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    /// What the wall clock showed at the last look, and how long after the boot that was.
    seen: Option<(Timestamp, Duration)>,
    /// The wall clock leapt, and is believed again so long after the boot.
    believed: Option<Duration>,
}

impl Doubt {
    /// Looks at the wall clock: whether it is right, as far as can be seen.
    pub(crate) fn believes(&mut self, clock: &Clock) -> bool {
        let (now, up) = (clock.now(), clock.since_boot());
        if let Some((then, before)) = self.seen.replace((now, up)) {
            let gone = up.saturating_sub(before);
            if now > after(then, gone.saturating_add(LEAP)) {
                tracing::warn!(%then, %now, "the wall clock leapt ahead: no old runs are removed for a day");
                self.believed = Some(up.saturating_add(PROBATION));
            }
        }
        self.believed.is_none_or(|from| up >= from)
    }
}
