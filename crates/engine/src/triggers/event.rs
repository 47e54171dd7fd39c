//! Events in the ledger that jobs listen to: `@deployment`, `@destroy` and their failures.

mod audience;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use piton_model::{
    Action, JobStatus, LedgerEntry, NewRun, Operation, Origin, Outcome, Record, Run, Seq, SkipReason, Subject,
    SubjectKind, TriggerWord,
};
use piton_spec::{Catalog, Job};
use piton_store::{RunQuery, grown};

use self::audience::Audience;
use super::time::listening;
use crate::catalog::Loaded;
use crate::clock::{RETRY, after};
use crate::follow::BATCH;
use crate::suspend::is_suspended;
use crate::{Engine, Error, Shared};

/// The name under which the store keeps how far this follower has come.
const NAME: &str = "event-triggers";

/// How far the cursor may stay behind where nothing could be heard.
const CARELESS: Seq = 500;

/// Submits the jobs that listen to what happened. The cursor moves in the transaction that submits, so that each event
/// is acted on once.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    /// Up to where all is acted on as far as this node knows; 0 before it has looked.
    seen: AtomicI64,
    /// Where the cursor stands as far as this node knows; 0 before it has looked.
    acted: AtomicI64,
    audience: Mutex<Option<(Arc<Loaded>, Arc<Audience>)>>,
}

impl Events {
    /// The trigger of `engine`.
    pub fn new(engine: &Engine) -> Events {
        Events {
            shared: engine.0.clone(),
            seen: AtomicI64::new(0),
            acted: AtomicI64::new(0),
            audience: Mutex::default(),
        }
    }

    /// Acts on what happened since the last round; whether there may be more.
    pub async fn handle(&self) -> Result<bool, Error> {
        let store = &self.shared.store;
        let seen = self.seen.load(Ordering::Relaxed);
        if !store.may_have_grown(seen) {
            return Ok(false);
        }
        let from = if seen > 0 { seen } else { store.follow_cursor(NAME).await? };
        let mut entries = store.entries(from, BATCH).await?;
        let Some(last) = entries.last().map(|entry| entry.seq) else {
            self.seen.store(from, Ordering::Relaxed);
            return Ok(false);
        };
        let is_full = entries.len() == BATCH;
        // Whoever reads these again finds nothing in them either, so that their place is not worth a transaction.
        let careless =
            |acted: Seq, entries: &[LedgerEntry]| last - acted < CARELESS && !entries.iter().any(may_be_heard);
        if careless(self.acted.load(Ordering::Relaxed), &entries) {
            self.seen.store(last, Ordering::Relaxed);
            return Ok(is_full);
        }
        // Another node may have acted on them.
        let cursor = store.follow_cursor(NAME).await?;
        self.acted.store(cursor, Ordering::Relaxed);
        entries.retain(|entry| entry.seq > cursor);
        if careless(cursor, &entries) {
            self.seen.store(last, Ordering::Relaxed);
            return Ok(is_full);
        }
        let loaded = self.shared.catalog.borrow().clone();
        let audience = self.audience(&loaded, cursor);
        let now = self.shared.clock.now();
        let mut submit = vec![];
        let mut skipped = vec![];
        let mut suspended = None;
        for entry in entries.iter().filter(|entry| audience.hears(entry)) {
            let Some((run, outcome)) = self.ended(entry).await? else { continue };
            let about = About { catalog: &loaded.catalog, seq: entry.seq, run: &run, outcome: &outcome };
            let heard = match word_of(&run, &outcome) {
                Some(word) => self.hear(&about, word).await?,
                None => self.hear_dependency(&about, &audience).await?,
            };
            let suspended = match &mut suspended {
                Some(known) => known,
                unknown => unknown.insert(store.suspended().await?),
            };
            for (job, origin, verdict) in cascade(&loaded.catalog, heard, suspended) {
                match verdict {
                    Ok(()) => submit.push(self.new_run(&loaded.catalog, &job, origin, now)),
                    Err(reason) => skipped.push(skip(job.subject.clone(), &origin, reason, entry.at)),
                }
            }
        }
        if store.advance(NAME, cursor, last, submit, skipped, now).await? {
            self.acted.store(last, Ordering::Relaxed);
            self.seen.store(last, Ordering::Relaxed);
        }
        Ok(is_full)
    }

    /// Who listens by the present declarations, where all entries up to `acted` were acted on by earlier ones.
    fn audience(&self, loaded: &Arc<Loaded>, acted: Seq) -> Arc<Audience> {
        let mut known = self.audience.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((of, audience)) if Arc::ptr_eq(of, loaded) => audience.clone(),
            before => {
                let audience = Audience::of(&loaded.catalog);
                let audience = Arc::new(match before {
                    Some((of, before)) => audience.following(&loaded.catalog, before, &of.catalog, acted),
                    None => audience,
                });
                *known = Some((loaded.clone(), audience.clone()));
                audience
            }
        }
    }

    pub(crate) async fn run(self) {
        let shared = self.shared.clone();
        let mut changes = shared.store.changes();
        loop {
            let seen = *changes.borrow_and_update();
            let pause = match self.handle().await {
                Ok(true) => continue,
                Ok(false) => shared.config.check_interval,
                Err(error) => {
                    tracing::error!(%error, "could not act on events");
                    RETRY
                }
            };
            let backstop = after(shared.clock.now(), pause);
            tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = grown(&mut changes, seen) => {}
                () = shared.clock.sleep_until(backstop) => {}
            }
        }
    }

    async fn ended(&self, entry: &LedgerEntry) -> Result<Option<(Run, Outcome)>, Error> {
        let Record::Run { run, outcome: Some(outcome), .. } = &entry.record else { return Ok(None) };
        Ok(self.shared.store.run(*run).await?.map(|run| (run, outcome.clone())))
    }

    /// The jobs that listen to `word`; those that depend on another such job wait until that one has ended.
    async fn hear(&self, about: &About<'_>, word: TriggerWord) -> Result<Vec<Heard>, Error> {
        let listeners: Vec<&Arc<Job>> = listeners(about.catalog, &about.run.subject, word).collect();
        let names: BTreeSet<&Subject> = listeners.iter().map(|job| &job.subject).collect();
        let origin = Origin::Event { seq: about.seq, word };
        let mut heard = vec![];
        for job in &listeners {
            if job.dependencies().any(|dependency| names.contains(&dependency)) {
                continue;
            }
            let verdict = match self.dependencies(about, job, &origin).await? {
                Dependencies::Failed(job) => Err(SkipReason::Dependency { job }),
                Dependencies::Succeeded | Dependencies::Unfinished => Ok(()),
            };
            heard.push((Arc::clone(job), origin.clone(), verdict));
        }
        Ok(heard)
    }

    /// The jobs that heard the same word as the job that has just ended, and depend on it, or did so when they heard it: it
    /// may have been removed since, or what they depend on may have been declared otherwise, and they would wait for ever.
    async fn hear_dependency(&self, about: &About<'_>, audience: &Audience) -> Result<Vec<Heard>, Error> {
        let Origin::Event { seq, word } = about.run.origin else { return Ok(vec![]) };
        let mut heard = vec![];
        for job in listening(about.catalog, word) {
            let origin = Origin::Event { seq, word };
            if !job.dependencies().any(|dependency| dependency == about.run.subject) {
                let waited = audience.waited(&job.subject, seq, &about.run.subject);
                if !waited || self.made_by(&origin, &job.subject).await?.is_some() {
                    continue;
                }
            }
            match self.dependencies(about, job, &origin).await? {
                Dependencies::Unfinished => {}
                Dependencies::Succeeded => heard.push((job.clone(), origin, Ok(()))),
                Dependencies::Failed(name) => {
                    heard.push((job.clone(), origin, Err(SkipReason::Dependency { job: name })));
                }
            }
        }
        Ok(heard)
    }

    async fn dependencies(&self, about: &About<'_>, job: &Job, origin: &Origin) -> Result<Dependencies, Error> {
        let Origin::Event { word, .. } = origin else { return Ok(Dependencies::Succeeded) };
        let listeners: BTreeSet<&Subject> = listening(about.catalog, *word).map(|job| &job.subject).collect();
        let mut unfinished = false;
        for subject in job.dependencies() {
            let name = subject.name().to_string();
            if subject == about.run.subject {
                if *about.outcome != Outcome::Succeeded {
                    // Of several that fail, the first one tells.
                    let told = self.failed_before(about, job, origin, &listeners).await?;
                    return Ok(if told { Dependencies::Unfinished } else { Dependencies::Failed(name) });
                }
            } else if !listeners.contains(&subject) {
                if self.shared.job_status(&subject).await? != JobStatus::Success {
                    return Ok(Dependencies::Failed(name));
                }
            } else {
                // One that failed has told so when it ended, or will.
                unfinished |= !self.has_succeeded(&subject, origin).await?;
            }
        }
        Ok(if unfinished { Dependencies::Unfinished } else { Dependencies::Succeeded })
    }

    async fn has_succeeded(&self, subject: &Subject, origin: &Origin) -> Result<bool, Error> {
        let made = self.made_by(origin, subject).await?;
        Ok(made.is_some_and(|run| run.outcome() == Some(&Outcome::Succeeded)))
    }

    /// Whether another job on which `job` depends has failed before this entry.
    async fn failed_before(
        &self,
        about: &About<'_>,
        job: &Job,
        origin: &Origin,
        listeners: &BTreeSet<&Subject>,
    ) -> Result<bool, Error> {
        for subject in job.dependencies().filter(|subject| listeners.contains(subject)) {
            let Some(run) = self.made_by(origin, &subject).await? else { continue };
            if run.outcome().is_none_or(|outcome| *outcome == Outcome::Succeeded) {
                continue;
            }
            let ended = self.shared.store.entries_of(run.id).await?.last().map(|entry| entry.seq);
            if ended.is_some_and(|ended| ended < about.seq) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The run that `origin` made of a job. It is among the newest ones.
    async fn made_by(&self, origin: &Origin, subject: &Subject) -> Result<Option<Run>, Error> {
        let query = RunQuery { subject: Some(subject.clone()), ..RunQuery::default() };
        let runs = self.shared.store.runs(&query).await?.runs;
        Ok(runs.into_iter().find(|run| run.origin == *origin))
    }

    fn new_run(&self, catalog: &Catalog, job: &Job, origin: Origin, now: Timestamp) -> NewRun {
        self.shared.new_job_run(job, catalog, origin, now)
    }
}

/// Whether this is an end that a job may listen to, now or after its declaration has changed. The transactions that scheduled
/// provisions take are enough without one more for each that nobody can ask for.
fn may_be_heard(entry: &LedgerEntry) -> bool {
    match &entry.record {
        Record::Run { subject, outcome: Some(_), .. } => match subject.kind() {
            SubjectKind::Workspace | SubjectKind::Job => true,
            SubjectKind::Deployment | SubjectKind::Scaffold | SubjectKind::Provision => false,
        },
        Record::Run { .. } | Record::Skipped { .. } | Record::Removed { .. } | Record::Audit(_) => false,
    }
}

type Heard = (Arc<Job>, Origin, Result<(), SkipReason>);

enum Dependencies {
    Succeeded,
    Failed(String),
    Unfinished,
}

/// An entry that tells of an end.
struct About<'a> {
    catalog: &'a Catalog,
    seq: i64,
    run: &'a Run,
    outcome: &'a Outcome,
}

/// Adds what follows from jobs that are skipped: those that depend on them heard the same word in vain. Pure.
fn cascade(catalog: &Catalog, heard: Vec<Heard>, suspended: &BTreeSet<Subject>) -> Vec<Heard> {
    let mut all: Vec<Heard> = vec![];
    let mut seen = BTreeSet::new();
    let mut next: VecDeque<Heard> = heard.into();
    while let Some((job, origin, verdict)) = next.pop_front() {
        if !seen.insert(job.subject.clone()) {
            continue;
        }
        let verdict = if is_suspended(&job, suspended) { Err(SkipReason::Suspended) } else { verdict };
        if let (Err(_), Origin::Event { word, .. }) = (&verdict, &origin) {
            let reason = SkipReason::Dependency { job: job.name.to_string() };
            let depends = |other: &&Arc<Job>| other.dependencies().any(|dependency| dependency == job.subject);
            let dependents = listening(catalog, *word).filter(depends);
            next.extend(dependents.map(|other| (other.clone(), origin.clone(), Err(reason.clone()))));
        }
        all.push((job, origin, verdict));
    }
    all
}

/// The jobs of the workspace that listen to `word`.
fn listeners<'a>(
    catalog: &'a Catalog,
    about: &'a Subject,
    word: TriggerWord,
) -> impl Iterator<Item = &'a Arc<Job>> + 'a {
    listening(catalog, word).filter(|job| job.workspace() == about.workspace())
}

/// The word for how a workspace's run ended. Pure.
fn word_of(run: &Run, outcome: &Outcome) -> Option<TriggerWord> {
    let (Subject::Workspace(_), Action::Iac(iac)) = (&run.subject, &*run.action) else { return None };
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
