//! Recording what workers elsewhere say of their runs.

use jiff::Timestamp;
use piton_model::{AttemptNo, Event, Hearing, RemoteWord, Run, RunId, Subject};

use crate::batch::{Batch, Needs};
use crate::db::params;
use crate::row::{self, whole_micros};
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) const LATEST: &str = "SELECT MAX(id) FROM (\
     SELECT MAX(id) AS id FROM runs WHERE subject = $1 \
     UNION ALL SELECT MAX(id) FROM run_history WHERE subject = $1) l";

/// What became of a word.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The run that it is about, as it is now.
    pub run: Run,
    /// Whether it said something new.
    pub is_news: bool,
}

impl Store {
    /// Records what a worker elsewhere says of a run. `id` is that of the run if there has to be a new one; somebody who
    /// is not heard of before `silent_at` counts as lost.
    pub async fn hear(&self, word: RemoteWord, id: RunId, silent_at: Timestamp, at: Timestamp) -> Result<Heard, Error> {
        let hear = Hear { word, id, silent_at: whole_micros(silent_at), at: whole_micros(at) };
        self.writer().perform(hear).await
    }
}

struct Hear {
    word: RemoteWord,
    id: RunId,
    silent_at: Timestamp,
    at: Timestamp,
}

impl Operation for Hear {
    type Answer = Heard;

    fn needs(&self, needs: &mut Needs) {
        needs.runs.insert(self.id);
    }

    async fn perform(&self, batch: &mut Batch) -> Result<Heard, Error> {
        let latest = self.latest(batch).await?;
        let (id, is_news) = match self.word.heard(latest.as_ref()) {
            Hearing::Known(id) => (id, false),
            Hearing::Continues(id) => {
                batch.renewed(&[id], self.silent_at);
                (id, true)
            }
            Hearing::Begins { retry_of } => {
                batch.submit(self.word.run(self.id, retry_of, self.at), self.at).await?;
                // In the same transaction, so that nobody here can claim it.
                let claimed = Event::Claimed {
                    worker: self.word.holder(),
                    attempt: AttemptNo::after(0),
                    lease_until: self.silent_at,
                    uptime: None,
                };
                self.change(batch, self.id, claimed).await?;
                (self.id, true)
            }
        };
        if is_news {
            for event in self.word.events() {
                self.change(batch, id, event).await?;
            }
        }
        match batch.run(id).await? {
            Some(run) => Ok(Heard { run: run.clone(), is_news }),
            None => Err(Error::Refused(format!("run {id} has vanished"))),
        }
    }
}

impl Hear {
    async fn latest(&self, batch: &mut Batch) -> Result<Option<Run>, Error> {
        batch.flush().await?;
        let subject = Subject::Scaffold(self.word.run_id.clone()).to_string();
        let found = batch.conn().rows(LATEST, params![subject]).await?;
        let Some(id) = found.first().map(|row| row.maybe_text(0)).transpose()?.flatten() else { return Ok(None) };
        Ok(batch.run(row::run_id(&id)?).await?.cloned())
    }

    async fn change(&self, batch: &mut Batch, id: RunId, event: Event) -> Result<(), Error> {
        let word = event.as_str();
        match batch.change(id, event, self.at).await? {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Refused(format!("run {id} could not take `{word}`"))),
        }
    }
}
