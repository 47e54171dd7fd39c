//! Events in the ledger that jobs listen to: `@deployment`, `@destroy` and their failures.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use piton_model::{
    Action, JobStatus, LedgerEntry, NewRun, Operation, Origin, Outcome, Record, Run, SkipReason, Subject, TriggerWord,
};
use piton_spec::{Catalog, Job, JobTrigger};

use super::time::listening;
use crate::clock::after;
use crate::follow::BATCH;
use crate::{Engine, Error, Shared};

/// The name under which the store keeps how far this follower has come.
const NAME: &str = "event-triggers";

/// Submits the jobs that listen to what happened. The cursor moves in the transaction that submits, so that each event
/// is acted on once.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
}

impl Events {
    /// The trigger of `engine`.
    pub fn new(engine: &Engine) -> Events {
        Events { shared: engine.0.clone() }
    }

    /// Acts on what happened since the last round; whether there may be more.
    pub async fn handle(&self) -> Result<bool, Error> {
        let store = &self.shared.store;
        let cursor = store.follow_cursor(NAME).await?;
        let entries = store.entries(cursor, BATCH).await?;
        let Some(last) = entries.last() else { return Ok(false) };
        let loaded = self.shared.catalog.borrow().clone();
        let suspended = store.suspended().await?;
        let now = self.shared.clock.now();
        let mut submit = vec![];
        let mut skipped = vec![];
        for entry in &entries {
            let Some((run, outcome)) = self.ended(entry).await? else { continue };
            let heard = match word_of(&run, &outcome) {
                Some(word) => hear(&loaded.catalog, &run.subject, word, entry.seq),
                None => self.hear_dependency(&loaded.catalog, &run).await?,
            };
            for (job, origin, verdict) in heard {
                let subject = job.subject.clone();
                let verdict = if suspended.contains(&subject) { Err(SkipReason::Suspended) } else { verdict };
                match verdict {
                    Ok(()) => submit.push(self.new_run(&loaded.catalog, &job, origin, now)),
                    Err(reason) => skipped.push(skip(subject, &origin, reason, entry.at)),
                }
            }
        }
        if !skipped.is_empty() {
            store.skip(skipped, now).await?;
        }
        store.advance(NAME, cursor, last.seq, submit, now).await?;
        Ok(entries.len() == BATCH)
    }

    pub(crate) async fn run(self) {
        let shared = self.shared.clone();
        let mut changes = shared.store.changes();
        loop {
            changes.mark_unchanged();
            match self.handle().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "could not act on events"),
            }
            let backstop = after(shared.clock.now(), shared.config.check_interval);
            tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                _ = changes.changed() => {}
                () = shared.clock.sleep_until(backstop) => {}
            }
        }
    }

    async fn ended(&self, entry: &LedgerEntry) -> Result<Option<(Run, Outcome)>, Error> {
        let Record::Run { run, outcome: Some(outcome), .. } = &entry.record else { return Ok(None) };
        Ok(self.shared.store.run(*run).await?.map(|run| (run, outcome.clone())))
    }

    /// The jobs that heard the same word as the job that has just ended, and depend on it.
    async fn hear_dependency(&self, catalog: &Catalog, ended: &Run) -> Result<Vec<Heard>, Error> {
        let Origin::Event { seq, word } = ended.origin else { return Ok(vec![]) };
        let mut heard = vec![];
        for job in listening(catalog, word) {
            if !job.dependencies().any(|dependency| dependency == ended.subject) {
                continue;
            }
            let origin = Origin::Event { seq, word };
            match self.dependencies(catalog, job, &origin).await? {
                Dependencies::Unfinished => {}
                Dependencies::Succeeded => heard.push((job.clone(), origin, Ok(()))),
                Dependencies::Failed(job_name) => {
                    heard.push((job.clone(), origin, Err(SkipReason::Dependency { job: job_name })));
                }
            }
        }
        Ok(heard)
    }

    async fn dependencies(&self, catalog: &Catalog, job: &Job, origin: &Origin) -> Result<Dependencies, Error> {
        let Origin::Event { word, .. } = origin else { return Ok(Dependencies::Succeeded) };
        for subject in job.dependencies() {
            let name = subject.name().to_string();
            let listens = |job: &Arc<Job>| job.triggers.contains(&JobTrigger::Word(*word));
            if !catalog.jobs.get(&subject).is_some_and(listens) {
                if self.shared.job_status(&subject).await? != JobStatus::Success {
                    return Ok(Dependencies::Failed(name));
                }
                continue;
            }
            let latest = self.shared.store.latest_of(&subject).await?;
            match latest.filter(|run| run.origin == *origin).map(|run| run.outcome().cloned()) {
                Some(Some(Outcome::Succeeded)) => {}
                Some(Some(_)) => return Ok(Dependencies::Failed(name)),
                Some(None) | None => return Ok(Dependencies::Unfinished),
            }
        }
        Ok(Dependencies::Succeeded)
    }

    fn new_run(&self, catalog: &Catalog, job: &Job, origin: Origin, now: Timestamp) -> NewRun {
        self.shared.new_run(job.subject.clone(), job.action(catalog), origin, now)
    }
}

type Heard = (Arc<Job>, Origin, Result<(), SkipReason>);

enum Dependencies {
    Succeeded,
    Failed(String),
    Unfinished,
}

/// The jobs that listen to `word`; those that depend on another such job wait until that one has ended.
fn hear(catalog: &Catalog, about: &Subject, word: TriggerWord, seq: i64) -> Vec<Heard> {
    let listeners: Vec<&Arc<Job>> = listeners(catalog, about, word).collect();
    let names: BTreeSet<Subject> = listeners.iter().map(|job| job.subject.clone()).collect();
    listeners
        .into_iter()
        .filter(|job| job.dependencies().all(|dependency| !names.contains(&dependency)))
        .map(|job| (job.clone(), Origin::Event { seq, word }, Ok(())))
        .collect()
}

/// Jobs of the workspace itself, and standalone jobs, which listen to every workspace.
fn listeners<'a>(
    catalog: &'a Catalog,
    about: &'a Subject,
    word: TriggerWord,
) -> impl Iterator<Item = &'a Arc<Job>> + 'a {
    listening(catalog, word).filter(|job| job.workspace().is_none() || job.workspace() == about.workspace())
}

/// The word for how a workspace's run ended. Pure.
fn word_of(run: &Run, outcome: &Outcome) -> Option<TriggerWord> {
    let (Subject::Workspace(_), Action::Iac(iac)) = (&run.subject, &run.action) else { return None };
    let failed = match outcome {
        Outcome::Succeeded => false,
        Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Indeterminate { .. } => true,
        Outcome::Cancelled { .. } | Outcome::Rejected { .. } | Outcome::Expired | Outcome::Superseded { .. } => {
            return None;
        }
    };
    match (&iac.operation, failed) {
        (Operation::Deploy { .. }, false) => Some(TriggerWord::Deployment),
        (Operation::Deploy { .. }, true) => Some(TriggerWord::DeploymentFailed),
        (Operation::Destroy, false) => Some(TriggerWord::Destroy),
        (Operation::Destroy, true) => Some(TriggerWord::DestroyFailed),
        (Operation::Plan { .. }, _) => None,
    }
}

fn skip(subject: Subject, origin: &Origin, reason: SkipReason, at: Timestamp) -> Record {
    Record::Skipped { subject, due: at, line: origin.to_string(), reason, count: 1 }
}
