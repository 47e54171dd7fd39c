//! Jobs as objects: what Kubernetes calls a Job is a run here, and its name is told by what made it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use piton_model::{
    Action, Batch, BatchProgress, By, Name, Origin, Outcome, Phase, Run, RunId, RunState, Subject, SubjectKind,
};

use piton_spec::Job;
use piton_store::{FileHold, Submitted};

use crate::suspend::is_suspended;
use crate::{Engine, Error};

/// A job: of a declaration, of a schedule, or one that somebody made.
#[derive(Debug, Clone, PartialEq)]
pub struct JobObject {
    /// Its name: that of its declaration; for a run of a schedule followed by when that was due, in seconds.
    pub name: String,
    /// Whose job it is.
    pub subject: Subject,
    /// What it does.
    pub batch: Batch,
    /// Its run; none for one that is declared and was not begun, as while it is suspended.
    pub run: Option<Run>,
    /// Whether it is held back.
    pub suspended: bool,
    /// Whether a schedule made it.
    pub scheduled: bool,
    /// What its file says of whether it may begin, where that ever held this declaration back.
    pub held_by_file: Option<FileHold>,
}

/// What is held back: by somebody, and by files.
struct Held {
    by_hand: BTreeSet<Subject>,
    by_file: BTreeMap<Subject, FileHold>,
}

/// Where a job stands, in the words of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobPhase {
    /// It was not begun.
    Pending,
    /// It was.
    Running,
    /// It has succeeded.
    Succeeded,
    /// It has failed, or was stopped.
    Failed,
}

impl JobPhase {
    /// The phase's word.
    pub fn as_str(self) -> &'static str {
        match self {
            JobPhase::Pending => "Pending",
            JobPhase::Running => "Running",
            JobPhase::Succeeded => "Succeeded",
            JobPhase::Failed => "Failed",
        }
    }
}

impl JobObject {
    /// Where it stands.
    pub fn phase(&self) -> JobPhase {
        match self.run.as_ref().map(|run| &run.state) {
            None | Some(RunState::Pending { .. }) => JobPhase::Pending,
            Some(RunState::Running { .. } | RunState::Gated { .. }) => JobPhase::Running,
            Some(RunState::Ended { outcome: Outcome::Succeeded, .. }) => JobPhase::Succeeded,
            Some(RunState::Ended { .. }) => JobPhase::Failed,
        }
    }

    /// What became of its tasks so far.
    pub fn progress(&self) -> BatchProgress {
        self.run.as_ref().and_then(|run| run.report.batch.clone()).unwrap_or_default()
    }

    /// When it ended.
    pub fn completed_at(&self) -> Option<Timestamp> {
        match self.run.as_ref()?.state {
            RunState::Ended { at, .. } => Some(at),
            RunState::Pending { .. } | RunState::Running { .. } | RunState::Gated { .. } => None,
        }
    }
}

impl Engine {
    /// All jobs outside workspaces: declared ones, those of schedules, and those that somebody made. By name. What a
    /// CronJob made goes on when that is gone, and is there until it is done.
    pub async fn jobs(&self) -> Result<Vec<JobObject>, Error> {
        let loaded = self.loaded();
        let held = self.held().await?;
        let mut runs = vec![];
        for run in self.0.store.latest_of_kind(SubjectKind::Job).await? {
            let scheduled = loaded.catalog.jobs.get(&run.subject).is_some_and(|job| job.is_scheduled());
            if run.subject.workspace().is_some() || scheduled || is_of_schedule(&run) {
                continue;
            }
            runs.push(run);
        }
        let is_cron_job = |job: &&Arc<Job>| job.is_scheduled() && job.batch().is_some();
        for job in loaded.catalog.jobs_of(None).filter(is_cron_job) {
            runs.extend(self.0.store.active_of(&job.subject).await?);
            runs.extend(self.0.store.ended_of(&job.subject).await?.into_iter().map(|ended| ended.run));
        }
        let seen: BTreeSet<Subject> = runs.iter().map(|run| run.subject.clone()).collect();
        let is_left = |run: &Run| {
            let declared = loaded.catalog.jobs.get(&run.subject);
            let is_job = run.subject.kind() == SubjectKind::Job && run.subject.workspace().is_none();
            is_job && is_of_schedule(run) && !declared.is_some_and(|job| job.is_scheduled())
        };
        runs.extend(self.0.store.live().await?.into_iter().filter(is_left));
        let mut jobs: Vec<JobObject> = runs.into_iter().filter_map(|run| self.object(run, &held)).collect();
        for job in loaded.catalog.jobs_of(None).filter(|job| job.runs_once() && !seen.contains(&job.subject)) {
            jobs.extend(self.unbegun(job, &held).await?);
        }
        jobs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(jobs)
    }

    /// A job by its name.
    pub async fn job_object(&self, name: &str) -> Result<JobObject, Error> {
        let not_found = || Error::NotFound { what: "job", name: name.escape_debug().to_string(), nearest: None };
        let subject = standalone(name).ok_or_else(not_found)?;
        let loaded = self.loaded();
        let held = self.held().await?;
        let declared = loaded.catalog.jobs.get(&subject);
        if declared.is_none_or(|job| !job.is_scheduled()) {
            let latest = self.0.store.latest_of(&subject).await?.filter(|run| !is_of_schedule(run));
            if let Some(found) = latest.and_then(|run| self.object(run, &held)) {
                return Ok(found);
            }
            if let Some(job) = declared
                && let Some(found) = self.unbegun(job, &held).await?
            {
                return Ok(found);
            }
        }
        // A run of a schedule is called after that.
        let (schedule, _) = name.rsplit_once('-').ok_or_else(not_found)?;
        let subject = standalone(schedule).ok_or_else(not_found)?;
        let mut runs = self.0.store.active_of(&subject).await?;
        if loaded.catalog.jobs.get(&subject).is_some_and(|job| job.is_scheduled()) {
            runs.extend(self.0.store.ended_of(&subject).await?.into_iter().map(|ended| ended.run));
        }
        runs.into_iter()
            .filter_map(|run| self.object(run, &held))
            .find(|job| job.scheduled && job.name == name)
            .ok_or_else(not_found)
    }

    /// Makes a job, which runs at once.
    pub async fn create_job(&self, name: Name, batch: Batch, by: By) -> Result<Run, Error> {
        self.make_job(name, batch, by, false).await
    }

    /// Makes a job that is held back until it is released.
    pub async fn create_held_job(&self, name: Name, batch: Batch, by: By) -> Result<Run, Error> {
        self.make_job(name, batch, by, true).await
    }

    async fn make_job(&self, name: Name, batch: Batch, by: By, held: bool) -> Result<Run, Error> {
        if let Some(run) = self.of_this_call().await? {
            return Ok(run);
        }
        let subject = Subject::Job { workspace: None, name };
        let exists = match self.job_object(&subject.name()).await {
            Ok(_) => true,
            Err(Error::NotFound { .. }) => self.loaded().catalog.jobs.contains_key(&subject),
            Err(error) => return Err(error),
        };
        if exists {
            return Err(Error::JobExists(subject));
        }
        if held {
            self.0.store.suspend(&subject, &by, self.0.clock.now()).await?;
        } else {
            self.0.store.resume(&subject).await?;
        }
        let run = self.0.new_run(subject, Action::Batch(batch), Origin::call(by), self.0.clock.now());
        self.submit_one(run).await
    }

    /// Stops a job.
    pub async fn stop_job(&self, name: &str, by: By) -> Result<Run, Error> {
        let job = self.job_object(name).await?;
        match job.run.filter(|run| run.phase() != Phase::Ended) {
            Some(run) => self.cancel(run.id, by, None).await,
            None => Err(Error::NotRunning(job.subject)),
        }
    }

    /// Stops a job if it is active, and removes it once it has ended. One that is declared does not begin again.
    pub async fn delete_job(&self, name: &str, by: By) -> Result<(), Error> {
        let job = self.job_object(name).await?;
        let Some(run) = job.run else { return Err(Error::NotRunning(job.subject)) };
        if run.phase() != Phase::Ended {
            self.end(run.id, &by).await?;
            self.ended(run.id).await?;
        }
        let mut gone = vec![run.id];
        if !job.scheduled {
            // What older versions of its declaration did goes with it, or else it would come to light again.
            let older = self.0.store.ended_of(&job.subject).await?.into_iter().map(|ended| ended.run.id);
            gone.extend(older.filter(|older| *older != run.id));
        }
        self.remove_ended(gone, by).await?;
        if !job.scheduled {
            // Nothing is left that could be held back. A schedule goes on as it stands, without this one of its jobs.
            self.0.store.resume(&job.subject).await?;
            self.0.store.forget_hold(&job.subject).await?;
        }
        Ok(())
    }

    /// What a schedule has made, and what is kept of that.
    pub async fn jobs_made_by(&self, schedule: &Name) -> Result<Vec<RunId>, Error> {
        let subject = Subject::Job { workspace: None, name: schedule.clone() };
        let mut made: Vec<RunId> = self.0.store.active_of(&subject).await?.iter().map(|run| run.id).collect();
        made.extend(self.0.store.ended_of(&subject).await?.iter().map(|ended| ended.run.id));
        Ok(made)
    }

    /// Stops all that was made by a schedule which is gone, and removes it. Where its name is declared once more by now, only
    /// these that were made before are of the one which is gone.
    pub async fn delete_jobs_of(&self, schedule: &Name, made: &[RunId], by: By) -> Result<(), Error> {
        let subject = Subject::Job { workspace: None, name: schedule.clone() };
        let is_declared = self.loaded().catalog.jobs.contains_key(&subject);
        let goes = |run: &RunId| !is_declared || made.contains(run);
        let mut live: Vec<RunId> = self.0.store.active_of(&subject).await?.iter().map(|run| run.id).collect();
        live.retain(goes);
        for run in &live {
            self.end(*run, &by).await?;
        }
        for run in &live {
            self.ended(*run).await?;
        }
        let ended = self.0.store.ended_of(&subject).await?;
        let ended: Vec<RunId> = ended.into_iter().map(|ended| ended.run.id).filter(goes).collect();
        if !ended.is_empty() {
            self.remove_ended(ended, by).await?;
        }
        self.0.store.resume(&subject).await?;
        Ok(())
    }

    /// Tells a run to stop, unless it has ended meanwhile.
    async fn end(&self, run: RunId, by: &By) -> Result<(), Error> {
        match self.cancel(run, by.clone(), None).await {
            Ok(_) | Err(Error::Illegal(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn remove_ended(&self, runs: Vec<RunId>, by: By) -> Result<(), Error> {
        let removed = self.0.store.remove(runs, by, self.0.clock.now()).await?;
        self.0.executor.forget(removed).await;
        Ok(())
    }

    /// Holds a job back: what runs of it is stopped, and its deadline stands still.
    pub async fn hold_job(&self, name: &str, by: By) -> Result<(), Error> {
        let subject = self.of_its_own(name).await?;
        self.0.store.suspend(&subject, &by, self.0.clock.now()).await?;
        self.0.tell_suspended().await
    }

    /// Lets a job go on that was held back.
    pub async fn release_job(&self, name: &str) -> Result<(), Error> {
        let subject = self.of_its_own(name).await?;
        self.resume_subject(&subject).await
    }

    /// The subject of a job that can be held back: that of one which a schedule made is the schedule's.
    async fn of_its_own(&self, name: &str) -> Result<Subject, Error> {
        let job = self.job_object(name).await?;
        if job.scheduled {
            return Err(Error::OfSchedule { job: job.name, schedule: job.subject.name().into_owned() });
        }
        Ok(job.subject)
    }

    /// Lets the triggers of a subject go on, and what of it was held back. A declared job that waited for it begins now.
    pub(crate) async fn resume_subject(&self, subject: &Subject) -> Result<(), Error> {
        self.0.store.resume(subject).await?;
        // Before anything of it goes on: what an older declaration began gives way.
        self.begin_declared(subject).await?;
        self.0.tell_suspended().await
    }

    /// Begins a declared job that was not begun since it was declared.
    async fn begin_declared(&self, subject: &Subject) -> Result<(), Error> {
        let loaded = self.loaded();
        let job = loaded.catalog.jobs.get(subject);
        let Some(job) = job.filter(|job| !job.rules.suspended && loaded.catalog.is_enabled(subject)) else {
            return Ok(());
        };
        let Some(digest) = job.declared() else { return Ok(()) };
        let mut live = self.0.store.active_of(subject).await?;
        live.retain(|run| !is_of_schedule(run));
        let now = self.0.clock.now();
        self.0.note_hold(job, digest, now).await?;
        let run = self.0.new_job_run(job, &loaded.catalog, Origin::Change { digest: digest.clone() }, now);
        let newer = run.id;
        if self.0.store.submit(vec![run], now).await?.iter().any(|submitted| matches!(submitted, Submitted::New(_))) {
            for older in live {
                self.supersede(older.id, newer).await?;
            }
        }
        Ok(())
    }

    /// A job that is declared and was not begun. One that was, and whose run is gone, is gone with it.
    async fn unbegun(&self, job: &Job, held: &Held) -> Result<Option<JobObject>, Error> {
        let (Some(batch), Some(digest)) = (job.batch(), job.declared()) else { return Ok(None) };
        let key = Origin::Change { digest: digest.clone() }.dedup_key(&job.subject);
        if let Some(key) = key
            && self.0.store.run_of_key(&key).await?.is_some()
        {
            return Ok(None);
        }
        Ok(Some(JobObject {
            name: job.name.to_string(),
            subject: job.subject.clone(),
            batch: batch.as_ref().clone(),
            run: None,
            suspended: is_suspended(job, &held.by_hand),
            scheduled: false,
            held_by_file: held.by_file.get(&job.subject).cloned(),
        }))
    }

    async fn held(&self) -> Result<Held, Error> {
        Ok(Held { by_hand: self.0.store.suspended().await?, by_file: self.0.store.file_holds().await? })
    }

    fn object(&self, run: Run, held: &Held) -> Option<JobObject> {
        let Action::Batch(batch) = &*run.action else { return None };
        let declared = self.loaded().catalog.jobs.get(&run.subject).is_some_and(|job| job.is_scheduled());
        let scheduled = declared || is_of_schedule(&run);
        let is_of_it =
            |hold: &&FileHold| matches!(&run.origin, Origin::Change { digest } if *digest == hold.declaration);
        Some(JobObject {
            name: if scheduled { scheduled_name(&run) } else { run.subject.name().into_owned() },
            batch: batch.clone(),
            suspended: !scheduled && self.0.is_held(&run.subject, &held.by_hand),
            held_by_file: held.by_file.get(&run.subject).filter(is_of_it).cloned(),
            subject: run.subject.clone(),
            scheduled,
            run: Some(run),
        })
    }
}

/// Whether a run of a job tells by itself that it is one of a schedule, though that may be gone by now.
pub(crate) fn is_of_schedule(run: &Run) -> bool {
    match run.origin {
        Origin::Cron { .. } | Origin::Event { .. } | Origin::Boot { .. } => true,
        // One of an older version does not tell; but a job of its own is alone under its name, and holds a lock for that.
        Origin::Call { of_schedule, .. } => of_schedule || run.lock_key.is_none(),
        Origin::At { .. } | Origin::Message { .. } | Origin::Report { .. } | Origin::Change { .. } => false,
    }
}

/// What a run of a schedule is called as a job: after when it was due, or when somebody asked for it.
pub(crate) fn scheduled_name(run: &Run) -> String {
    match &run.origin {
        Origin::Cron { .. } => run.origin.job_name(&run.subject),
        _ => format!("{}-{}", run.subject.name(), run.submitted_at.as_second()),
    }
}

fn standalone(name: &str) -> Option<Subject> {
    Name::parse(name).ok().map(|name| Subject::Job { workspace: None, name })
}
