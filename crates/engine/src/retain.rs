//! Removes runs that are old enough to go, and their logs.
//!
//! What is removed is gone for good, so a wall clock that leaps ahead is not believed at once.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::before;
use crate::leap::Doubt;
use crate::{Error, Shared};

const PAUSE: Duration = Duration::from_secs(3600);

pub(crate) struct Retainer {
    shared: Arc<Shared>,
    doubt: Doubt,
}

impl Retainer {
    pub(crate) fn new(shared: Arc<Shared>) -> Retainer {
        Retainer { shared, doubt: Doubt::default() }
    }

    /// Removes what is old enough; how many runs that were.
    pub(crate) async fn handle(&mut self) -> Result<usize, Error> {
        if !self.doubt.believes(&self.shared.clock) {
            return Ok(0);
        }
        let shared = &self.shared;
        let now = shared.clock.now();
        let oldest = before(now, shared.config.keep_runs);
        let removed = shared.store.retain(oldest, shared.config.keep_runs_per_subject, now).await?;
        let count = removed.runs.len();
        // The log goes after the run: a crash in between leaves a log that nobody finds, not a run without one.
        shared.executor.forget(removed.runs).await;
        Ok(count)
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            match self.handle().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old runs removed"),
                Err(error) => tracing::error!(%error, "could not remove old runs"),
            }
            tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = shared.clock.sleep(PAUSE) => {}
            }
        }
    }
}
