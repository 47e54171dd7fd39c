//! Moments that do not move when the wall clock is set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a host had been up since which boot: what the age of something is measured by where the wall clock may have
/// been set meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    boot: String,
    millis: u64,
}

impl Uptime {
    /// So long after the boot that the kernel calls `boot`.
    pub fn new(boot: impl Into<String>, up: Duration) -> Uptime {
        Uptime { boot: boot.into(), millis: u64::try_from(up.as_millis()).unwrap_or(u64::MAX) }
    }

    /// So much later, in the same boot.
    pub fn after(&self, span: Duration) -> Uptime {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Uptime { boot: self.boot.clone(), millis: self.millis.saturating_add(span) }
    }

    /// How much later this is than `earlier`. Nothing is known where that was another boot, or was not earlier at all.
    pub fn since(&self, earlier: &Uptime) -> Option<Duration> {
        (self.boot == earlier.boot).then(|| self.millis.checked_sub(earlier.millis))?.map(Duration::from_millis)
    }
}
