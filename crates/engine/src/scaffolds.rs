//! Repositories that messages of the queue ask for.

use piton_model::{Action, Backoff, NewRun, Outcome, OutcomeKind, Run, RunId, Scaffold, ScaffoldId};
use piton_store::Submitted;

use crate::{Engine, Error};

/// What became of a request to make a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is a run now.
    New(RunId),
    /// It was one already, which asks for the same.
    Known(RunId),
    /// Its name is that of a run that asks for something else.
    Other(RunId),
}

impl Engine {
    /// Makes a run of what a message asks for, once, however often the message comes; once more where it has failed. It is
    /// durable when this returns.
    pub async fn submit_scaffold(&self, scaffold: Scaffold, retry: Backoff) -> Result<Accepted, Error> {
        if !self.accepting() {
            return Err(Error::ShuttingDown);
        }
        let subject = scaffold.subject();
        let now = self.0.clock.now();
        let run = scaffold.clone().run(self.0.ids.run(&subject, now), retry, now);
        let id = run.id;
        let known = match self.0.store.submit(vec![run], now).await?.pop() {
            Some(Submitted::Existing(known)) => known,
            Some(Submitted::New(_)) | None => return Ok(Accepted::New(id)),
        };
        let run = self.run(known).await?;
        let first = match &run.action {
            Action::Scaffold(first) if first.digest == scaffold.digest => first,
            _ => return Ok(Accepted::Other(known)),
        };
        match run.outcome().map(Outcome::kind) {
            Some(OutcomeKind::Failed | OutcomeKind::TimedOut | OutcomeKind::Indeterminate) => {}
            _ => return Ok(Accepted::Known(known)),
        }
        // Somebody has sent it again. It may find what the first left, and must make the same commit.
        let again = Scaffold { asked_at: first.asked_at, ..scaffold };
        let id = self.0.ids.run(&subject, now);
        let again = NewRun { dedup_key: None, retry_of: Some(known), ..again.run(id, retry, now) };
        self.0.store.submit(vec![again], now).await?;
        Ok(Accepted::New(id))
    }

    /// The last run that whoever asked for a repository knows by this name; none where there is none.
    pub async fn scaffold(&self, name: &str) -> Result<Option<Run>, Error> {
        match name.parse::<ScaffoldId>() {
            Ok(id) => self.latest_scaffold(&id).await,
            Err(_) => Ok(None),
        }
    }
}
