//! Deployments that somebody asks for, of code that is declared nowhere.

use jiff::Timestamp;
use piton_model::{Action, Backoff, By, Iac, Name, NewRun, Origin, Run, RunId, Subject};

use crate::{Engine, Error, Shared};

impl Engine {
    /// Deploys code that is declared nowhere. The id of the run is that of the deployment, and the name of the directory
    /// in which it works, whatever `iac` says.
    ///
    /// It is tried once: whoever asked is told what went wrong, and decides.
    pub async fn submit_deployment(&self, iac: Iac, by: By) -> Result<Run, Error> {
        if let Some(run) = self.of_this_call().await? {
            return Ok(run);
        }
        let config = &self.0.config;
        // Several that come at once may overshoot by their number, which hurts nobody.
        let (waiting, own) = self.0.store.waiting_deployments(&by).await?;
        if waiting >= config.max_queued_deployments {
            return Err(Error::QueueFull { waiting, most: config.max_queued_deployments });
        }
        if own >= config.max_queued_deployments_each {
            return Err(Error::ShareFull { waiting: own, most: config.max_queued_deployments_each });
        }
        let run = self.0.new_deployment(iac, by)?;
        self.submit_one(run).await
    }

    /// How many deployments begin before this one; none where it does not wait.
    pub async fn deployments_before(&self, id: RunId) -> Result<Option<u64>, Error> {
        Ok(self.0.store.deployments_before(id).await?)
    }
}

impl Shared {
    pub(crate) fn new_deployment(&self, iac: Iac, by: By) -> Result<NewRun, Error> {
        let now: Timestamp = self.clock.now();
        let id = self.ids.deployment(now);
        let deployment = Name::parse(&id.to_string())?;
        let subject = Subject::Deployment(id);
        Ok(NewRun {
            id,
            lock_key: Some(subject.lock_key()),
            subject,
            action: Action::Iac(Iac { deployment, ..iac }),
            origin: Origin::call(by),
            due: now,
            priority: 0,
            retry: Backoff::NONE,
            retry_of: None,
            dedup_key: None,
        })
    }
}
