//! What becomes of the jobs of the queue, under the names that the worker's document gives.

use std::sync::atomic::AtomicI64;

use piton_model::{Outcome, OutcomeKind, Run};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From a tenth of a second to the longest job.
const TOOK: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

#[derive(Debug)]
pub(super) struct Scaffolds {
    processed: Counter,
    failed: Counter,
    took: Histogram,
    depth: Gauge<i64, AtomicI64>,
}

impl Scaffolds {
    pub(super) fn register(registry: &mut Registry) -> Scaffolds {
        let told = Scaffolds {
            processed: Counter::default(),
            failed: Counter::default(),
            took: Histogram::new(TOOK),
            depth: Gauge::default(),
        };
        registry.register(
            "jobs_processed",
            "Jobs of the queue that ended, those that failed too",
            told.processed.clone(),
        );
        registry.register("jobs_failed", "Jobs of the queue that ended without success", told.failed.clone());
        let help = "From the beginning of a job of the queue to its end";
        registry.register_with_unit("job_duration", help, Unit::Seconds, told.took.clone());
        registry.register("queue_depth", "Messages in the queue that nobody has taken yet", told.depth.clone());
        told
    }

    /// A job ended.
    pub(super) fn count(&self, outcome: &Outcome) {
        self.processed.inc();
        if outcome.kind() != OutcomeKind::Succeeded {
            self.failed.inc();
        }
    }

    /// A message was none that could become a job.
    pub(super) fn refused(&self) {
        self.processed.inc();
        self.failed.inc();
    }

    /// It took so long. One that was never begun took no time that would say anything.
    pub(super) fn observe(&self, run: &Run, ended: jiff::Timestamp) {
        if let Some(started) = run.started_at {
            self.took.observe(ended.duration_since(started).as_secs_f64().max(0.0));
        }
    }

    /// So many messages wait.
    pub(super) fn depth(&self, ready: u64) {
        self.depth.set(i64::try_from(ready).unwrap_or(i64::MAX));
    }
}
