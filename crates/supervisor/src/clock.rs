//! When something happens: one answer to decide by, one to show.

use std::time::Duration;

use jiff::Timestamp;
use piton_process::identity::since_boot;

use crate::real_time;

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// How long ago the machine was booted. Nobody sets it, and another process of the same boot counts alike.
    pub(crate) moment: Duration,
    /// What the wall clock shows; nothing is decided by it.
    pub(crate) at: Timestamp,
}

impl Now {
    /// By the machine's clocks.
    pub(crate) fn read() -> Now {
        Now { moment: since_boot(), at: real_time::now() }
    }

    /// What the wall clock shows at this moment, unless it is set before.
    pub(crate) fn shows_at(&self, moment: Duration) -> Timestamp {
        let ahead = moment.saturating_sub(self.moment);
        self.at.checked_add(ahead).unwrap_or(Timestamp::MAX)
    }
}
