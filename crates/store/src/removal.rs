//! Removing runs before retention would: because somebody asked for it, or because of a limit of their own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use piton_model::{By, DedupKey, Record, Run, RunId, Seq, Subject};

use crate::batch::{Batch, LOAD_ENDED};
use crate::db::{params, parts};
use crate::retention::{DELETE_HISTORY, DELETE_KEYS, SLOWEST_FOLLOWER, may_fire_again};
use crate::row::{self, whole_micros};
use crate::statement::In;
use crate::writer::Operation;
use crate::{Error, Store};

// A ttl is never secret, so that it is readable whether the run is sealed or not. Within a text of JSON its quotes would
// be escaped.
pub(crate) const WITH_TTL: &str = "SELECT body FROM run_history WHERE subject >= $1 AND subject < $2 \
     AND id > $3 AND body LIKE '%\"ttl_after_finished\":{%' ORDER BY id LIMIT $4";
pub(crate) const WITH_TTL_AMONG: In =
    In { head: "SELECT body FROM run_history WHERE id IN", tail: " AND body LIKE '%\"ttl_after_finished\":{%'" };
pub(crate) const ENDED_OF: &str = "SELECT body, ended_seq FROM run_history WHERE subject = $1 ORDER BY id DESC";

const ROWS: i64 = 256;

/// A run that has ended, and where the ledger says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The run.
    pub run: Run,
    /// The entry that ended it.
    pub seq: Seq,
}

impl Store {
    /// The runs of a subject that have ended, the newest first.
    pub async fn ended_of(&self, subject: &Subject) -> Result<Vec<Ended>, Error> {
        let rows = self.readers().rows(ENDED_OF, params![subject.to_string()]).await?;
        let read =
            |row: &crate::db::Row| Ok(Ended { run: row::run(self.vault(), &row.text(0)?, None)?, seq: row.int(1)? });
        rows.iter().map(read).collect()
    }

    /// The runs of jobs that have ended and are to be removed a while after that.
    pub async fn with_ttl(&self) -> Result<Vec<Run>, Error> {
        let span = crate::query::Span::of_kind(piton_model::SubjectKind::Job);
        let mut found: Vec<Run> = vec![];
        loop {
            let after = found.last().map(|run| run.id.to_string()).unwrap_or_default();
            let bounds = params![span.from.as_str(), span.to.as_str(), after, ROWS];
            let rows = self.readers().rows(WITH_TTL, bounds).await?;
            for row in &rows {
                found.push(row::run(self.vault(), &row.text(0)?, None)?);
            }
            if rows.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Those of these runs that have ended and are to be removed a while after that.
    pub async fn with_ttl_among(&self, ids: &[RunId]) -> Result<Vec<Run>, Error> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut found = vec![];
        for (sql, params) in parts(&WITH_TTL_AMONG, self.dialect(), &ids) {
            for row in self.readers().rows(sql, params).await? {
                found.push(row::run(self.vault(), &row.text(0)?, None)?);
            }
        }
        Ok(found)
    }

    /// Up to where every follower has acted on the ledger; none where there is no follower.
    pub async fn followed(&self) -> Result<Option<Seq>, Error> {
        let row = self.readers().row(SLOWEST_FOLLOWER, params![]).await?;
        Ok(row.map(|row| row.maybe_int(0)).transpose()?.flatten())
    }

    /// Removes runs that have ended, and says so in the ledger. What is not there, or has not ended, is left out.
    ///
    /// The key of a trigger that may come once more stays taken.
    pub async fn remove(&self, runs: Vec<RunId>, by: By, at: Timestamp) -> Result<Vec<RunId>, Error> {
        let cursors = self.cursors().await?;
        self.writer().perform(Remove { runs, by, cursors, at: whole_micros(at) }).await
    }
}

struct Remove {
    runs: Vec<RunId>,
    by: By,
    cursors: BTreeMap<Subject, Timestamp>,
    at: Timestamp,
}

impl Operation for Remove {
    type Answer = Vec<RunId>;

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        batch.flush().await?;
        let ids: Vec<String> = self.runs.iter().map(ToString::to_string).collect();
        let mut removed: BTreeMap<Subject, Vec<RunId>> = BTreeMap::new();
        let mut keys: Vec<DedupKey> = vec![];
        let vault = piton_vault::Vault::default();
        for found in batch.conn().rows_in(&LOAD_ENDED, &ids).await? {
            // Nothing of its secrets is needed.
            let run = row::run(&vault, &found.text(0)?, None)?;
            if !may_fire_again(&run, &self.cursors) {
                keys.extend(run.dedup_key);
            }
            removed.entry(run.subject).or_default().push(run.id);
        }
        let all: Vec<RunId> = removed.values().flatten().copied().collect();
        let ids: Vec<String> = all.iter().map(ToString::to_string).collect();
        batch.conn().rows_in(&DELETE_HISTORY, &ids).await?;
        let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
        batch.conn().run_in(&DELETE_KEYS, &texts).await?;
        batch.forget(&all, &keys);
        for (subject, runs) in removed {
            batch.append(Record::Removed { subject, runs, by: self.by.clone() }, self.at);
        }
        Ok(all)
    }
}
