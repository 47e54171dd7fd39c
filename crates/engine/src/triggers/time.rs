//! Schedules that are due, and declarations that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use piton_model::{
    Action, Digest, JobStatus, NewRun, Operation, Origin, Projection, Run, Subject, TriggerWord, WorkspaceState,
};
use piton_spec::{Catalog, Change, ConcurrencyPolicy, Job, JobTrigger, Workspace};
use piton_store::{Fire, FireResult, grown};

use super::line::{self, Line};
use super::round::{Decided, Round};
use crate::ahead::horizon;
use crate::catalog::Loaded;
use crate::clock::{RETRY, after, before};
use crate::suspend::is_suspended;
use crate::{Engine, Error, Shared};

/// How many subjects are decided about at once; their commits share one transaction.
const BATCH: usize = 256;

/// A cursor that lies further ahead than this is an error of the clock, not a step of it.
const FAR_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Submits what schedules and changed declarations ask for.
///
/// Any number of nodes may do so at once: the cursor of a schedule is compared and swapped in the transaction that
/// inserts the run, and whoever loses learns the new cursor.
#[derive(Debug)]
pub struct Time {
    pub(super) shared: Arc<Shared>,
    pub(super) known: Option<Arc<Loaded>>,
    /// What is known of each subject whose fires are counted.
    held: BTreeMap<Subject, Held>,
    /// When each subject is due next, ordered by time.
    queue: BTreeSet<(Micros, Subject)>,
    /// Subjects whose declaration is new or changed.
    pub(super) changed: BTreeSet<Subject>,
    /// Jobs that are due and wait for a job on which they depend.
    waiting: BTreeSet<Subject>,
    /// The latest time that a round has seen.
    latest_now: Timestamp,
    /// What is due until then was looked at ahead of its time.
    looked_ahead: Timestamp,
    /// How many subjects were held when they were packed last.
    packed: usize,
}

/// What is known of a subject. There may be a hundred thousand.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// Up to when its fires are accounted for.
    cursor: Micros,
    /// When it is due next, where it stands in the queue; else never.
    due: Micros,
}

impl Held {
    fn at(cursor: Timestamp) -> Held {
        Held { cursor: Micros::of(cursor), due: Micros::NEVER }
    }
}

/// A time as the store knows it, in half of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Micros(i64);

impl Micros {
    const NEVER: Micros = Micros(i64::MAX);

    fn of(at: Timestamp) -> Micros {
        Micros(at.as_microsecond())
    }

    fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::MAX)
    }
}

/// What a new catalog means for a subject.
enum News {
    /// It is to be decided about at once.
    Changed,
    /// It is due at other times.
    Rescheduled,
    /// It is gone.
    Gone,
}

impl Time {
    /// The trigger of `engine`; it knows nothing until its first round.
    pub fn new(engine: &Engine) -> Time {
        Time {
            shared: engine.0.clone(),
            known: None,
            held: BTreeMap::new(),
            queue: BTreeSet::new(),
            changed: BTreeSet::new(),
            waiting: BTreeSet::new(),
            latest_now: Timestamp::MAX,
            looked_ahead: Timestamp::MIN,
            packed: 0,
        }
    }

    /// When something is to be looked at next: at its due time, or the moment before it.
    pub fn next(&self) -> Option<Timestamp> {
        let due = self.next_due()?;
        let ahead = self.queue.iter().map(|(at, _)| at.timestamp()).find(|at| *at > self.looked_ahead);
        Some(ahead.map_or(due, |at| due.min(before(at, self.shared.config.ahead))))
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| at.timestamp())
    }

    /// Submits what is due or changed; how many runs that made.
    ///
    /// What fails is left for the next round, and does not keep other subjects from being decided about.
    pub async fn handle(&mut self) -> Result<usize, Error> {
        self.take_over_catalog().await?;
        let now = self.shared.clock.now();
        self.pull_back(now).await?;
        let due = self.queue.iter().take_while(|(at, _)| at.timestamp() <= now).map(|(_, subject)| subject);
        let subjects: BTreeSet<&Subject> = due.chain(&self.waiting).chain(&self.changed).collect();
        let subjects: Vec<Subject> = subjects.into_iter().cloned().collect();
        let horizon = horizon(now, self.shared.config.ahead);
        let near = self.queue.iter().skip_while(|(at, _)| at.timestamp() <= now.max(self.looked_ahead));
        let near = near.take_while(|(at, _)| at.timestamp() <= horizon).map(|(_, subject)| subject);
        // What waits or has changed is decided about as it is now.
        let near: Vec<Subject> = near.filter(|subject| subjects.binary_search(subject).is_err()).cloned().collect();
        // Mostly there is nothing to decide about.
        let is_quiet = subjects.is_empty() && near.is_empty();
        let suspended = if is_quiet { BTreeSet::new() } else { self.shared.store.suspended().await? };
        self.looked_ahead = horizon;
        let mut submitted = 0;
        let mut failed = None;
        let due = subjects.chunks(BATCH).map(|batch| (batch, now));
        for (batch, until) in due.chain(near.chunks(BATCH).map(|batch| (batch, horizon))) {
            self.beat();
            let round = Round { time: &*self, now, until, suspended: &suspended, together: &subjects };
            let verdicts = join_all(batch.iter().map(|subject| round.verdict(subject))).await;
            // Submitted in the order of the subjects, whatever was read faster.
            let decided = join_all(verdicts.into_iter().map(|verdict| round.commit(verdict))).await;
            for (subject, decided) in batch.iter().zip(decided) {
                match decided {
                    Ok(Decided::Done(runs, cursor)) => {
                        submitted += runs;
                        self.waiting.remove(subject);
                        self.changed.remove(subject);
                        self.account(subject, cursor);
                    }
                    Ok(Decided::InTime) => {}
                    // A changed declaration still has to be decided about.
                    Ok(Decided::Moved(cursor)) => {
                        self.waiting.remove(subject);
                        self.account(subject, cursor);
                    }
                    Ok(Decided::Wait) => {
                        self.waiting.insert(subject.clone());
                        self.changed.remove(subject);
                        self.unqueue(subject);
                    }
                    Err(error) => failed = Some(error),
                }
            }
        }
        self.pack();
        failed.map_or(Ok(submitted), Err)
    }

    /// Maps that grew have nodes that are half empty; collected from what is sorted, they have not.
    fn pack(&mut self) {
        if self.held.len() > self.packed.saturating_mul(2).max(1_000) {
            self.held = std::mem::take(&mut self.held).into_iter().collect();
            self.queue = std::mem::take(&mut self.queue).into_iter().collect();
            self.packed = self.held.len();
        }
    }

    /// Submits what wants to run once after the host was started.
    pub async fn reboot(&self) -> Result<(), Error> {
        let Some(boot_id) = &self.shared.config.boot_id else { return Ok(()) };
        let loaded = self.shared.catalog.borrow().clone();
        let now = self.shared.clock.now();
        let origin = Origin::Boot { boot_id: boot_id.clone() };
        let catalog = &loaded.catalog;
        let suspended = self.shared.store.suspended().await?;
        let runs: Vec<NewRun> = listening(catalog, TriggerWord::Reboot)
            .filter(|job| !is_suspended(job, &suspended))
            .map(|job| self.shared.new_job_run(job, catalog, origin.clone(), now))
            .collect();
        if !runs.is_empty() {
            self.shared.store.submit(runs, now).await?;
        }
        Ok(())
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut catalog = shared.catalog.clone();
        let mut changes = shared.store.changes();
        let mut booted = false;
        loop {
            self.beat();
            catalog.mark_unchanged();
            let seen = *changes.borrow_and_update();
            let now = shared.clock.now();
            let round = async {
                if !booted {
                    self.reboot().await?;
                    booted = true;
                }
                self.handle().await
            };
            let failed = round.await.inspect_err(|error| tracing::error!(%error, "could not decide about schedules"));
            // What was due and still is could not be settled: trying at once would not help.
            let unsettled = !self.changed.is_empty() || self.next_due().is_some_and(|next| next <= now);
            let settled = failed.is_ok() && !unsettled;
            let latest = after(now, if settled { shared.config.check_interval } else { RETRY });
            let next = [self.next(), self.next_due()].into_iter().flatten().filter(|next| settled || *next > now).min();
            let wake = next.map_or(latest, |next| next.min(latest));
            let wake = match &shared.config.heartbeat {
                Some(heartbeat) => wake.min(after(now, heartbeat.every)),
                None => wake,
            };
            let waiting = !self.waiting.is_empty();
            tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = shared.clock.sleep_until(wake) => {}
                _ = catalog.changed() => {}
                () = grown(&mut changes, seen), if waiting => {}
            }
        }
    }

    fn beat(&self) {
        if let Some(heartbeat) = &self.shared.config.heartbeat {
            heartbeat.beat();
        }
    }

    /// Notices what is new, changed or gone since the last round. Either all of it or, where the store fails, nothing.
    async fn take_over_catalog(&mut self) -> Result<(), Error> {
        let loaded = self.shared.catalog.borrow().clone();
        let news = match &self.known {
            Some(known) if Arc::ptr_eq(known, &loaded) => return Ok(()),
            Some(known) => self.compare(&known.catalog, &loaded.catalog).await?,
            None => {
                let cursors = self.shared.store.cursors().await?;
                let news = self.begin(&loaded.catalog, &cursors).await?;
                let held = self.shared.store.file_holds().await?;
                for gone in held.keys().filter(|subject| !runs_once(&loaded.catalog, subject)) {
                    self.shared.store.forget_hold(gone).await?;
                }
                // Names are shared: of those in the catalog there are many.
                let known = |subject: Subject| match loaded.catalog.jobs.get_key_value(&subject) {
                    Some((declared, _)) => declared.clone(),
                    None => subject,
                };
                let held = cursors.into_iter().map(|(subject, cursor)| (known(subject), Held::at(cursor)));
                self.held = held.collect();
                news
            }
        };
        for (subject, _) in news.iter().filter(|(_, news)| matches!(news, News::Gone)) {
            if self.known.as_ref().is_some_and(|known| runs_once(&known.catalog, subject)) {
                self.shared.store.forget_hold(subject).await?;
            }
        }
        self.known = Some(loaded);
        for (subject, news) in news {
            match news {
                News::Changed => {
                    self.requeue(&subject);
                    self.changed.insert(subject);
                }
                News::Rescheduled => self.requeue(&subject),
                News::Gone => {
                    self.unqueue(&subject);
                    self.waiting.remove(&subject);
                    self.changed.remove(&subject);
                }
            }
        }
        Ok(())
    }

    /// What the first catalog means. A declaration that is known already may have changed while no daemon was running.
    async fn begin(
        &self,
        catalog: &Catalog,
        cursors: &BTreeMap<Subject, Timestamp>,
    ) -> Result<Vec<(Subject, News)>, Error> {
        let live = self.shared.store.live().await?;
        let mut news = vec![];
        for subject in catalog.subjects() {
            let changed = match workspace_of(catalog, &subject) {
                _ if !cursors.contains_key(&subject) => true,
                Some(workspace) => {
                    let deploying =
                        live.iter().filter(|run| run.subject == subject).filter_map(declaration_of).next_back();
                    let state = self.shared.workspace_state(&subject).await?;
                    let latest = deploying.or(state.attempted_declaration.as_ref());
                    latest.is_some_and(|latest| *latest != workspace.declaration_digest)
                }
                // Whether it has run is told by the key of its declaration.
                None => runs_once(catalog, &subject),
            };
            news.push((subject, if changed { News::Changed } else { News::Rescheduled }));
        }
        Ok(news)
    }

    /// What the difference of two catalogs means. Only what a deployment or its times depend on makes a workspace be
    /// looked at at once: a new description does not, and a new template only where the last deployment failed and
    /// waits for it.
    async fn compare(&self, before: &Catalog, now: &Catalog) -> Result<Vec<(Subject, News)>, Error> {
        let mut news = vec![];
        for change in Catalog::diff(before, now) {
            let subject = match change {
                Change::Added(subject) => {
                    news.push((subject, News::Changed));
                    continue;
                }
                Change::Removed(subject) => {
                    news.push((subject, News::Gone));
                    continue;
                }
                Change::Changed(subject) => subject,
            };
            let changed = match (workspace_of(before, &subject), workspace_of(now, &subject)) {
                (Some(old), Some(new)) => {
                    if old.enabled != new.enabled {
                        // Its jobs are in force with it.
                        news.extend(now.jobs_of(Some(&new.name)).map(|job| (job.subject.clone(), News::Rescheduled)));
                    }
                    old.declaration_digest != new.declaration_digest
                        || old.lines != new.lines
                        || old.enabled != new.enabled
                        || old.time_zone != new.time_zone
                        || (old.digest != new.digest && self.shared.workspace_state(&subject).await?.deploy_failed())
                }
                _ => runs_once(now, &subject),
            };
            news.push((subject, if changed { News::Changed } else { News::Rescheduled }));
        }
        Ok(news)
    }

    /// A cursor that lies far ahead was set by a clock that was wrong: nothing would be due for as long. What the days
    /// until then have already made is not made again, because its keys are taken.
    async fn pull_back(&mut self, now: Timestamp) -> Result<(), Error> {
        if now >= before(self.latest_now, FAR_AHEAD) {
            self.latest_now = self.latest_now.max(now);
            return Ok(());
        }
        let limit = after(now, FAR_AHEAD);
        let ahead: Vec<(Subject, Timestamp)> = self
            .held
            .iter()
            .map(|(subject, held)| (subject, held.cursor.timestamp()))
            .filter(|(_, cursor)| *cursor > limit)
            .map(|(subject, cursor)| (subject.clone(), cursor))
            .collect();
        for (subject, cursor) in ahead {
            tracing::warn!(%subject, %cursor, "the clock was ahead: schedules go on from now");
            let fire = Fire {
                subject: subject.clone(),
                expect: Some(cursor),
                cursor: now,
                submit: vec![],
                cancel: vec![],
                skipped: vec![],
            };
            let stands = match self.shared.store.fire(fire, now).await? {
                FireResult::Fired(_) => Some(now),
                FireResult::Moved(cursor) => cursor,
            };
            self.account(&subject, stands);
        }
        self.latest_now = now;
        Ok(())
    }

    fn account(&mut self, subject: &Subject, cursor: Option<Timestamp>) {
        if let Some(cursor) = cursor {
            match self.held.get_mut(subject) {
                Some(held) => held.cursor = Micros::of(cursor),
                None => {
                    self.held.insert(subject.clone(), Held::at(cursor));
                }
            }
        }
        self.requeue(subject);
    }

    /// Up to when the fires of a subject are accounted for.
    pub(super) fn cursor(&self, subject: &Subject) -> Option<Timestamp> {
        self.held.get(subject).map(|held| held.cursor.timestamp())
    }

    fn requeue(&mut self, subject: &Subject) {
        self.unqueue(subject);
        let Some((lines, zone)) = self.known.as_ref().and_then(|loaded| lines_of(loaded, subject)) else { return };
        let Some(held) = self.held.get_mut(subject) else {
            // It has lines, and nobody counts their fires yet.
            if !lines.is_empty() {
                self.changed.insert(subject.clone());
            }
            return;
        };
        if let Some(next) = line::next(&lines, zone, held.cursor.timestamp()) {
            held.due = Micros::of(next);
            self.queue.insert((held.due, subject.clone()));
        }
    }

    fn unqueue(&mut self, subject: &Subject) {
        let Some(held) = self.held.get_mut(subject) else { return };
        let due = std::mem::replace(&mut held.due, Micros::NEVER);
        if due != Micros::NEVER {
            self.queue.remove(&(due, subject.clone()));
        }
    }
}

/// The cron lines of an enabled subject, and their zone.
pub(crate) fn lines_of<'a>(loaded: &'a Loaded, subject: &Subject) -> Option<(Vec<Line<'a>>, &'a TimeZone)> {
    if !loaded.catalog.is_enabled(subject) {
        return None;
    }
    if let Some(workspace) = workspace_of(&loaded.catalog, subject) {
        return Some((workspace_lines(workspace), &workspace.time_zone));
    }
    loaded.catalog.jobs.get(subject).map(|job| (job_lines(job), &job.time_zone))
}

pub(super) fn workspace_lines(workspace: &Workspace) -> Vec<Line<'_>> {
    workspace.lines.iter().map(|line| Line { text: &line.text, schedule: &line.schedule }).collect()
}

pub(super) fn job_lines<'a>(job: &'a Job) -> Vec<Line<'a>> {
    let cron = |trigger: &'a JobTrigger| match trigger {
        JobTrigger::Cron(schedule) => Some(Line { text: schedule.expression(), schedule }),
        JobTrigger::Word(_) | JobTrigger::Declared(_) => None,
    };
    job.triggers.iter().filter_map(cron).collect()
}

/// The enabled jobs that listen to `word`.
pub(super) fn listening(catalog: &Catalog, word: TriggerWord) -> impl Iterator<Item = &Arc<Job>> {
    catalog
        .jobs
        .values()
        .filter(move |job| job.triggers.contains(&JobTrigger::Word(word)) && catalog.is_enabled(&job.subject))
}

pub(super) fn workspace_of<'a>(catalog: &'a Catalog, subject: &Subject) -> Option<&'a Arc<Workspace>> {
    match subject {
        Subject::Workspace(name) => catalog.workspaces.get(name),
        Subject::Job { .. } | Subject::Deployment(_) | Subject::Provision(_) | Subject::Scaffold(_) => None,
    }
}

fn runs_once(catalog: &Catalog, subject: &Subject) -> bool {
    catalog.jobs.get(subject).is_some_and(|job| job.runs_once())
}

/// The declaration that a run deploys, if it deploys one.
fn declaration_of(run: &Run) -> Option<&Digest> {
    let iac = run.action.iac().filter(|iac| matches!(iac.operation, Operation::Deploy { .. }))?;
    iac.declaration_digest.as_ref()
}

impl Shared {
    pub(crate) fn new_run(&self, subject: Subject, action: Action, origin: Origin, now: Timestamp) -> NewRun {
        NewRun {
            id: self.ids.run(&subject, now),
            lock_key: Some(subject.lock_key()),
            dedup_key: origin.dedup_key(&subject),
            retry: retry_of(&action),
            subject,
            action,
            origin,
            due: now,
            priority: 0,
            retry_of: None,
        }
    }

    /// A run of a job. Those that may run beside each other hold no lock.
    pub(crate) fn new_job_run(&self, job: &Job, catalog: &Catalog, origin: Origin, now: Timestamp) -> NewRun {
        let run = self.new_run(job.subject.clone(), job.action(catalog), origin, now);
        match job.rules.concurrency {
            ConcurrencyPolicy::Allow => NewRun { lock_key: None, ..run },
            ConcurrencyPolicy::Forbid | ConcurrencyPolicy::Replace => run,
        }
    }

    pub(crate) async fn workspace_state(&self, subject: &Subject) -> Result<WorkspaceState, Error> {
        match self.store.projection(subject).await? {
            Some(Projection::Workspace(state)) => Ok(state),
            Some(Projection::Job(_)) | None => Ok(WorkspaceState::default()),
        }
    }

    pub(crate) async fn job_status(&self, subject: &Subject) -> Result<JobStatus, Error> {
        match self.store.projection(subject).await? {
            Some(Projection::Job(state)) => Ok(state.status),
            Some(Projection::Workspace(_)) | None => Ok(JobStatus::Pending),
        }
    }
}

/// What is tried again: infrastructure code, because its transient failures are seen before anything was changed.
fn retry_of(action: &Action) -> piton_model::Backoff {
    match action {
        Action::Iac(_) => {
            piton_model::Backoff { max_attempts: 3, first: Duration::from_secs(10), cap: Duration::from_secs(300) }
        }
        // Whoever asks for a scaffold says how often.
        Action::Command(_) | Action::Batch(_) | Action::Provision(_) | Action::Scaffold(_) | Action::Remote(_) => {
            piton_model::Backoff::NONE
        }
    }
}
