//! Ending in stages: triggers, claims, runs.

use std::time::Duration;

use piton_model::{Run, RunState};
use piton_store::grown;
use tokio_util::sync::CancellationToken;

use crate::clock::after;
use crate::drive::is_at_rest;
use crate::triggers::Events;
use crate::{Engine, Error};

/// What becomes of the runs that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// They go on without the daemon, and the next one takes them back. Calls of scheduled provisions cannot: those that
    /// have begun come to their end, for `call_grace` at most.
    Detach,
    /// The daemon waits until they have ended, are suspended or wait for a person.
    Drain,
}

#[derive(Debug, Default)]
pub(crate) struct Stages {
    /// No new work is accepted and none is begun.
    pub(crate) closing: CancellationToken,
    /// Runs that are under way are let go, but for calls that have begun.
    pub(crate) detach: CancellationToken,
    /// Those too.
    pub(crate) end_calls: CancellationToken,
    /// The loops that runs under way need end too.
    pub(crate) over: CancellationToken,
}

/// How long a detached run waits for its daemon to come back.
const RESTART: Duration = Duration::from_secs(600);

impl Engine {
    /// Ends all loops. Safe to call again, to go from draining to detaching.
    pub async fn shutdown(&self, how: Shutdown) {
        let shared = &self.0;
        shared.stages.closing.cancel();
        if how == Shutdown::Detach {
            shared.stages.detach.cancel();
        }
        // One after the other: a claim that is being committed must still be driven, and a run that is driven needs
        // its lease renewed.
        shared.beginning.close();
        shared.beginning.wait().await;
        shared.drives.close();
        shared.drives.wait().await;
        shared.stages.over.cancel();
        shared.serving.close();
        shared.serving.wait().await;
        self.hold_on().await;
    }

    /// Waits for no call any more.
    pub fn end_calls(&self) {
        self.0.stages.end_calls.cancel();
    }

    /// What goes on without the daemon is this worker's for a while longer: a restart, an upgrade or a reboot is no
    /// reason for another node to give it up as lost.
    async fn hold_on(&self) {
        let shared = &self.0;
        let now = shared.clock.now();
        if let Err(error) = shared.store.renew(&shared.config.worker, after(now, RESTART), now).await {
            tracing::warn!(%error, "leases could not be extended; another node may give runs up before the next start");
        }
    }

    /// Waits until nothing that goes on by itself is under way or due here, and what follows from it is done too.
    pub async fn finish_work(&self) -> Result<(), Error> {
        let shared = &self.0;
        let mut changes = shared.store.changes();
        loop {
            let seen = *changes.borrow_and_update();
            while Events::new(self).handle().await? {}
            let now = shared.clock.now();
            let mine = |run: &Run| match &run.state {
                RunState::Pending { due, .. } => *due <= now,
                RunState::Running { lease, .. } => lease.worker == shared.config.worker && !is_at_rest(&run.report),
                RunState::Gated { .. } | RunState::Ended { .. } => false,
            };
            if !shared.store.live().await?.iter().any(mine) {
                return Ok(());
            }
            let backstop = after(now, shared.config.check_interval);
            tokio::select! {
                () = grown(&mut changes, seen) => {}
                () = shared.clock.sleep_until(backstop) => {}
            }
        }
    }

    /// Whether the engine still accepts work.
    pub fn accepting(&self) -> bool {
        !self.0.stages.closing.is_cancelled()
    }
}
