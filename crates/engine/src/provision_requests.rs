//! What people and programs ask of scheduled provisions.

use piton_model::{Alteration, By, NewProvision, NotAltered, ScheduleId, ScheduleStatus, ScheduledProvision};
use piton_store::AlterError;

use crate::{Call, Engine, Error};

impl Engine {
    /// Ids for so many more scheduled provisions. Asked again by the same call, whose answer was lost, they are the same.
    pub fn new_schedule_ids(&self, count: usize) -> Vec<ScheduleId> {
        match Call::current().key {
            Some(key) => (0..count).map(|index| ScheduleId::of_request(&key, index)).collect(),
            None => {
                let now = self.0.clock.now();
                (0..count).map(|_| self.0.ids.provision(now).into()).collect()
            }
        }
    }

    /// Schedules provisions, all or none; the answer names those that were not there before.
    pub async fn schedule_provisions(&self, new: Vec<NewProvision>, by: By) -> Result<Vec<ScheduleId>, Error> {
        if self.0.stages.closing.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        Ok(self.0.store.schedule_provisions(new, by, self.0.clock.now()).await?)
    }

    /// A scheduled provision.
    pub async fn provision(&self, id: ScheduleId) -> Result<ScheduledProvision, Error> {
        self.0.store.provision(id).await?.ok_or_else(|| unknown(id))
    }

    /// Alters a scheduled provision. One that is cancelled while it is being executed is stopped if it can be; how that
    /// ended is seen of it afterwards.
    pub async fn alter_provision(
        &self,
        id: ScheduleId,
        alteration: Alteration,
        by: By,
    ) -> Result<ScheduledProvision, Error> {
        let agrees = matches!(alteration, Alteration::Approve { .. });
        if agrees && !self.0.config.self_approval {
            let requested_by = self.provision(id).await?.wanted.requested_by;
            if requested_by.is_some_and(|name| name == by.to_string()) {
                return Err(Error::OwnProvision(id));
            }
        }
        let cancels = alteration == Alteration::Cancel;
        match self.0.store.alter_provision(id, alteration, by.clone(), self.0.clock.now()).await {
            Ok(row) => Ok(row),
            Err(AlterError::Refused(NotAltered::NoLongerPending(ScheduleStatus::Executing))) if cancels => {
                let row = self.provision(id).await?;
                if let Some(run) = row.last_run.filter(|_| row.status == ScheduleStatus::Executing) {
                    match self.cancel(run, by, None).await {
                        Ok(_) | Err(Error::Illegal(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                self.provision(id).await
            }
            Err(AlterError::NotFound(id)) => Err(unknown(id)),
            Err(AlterError::Busy(id)) => Err(Error::ProvisionBusy(id)),
            Err(AlterError::Refused(problem)) => Err(Error::ProvisionState { id, problem }),
            Err(AlterError::Store(error)) => Err(error.into()),
        }
    }
}

fn unknown(id: ScheduleId) -> Error {
    Error::NotFound { what: "scheduled provision", name: id.to_string(), nearest: None }
}
