//! Repositories that messages of the queue ask for.

use piton_model::{Action, Backoff, DedupKey, NewRun, Outcome, OutcomeKind, Run, RunId, Scaffold, ScaffoldId};
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

/// How a message came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Somebody has sent it.
    Now,
    /// It was given out before, and nobody can tell what became of that.
    Before,
}

impl Engine {
    /// Makes a run of what a message asks for, once, however often the message comes. Where it has failed, whoever sends it
    /// again gets another; that the broker gives out the same message twice is no such wish. It is durable when this
    /// returns.
    pub async fn submit_scaffold(&self, scaffold: Scaffold, retry: Backoff, sent: Sent) -> Result<Accepted, Error> {
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
        let first = match &*run.action {
            Action::Scaffold(first) if first.digest == scaffold.digest => first,
            _ => return Ok(Accepted::Other(known)),
        };
        // Further tries are runs of their own, and it is the last of them that counts.
        let latest = self.0.store.latest_of(&subject).await?.unwrap_or_else(|| run.clone());
        match latest.outcome().map(Outcome::kind) {
            Some(OutcomeKind::Failed | OutcomeKind::TimedOut | OutcomeKind::Indeterminate) if sent == Sent::Now => {}
            _ => return Ok(Accepted::Known(latest.id)),
        }
        // It may find what the first left, and must make the same commit. Many who send it again at once get one run.
        let again = Scaffold { asked_at: first.asked_at, ..scaffold };
        let id = self.0.ids.run(&subject, now);
        let key = DedupKey::new(format!("again:{}", latest.id));
        let again = NewRun { dedup_key: Some(key), retry_of: Some(latest.id), ..again.run(id, retry, now) };
        Ok(match self.0.store.submit(vec![again], now).await?.pop() {
            Some(Submitted::Existing(known)) => Accepted::Known(known),
            Some(Submitted::New(_)) | None => Accepted::New(id),
        })
    }

    /// The last run that whoever asked for a repository knows by this name; none where there is none.
    pub async fn scaffold(&self, name: &str) -> Result<Option<Run>, Error> {
        match name.parse::<ScaffoldId>() {
            Ok(id) => self.latest_scaffold(&id).await,
            Err(_) => Ok(None),
        }
    }
}
