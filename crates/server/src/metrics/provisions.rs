//! What becomes of scheduled provisions, under the names that the document of their scheduler gives, and Piton's own.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use piton_model::{Origin, Outcome, RowChange, Run, ScheduleStatus};
use piton_store::Scope;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From tenths of a second to the longest that a target may take.
const TOOK: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
const LATE: [f64; 11] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0, 86_400.0];

/// How old the numbers of rows may be: counting them takes the database some time.
const FRESH: SignedDuration = SignedDuration::from_secs(5);

#[derive(Debug)]
pub(super) struct Provisions {
    scheduled: Counter,
    executed: Counter,
    failed: Counter,
    took: Histogram,
    late: Histogram,
    rows: Family<StatusLabel, Gauge>,
    counted_at: Mutex<Option<Timestamp>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

impl Provisions {
    pub(super) fn register(registry: &mut Registry) -> Provisions {
        let told = Provisions {
            scheduled: Counter::default(),
            executed: Counter::default(),
            failed: Counter::default(),
            took: Histogram::new(TOOK),
            late: Histogram::new(LATE),
            rows: Family::default(),
            counted_at: Mutex::default(),
        };
        registry.register("scheduled_provisions", "Provisions that were scheduled", told.scheduled.clone());
        let help = "Scheduled provisions that were executed, those that failed for good too";
        registry.register("provisions_executed", help, told.executed.clone());
        let help = "Scheduled provisions that failed and are not tried again";
        registry.register("provisions_failed", help, told.failed.clone());
        let help = "From the beginning of a try to its end";
        registry.register_with_unit("provision_execution_duration", help, Unit::Seconds, told.took.clone());
        registry.register("piton_provisions", "Scheduled provisions, by status", told.rows.clone());
        let help = "From the time at which a provision was due to the beginning of its try";
        registry.register_with_unit("piton_provision_lateness", help, Unit::Seconds, told.late.clone());
        told
    }

    /// A try has begun.
    pub(super) fn began(&self, run: &Run, at: Timestamp) {
        if let Origin::At { due } = run.origin {
            self.late.observe(at.duration_since(due).as_secs_f64().max(0.0));
        }
    }

    /// A try has ended.
    pub(super) fn took(&self, run: &Run, at: Timestamp) {
        if let Some(started) = run.started_at {
            self.took.observe(at.duration_since(started).as_secs_f64().max(0.0));
        }
    }

    /// A try has ended; whether it was the last one, its run knows.
    pub(super) fn count(&self, run: &Run) {
        match RowChange::of(run) {
            Some(RowChange::Completed { .. }) => drop(self.executed.inc()),
            Some(RowChange::Failed { .. }) => {
                self.executed.inc();
                self.failed.inc();
            }
            Some(RowChange::Executing | RowChange::Again { .. } | RowChange::Cancelled { .. }) | None => {}
        }
    }

    /// The same where the outcome alone tells it. Says whether it does.
    pub(super) fn count_outcome(&self, outcome: &Outcome) -> bool {
        if *outcome == Outcome::Succeeded {
            self.executed.inc();
        }
        *outcome == Outcome::Succeeded
    }

    /// What is to be asked now, so that the numbers of rows are fresh.
    pub(super) fn scope(&self, now: Timestamp) -> Scope {
        let mut counted_at = self.counted_at.lock().unwrap_or_else(PoisonError::into_inner);
        if counted_at.is_some_and(|at| now.duration_since(at).abs() < FRESH) {
            return Scope::Runs;
        }
        *counted_at = Some(now);
        Scope::Provisions
    }

    /// What is so now; without numbers it is what was told a moment ago.
    pub(super) fn look(&self, counts: Option<&BTreeMap<ScheduleStatus, i64>>) {
        if let Some(counts) = counts {
            self.tell(counts);
        }
    }

    /// Nobody knows what is so now.
    pub(super) fn forget(&self) {
        *self.counted_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.rows.clear();
    }

    fn tell(&self, counts: &BTreeMap<ScheduleStatus, i64>) {
        let count = |status: ScheduleStatus| counts.get(&status).copied().unwrap_or(0);
        for status in ScheduleStatus::ALL {
            self.rows.get_or_create(&StatusLabel { status: status.as_str() }).set(count(*status));
        }
        let all = ScheduleStatus::ALL.iter().map(|status| count(*status)).sum::<i64>();
        // Rows that somebody deletes were scheduled all the same.
        self.scheduled.inner().fetch_max(u64::try_from(all).unwrap_or(0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_deleted_were_scheduled_all_the_same() {
        let mut registry = Registry::default();
        let told = Provisions::register(&mut registry);
        told.tell(&BTreeMap::from([(ScheduleStatus::Pending, 3), (ScheduleStatus::Failed, 1)]));
        told.tell(&BTreeMap::from([(ScheduleStatus::Failed, 1)]));
        assert!(told.count_outcome(&Outcome::Succeeded) && !told.count_outcome(&Outcome::Expired));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "scheduled_provisions_total 4",
            "provisions_executed_total 1",
            "provisions_failed_total 0",
            "provision_execution_duration_seconds_count 0",
            "piton_provisions{status=\"pending\"} 0",
            "piton_provisions{status=\"failed\"} 1",
            "piton_provisions{status=\"completed\"} 0",
            "piton_provision_lateness_seconds_count 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        told.forget();
        text.clear();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("scheduled_provisions_total 4") && !text.contains("piton_provisions{"), "{text}");
    }

    #[test]
    fn rows_are_counted_when_the_numbers_are_old_or_unknown() {
        let told = Provisions::register(&mut Registry::default());
        let at = |second| Timestamp::from_second(second).unwrap();
        let asked = [0, 4, 5, 6].map(|second| told.scope(at(second)));
        assert_eq!(asked, [Scope::Provisions, Scope::Runs, Scope::Provisions, Scope::Runs]);
        told.forget();
        assert_eq!(told.scope(at(6)), Scope::Provisions);
    }
}
