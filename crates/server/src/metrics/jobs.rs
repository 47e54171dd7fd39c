//! Jobs and scheduled jobs, under the names that provisr has for them: counted by following the ledger, and asked for
//! when somebody looks.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use piton_model::{
    Action, Batch, Event, LedgerEntry, Origin, Outcome, OutcomeKind, Projection, Record, Run, RunState, Subject,
    SubjectKind,
};
use piton_store::Census;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::state::App;

type Seconds = Gauge<f64, AtomicU64>;

/// What becomes of jobs.
#[derive(Debug)]
pub(super) struct Jobs {
    total: Family<JobPhase, Counter>,
    took: Family<JobPhase, Histogram>,
    active: Family<JobName, Gauge>,
    completions: Family<JobResult, Counter>,
    backoff_limit: Family<JobName, Histogram>,
    cron_total: Family<CronPhase, Counter>,
    cron_took: Family<CronPhase, Histogram>,
    cron_active: Family<CronName, Gauge>,
    cron_last: Family<CronName, Seconds>,
    cron_next: Family<CronName, Seconds>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobName {
    job_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobPhase {
    job_name: String,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobResult {
    job_name: String,
    completion_mode: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CronName {
    cronjob_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CronPhase {
    cronjob_name: String,
    phase: &'static str,
}

/// From moments to hours.
const TOOK: [f64; 12] = [0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14_400.0];

const LIMITS: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 6.0, 10.0, 20.0, 50.0];

impl Jobs {
    /// `registry` is that of provisr's names.
    pub(super) fn register(registry: &mut Registry) -> Jobs {
        let jobs = Jobs {
            total: Family::default(),
            took: Family::new_with_constructor(|| Histogram::new(TOOK)),
            active: Family::default(),
            completions: Family::default(),
            backoff_limit: Family::new_with_constructor(|| Histogram::new(LIMITS)),
            cron_total: Family::default(),
            cron_took: Family::new_with_constructor(|| Histogram::new(TOOK)),
            cron_active: Family::default(),
            cron_last: Family::default(),
            cron_next: Family::default(),
        };
        registry.register("job", "Runs of jobs that came to a phase", jobs.total.clone());
        let help = "From the begin of a job's run to its end";
        registry.register_with_unit("job_duration", help, Unit::Seconds, jobs.took.clone());
        registry.register("job_active", "Runs of a job that have begun and not ended", jobs.active.clone());
        registry.register("job_completions", "Runs of jobs that ended, by how", jobs.completions.clone());
        registry.register("job_backoff_limit", "Failures that jobs make up for", jobs.backoff_limit.clone());
        registry.register("cronjob", "Runs of scheduled jobs that came to a phase", jobs.cron_total.clone());
        let help = "From the begin of a scheduled job's run to its end";
        registry.register_with_unit("cronjob_duration", help, Unit::Seconds, jobs.cron_took.clone());
        let help = "Runs of a scheduled job that have begun and not ended";
        registry.register("cronjob_active", help, jobs.cron_active.clone());
        let help = "When a scheduled job last ran, in seconds since 1970";
        registry.register("cronjob_last_schedule_time", help, jobs.cron_last.clone());
        let help = "When a scheduled job is due, in seconds since 1970";
        registry.register("cronjob_next_schedule_time", help, jobs.cron_next.clone());
        jobs
    }

    /// Counts what the ledger says.
    pub(super) fn count(&self, entry: &LedgerEntry) {
        let Record::Run { subject, event, outcome, .. } = &entry.record else { return };
        if subject.kind() != SubjectKind::Job {
            return;
        }
        let job_name = name(subject);
        if let Event::Claimed { attempt, .. } = event
            && attempt.get() == 1
        {
            self.total.get_or_create(&JobPhase { job_name: job_name.clone(), phase: "Running" }).inc();
        }
        if let Some(outcome) = outcome {
            self.total.get_or_create(&JobPhase { job_name, phase: phase(outcome) }).inc();
        }
    }

    /// A run of a job was accepted.
    pub(super) fn submitted(&self, run: &Run) {
        if let Some(batch) = batch(run) {
            let labels = JobName { job_name: name(&run.subject) };
            self.backoff_limit.get_or_create(&labels).observe(f64::from(batch.backoff_limit));
        }
    }

    /// A run of a job ended, which may be longer ago than anybody knows of it.
    pub(super) fn ended(&self, run: &Run) {
        let RunState::Ended { outcome, at } = &run.state else { return };
        let (job_name, phase) = (name(&run.subject), phase(outcome));
        let result = if phase == "Succeeded" { "succeeded" } else { "failed" };
        let mode = batch(run).map_or("NonIndexed", |batch| match batch.completion_mode {
            piton_model::CompletionMode::NonIndexed => "NonIndexed",
            piton_model::CompletionMode::Indexed => "Indexed",
        });
        let labels = JobResult { job_name: job_name.clone(), completion_mode: mode, result };
        self.completions.get_or_create(&labels).inc();
        let took = run.started_at.map(|started| at.duration_since(started).as_secs_f64().max(0.0));
        if let Some(took) = took {
            self.took.get_or_create(&JobPhase { job_name: job_name.clone(), phase }).observe(took);
        }
        if let Origin::Cron { .. } = run.origin {
            let labels = CronPhase { cronjob_name: job_name, phase };
            self.cron_total.get_or_create(&labels).inc();
            if let Some(took) = took {
                self.cron_took.get_or_create(&labels).observe(took);
            }
        }
    }

    /// Nobody knows what is so now.
    pub(super) fn forget(&self) {
        for family in [&self.cron_last, &self.cron_next] {
            family.clear();
        }
        self.active.clear();
        self.cron_active.clear();
    }

    /// What is so now.
    pub(super) async fn look(&self, app: &App, census: &Census) {
        // Only where a schedule counts from its last run does this take one more question.
        let due = app.engine.next_runs().await.unwrap_or_default();
        self.forget();
        let Census { begun, jobs: states, .. } = census;
        let loaded = app.engine.loaded();
        // Those that are declared are told of even where none of their runs is active; others are jobs that somebody made.
        let mut active: BTreeMap<&Subject, i64> = loaded.catalog.jobs.keys().map(|subject| (subject, 0)).collect();
        for run in begun.iter().filter(|run| run.subject.kind() == SubjectKind::Job) {
            *active.entry(&run.subject).or_default() += 1;
        }
        for (subject, count) in &active {
            self.active.get_or_create(&JobName { job_name: name(subject) }).set(*count);
        }
        for job in loaded.catalog.jobs.values().filter(|job| job.is_scheduled()) {
            let labels = CronName { cronjob_name: name(&job.subject) };
            self.cron_active.get_or_create(&labels).set(active.get(&job.subject).copied().unwrap_or(0));
            let next = due.get(&job.subject).copied();
            let last = match states.get(&job.subject) {
                Some(Projection::Job(state)) => state.last_run,
                Some(Projection::Workspace(_)) | None => None,
            };
            for (family, time) in [(&self.cron_last, last), (&self.cron_next, next)] {
                if let Some(time) = time {
                    family.get_or_create(&labels).set(time.as_second() as f64);
                }
            }
        }
    }
}

/// What it is made of, where it is more than one program.
fn batch(run: &Run) -> Option<&Batch> {
    match &*run.action {
        Action::Batch(batch) => Some(batch),
        Action::Iac(_) | Action::Command(_) | Action::Provision(_) | Action::Scaffold(_) | Action::Remote(_) => None,
    }
}

/// `NAME`, or `WORKSPACE.NAME`, as in the API.
fn name(subject: &Subject) -> String {
    match subject {
        Subject::Job { workspace: Some(workspace), name } => format!("{workspace}.{name}"),
        Subject::Job { workspace: None, name } => name.to_string(),
        other => other.to_string(),
    }
}

fn phase(outcome: &Outcome) -> &'static str {
    if outcome.kind() == OutcomeKind::Succeeded { "Succeeded" } else { "Failed" }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use piton_model::{AttemptNo, Backoff, By, Failure, FailureClass, Name, NewRun, Program, RunId, WorkerId};

    use super::*;

    #[test]
    fn what_was_found_late_took_no_longer_for_that() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let new = NewRun {
            id: RunId::new(at(5), [1; 10]),
            subject: Subject::Job { workspace: None, name: Name::parse("slow").unwrap() },
            action: Action::Batch(Batch::new(Program::Shell { line: "false".to_owned() })),
            origin: Origin::call(By::System),
            due: at(5),
            priority: 0,
            retry: Backoff::NONE,
            retry_of: None,
            dedup_key: None,
            lock_key: None,
        };
        let (worker, attempt) = (WorkerId::new("w"), AttemptNo::FIRST);
        let claimed = Event::Claimed { worker, attempt, lease_until: at(99), uptime: None };
        let failure = Failure::new(FailureClass::Permanent, "test", "it failed").exited_at(at(14));
        let run = Run::submitted(new, at(5)).apply(&claimed, at(10)).unwrap();
        let run = run.apply(&Event::Failed { failure }, at(1000)).unwrap();
        let mut registry = Registry::default();
        Jobs::register(&mut registry).ended(&run);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("job_duration_seconds_sum{job_name=\"slow\",phase=\"Failed\"} 4.0\n"), "{text}");
    }
}
