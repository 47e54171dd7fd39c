//! What workers elsewhere tell of their runs, and what messages ask for of which nothing can be made: this ledger keeps it,
//! and nobody here executes anything for it.

use std::time::Duration;

use piton_model::{
    Action, By, Event, Failure, FailureClass, Hearing, Outcome, Record, RemoteNews, RemoteStatus, RemoteWord, Run,
    ScaffoldId, ScaffoldKind, Subject,
};

use crate::clock::after;
use crate::{Engine, Error};

/// A worker of which nothing is heard for so long is lost. It tries what fails for hours, and says nothing meanwhile.
const SILENCE: Duration = Duration::from_secs(24 * 3600);

impl Engine {
    /// Records what a worker says of a run, and answers with the run as it is then. What was said before, and what came too
    /// late, changes nothing.
    pub async fn hear(&self, word: RemoteWord) -> Result<Run, Error> {
        if !self.accepting() {
            return Err(Error::ShuttingDown);
        }
        let now = self.0.clock.now();
        let id = self.0.ids.run(&Subject::Scaffold(word.run_id.clone()), now);
        let heard = self.0.store.hear(word, id, after(now, SILENCE), now).await?;
        if heard.is_news {
            self.cleanup(&heard.run).await;
        }
        Ok(heard.run)
    }

    /// The run whose log lines that a worker has said belong to: a new one, where `word` is the first that is heard of it.
    /// None where the log is written here anyway.
    pub async fn hear_lines(&self, word: RemoteWord) -> Result<Option<Run>, Error> {
        let latest = self.latest_scaffold(&word.run_id).await?;
        let run = match (word.heard(latest.as_ref()), latest) {
            (Hearing::Begins { .. }, _) | (_, None) => self.hear(word).await?,
            // Lines alone are no news.
            (Hearing::Continues(_) | Hearing::Known(_), Some(run)) => run,
        };
        Ok(if self.is_logged_here(&run).await? { None } else { Some(run) })
    }

    /// Records that nothing can be made of a message, so that whoever asked for it learns of that whatever happens. It is
    /// durable when this returns. Whether it was recorded: there is nothing to record of a name that is a run's already,
    /// and of a message that comes again.
    pub async fn refuse(&self, run_id: ScaffoldId, kind: Option<ScaffoldKind>, reason: &str) -> Result<bool, Error> {
        if let Some(known) = self.latest_scaffold(&run_id).await? {
            let same = known.outcome().and_then(Outcome::failure).is_some_and(|failure| failure.message == reason);
            if same || known.refused_by().is_none() {
                return Ok(false);
            }
        }
        let failure = Failure::new(FailureClass::Permanent, "invalid_message", reason);
        let news = RemoteNews { worker: self.worker().to_string(), attempt: 0, said_at: self.0.clock.now() };
        let status = RemoteStatus::Refused { failure, kind };
        self.hear(RemoteWord { run_id, status, news, by: By::System }).await?;
        Ok(true)
    }

    /// The newest run that makes the repository of this name, here or elsewhere.
    pub(crate) async fn latest_scaffold(&self, id: &ScaffoldId) -> Result<Option<Run>, Error> {
        Ok(self.0.store.latest_of(&Subject::Scaffold(id.clone())).await?)
    }

    /// Whether it is this worker that executes a run, or has: then its log lies here.
    async fn is_logged_here(&self, run: &Run) -> Result<bool, Error> {
        if let Action::Remote(_) = *run.action {
            return Ok(false);
        }
        if let Some(lease) = run.lease() {
            return Ok(lease.worker == *self.worker());
        }
        let last = self.0.store.entries_of(run.id).await?.into_iter().rev().find_map(|entry| match entry.record {
            Record::Run { event: Event::Claimed { worker, .. }, .. } => Some(worker),
            Record::Run { .. } | Record::Skipped { .. } | Record::Removed { .. } | Record::Audit(_) => None,
        });
        // What was never begun has said nothing; somebody else has its message, too.
        Ok(last.is_some_and(|worker| worker == *self.worker()))
    }
}
