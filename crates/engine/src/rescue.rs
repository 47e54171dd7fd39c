//! Renews the leases of this worker; ends those of workers that are gone, and gates that nobody answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use piton_model::{AttemptNo, By, Decision, Event, Run, RunId, RunState};
use piton_store::{Guard, RecordError};

use crate::clock::after;
use crate::{Error, Shared};

/// How many overdue runs one round takes care of.
const BATCH: usize = 200;

pub(crate) struct Rescuer {
    shared: Arc<Shared>,
}

/// Extends the leases of this worker, and stops what it does not hold any more.
pub(crate) async fn renew(shared: &Shared) -> Result<(), Error> {
    let driven: Vec<(RunId, AttemptNo)> = shared.drivers().iter().map(|(run, driver)| (*run, driver.attempt)).collect();
    let now = shared.clock.now();
    let held = shared.store.renew(&shared.config.worker, after(now, shared.config.lease), now).await?;
    let held: BTreeSet<RunId> = held.into_iter().collect();
    let drivers = shared.drivers();
    for (run, attempt) in driven.iter().filter(|(run, _)| !held.contains(run)) {
        // Either it ended just now, or another worker took it: whatever that attempt still does must stop. A later
        // attempt of the same run may have begun here since.
        if let Some(driver) = drivers.get(run).filter(|driver| driver.attempt == *attempt) {
            driver.stop.cancel();
        }
    }
    Ok(())
}

impl Shared {
    /// Whether this very attempt is driven here.
    fn is_driving(&self, run: &Run) -> bool {
        let attempt = run.lease().filter(|lease| lease.worker == self.config.worker).map(|lease| lease.attempt);
        attempt.is_some() && self.drivers().get(&run.id).map(|driver| driver.attempt) == attempt
    }
}

impl Rescuer {
    pub(crate) fn new(shared: Arc<Shared>) -> Rescuer {
        Rescuer { shared }
    }

    /// Ends what is overdue; how many runs that were.
    pub(crate) async fn handle(&self) -> Result<usize, Error> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let overdue = shared.store.overdue(now, BATCH).await?;
        let mut rescued = 0;
        for run in &overdue {
            // What is driven here is not lost, however late its lease was renewed; only others may think so.
            if shared.is_driving(run) {
                continue;
            }
            let Some((event, guard)) = verdict(run) else { continue };
            tracing::warn!(run = %run.id, subject = %run.subject, event = event.as_str(), "overdue");
            match shared.store.record(run.id, event, guard, now).await {
                Ok(run) => {
                    rescued += 1;
                    if run.outcome().is_some() {
                        shared.executor.ended(&run).await;
                    }
                }
                // Somebody else was faster, or it was renewed meanwhile.
                Err(RecordError::NotFound(_) | RecordError::Fenced { .. } | RecordError::Illegal(_)) => {}
                Err(RecordError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(rescued)
    }

    pub(crate) async fn run(self) {
        let shared = self.shared.clone();
        let pause = shared.config.lease / 3;
        loop {
            if !shared.drivers().is_empty()
                && let Err(error) = renew(&shared).await
            {
                tracing::error!(%error, "could not renew leases");
            }
            match self.handle().await {
                Ok(BATCH..) => continue,
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "could not rescue runs"),
            }
            tokio::select! {
                () = shared.stages.over.cancelled() => return,
                () = shared.clock.sleep(pause) => {}
            }
        }
    }
}

/// What becomes of an overdue run. Pure.
fn verdict(run: &Run) -> Option<(Event, Guard)> {
    match &run.state {
        RunState::Running { lease, .. } => Some((Event::LeaseLost, Guard::Attempt(lease.attempt))),
        RunState::Gated { .. } => Some((Event::Decided { decision: Decision::Expire, by: By::System }, Guard::Any)),
        RunState::Pending { .. } | RunState::Ended { .. } => None,
    }
}
