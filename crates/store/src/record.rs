//! Letting something happen to a run.

use jiff::Timestamp;
use piton_model::{AttemptNo, Event, IllegalTransition, Run, RunId};

use crate::batch::{Batch, Needs, NotChanged};
use crate::row::whole_micros;
use crate::writer::Operation;
use crate::{Error, Store};

/// On whose behalf something is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Nobody in particular: a person, a policy.
    Any,
    /// The holder of this attempt. Refused as soon as it no longer holds the run.
    Attempt(AttemptNo),
}

/// Why something was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// The run is in a state in which this cannot happen.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The attempt that speaks does not hold the run (any more).
    #[error("run {run} is held by {}", holder.map_or_else(|| "nobody".to_owned(), |attempt| format!("attempt {attempt}")))]
    Fenced {
        /// The run.
        run: RunId,
        /// The attempt that holds it, if any does.
        holder: Option<AttemptNo>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Lets `event` happen to a run and answers with what the run is then.
    ///
    /// The run, the entry of the ledger and the projection of its subject change together. A run that this ends moves
    /// to the history.
    pub async fn record(&self, run: RunId, event: Event, guard: Guard, at: Timestamp) -> Result<Run, RecordError> {
        self.writer().perform(RecordEvent { run, event, guard, at: whole_micros(at) }).await?
    }
}

struct RecordEvent {
    run: RunId,
    event: Event,
    guard: Guard,
    at: Timestamp,
}

impl Operation for RecordEvent {
    type Answer = Result<Run, RecordError>;

    fn needs(&self, needs: &mut Needs) {
        needs.runs.insert(self.run);
    }

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        let id = self.run;
        let Some(run) = batch.run(id).await? else { return Ok(Err(RecordError::NotFound(id))) };
        if let Guard::Attempt(attempt) = self.guard {
            let holder = run.lease().map(|lease| lease.attempt);
            if holder != Some(attempt) {
                return Ok(Err(RecordError::Fenced { run: id, holder }));
            }
        }
        if matches!(self.event, Event::Claimed { .. }) {
            // Only a claim looks at the lock.
            let why = "runs are taken by claiming what is due";
            let illegal = IllegalTransition { phase: run.phase(), event: self.event.as_str(), why };
            return Ok(Err(illegal.into()));
        }
        Ok(batch.change(id, self.event.clone(), self.at).await?.map_err(|refused| match refused {
            NotChanged::NotFound => RecordError::NotFound(id),
            NotChanged::Illegal(illegal) => illegal.into(),
        }))
    }
}
