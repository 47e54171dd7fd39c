//! Why a run stands where it stands, and what is due next.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use piton_model::{By, Mode, Outcome, Phase, Run, RunId, RunState, Subject, SubjectKind};
use piton_spec::{Effect, Job, JobTrigger};

use crate::triggers::line;
use crate::{Engine, Error};

/// Why a run stands where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One sentence.
    pub summary: String,
    /// What led to it or what it waits for.
    pub reasons: Vec<String>,
    /// What can be done.
    pub hints: Vec<String>,
}

/// A line of a schedule and when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// When.
    pub at: Timestamp,
    /// `deploy`, `destroy` or `run`.
    pub effect: &'static str,
    /// In this mode.
    pub mode: Option<Mode>,
    /// The line as it was written.
    pub line: String,
}

impl Engine {
    /// Why is it waiting, why did it fail?
    pub async fn explain(&self, id: RunId) -> Result<Explanation, Error> {
        let run = self.run(id).await?;
        let others = match &run.lock_key {
            Some(_) if run.phase() == Phase::Pending => self.0.store.active_of(&run.subject).await?,
            Some(_) | None => vec![],
        };
        let now = self.0.clock.now();
        let (slots, limit) = match run.subject.kind() {
            SubjectKind::Scaffold => (&self.0.scaffold_slots, "worker.concurrency"),
            _ => (&self.0.slots, "scheduler.max_concurrent_runs"),
        };
        let full = (slots.available_permits() == 0).then_some(limit);
        Ok(explain(&run, &others, now, full))
    }

    /// The next `count` lines of a workspace's schedule that are due.
    pub async fn upcoming(&self, workspace: &str, count: usize) -> Result<Vec<Upcoming>, Error> {
        let workspace = self.workspace(workspace)?;
        if !workspace.enabled {
            return Ok(vec![]);
        }
        let now = self.0.clock.now();
        let cursor = if workspace.lines.iter().any(|line| line.schedule.delay().is_some()) {
            self.0.store.cursor(&workspace.subject()).await?
        } else {
            None
        };
        let from = |schedule| line::anchor(schedule, &workspace.time_zone, cursor, now);
        let mut upcoming: Vec<Upcoming> = workspace
            .lines
            .iter()
            .flat_map(|line| {
                line.schedule.upcoming(from(&line.schedule), &workspace.time_zone).take(count).map(|at| Upcoming {
                    at,
                    effect: match line.effect {
                        Effect::Deploy(_) => "deploy",
                        Effect::Destroy => "destroy",
                    },
                    mode: match &line.effect {
                        Effect::Deploy(mode) => mode.clone(),
                        Effect::Destroy => None,
                    },
                    line: line.text.clone(),
                })
            })
            .collect();
        upcoming.sort_by_key(|upcoming| upcoming.at);
        upcoming.truncate(count);
        Ok(upcoming)
    }

    /// When a job is due next.
    pub async fn next_run(&self, workspace: Option<&str>, job: &str) -> Result<Option<Timestamp>, Error> {
        let job = self.job(workspace, job)?;
        let cursor = if counts_from_last(&job) { self.0.store.cursor(&job.subject).await? } else { None };
        Ok(self.next_fire(&job, cursor))
    }

    /// When each scheduled job is due next, of those that are.
    pub async fn next_runs(&self) -> Result<BTreeMap<Subject, Timestamp>, Error> {
        let loaded = self.loaded();
        let scheduled = || loaded.catalog.jobs.values().filter(|job| job.is_scheduled());
        let cursors =
            if scheduled().any(|job| counts_from_last(job)) { self.0.store.cursors().await? } else { BTreeMap::new() };
        let next =
            |job: &Arc<Job>| Some((job.subject.clone(), self.next_fire(job, cursors.get(&job.subject).copied())?));
        Ok(scheduled().filter_map(next).collect())
    }

    /// `cursor` is up to when its fires are accounted for.
    fn next_fire(&self, job: &Job, cursor: Option<Timestamp>) -> Option<Timestamp> {
        if !self.loaded().catalog.is_enabled(&job.subject) {
            return None;
        }
        let now = self.0.clock.now();
        let next = |trigger: &JobTrigger| match trigger {
            JobTrigger::Cron(schedule) => {
                schedule.next(line::anchor(schedule, &job.time_zone, cursor, now), &job.time_zone)
            }
            JobTrigger::Word(_) | JobTrigger::Declared(_) => None,
        };
        job.triggers.iter().filter_map(next).min()
    }
}

/// Whether one of its schedules is an `@every`.
fn counts_from_last(job: &Job) -> bool {
    job.triggers.iter().any(|trigger| match trigger {
        JobTrigger::Cron(schedule) => schedule.delay().is_some(),
        JobTrigger::Word(_) | JobTrigger::Declared(_) => false,
    })
}

/// `full` is the limit that is reached, if it is. Pure.
fn explain(run: &Run, others: &[Run], now: Timestamp, full: Option<&str>) -> Explanation {
    let mut reasons = vec![format!("why it exists: {}", run.origin)];
    let mut hints = vec![];
    let summary = match &run.state {
        RunState::Pending { due, .. } => {
            let ahead = others
                .iter()
                .find(|other| other.id != run.id && (other.phase() != Phase::Pending || other.id < run.id));
            if let Some(sealed) = &run.sealed {
                reasons.push(format!("its secrets are sealed with the key {}, which is not known here", sealed.key));
                hints.push(crate::error::SEALED.to_owned());
                "it waits for a worker that has its key".to_owned()
            } else if *due > now {
                format!("it waits until {due:.0}")
            } else if let Some(ahead) = ahead {
                reasons.push(format!("run {} of {} is {} and goes first", ahead.id, ahead.subject, ahead.phase()));
                hints.push(format!("piton run show {}", ahead.id));
                "it waits for another run of the same subject".to_owned()
            } else if let Some(limit) = full {
                reasons.push(format!("as many runs as {limit} allows are under way"));
                "it waits for a free slot".to_owned()
            } else {
                "it waits for a worker to take it".to_owned()
            }
        }
        RunState::Running { lease, step, cancel, .. } => {
            reasons
                .push(format!("worker {} holds it, attempt {}, until {:.0}", lease.worker, lease.attempt, lease.until));
            match cancel {
                Some(request) => format!("it is stopping during `{step}`, as {} asked", request.by),
                None => format!("it is in `{step}` since the attempt began at {:.0}", lease.since),
            }
        }
        RunState::Gated { gate, expires } => {
            reasons.push(format!("plan {}: {}", gate.digest.short(), gate.question));
            hints.push(format!("piton run approve {}", run.id));
            hints.push(format!("piton run reject {}", run.id));
            format!("it waits for approval until {expires:.0}")
        }
        RunState::Ended { outcome, at } => {
            if let Some(failure) = outcome.failure() {
                reasons.push(format!("{}: {}", failure.code, failure.message));
                hints.extend(failure.hint.clone());
                // A provision has no log: what was asked and answered is kept with the run.
                let look = if run.subject.kind() == SubjectKind::Provision { "show" } else { "logs" };
                hints.push(format!("piton run {look} {}", run.id));
            }
            if let Some(error) = &run.report.unwritten {
                reasons.push(format!("its log is not complete: {error}"));
            }
            match outcome {
                Outcome::Succeeded
                | Outcome::Failed { .. }
                | Outcome::TimedOut { .. }
                | Outcome::Indeterminate { .. } => {
                    format!("it ended at {at:.0}: {}", outcome.kind())
                }
                Outcome::Cancelled { .. }
                | Outcome::Rejected { .. }
                | Outcome::Expired
                | Outcome::Superseded { .. } => {
                    format!("it ended at {at:.0}: {}", outcome.sentence())
                }
            }
        }
    };
    if let (By::System, Some(step)) = (run.origin.by(), run.reached) {
        reasons.push(format!("the furthest step it reached is `{step}`"));
    }
    Explanation { summary, reasons, hints }
}
