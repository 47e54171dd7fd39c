//! Jobs that are held back while they run.

use std::collections::BTreeSet;

use jiff::Timestamp;
use piton_model::{Action, Digest, Run, Subject};
use piton_spec::Job;
use tokio::sync::watch;

use crate::job_objects::is_of_schedule;
use crate::{Engine, Error, Shared};

/// Whether a job begins nothing by itself: its file says so, or somebody does, as these `suspended` subjects tell.
pub(crate) fn is_suspended(job: &Job, suspended: &BTreeSet<Subject>) -> bool {
    job.rules.suspended || suspended.contains(&job.subject)
}

impl Engine {
    /// Whether a job begins nothing by itself at present.
    pub async fn is_suspended(&self, job: &Job) -> Result<bool, Error> {
        Ok(is_suspended(job, &self.0.store.suspended().await?))
    }
}

impl Shared {
    /// What has to be suspended for a run to be held back: the job itself. A schedule that is suspended holds back no
    /// run that it has made.
    pub(crate) fn heeds(&self, run: &Run) -> Option<Subject> {
        let Action::Batch(_) = *run.action else { return None };
        let catalog = self.catalog.borrow();
        let declared = catalog.catalog.jobs.get(&run.subject);
        let scheduled = declared.is_some_and(|job| job.is_scheduled()) || is_of_schedule(run);
        (!scheduled).then(|| run.subject.clone())
    }

    /// Remembers since when the file of a job that runs once for this declaration holds it back, or lets it begin.
    pub(crate) async fn note_hold(&self, job: &Job, declaration: &Digest, now: Timestamp) -> Result<(), Error> {
        let known = self.store.file_hold(&job.subject).await?;
        let holds = known.as_ref().is_some_and(|known| known.holds);
        if job.rules.suspended {
            let is_known = known.is_some_and(|known| known.holds && known.declaration == *declaration);
            if !is_known {
                self.store.hold_by_file(&job.subject, declaration, now).await?;
            }
        } else if holds {
            self.store.release_by_file(&job.subject, declaration, now).await?;
        }
        Ok(())
    }

    /// Tells a run that is about to do a step whether it is held back.
    pub(crate) async fn hold_back(&self, run: &Run, suspended: &watch::Sender<bool>) {
        let Some(subject) = self.heeds(run) else { return };
        match self.store.suspended().await {
            Ok(all) => tell(suspended, self.is_held(&subject, &all)),
            Err(error) => tracing::warn!(run = %run.id, %error, "could not see whether a job is suspended"),
        }
    }

    /// Tells the runs that are driven here what is suspended now.
    pub(crate) async fn tell_suspended(&self) -> Result<(), Error> {
        if self.drivers().values().all(|driver| driver.heeds.is_none()) {
            return Ok(());
        }
        let all = self.store.suspended().await?;
        for driver in self.drivers().values() {
            if let Some(subject) = &driver.heeds {
                tell(&driver.suspended, self.is_held(subject, &all));
            }
        }
        Ok(())
    }

    /// Whether a run of this subject is held back, by somebody or by the file as it is now.
    pub(crate) fn is_held(&self, subject: &Subject, suspended: &BTreeSet<Subject>) -> bool {
        let catalog = self.catalog.borrow();
        catalog
            .catalog
            .jobs
            .get(subject)
            .map_or_else(|| suspended.contains(subject), |job| is_suspended(job, suspended))
    }
}

fn tell(suspended: &watch::Sender<bool>, now: bool) {
    suspended.send_if_modified(|told| std::mem::replace(told, now) != now);
}
