//! What people decide about a run: cancel, approve, reject, retry.

use std::sync::Arc;

use piton_model::{Action, By, Decision, Digest, Event, NewRun, Origin, Phase, Run, RunId, RunState, Subject};
use piton_store::{Guard, RecordError};

use crate::job_objects::is_of_schedule;
use crate::{Engine, Error};

impl Engine {
    /// Asks for a run to stop. A run that has not begun ends at once; one that is under way stops gracefully.
    pub async fn cancel(&self, id: RunId, by: By, reason: Option<String>) -> Result<Run, Error> {
        if let Action::Remote(_) = *self.run(id).await?.action {
            return Err(Error::CancelledElsewhere(id));
        }
        let run = self.decide(id, Event::CancelAsked { by, reason, superseded_by: None }).await?;
        if let (Some(driver), RunState::Running { .. }) = (self.0.drivers().get(&id), &run.state) {
            driver.stop.cancel();
        }
        self.cleanup(&run).await;
        Ok(run)
    }

    /// Stops a run because a newer one takes its place. One that is over is left as it is.
    pub(crate) async fn supersede(&self, id: RunId, newer: RunId) -> Result<(), Error> {
        let event = Event::CancelAsked { by: By::System, reason: None, superseded_by: Some(newer) };
        match self.decide(id, event).await {
            Ok(run) => {
                if let (Some(driver), RunState::Running { .. }) = (self.0.drivers().get(&id), &run.state) {
                    driver.stop.cancel();
                }
                self.cleanup(&run).await;
                Ok(())
            }
            Err(Error::Illegal(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether whoever asks for a run may approve its plan, too.
    pub fn allows_self_approval(&self) -> bool {
        self.0.config.self_approval
    }

    /// Approves the plan that a run shows; with `digest`, only if it is that one.
    pub async fn approve(&self, id: RunId, digest: Option<Digest>, by: By) -> Result<Run, Error> {
        let run = self.run(id).await?;
        let RunState::Gated { gate, expires } = run.state else { return Err(Error::NothingToApprove(id)) };
        // The question has lapsed, even if nobody has recorded that yet.
        if self.0.clock.now() >= expires {
            return Err(Error::NothingToApprove(id));
        }
        if !self.0.config.self_approval && run.origin.by() == by {
            return Err(Error::SelfApproval(id));
        }
        let digest = digest.unwrap_or_else(|| gate.digest.clone());
        if digest != gate.digest {
            return Err(Error::AnotherPlan { run: id, asked: gate.digest });
        }
        match self.decide(id, Event::Decided { decision: Decision::Approve { digest }, by }).await {
            // Somebody else has answered in this very moment.
            Err(Error::Illegal(_)) => Err(Error::NothingToApprove(id)),
            decided => decided,
        }
    }

    /// Refuses the plan that a run shows.
    pub async fn reject(&self, id: RunId, by: By, reason: Option<String>) -> Result<Run, Error> {
        let run = match self.decide(id, Event::Decided { decision: Decision::Reject { reason }, by }).await {
            Err(Error::Illegal(_)) => return Err(Error::NothingToApprove(id)),
            decided => decided?,
        };
        self.cleanup(&run).await;
        Ok(run)
    }

    /// Does the same again, as a new run.
    pub async fn retry(&self, id: RunId, by: By) -> Result<Run, Error> {
        if let Some(run) = self.of_this_call().await? {
            return Ok(run);
        }
        let old = self.run(id).await?;
        let of_schedule = matches!(old.subject, Subject::Job { .. }) && is_of_schedule(&old);
        match (&*old.action, &old.subject) {
            (Action::Remote(_), _) => return Err(Error::RetriedElsewhere(id)),
            // Its row says when and how often it is tried.
            (Action::Provision(_), Subject::Provision(schedule)) => {
                return Err(Error::OfProvision { run: id, schedule: *schedule });
            }
            _ => {}
        }
        if old.phase() != Phase::Ended {
            return Err(Error::NotEnded(id));
        }
        if let Some(sealed) = old.sealed {
            return Err(Error::Sealed { run: id, key: sealed.key });
        }
        if old.forgotten {
            return Err(Error::Forgotten(id));
        }
        if let (Subject::Deployment(_), Action::Iac(iac)) = (&old.subject, &*old.action) {
            let again = self.0.new_deployment(iac.clone(), by)?;
            return self.submit_one(NewRun { retry_of: Some(id), ..again }).await;
        }
        let now = self.0.clock.now();
        let run = NewRun {
            id: self.0.ids.run(&old.subject, now),
            lock_key: old.lock_key,
            subject: old.subject,
            action: Arc::unwrap_or_clone(old.action),
            origin: Origin::Call { by, of_schedule },
            due: now,
            priority: old.priority,
            retry: old.retry,
            retry_of: Some(id),
            dedup_key: None,
        };
        self.submit_one(run).await
    }

    async fn decide(&self, id: RunId, event: Event) -> Result<Run, Error> {
        match self.0.store.record(id, event, Guard::Any, self.0.clock.now()).await {
            Ok(run) => Ok(run),
            Err(RecordError::NotFound(_) | RecordError::Fenced { .. }) => {
                Err(Error::NotFound { what: "run", name: id.to_string(), nearest: None })
            }
            Err(RecordError::Illegal(illegal)) => Err(illegal.into()),
            Err(RecordError::Store(error)) => Err(error.into()),
        }
    }

    /// A run that ended while nobody drove it leaves its files to whoever ended it.
    pub(crate) async fn cleanup(&self, run: &Run) {
        if run.outcome().is_some() {
            self.0.executor.ended(run).await;
        }
    }
}
