//! Schedules that are due, and declarations that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use piton_model::{
    Action, JobStatus, NewRun, Origin, Projection, Record, SkipReason, Subject, TriggerWord, WorkspaceState,
};
use piton_spec::{Catalog, CatchUp, Change, Effect, Job, JobTrigger, Workspace};
use piton_store::{Fire, FireResult};

use super::line::{self, Due, Line, Overtaken};
use crate::admit::{self, Admit, Dependency, Wanted};
use crate::catalog::Loaded;
use crate::clock::{after, before};
use crate::{Engine, Error, Shared};

/// How many subjects are decided about at once; their commits share one transaction.
const BATCH: usize = 256;

/// Submits what schedules and changed declarations ask for.
///
/// Any number of nodes may do so at once: the cursor of a schedule is compared and swapped in the transaction that
/// inserts the run, and whoever loses learns the new cursor.
#[derive(Debug)]
pub struct Time {
    shared: Arc<Shared>,
    known: Option<Arc<Loaded>>,
    /// Up to when the fires of each subject are accounted for.
    cursors: BTreeMap<Subject, Timestamp>,
    /// When each subject is due next, ordered by time.
    queue: BTreeSet<(Timestamp, Subject)>,
    queued: HashMap<Subject, Timestamp>,
    /// Subjects whose declaration is new or changed.
    changed: BTreeSet<Subject>,
    /// Jobs that are due and wait for a job on which they depend.
    waiting: BTreeSet<Subject>,
}

/// What a round decided about one subject.
enum Verdict {
    Fire(Fire),
    Wait,
    Nothing,
}

impl Time {
    /// The trigger of `engine`; it knows nothing until its first round.
    pub fn new(engine: &Engine) -> Time {
        Time {
            shared: engine.0.clone(),
            known: None,
            cursors: BTreeMap::new(),
            queue: BTreeSet::new(),
            queued: HashMap::new(),
            changed: BTreeSet::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Submits what is due or changed; how many runs that made.
    pub async fn handle(&mut self) -> Result<usize, Error> {
        self.take_over_catalog().await?;
        let now = self.shared.clock.now();
        let suspended = self.shared.store.suspended().await?;
        let due: Vec<Subject> =
            self.queue.iter().take_while(|(at, _)| *at <= now).map(|(_, subject)| subject.clone()).collect();
        let mut subjects: BTreeSet<Subject> = due.into_iter().collect();
        subjects.append(&mut self.waiting);
        subjects.extend(self.changed.iter().cloned());
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let mut submitted = 0;
        for batch in subjects.chunks(BATCH) {
            let round = Round { time: &*self, now, suspended: &suspended, together: &subjects };
            let verdicts = join_all(batch.iter().map(|subject| round.decide(subject))).await;
            for (subject, verdict) in batch.iter().zip(verdicts) {
                match verdict? {
                    (Some(runs), cursor) => {
                        submitted += runs;
                        self.account(subject, cursor);
                    }
                    (None, _) => {
                        self.waiting.insert(subject.clone());
                        self.unqueue(subject);
                    }
                }
                self.changed.remove(subject);
            }
        }
        Ok(submitted)
    }

    /// Submits what wants to run once after the host was started.
    pub async fn reboot(&self) -> Result<(), Error> {
        let Some(boot_id) = &self.shared.config.boot_id else { return Ok(()) };
        let loaded = self.shared.catalog.borrow().clone();
        let now = self.shared.clock.now();
        let origin = Origin::Boot { boot_id: boot_id.clone() };
        let catalog = &loaded.catalog;
        let runs: Vec<NewRun> = listening(catalog, TriggerWord::Reboot)
            .map(|job| self.shared.new_run(job.subject.clone(), job.action(catalog), origin.clone(), now))
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
        if let Err(error) = self.reboot().await {
            tracing::error!(%error, "could not submit what runs at boot");
        }
        loop {
            catalog.mark_unchanged();
            changes.mark_unchanged();
            if let Err(error) = self.handle().await {
                tracing::error!(%error, "could not decide about schedules");
            }
            let backstop = after(shared.clock.now(), shared.config.check_interval);
            let wake = self.next().map_or(backstop, |next| next.min(backstop));
            let waiting = !self.waiting.is_empty();
            tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = shared.clock.sleep_until(wake) => {}
                _ = catalog.changed() => {}
                _ = changes.changed(), if waiting => {}
            }
        }
    }

    /// Notices what is new, changed or gone since the last round.
    async fn take_over_catalog(&mut self) -> Result<(), Error> {
        let loaded = self.shared.catalog.borrow().clone();
        let changes = match &self.known {
            Some(known) if Arc::ptr_eq(known, &loaded) => return Ok(()),
            Some(known) => Catalog::diff(&known.catalog, &loaded.catalog),
            None => {
                self.cursors = self.shared.store.cursors().await?;
                loaded.catalog.subjects().map(Change::Added).collect()
            }
        };
        let before = self.known.replace(loaded.clone());
        for change in changes {
            match change {
                Change::Added(subject) if before.is_none() && self.cursors.contains_key(&subject) => {
                    self.look_at_again(subject, &loaded.catalog).await?;
                }
                Change::Changed(subject) => match &before {
                    Some(before) => self.look_at_change(subject, &before.catalog, &loaded.catalog).await?,
                    None => self.requeue(&subject),
                },
                Change::Added(subject) => {
                    self.unqueue(&subject);
                    self.changed.insert(subject);
                }
                Change::Removed(subject) => {
                    self.unqueue(&subject);
                    self.waiting.remove(&subject);
                    self.changed.remove(&subject);
                }
            }
        }
        Ok(())
    }

    /// A declaration that was known before this daemon started may have changed while none was running.
    async fn look_at_again(&mut self, subject: Subject, catalog: &Catalog) -> Result<(), Error> {
        if let Some(workspace) = workspace_of(catalog, &subject) {
            let state = self.shared.workspace_state(&subject).await?;
            let attempted = &state.attempted_declaration;
            if attempted.as_ref().is_some_and(|attempted| *attempted != workspace.declaration_digest) {
                self.changed.insert(subject);
                return Ok(());
            }
        }
        self.requeue(&subject);
        Ok(())
    }

    /// Only what a deployment or its times depend on makes a workspace be looked at at once: a new description does
    /// not, and a new template only where the last deployment failed and waits for it.
    async fn look_at_change(&mut self, subject: Subject, before: &Catalog, now: &Catalog) -> Result<(), Error> {
        let changed = match (workspace_of(before, &subject), workspace_of(now, &subject)) {
            (Some(before), Some(now)) => {
                before.declaration_digest != now.declaration_digest
                    || before.lines != now.lines
                    || before.enabled != now.enabled
                    || before.time_zone != now.time_zone
                    || (before.digest != now.digest && self.shared.workspace_state(&subject).await?.deploy_failed())
            }
            _ => false,
        };
        if changed {
            self.changed.insert(subject.clone());
        }
        self.requeue(&subject);
        Ok(())
    }

    fn account(&mut self, subject: &Subject, cursor: Option<Timestamp>) {
        if let Some(cursor) = cursor {
            self.cursors.insert(subject.clone(), cursor);
        }
        self.requeue(subject);
    }

    fn requeue(&mut self, subject: &Subject) {
        self.unqueue(subject);
        let (Some(loaded), Some(cursor)) = (&self.known, self.cursors.get(subject)) else { return };
        let Some((lines, zone)) = lines_of(loaded, subject) else { return };
        if let Some(next) = line::next(&lines, zone, *cursor) {
            self.queue.insert((next, subject.clone()));
            self.queued.insert(subject.clone(), next);
        }
    }

    fn unqueue(&mut self, subject: &Subject) {
        if let Some(at) = self.queued.remove(subject) {
            self.queue.remove(&(at, subject.clone()));
        }
    }
}

/// The cron lines of an enabled subject, and their zone.
fn lines_of<'a>(loaded: &'a Loaded, subject: &Subject) -> Option<(Vec<Line<'a>>, &'a TimeZone)> {
    if !loaded.catalog.is_enabled(subject) {
        return None;
    }
    if let Some(workspace) = workspace_of(&loaded.catalog, subject) {
        return Some((workspace_lines(workspace), &workspace.time_zone));
    }
    loaded.catalog.jobs.get(subject).map(|job| (job_lines(job), &job.time_zone))
}

fn workspace_lines(workspace: &Workspace) -> Vec<Line<'_>> {
    workspace.lines.iter().map(|line| Line { text: &line.text, schedule: &line.schedule }).collect()
}

fn job_lines<'a>(job: &'a Job) -> Vec<Line<'a>> {
    let cron = |trigger: &'a JobTrigger| match trigger {
        JobTrigger::Cron { text, schedule } => Some(Line { text, schedule }),
        JobTrigger::Word(_) => None,
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

fn workspace_of<'a>(catalog: &'a Catalog, subject: &Subject) -> Option<&'a Arc<Workspace>> {
    match subject {
        Subject::Workspace(name) => catalog.workspaces.get(name),
        Subject::Job { .. } => None,
    }
}

/// One round of decisions, all at the same instant.
struct Round<'a> {
    time: &'a Time,
    now: Timestamp,
    suspended: &'a BTreeSet<Subject>,
    /// The subjects that are decided about in this round.
    together: &'a [Subject],
}

impl Round<'_> {
    /// Decides and commits. The number of runs made, none for "not yet", and the subject's cursor afterwards.
    async fn decide(&self, subject: &Subject) -> Result<(Option<usize>, Option<Timestamp>), Error> {
        let shared = &self.time.shared;
        let fire = match self.verdict(subject).await? {
            Verdict::Fire(fire) => fire,
            Verdict::Wait => return Ok((None, None)),
            Verdict::Nothing => return Ok((Some(0), None)),
        };
        let cursor = fire.cursor;
        match shared.store.fire(fire, self.now).await? {
            FireResult::Fired(submitted) => Ok((Some(submitted.len()), Some(cursor))),
            FireResult::Moved(cursor) => Ok((Some(0), cursor)),
        }
    }

    async fn verdict(&self, subject: &Subject) -> Result<Verdict, Error> {
        let Some(loaded) = &self.time.known else { return Ok(Verdict::Nothing) };
        let cursor = self.time.cursors.get(subject).copied();
        if !loaded.catalog.is_enabled(subject) {
            return Ok(Verdict::Nothing);
        }
        if let Some(workspace) = workspace_of(&loaded.catalog, subject) {
            return self.workspace(subject, workspace, cursor).await;
        }
        match loaded.catalog.jobs.get(subject) {
            Some(job) => self.job(subject, job, loaded, cursor).await,
            None => Ok(Verdict::Nothing),
        }
    }

    async fn workspace(
        &self,
        subject: &Subject,
        workspace: &Workspace,
        cursor: Option<Timestamp>,
    ) -> Result<Verdict, Error> {
        let lines = workspace_lines(workspace);
        let zone = &workspace.time_zone;
        let changed = self.time.changed.contains(subject);
        let mut fire = self.empty_fire(subject, cursor);
        let due = cursor.and_then(|cursor| line::due(&lines, zone, cursor, self.now));
        if let Some(due) = &due {
            fire.skipped = overtaken(subject, &lines, due);
        }
        let latest = line::latest_ever(&lines, zone, self.now).or(due.as_ref().map(|due| (due.line, due.fire)));
        let catches_up = workspace.catch_up == CatchUp::Latest;
        let (wanted, origin) = match (latest, due) {
            // New or changed: what the latest line says holds at once, if that is a deployment.
            (Some((line, _)), due) if changed && (catches_up || cursor.is_some()) => {
                match (wanted(&workspace.lines[line].effect), due) {
                    (Wanted::Destroy, None) => return Ok(Verdict::Fire(fire)),
                    (Wanted::Destroy, Some(due)) => (Wanted::Destroy, cron(&lines, &due)),
                    (deploy, _) => (deploy, Origin::Change { digest: workspace.declaration_digest.clone() }),
                }
            }
            (_, Some(due)) if !catches_up && self.is_late(due.fire) => {
                fire.skipped.push(skip(subject, &lines, &due, SkipReason::TooLate));
                return Ok(Verdict::Fire(fire));
            }
            (_, Some(due)) => (wanted(&workspace.lines[due.line].effect), cron(&lines, &due)),
            (_, None) if cursor.is_none() => return Ok(Verdict::Fire(fire)),
            (_, None) => return Ok(Verdict::Nothing),
        };
        let state = self.time.shared.workspace_state(subject).await?;
        let live = self.time.shared.store.active_of(subject).await?;
        match admit::workspace(&wanted, &workspace.digest, &state, &live) {
            Admit::Skip(reason) => {
                if let Origin::Cron { fire: due, line } = origin {
                    fire.skipped.push(Record::Skipped { subject: subject.clone(), due, line, reason, count: 1 });
                }
            }
            Admit::Enqueue { instead_of } => {
                let action = workspace.action(wanted.operation());
                let run = self.time.shared.new_run(subject.clone(), action, origin, self.now);
                fire.cancel = admit::supersede(&instead_of, run.id);
                fire.submit.push(run);
            }
            Admit::Wait => return Ok(Verdict::Wait),
        }
        Ok(Verdict::Fire(fire))
    }

    async fn job(
        &self,
        subject: &Subject,
        job: &Job,
        loaded: &Loaded,
        cursor: Option<Timestamp>,
    ) -> Result<Verdict, Error> {
        let lines = job_lines(job);
        if lines.is_empty() {
            return Ok(Verdict::Nothing);
        }
        let mut fire = self.empty_fire(subject, cursor);
        // A job that is seen for the first time begins to count now.
        let Some(cursor) = cursor else { return Ok(Verdict::Fire(fire)) };
        let Some(due) = line::due(&lines, &job.time_zone, cursor, self.now) else { return Ok(Verdict::Nothing) };
        fire.skipped = overtaken(subject, &lines, &due);
        let admit = if job.catch_up == CatchUp::Skip && self.is_late(due.fire) {
            Admit::Skip(SkipReason::TooLate)
        } else {
            let live = self.time.shared.store.active_of(subject).await?;
            let dependencies = self.dependencies(job, loaded).await?;
            admit::job(self.suspended.contains(subject), &live, &dependencies)
        };
        match admit {
            Admit::Skip(reason) => fire.skipped.push(skip(subject, &lines, &due, reason)),
            Admit::Wait => return Ok(Verdict::Wait),
            Admit::Enqueue { .. } => {
                let origin = cron(&lines, &due);
                let action = job.action(&loaded.catalog);
                fire.submit.push(self.time.shared.new_run(subject.clone(), action, origin, self.now));
            }
        }
        Ok(Verdict::Fire(fire))
    }

    async fn dependencies(&self, job: &Job, loaded: &Loaded) -> Result<Vec<Dependency>, Error> {
        let mut found = vec![];
        for subject in job.dependencies() {
            let active = !self.time.shared.store.active_of(&subject).await?.is_empty();
            // A job that is due in this very round has not been submitted yet.
            let due = self.together.contains(&subject) && self.is_due(&subject, loaded);
            let status = self.time.shared.job_status(&subject).await?;
            found.push(Dependency { name: subject.name().to_string(), status, live: active || due });
        }
        Ok(found)
    }

    fn is_due(&self, subject: &Subject, loaded: &Loaded) -> bool {
        let (Some((lines, zone)), Some(cursor)) = (lines_of(loaded, subject), self.time.cursors.get(subject)) else {
            return false;
        };
        !self.suspended.contains(subject) && line::due(&lines, zone, *cursor, self.now).is_some()
    }

    fn is_late(&self, fire: Timestamp) -> bool {
        fire < before(self.now, self.time.shared.config.start_deadline)
    }

    fn empty_fire(&self, subject: &Subject, cursor: Option<Timestamp>) -> Fire {
        Fire {
            subject: subject.clone(),
            expect: cursor,
            cursor: cursor.map_or(self.now, |cursor| cursor.max(self.now)),
            submit: vec![],
            cancel: vec![],
            skipped: vec![],
        }
    }
}

fn wanted(effect: &Effect) -> Wanted {
    match effect {
        Effect::Deploy(mode) => Wanted::Deploy(mode.clone()),
        Effect::Destroy => Wanted::Destroy,
    }
}

fn cron(lines: &[Line<'_>], due: &Due) -> Origin {
    Origin::Cron { fire: due.fire, line: lines[due.line].text.to_owned() }
}

fn skip(subject: &Subject, lines: &[Line<'_>], due: &Due, reason: SkipReason) -> Record {
    let line = lines[due.line].text.to_owned();
    Record::Skipped { subject: subject.clone(), due: due.fire, line, reason, count: 1 }
}

fn overtaken(subject: &Subject, lines: &[Line<'_>], due: &Due) -> Vec<Record> {
    let record = |missed: &Overtaken| Record::Skipped {
        subject: subject.clone(),
        due: missed.fire,
        line: lines[missed.line].text.to_owned(),
        reason: SkipReason::OvertakenBy { due: due.fire },
        count: missed.count,
    };
    due.overtaken.iter().map(record).collect()
}

impl Shared {
    pub(crate) fn new_run(&self, subject: Subject, action: Action, origin: Origin, now: Timestamp) -> NewRun {
        NewRun {
            id: self.ids.run(now),
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
        Action::Iac(_) => piton_model::Backoff {
            max_attempts: 3,
            first: std::time::Duration::from_secs(10),
            cap: std::time::Duration::from_secs(300),
        },
        Action::Command(_) => piton_model::Backoff::NONE,
    }
}
