//! Schedules as objects: what Kubernetes calls a CronJob is a job with a schedule here.

use std::sync::Arc;

use jiff::Timestamp;
use piton_model::{Name, Origin, Projection, Run, RunId};
use piton_spec::Job;

use crate::job_objects::scheduled_name;
use crate::{Engine, Error};

/// A schedule that makes jobs.
#[derive(Debug, Clone)]
pub struct CronJob {
    /// The declaration.
    pub job: Arc<Job>,
    /// Whether it starts nothing at present.
    pub suspended: bool,
    /// When the latest job was due that it made.
    pub last_schedule: Option<Timestamp>,
    /// When one last succeeded.
    pub last_successful: Option<Timestamp>,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// Its jobs that have not ended.
    pub active: Vec<(String, RunId)>,
}

/// A job that a schedule made.
#[derive(Debug, Clone, PartialEq)]
pub struct CronJobRun {
    /// Its name.
    pub name: String,
    /// When it was due; none where somebody asked for it.
    pub scheduled: Option<Timestamp>,
    /// The run.
    pub run: Run,
}

impl Engine {
    /// A job with a schedule.
    pub async fn cron_job(&self, workspace: Option<&str>, name: &str) -> Result<CronJob, Error> {
        let job = self.job(workspace, name)?;
        if !job.is_scheduled() {
            return Err(Error::NotFound { what: "cronjob", name: name.escape_debug().to_string(), nearest: None });
        }
        let suspended = self.is_suspended(&job).await?;
        let (last_schedule, last_successful) = match self.0.store.projection(&job.subject).await? {
            Some(Projection::Job(state)) => (state.last_schedule, state.last_success),
            _ => (None, None),
        };
        let active = self.0.store.active_of(&job.subject).await?;
        let next =
            if suspended { None } else { self.next_run(job.workspace().map(Name::as_str), job.name.as_str()).await? };
        let active = active.iter().map(|run| (scheduled_name(run), run.id)).collect();
        Ok(CronJob { job, suspended, last_schedule, last_successful, next, active })
    }

    /// The jobs that a schedule made and that are kept, the newest first.
    pub async fn cron_history(&self, workspace: Option<&str>, name: &str) -> Result<Vec<CronJobRun>, Error> {
        let job = self.cron_job(workspace, name).await?.job;
        let mut runs = self.0.store.active_of(&job.subject).await?;
        runs.extend(self.0.store.ended_of(&job.subject).await?.into_iter().map(|ended| ended.run));
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        runs.dedup_by_key(|run| run.id);
        let told = |run: Run| CronJobRun { name: scheduled_name(&run), scheduled: fire_of(&run), run };
        Ok(runs.into_iter().map(told).collect())
    }
}

fn fire_of(run: &Run) -> Option<Timestamp> {
    match &run.origin {
        Origin::Cron { fire, .. } => Some(*fire),
        _ => None,
    }
}
