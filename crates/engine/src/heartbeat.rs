//! A sign of life, for who restarts a daemon that hangs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Called by the loop that decides about schedules, which is the one that must never hang: as long as it is called,
/// what is due is noticed.
#[derive(Clone)]
pub struct Heartbeat {
    /// It is called at least so often.
    pub every: Duration,
    beat: Arc<dyn Fn() + Send + Sync>,
}

impl Heartbeat {
    /// Calls `beat` at least `every` so often. It must not block.
    pub fn new(every: Duration, beat: impl Fn() + Send + Sync + 'static) -> Heartbeat {
        Heartbeat { every, beat: Arc::new(beat) }
    }

    pub(crate) fn beat(&self) {
        (self.beat)();
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("every", &self.every).finish_non_exhaustive()
    }
}
