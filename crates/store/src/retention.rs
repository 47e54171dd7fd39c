//! Forgetting what is old.
//!
//! The ledger is only ever cut at its beginning, so that what is left has no gaps. Its first entries go together with
//! the first runs: an auditor that finds entry 1 missing knows that it does not see everything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use piton_model::{Origin, Run, RunId, Seq, Subject};

use crate::batch::Batch;
use crate::db::params;
use crate::row::{self, micros};
use crate::statement::In;
use crate::writer::Operation;
use crate::{Error, Store};

// The n-th newer run of the same subject exists: at most n entries of the index are read.
pub(crate) const CANDIDATES: &str = "SELECT h.body, h.ended_at, h.id FROM run_history h \
     WHERE h.ended_at < $1 AND h.ended_seq < $2 AND (h.ended_at, h.id) > ($3, $4) AND EXISTS (\
     SELECT 1 FROM run_history n WHERE n.subject = h.subject AND n.id >= h.id ORDER BY n.id LIMIT 1 OFFSET $5) \
     ORDER BY h.ended_at, h.id LIMIT $6";
pub(crate) const DELETE_HISTORY: In = In { head: "DELETE FROM run_history WHERE id IN", tail: " RETURNING id" };
pub(crate) const DELETE_KEYS: In = In { head: "DELETE FROM run_keys WHERE dedup_key IN", tail: "" };
pub(crate) const DELETE_ENTRIES: &str = "DELETE FROM events WHERE seq < $1";
pub(crate) const FIRST_ENTRY: &str = "SELECT seq FROM events ORDER BY seq LIMIT 1";
pub(crate) const ENTRY_TIME: &str = "SELECT seq, at FROM events WHERE seq >= $1 ORDER BY seq LIMIT 1";
// Those of one node, `NAME/NODE`, are not waited for: a node that never comes back would keep the ledger for ever.
pub(crate) const SLOWEST_FOLLOWER: &str = "SELECT MIN(position) FROM followers WHERE name NOT LIKE '%/%'";

const RUNS: usize = 256;
const ENTRIES: i64 = 2_000;

/// What retention removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retained {
    /// The runs; whatever else is kept of them (logs, say) may go too.
    pub runs: Vec<RunId>,
    /// How many entries of the ledger.
    pub entries: u64,
}

impl Store {
    /// Forgets runs that ended before `finished_before`, but never the newest `keep_per_subject` of a subject, and
    /// the beginning of the ledger up to then. Entries on which a follower has not acted yet stay, and so do the runs
    /// they speak of.
    ///
    /// It works in small steps, so that other writes are not held up.
    pub async fn retain(
        &self,
        finished_before: Timestamp,
        keep_per_subject: usize,
        _at: Timestamp,
    ) -> Result<Retained, Error> {
        let horizon = self.horizon(finished_before).await?;
        let mut removed = Retained::default();
        let mut after = (i64::MIN, String::new());
        loop {
            let cursors = self.cursors().await?;
            let keep = i64::try_from(keep_per_subject).unwrap_or(i64::MAX);
            let limit = i64::try_from(RUNS).unwrap_or(i64::MAX);
            let bounds = params![micros(finished_before), horizon, after.0, after.1.as_str(), keep, limit];
            let rows = self.readers().rows(CANDIDATES, bounds).await?;
            let mut forget = Forget { horizon, ids: Vec::new(), keys: Vec::new() };
            for row in &rows {
                after = (row.int(1)?, row.text(2)?);
                forget.ids.push(row.text(2)?);
                let run = row::run(self.vault(), &row.text(0)?, None)?;
                if may_fire_again(&run, &cursors) {
                    continue;
                }
                forget.keys.extend(run.dedup_key);
            }
            let more = self.writer().perform(forget).await?;
            removed.runs.extend(more.runs);
            removed.entries += more.entries;
            if more.entries > 0 {
                self.tail().forget_before(horizon);
            }
            if rows.is_empty() && more.entries == 0 {
                return Ok(removed);
            }
        }
    }

    /// The first entry to keep. There is always one, so that the ledger never looks like a new one.
    async fn horizon(&self, before: Timestamp) -> Result<Seq, Error> {
        let head = self.head().await?;
        let first = self.readers().row(FIRST_ENTRY, params![]).await?.map_or(Ok(head), |row| row.int(0))?;
        let follower = self.readers().row(SLOWEST_FOLLOWER, params![]).await?;
        let follower = follower.map(|row| row.maybe_int(0)).transpose()?.flatten();
        let (mut low, mut high) = (first, head.min(follower.map_or(head, |position| position + 1)));
        // Entries are in the order of their times, but for the differences between the clocks of nodes.
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(row) = self.readers().row(ENTRY_TIME, params![middle]).await? else { break };
            if row.int(1)? < micros(before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// Whether the trigger of a run could come once more, so that its key is still needed.
pub(crate) fn may_fire_again(run: &Run, cursors: &BTreeMap<Subject, Timestamp>) -> bool {
    match &run.origin {
        Origin::Cron { fire, .. } => cursors.get(&run.subject).is_some_and(|cursor| cursor < fire),
        // A host may stay up longer than its runs are kept.
        Origin::Boot { .. } => true,
        // What is declared may stay so for longer than its run is kept.
        Origin::Change { .. } => true,
        // No broker keeps a message for as long as its run is kept.
        Origin::Event { .. }
        | Origin::At { .. }
        | Origin::Message { .. }
        | Origin::Report { .. }
        | Origin::Call { .. } => false,
    }
}

struct Forget {
    horizon: Seq,
    ids: Vec<String>,
    keys: Vec<piton_model::DedupKey>,
}

impl Operation for Forget {
    type Answer = Retained;

    async fn perform(&self, batch: &mut Batch) -> Result<Retained, Error> {
        batch.flush().await?;
        let mut removed = Retained::default();
        for row in batch.conn().rows_in(&DELETE_HISTORY, &self.ids).await? {
            removed.runs.push(row::run_id(&row.text(0)?)?);
        }
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        batch.conn().run_in(&DELETE_KEYS, &keys).await?;
        batch.forget(&removed.runs, &self.keys);
        let rows = batch.conn().rows(FIRST_ENTRY, params![]).await?;
        if let Some(first) = rows.first().map(|row| row.int(0)).transpose()? {
            let until = self.horizon.min(first + ENTRIES);
            removed.entries = batch.conn().run(DELETE_ENTRIES, params![until]).await?;
        }
        Ok(removed)
    }
}
