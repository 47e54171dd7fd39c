//! Removes runs that are old enough to go, and their logs.
//!
//! What is removed is gone for good, so a wall clock that leaps ahead is not believed at once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{after, before};
use crate::{Error, Shared};

const PAUSE: Duration = Duration::from_secs(3600);

/// How far the wall clock may run ahead of the time that goes by between two rounds, on a host that may sleep meanwhile.
const LEAP: Duration = Duration::from_secs(3600);

/// For how long a wall clock that leapt must be left alone before anything is removed by it.
const PROBATION: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Retainer {
    shared: Arc<Shared>,
    /// What the wall clock showed in the last round, and how long after the boot that was.
    seen: Option<(Timestamp, Duration)>,
    /// The wall clock leapt, and is believed again so long after the boot.
    believed: Option<Duration>,
}

impl Retainer {
    pub(crate) fn new(shared: Arc<Shared>) -> Retainer {
        Retainer { shared, seen: None, believed: None }
    }

    /// Removes what is old enough; how many runs that were.
    pub(crate) async fn handle(&mut self) -> Result<usize, Error> {
        if !self.believes() {
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

    /// Whether the wall clock is right, as far as can be seen.
    fn believes(&mut self) -> bool {
        let (now, up) = (self.shared.clock.now(), self.shared.clock.since_boot());
        if let Some((then, before)) = self.seen.replace((now, up)) {
            let gone = up.saturating_sub(before);
            if now > after(then, gone.saturating_add(LEAP)) {
                tracing::warn!(%then, %now, "the wall clock leapt ahead: no old runs are removed for a day");
                self.believed = Some(up.saturating_add(PROBATION));
            }
        }
        self.believed.is_none_or(|from| up >= from)
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
