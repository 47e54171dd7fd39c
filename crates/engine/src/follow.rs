//! Follows the ledger on behalf of the runs that are driven here: a request to cancel reaches them through it.

use std::sync::Arc;
use std::time::Duration;

use piton_model::{Event, Phase, Record, Run, RunId, Seq};
use piton_store::grown;

use crate::clock::after;
use crate::{Engine, Error, Shared};

/// How many entries are read at once.
pub(crate) const BATCH: usize = 500;

/// How often it is looked, at most, what other nodes have suspended.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Cancellations {
    shared: Arc<Shared>,
    seen: Seq,
}

impl Cancellations {
    pub(crate) fn new(shared: Arc<Shared>, seen: Seq) -> Cancellations {
        Cancellations { shared, seen }
    }

    /// Passes on the requests that came since the last round.
    pub(crate) async fn handle(&mut self) -> Result<(), Error> {
        loop {
            if !self.shared.store.may_have_grown(self.seen) {
                return Ok(());
            }
            let entries = self.shared.store.entries(self.seen, BATCH).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            self.seen = last.seq;
            let drivers = self.shared.drivers();
            let mut asked = self.shared.cancels_asked();
            for entry in &entries {
                let Record::Run { run, event, outcome, .. } = &entry.record else { continue };
                match (event, outcome) {
                    (Event::CancelAsked { .. }, None) => match drivers.get(run) {
                        Some(driver) => driver.stop.cancel(),
                        // It is being claimed here, or is driven on another node.
                        None => {
                            asked.insert(*run);
                        }
                    },
                    (Event::Claimed { .. }, _) | (_, Some(_)) => {
                        asked.remove(run);
                    }
                    _ => {}
                }
            }
        }
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut changes = shared.store.changes();
        let mut looked = shared.clock.moment();
        let mut declared = shared.catalog.clone();
        loop {
            let seen = *changes.borrow_and_update();
            if let Err(error) = self.handle().await {
                tracing::error!(%error, "could not follow the ledger");
            }
            // What another node suspends is not in the ledger, and neither is what a file does.
            let now = shared.clock.moment();
            let is_declared_anew = declared.has_changed().unwrap_or(false);
            if is_declared_anew || now >= looked.after(LOOK) {
                looked = now;
                declared.mark_unchanged();
                if let Err(error) = shared.tell_suspended().await {
                    tracing::error!(%error, "could not see what is suspended");
                }
            }
            let backstop = after(shared.clock.now(), shared.config.check_interval);
            tokio::select! {
                () = shared.stages.over.cancelled() => return,
                () = grown(&mut changes, seen) => {}
                Ok(()) = declared.changed() => declared.mark_changed(),
                () = shared.clock.sleep_until(backstop) => {}
            }
        }
    }
}

impl Engine {
    /// Waits until the run has ended or waits for a person.
    pub async fn settled(&self, id: RunId) -> Result<Run, Error> {
        self.once(id, |phase| matches!(phase, Phase::Ended | Phase::Gated)).await
    }

    /// Waits until the run has ended, for people too.
    pub async fn ended(&self, id: RunId) -> Result<Run, Error> {
        self.once(id, |phase| phase == Phase::Ended).await
    }

    async fn once(&self, id: RunId, holds: impl Fn(Phase) -> bool) -> Result<Run, Error> {
        let mut changes = self.0.store.changes();
        loop {
            let seen = *changes.borrow_and_update();
            let run = self.run(id).await?;
            if holds(run.phase()) {
                return Ok(run);
            }
            let backstop = after(self.0.clock.now(), self.0.config.check_interval);
            tokio::select! {
                () = grown(&mut changes, seen) => {}
                () = self.0.clock.sleep_until(backstop) => {}
            }
        }
    }

    /// A run by its id.
    pub async fn run(&self, id: RunId) -> Result<Run, Error> {
        let found = self.0.store.run(id).await?;
        found.ok_or_else(|| Error::NotFound { what: "run", name: id.to_string(), nearest: None })
    }
}
