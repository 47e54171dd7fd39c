//! Accepting runs.

use jiff::Timestamp;
use piton_model::{AttemptNo, Event, NewRun, Run, RunId};

use crate::batch::{Batch, Needs};
use crate::row::whole_micros;
use crate::writer::Operation;
use crate::{Error, Store};

/// What became of a run that was submitted.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// It was accepted.
    New(Run),
    /// Its key or its id was used before, by this run.
    Existing(RunId),
}

impl Submitted {
    /// The run that exists now.
    pub fn id(&self) -> RunId {
        match self {
            Submitted::New(run) => run.id,
            Submitted::Existing(id) => *id,
        }
    }

    /// The run, where it is new.
    pub fn new_run(&self) -> Option<&Run> {
        match self {
            Submitted::New(run) => Some(run),
            Submitted::Existing(_) => None,
        }
    }
}

impl Store {
    /// Accepts runs, all or none. One whose key or id was used before is not accepted a second time.
    pub async fn submit(&self, runs: Vec<NewRun>, at: Timestamp) -> Result<Vec<Submitted>, Error> {
        self.writer().perform(Submit { runs, at: whole_micros(at) }).await
    }
}

impl Store {
    /// Lets `event` happen to a run and accepts another one in its place, both or neither. What the run is then; nothing
    /// where this attempt does not hold it any more.
    pub async fn replace(
        &self,
        run: RunId,
        attempt: AttemptNo,
        event: Event,
        by: NewRun,
        at: Timestamp,
    ) -> Result<Option<Run>, Error> {
        self.writer().perform(Replace { run, attempt, event, by: [by], at: whole_micros(at) }).await
    }
}

struct Replace {
    run: RunId,
    attempt: AttemptNo,
    event: Event,
    by: [NewRun; 1],
    at: Timestamp,
}

impl Operation for Replace {
    type Answer = Option<Run>;

    fn needs(&self, needs: &mut Needs) {
        needs.submission(&self.by);
        needs.runs.insert(self.run);
    }

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        let held = batch.run(self.run).await?.and_then(Run::lease).map(|lease| lease.attempt);
        if held != Some(self.attempt) {
            return Ok(None);
        }
        let Ok(run) = batch.change(self.run, self.event.clone(), self.at).await? else { return Ok(None) };
        submit(batch, &self.by, self.at).await?;
        Ok(Some(run))
    }
}

struct Submit {
    runs: Vec<NewRun>,
    at: Timestamp,
}

impl Operation for Submit {
    type Answer = Vec<Submitted>;

    fn needs(&self, needs: &mut Needs) {
        needs.submission(&self.runs);
    }

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        submit(batch, &self.runs, self.at).await
    }
}

/// Submits within a larger transaction.
pub(crate) async fn submit(batch: &mut Batch, runs: &[NewRun], at: Timestamp) -> Result<Vec<Submitted>, Error> {
    let mut submitted = Vec::with_capacity(runs.len());
    for new in runs {
        let mut existing = batch.run(new.id).await?.map(|run| run.id);
        if let (None, Some(key)) = (existing, &new.dedup_key) {
            existing = batch.run_of_key(key).await?;
        }
        submitted.push(match existing {
            Some(id) => Submitted::Existing(id),
            None => Submitted::New(batch.submit(new.clone(), at).await?),
        });
    }
    Ok(submitted)
}
