//! What happens to runs and schedules, counted by following the ledger.
//!
//! Counting begins with the process, so the counters begin at zero with it, as Prometheus expects. Every node that
//! shares a database counts all that happens in it: take one of them, or the greatest.

use std::time::Duration;

use jiff::Timestamp;
use piton_model::{Event, LedgerEntry, Origin, OutcomeKind, Record, Seq, SubjectKind};
use piton_store::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio_util::sync::CancellationToken;

use super::Metrics;
use super::deployments::Deployments;
use super::jobs::Jobs;
use super::provisions::Provisions;
use super::scaffolds::Scaffolds;

/// How many entries are taken at once.
const BATCH: usize = 500;

/// In a batch, of so many runs it is looked up how late they are.
const LOOKED_UP: usize = 100;

/// The ledger says when it has grown; this is for what it could not say.
const BACKSTOP: Duration = Duration::from_secs(60);
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Counters {
    submitted: Family<KindLabel, Counter>,
    ended: Family<OutcomeLabels, Counter>,
    failures: Family<KindLabel, Counter>,
    leases_lost: Counter,
    skipped: Family<ReasonLabel, Counter>,
    missed: Family<ReasonLabel, Counter>,
    lateness: Histogram,
    waited: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Counters {
    pub(super) fn register(registry: &mut Registry) -> Counters {
        const LATE: [f64; 11] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0, 86_400.0];
        let counters = Counters {
            submitted: Family::default(),
            ended: Family::default(),
            failures: Family::default(),
            leases_lost: Counter::default(),
            skipped: Family::default(),
            missed: Family::default(),
            lateness: Histogram::new(LATE),
            waited: Histogram::new(LATE),
        };
        registry.register("runs_submitted", "Runs that were accepted", counters.submitted.clone());
        registry.register("runs_ended", "Runs that ended, by how they did", counters.ended.clone());
        registry.register("run_failures", "Attempts that failed", counters.failures.clone());
        registry.register("leases_lost", "Leases that ended without a word", counters.leases_lost.clone());
        let help = "Due times that made no run on purpose";
        registry.register("fires_skipped", help, counters.skipped.clone());
        let help = "Due times that made no run because nobody looked in time";
        registry.register("fires_missed", help, counters.missed.clone());
        let help = "From a due time to the acceptance of its run";
        registry.register_with_unit("fire_lateness", help, Unit::Seconds, counters.lateness.clone());
        let help = "From the time from which a run may be claimed to its first claim";
        registry.register_with_unit("run_queue_wait", help, Unit::Seconds, counters.waited.clone());
        counters
    }

    fn count(&self, entry: &LedgerEntry) {
        if let Record::Run { subject, event, outcome, .. } = &entry.record {
            let kind = KindLabel { kind: subject.kind().as_str() };
            match event {
                Event::Submitted { .. } => drop(self.submitted.get_or_create(&kind).inc()),
                Event::Failed { .. } => drop(self.failures.get_or_create(&kind).inc()),
                Event::LeaseLost => drop(self.leases_lost.inc()),
                _ => {}
            }
            if let Some(outcome) = outcome {
                let labels = OutcomeLabels { kind: kind.kind, outcome: outcome.kind().as_str() };
                self.ended.get_or_create(&labels).inc();
            }
        }
        if let Record::Skipped { reason, count, .. } = &entry.record {
            let family = if reason.is_missed() { &self.missed } else { &self.skipped };
            family.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc_by(u64::from(*count));
        }
    }

    /// So that a series is there before anything has happened: what is missing cannot be told from what is zero.
    fn begin(&self) {
        for kind in SubjectKind::ALL {
            let kind = kind.as_str();
            drop(self.submitted.get_or_create(&KindLabel { kind }));
            for outcome in OutcomeKind::ALL {
                drop(self.ended.get_or_create(&OutcomeLabels { kind, outcome: outcome.as_str() }));
            }
        }
    }
}

/// Whatever counts what happens.
struct Counting<'a> {
    counters: &'a Counters,
    deployments: &'a Deployments,
    jobs: &'a Jobs,
    provisions: &'a Provisions,
    scaffolds: &'a Scaffolds,
}

impl Counting<'_> {
    fn count(&self, entry: &LedgerEntry) {
        self.counters.count(entry);
        self.jobs.count(entry);
        let Record::Run { subject, outcome: Some(outcome), .. } = &entry.record else { return };
        match subject.kind() {
            SubjectKind::Deployment => self.deployments.count(outcome),
            SubjectKind::Scaffold => self.scaffolds.count(outcome),
            SubjectKind::Workspace | SubjectKind::Job | SubjectKind::Provision => {}
        }
    }

    /// A try that failed may be followed by another one, or not.
    async fn count_provision(&self, entry: &LedgerEntry, store: &Store) -> Result<(), piton_store::Error> {
        if let Record::Run { run, subject, outcome: Some(outcome), .. } = &entry.record
            && subject.kind() == SubjectKind::Provision
            && !self.provisions.count_outcome(outcome)
            && let Some(run) = store.run(*run).await?
        {
            self.provisions.count(&run);
        }
        Ok(())
    }
}

/// Counts what happens, until `stop`.
pub async fn follow(metrics: Metrics, store: Store, stop: CancellationToken) {
    let shared = &metrics.0;
    let counting = Counting {
        counters: &shared.ledger,
        deployments: &shared.deployments,
        jobs: &shared.jobs,
        provisions: &shared.provisions,
        scaffolds: &shared.scaffolds,
    };
    counting.counters.begin();
    counting.deployments.begin();
    let mut changes = store.changes();
    let mut after = None;
    loop {
        changes.mark_unchanged();
        let pause = match step(&counting, &store, after).await {
            Ok((position, more)) => {
                after = Some(position);
                if more {
                    continue;
                }
                BACKSTOP
            }
            Err(error) => {
                tracing::debug!(%error, "the ledger cannot be counted at the moment");
                AFTER_A_FAILURE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tokio::time::timeout(pause, changes.changed()) => {}
        }
    }
}

/// Counts a batch: where it ended, and whether there is more.
async fn step(counting: &Counting<'_>, store: &Store, after: Option<Seq>) -> Result<(Seq, bool), piton_store::Error> {
    let Some(mut after) = after else { return Ok((store.head().await?, false)) };
    if !store.may_have_grown(after) {
        return Ok((after, false));
    }
    let entries = store.entries(after, BATCH).await?;
    let mut looked_up = 0;
    for entry in &entries {
        counting.count(entry);
        counting.count_provision(entry, store).await?;
        if let Some(event) = timed(entry)
            && looked_up < LOOKED_UP
        {
            looked_up += 1;
            measure(counting, store, event, entry.at).await?;
        }
        after = entry.seq;
    }
    Ok((after, entries.len() == BATCH))
}

/// An event whose time says something: acceptance, the first claim, and the end of a deployment, of a job's run or of a
/// try of a scheduled provision.
enum Timed {
    Submitted(piton_model::RunId),
    Claimed(piton_model::RunId),
    Deployed(piton_model::RunId),
    Scaffolded(piton_model::RunId),
    Done(piton_model::RunId),
    Tried(piton_model::RunId),
}

fn timed(entry: &LedgerEntry) -> Option<Timed> {
    match &entry.record {
        Record::Run { run, event: Event::Submitted { .. }, .. } => Some(Timed::Submitted(*run)),
        Record::Run { run, event: Event::Claimed { attempt, .. }, .. } if attempt.get() == 1 => {
            Some(Timed::Claimed(*run))
        }
        Record::Run { run, subject, outcome: Some(_), .. } if subject.kind() == SubjectKind::Deployment => {
            Some(Timed::Deployed(*run))
        }
        Record::Run { run, subject, outcome: Some(_), .. } if subject.kind() == SubjectKind::Scaffold => {
            Some(Timed::Scaffolded(*run))
        }
        Record::Run { run, subject, outcome: Some(_), .. } if subject.kind() == SubjectKind::Job => {
            Some(Timed::Done(*run))
        }
        Record::Run { run, subject, outcome: Some(_), .. } if subject.kind() == SubjectKind::Provision => {
            Some(Timed::Tried(*run))
        }
        _ => None,
    }
}

async fn measure(
    counting: &Counting<'_>,
    store: &Store,
    event: Timed,
    at: Timestamp,
) -> Result<(), piton_store::Error> {
    let counters = counting.counters;
    let (Timed::Submitted(id)
    | Timed::Claimed(id)
    | Timed::Deployed(id)
    | Timed::Scaffolded(id)
    | Timed::Done(id)
    | Timed::Tried(id)) = &event;
    let Some(run) = store.run(*id).await? else { return Ok(()) };
    let since = |begin: Timestamp| at.duration_since(begin).as_secs_f64().max(0.0);
    match event {
        Timed::Submitted(_) => {
            counting.jobs.submitted(&run);
            if let Origin::Cron { fire, .. } = run.origin {
                counters.lateness.observe(since(fire));
            }
        }
        Timed::Claimed(_) => {
            counters.waited.observe(since(run.submitted_at));
            counting.provisions.began(&run, at);
        }
        Timed::Deployed(_) => counting.deployments.observe(&run),
        Timed::Scaffolded(_) => counting.scaffolds.observe(&run, at),
        Timed::Done(_) => counting.jobs.ended(&run),
        Timed::Tried(_) => counting.provisions.took(&run, at),
    }
    Ok(())
}
