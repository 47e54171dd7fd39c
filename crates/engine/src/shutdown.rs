//! Ending in stages: triggers, claims, runs.

use tokio_util::sync::CancellationToken;

use crate::Engine;

/// What becomes of the runs that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// They go on without the daemon, and the next one takes them back.
    Detach,
    /// The daemon waits until they have ended or wait for a person.
    Drain,
}

#[derive(Debug, Default)]
pub(crate) struct Stages {
    /// No new work is accepted and none is begun.
    pub(crate) closing: CancellationToken,
    /// Runs that are under way are let go.
    pub(crate) detach: CancellationToken,
    /// The loops that runs under way need end too.
    pub(crate) over: CancellationToken,
}

impl Engine {
    /// Ends all loops. Safe to call again, to go from draining to detaching.
    pub async fn shutdown(&self, how: Shutdown) {
        let shared = &self.0;
        shared.stages.closing.cancel();
        if how == Shutdown::Detach {
            shared.stages.detach.cancel();
        }
        // All slots are free when no run is driven any more.
        let all = u32::try_from(shared.config.max_concurrent_runs).unwrap_or(u32::MAX);
        let _drained = shared.slots.acquire_many(all).await;
        shared.stages.over.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
    }

    /// Whether the engine still accepts work.
    pub fn accepting(&self) -> bool {
        !self.0.stages.closing.is_cancelled()
    }
}
