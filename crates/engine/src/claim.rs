//! Takes due runs, as many as there are free slots.

use std::sync::Arc;

use piton_model::Run;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::clock::after;
use crate::drive::Drive;
use crate::{Error, Shared};

pub(crate) struct Claimer {
    shared: Arc<Shared>,
}

impl Claimer {
    pub(crate) fn new(shared: Arc<Shared>) -> Claimer {
        Claimer { shared }
    }

    /// Claims what is due and fits; how many runs that were.
    pub(crate) async fn handle(&self) -> Result<usize, Error> {
        let shared = &self.shared;
        let free = shared.slots.available_permits();
        if free == 0 {
            return Ok(0);
        }
        let now = shared.clock.now();
        let lease_until = after(now, shared.config.lease);
        let runs = shared.store.claim(&shared.config.worker, free, lease_until, now).await?;
        let claimed = runs.len();
        for run in runs {
            // Only this loop takes slots, so as many are free as were counted.
            let slot = shared.slots.clone().try_acquire_owned().ok();
            spawn(shared, run, slot, false);
        }
        Ok(claimed)
    }

    pub(crate) async fn run(self) {
        let shared = self.shared.clone();
        let mut changes = shared.store.changes();
        loop {
            changes.mark_unchanged();
            let round = async {
                let claimed = self.handle().await?;
                let next = shared.store.next_due(shared.clock.now()).await?;
                Ok::<_, Error>((claimed, next))
            };
            let next = match round.await {
                // There may be more than fitted into one batch.
                Ok((1.., _)) if shared.slots.available_permits() > 0 => continue,
                Ok((_, next)) => next,
                Err(error) => {
                    tracing::error!(%error, "could not claim runs");
                    None
                }
            };
            let backstop = after(shared.clock.now(), shared.config.check_interval);
            let wake = next.map_or(backstop, |next| next.min(backstop));
            let full = shared.slots.available_permits() == 0;
            tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = free_slot(&shared), if full => {}
                () = shared.clock.sleep_until(wake), if !full => {}
                _ = changes.changed(), if !full => {}
            }
        }
    }
}

async fn free_slot(shared: &Shared) {
    // Taken and given back at once: it only tells that there is one.
    let _ = shared.slots.acquire().await;
}

/// Drives a leased run in a task of its own.
pub(crate) fn spawn(shared: &Arc<Shared>, run: Run, slot: Option<OwnedSemaphorePermit>, resumed: bool) {
    let stop = CancellationToken::new();
    let id = run.id;
    shared.drivers().insert(id, stop.clone());
    let shared = shared.clone();
    shared.tasks.clone().spawn(async move {
        // A run that is taken back waits for no slot: its child runs already.
        let _slot = match slot {
            Some(slot) => Some(slot),
            None => shared.slots.clone().try_acquire_owned().ok(),
        };
        if let Some(drive) = Drive::new(shared.clone(), run, stop, resumed) {
            drive.run().await;
        }
        shared.drivers().remove(&id);
    });
}
