//! Acting on each entry of the ledger exactly once.

use jiff::Timestamp;
use piton_model::{NewRun, Record, Seq};

use crate::batch::{Batch, Needs};
use crate::db::params;
use crate::row::whole_micros;
use crate::schedules::only_skips;
use crate::submit::submit;
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) const POSITION: &str = "SELECT position FROM followers WHERE name = $1";
pub(crate) const MOVE_POSITION: &str = "INSERT INTO followers (name, position) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET position = excluded.position";

impl Store {
    /// The entry up to which a follower has acted; 0 for one that has not begun.
    pub async fn follow_cursor(&self, name: &str) -> Result<Seq, Error> {
        self.readers().row(POSITION, params![name]).await?.map_or(Ok(0), |row| row.int(0))
    }

    /// Moves a follower from `expect` to `to`, submits what follows from the entries between, and records what does not
    /// follow although somebody listened, all together. What it has not passed is kept by [`Store::retain`], but not for
    /// followers of one node only, which are named `NAME/NODE`.
    ///
    /// Answers `false`, and does nothing, when it no longer stands at `expect`: another node was faster.
    pub async fn advance(
        &self,
        name: &str,
        expect: Seq,
        to: Seq,
        submit: Vec<NewRun>,
        skipped: Vec<Record>,
        at: Timestamp,
    ) -> Result<bool, Error> {
        only_skips(&skipped)?;
        let advance = Advance { name: name.to_owned(), expect, to, submit, skipped, at: whole_micros(at) };
        self.writer().perform(advance).await
    }
}

struct Advance {
    name: String,
    expect: Seq,
    to: Seq,
    submit: Vec<NewRun>,
    skipped: Vec<Record>,
    at: Timestamp,
}

impl Operation for Advance {
    type Answer = bool;

    fn needs(&self, needs: &mut Needs) {
        needs.submission(&self.submit);
    }

    async fn perform(&self, batch: &mut Batch) -> Result<bool, Error> {
        let rows = batch.conn().rows(POSITION, params![self.name.as_str()]).await?;
        let found = rows.first().map_or(Ok(0), |row| row.int(0))?;
        if found != self.expect {
            return Ok(false);
        }
        batch.conn().run(MOVE_POSITION, params![self.name.as_str(), self.to]).await?;
        for record in &self.skipped {
            batch.append(record.clone(), self.at);
        }
        submit(batch, &self.submit, self.at).await?;
        Ok(true)
    }
}
