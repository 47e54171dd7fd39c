//! What the schedules of one subject mean at one instant.

use std::collections::BTreeSet;

use jiff::Timestamp;
use piton_model::{Digest, NewRun, Origin, Record, RunId, SkipReason, Subject};
use piton_spec::{CatchUp, ConcurrencyPolicy, Effect, Job, Workspace};
use piton_store::{Fire, FireResult};

use super::line::{self, Due, Line, Overtaken};
use super::time::{Time, job_lines, lines_of, workspace_lines, workspace_of};
use crate::Error;
use crate::admit::{self, Admit, Dependency, Wanted};
use crate::catalog::Loaded;
use crate::clock::before;
use crate::job_objects::is_of_schedule;
use crate::suspend::is_suspended;

/// What a round decided about one subject.
pub(super) enum Verdict {
    Fire(Fire),
    Wait,
    Nothing,
    /// Nothing yet: it is decided about when it is due.
    InTime,
}

/// What came of it.
pub(super) enum Decided {
    /// So many runs were made; the cursor stands there, where it moved.
    Done(usize, Option<Timestamp>),
    /// Another node was faster with the fires: the cursor stands there now.
    Moved(Option<Timestamp>),
    /// Not yet.
    Wait,
    /// Not ahead of its time.
    InTime,
}

/// One round of decisions, all at the same instant.
pub(super) struct Round<'a> {
    pub(super) time: &'a Time,
    pub(super) now: Timestamp,
    /// What is due until then is decided about; later than now where that is done ahead of its time.
    pub(super) until: Timestamp,
    pub(super) suspended: &'a BTreeSet<Subject>,
    /// The subjects that are decided about in this round.
    pub(super) together: &'a [Subject],
}

impl Round<'_> {
    pub(super) async fn commit(&self, verdict: Result<Verdict, Error>) -> Result<Decided, Error> {
        let shared = &self.time.shared;
        let fire = match verdict? {
            Verdict::Fire(fire) => fire,
            Verdict::Wait => return Ok(Decided::Wait),
            Verdict::Nothing => return Ok(Decided::Done(0, None)),
            Verdict::InTime => return Ok(Decided::InTime),
        };
        let cursor = fire.cursor;
        let superseded: Vec<RunId> = fire.cancel.iter().map(|(run, _)| *run).collect();
        match shared.store.fire(fire, self.now).await? {
            FireResult::Fired(submitted) => {
                for run in superseded {
                    // Nobody drives it, so nobody else tells that it is over.
                    if let Ok(Some(run)) = shared.store.run(run).await
                        && run.outcome().is_some()
                    {
                        shared.executor.ended(&run).await;
                    }
                }
                Ok(Decided::Done(submitted.len(), Some(cursor)))
            }
            FireResult::Moved(cursor) => Ok(Decided::Moved(cursor)),
        }
    }

    pub(super) async fn verdict(&self, subject: &Subject) -> Result<Verdict, Error> {
        let Some(loaded) = &self.time.known else { return Ok(Verdict::Nothing) };
        let cursor = self.time.cursor(subject);
        if self.until > self.now {
            return self.ahead(subject, loaded, cursor).await;
        }
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
        let catches_up = workspace.catch_up == CatchUp::Latest;
        let by_line = due.as_ref().and_then(|due| {
            if !catches_up && self.is_late(due.fire) {
                fire.skipped.push(skip(subject, &lines, due, SkipReason::TooLate));
                return None;
            }
            Some((wanted(&workspace.lines[due.line].effect), cron(&lines, due)))
        });
        // New or changed: what the latest line says holds at once, if that is a deployment.
        let by_change = || {
            let latest = due.as_ref().map(|due| due.line);
            let latest = latest.or_else(|| line::latest_ever(&lines, zone, self.now).map(|(line, _)| line))?;
            let digest = workspace.declaration_digest.clone();
            match wanted(&workspace.lines[latest].effect) {
                Wanted::Deploy(mode) if changed && (catches_up || cursor.is_some()) => {
                    Some((Wanted::Deploy(mode), Origin::Change { digest }))
                }
                Wanted::Deploy(_) | Wanted::Destroy => None,
            }
        };
        let (wanted, origin) = match by_line.or_else(by_change) {
            Some(wish) => wish,
            None if due.is_some() || cursor.is_none() => return Ok(Verdict::Fire(fire)),
            None => return Ok(Verdict::Nothing),
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
                let action = self.time.shared.action(workspace, wanted.operation()).await?;
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
        if let Some(digest) = job.declared() {
            return self.declared(subject, job, digest, loaded, cursor).await;
        }
        let lines = job_lines(job);
        if lines.is_empty() {
            return Ok(Verdict::Nothing);
        }
        let mut fire = self.empty_fire(subject, cursor);
        // A job that is seen for the first time begins to count now.
        let Some(cursor) = cursor else { return Ok(Verdict::Fire(fire)) };
        let Some(due) = line::due(&lines, &job.time_zone, cursor, self.now) else { return Ok(Verdict::Nothing) };
        fire.skipped = overtaken(subject, &lines, &due);
        let late = match job.rules.starting_deadline {
            Some(deadline) => due.fire < before(self.now, deadline),
            None => job.catch_up == CatchUp::Skip && self.is_late(due.fire) && !self.was_held_up(job, due.fire).await?,
        };
        let live = self.time.shared.store.active_of(subject).await?;
        let dependencies = self.dependencies(job, loaded).await?;
        let suspended = is_suspended(job, self.suspended);
        let admit = admit::job(suspended, late, &live, job.rules.concurrency, &dependencies);
        match admit {
            Admit::Skip(reason) => fire.skipped.push(skip(subject, &lines, &due, reason)),
            Admit::Wait => return Ok(Verdict::Wait),
            Admit::Enqueue { instead_of } => {
                let run = self.time.shared.new_job_run(job, &loaded.catalog, cron(&lines, &due), self.now);
                fire.cancel = admit::supersede(&instead_of, run.id);
                fire.submit.push(run);
            }
        }
        Ok(Verdict::Fire(fire))
    }

    /// What is due in a moment is submitted already, to begin then, where nothing speaks against it: a job that waits for
    /// no other one, is not suspended, and has no run in its way. All else is decided about when it is due.
    async fn ahead(&self, subject: &Subject, loaded: &Loaded, cursor: Option<Timestamp>) -> Result<Verdict, Error> {
        let (Some(job), Some(cursor)) = (loaded.catalog.jobs.get(subject), cursor) else { return Ok(Verdict::InTime) };
        let free = loaded.catalog.is_enabled(subject)
            && job.extras.depends_on.is_empty()
            && !is_suspended(job, self.suspended);
        if !free {
            return Ok(Verdict::InTime);
        }
        let lines = job_lines(job);
        let due = line::due(&lines, &job.time_zone, cursor, self.until);
        let Some(due) = due.filter(|due| due.fire > self.now && due.overtaken.is_empty()) else {
            return Ok(Verdict::InTime);
        };
        let beside = job.rules.concurrency == ConcurrencyPolicy::Allow;
        if !beside && !self.time.shared.store.active_of(subject).await?.is_empty() {
            return Ok(Verdict::InTime);
        }
        let run = self.time.shared.new_job_run(job, &loaded.catalog, cron(&lines, &due), self.now);
        let submit = vec![NewRun { due: due.fire, ..run }];
        Ok(Verdict::Fire(Fire { cursor: due.fire, submit, ..self.empty_fire(subject, Some(cursor)) }))
    }

    /// A job that runs once for its declaration. What an older declaration of it began gives way.
    async fn declared(
        &self,
        subject: &Subject,
        job: &Job,
        digest: &Digest,
        loaded: &Loaded,
        cursor: Option<Timestamp>,
    ) -> Result<Verdict, Error> {
        let shared = &self.time.shared;
        shared.note_hold(job, digest, self.now).await?;
        if job.rules.suspended {
            // Another declaration lets it begin, and that is news.
            return Ok(Verdict::Nothing);
        }
        let run = shared.new_job_run(job, &loaded.catalog, Origin::Change { digest: digest.clone() }, self.now);
        if let Some(key) = &run.dedup_key
            && shared.store.run_of_key(key).await?.is_some()
        {
            return Ok(Verdict::Nothing);
        }
        if self.suspended.contains(subject) {
            return Ok(Verdict::Wait);
        }
        let active = shared.store.active_of(subject).await?;
        let live: Vec<RunId> = active.iter().filter(|run| !is_of_schedule(run)).map(|run| run.id).collect();
        let mut fire = self.empty_fire(subject, cursor);
        fire.cancel = admit::supersede(&live, run.id);
        fire.submit.push(run);
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

    /// Whether a job on which this one depends was under way when this one was due, and ended just now: then it is not
    /// late, it has waited.
    async fn was_held_up(&self, job: &Job, fire: Timestamp) -> Result<bool, Error> {
        for subject in job.dependencies() {
            let latest = self.time.shared.store.latest_of(&subject).await?;
            let known = latest.and_then(|run| run.known_to_have_ended());
            if known.is_some_and(|known| known > fire && !self.is_late(known)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_due(&self, subject: &Subject, loaded: &Loaded) -> bool {
        let (Some((lines, zone)), Some(cursor)) = (lines_of(loaded, subject), self.time.cursor(subject)) else {
            return false;
        };
        let held_back = match loaded.catalog.jobs.get(subject) {
            Some(job) => is_suspended(job, self.suspended),
            None => self.suspended.contains(subject),
        };
        !held_back && line::due(&lines, zone, cursor, self.now).is_some()
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
