//! Reading the ledger.

use std::sync::Arc;

use jiff::Timestamp;
use piton_model::{LedgerEntry, RunId, Seq, Subject};

use crate::db::{Row, params};
use crate::row;
use crate::{Error, Store};

pub(crate) const HEAD: &str = "SELECT head FROM ledger WHERE id = 1";
pub(crate) const AFTER: &str = "SELECT seq, at, body FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";
pub(crate) const OF_RUN: &str = "SELECT seq, at, body FROM events WHERE run_id = $1 ORDER BY seq";
pub(crate) const OF_TOPIC: &str =
    "SELECT seq, at, body FROM events WHERE topic = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";

/// The topic of [`piton_model::Record::Audit`].
pub(crate) const AUDIT: &str = "audit";

pub(crate) const SKIPS: &str = "SELECT seq, at, body FROM events \
     WHERE skipped IS NOT NULL AND seq < $1 AND at >= $2 ORDER BY seq DESC LIMIT $3";
pub(crate) const SKIPS_OF: &str = "SELECT seq, at, body FROM events \
     WHERE skipped = $4 AND skipped IS NOT NULL AND seq < $1 AND at >= $2 ORDER BY seq DESC LIMIT $3";

/// Which due times that made no run are wanted, the newest first. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkipQuery {
    /// Of this subject.
    pub subject: Option<Subject>,
    /// Recorded then or later.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
    /// Recorded before this entry: the last of the page before.
    pub before: Option<Seq>,
}

impl Store {
    /// The position of the last entry; 0 in an empty ledger.
    pub async fn head(&self) -> Result<Seq, Error> {
        self.readers().row(HEAD, params![]).await?.map_or(Ok(0), |row| row.int(0))
    }

    /// Up to `limit` entries after the position `after`, in order.
    pub async fn entries(&self, after: Seq, limit: usize) -> Result<Vec<LedgerEntry>, Error> {
        let head = *self.changes().borrow();
        // Whoever writes waits for the tail, which is therefore left at once.
        let recent = self.tail().after(after, head).map(|entries| entries.take(limit).cloned().collect::<Vec<_>>());
        if let Some(recent) = recent {
            return Ok(recent.into_iter().map(Arc::unwrap_or_clone).collect());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.readers().rows(AFTER, params![after, limit]).await?.iter().map(entry).collect()
    }

    /// Whether all entries after the position `after` are such, where that is known without asking the database, because
    /// this node wrote them just now.
    pub fn recent_are(&self, after: Seq, mut such: impl FnMut(&LedgerEntry) -> bool) -> bool {
        let head = *self.changes().borrow();
        self.tail().after(after, head).is_some_and(|mut entries| entries.all(|entry| such(entry)))
    }

    /// Up to `limit` entries of the audit trail before the position `before`, the newest first.
    pub async fn audit_trail(&self, before: Option<Seq>, limit: usize) -> Result<Vec<LedgerEntry>, Error> {
        let (before, limit) = (before.unwrap_or(Seq::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
        self.readers().rows(OF_TOPIC, params![AUDIT, before, limit]).await?.iter().map(entry).collect()
    }

    /// What happened to a run, as far as retention kept it.
    pub async fn entries_of(&self, run: RunId) -> Result<Vec<LedgerEntry>, Error> {
        self.readers().rows(OF_RUN, params![run.to_string()]).await?.iter().map(entry).collect()
    }

    /// Due times that made no run, as far as retention kept them: entries that hold a `Record::Skipped`.
    pub async fn skips(&self, query: &SkipQuery) -> Result<Vec<LedgerEntry>, Error> {
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let since = query.since.map_or(i64::MIN, row::micros);
        let mut params = params![query.before.unwrap_or(Seq::MAX), since, limit];
        let sql = match &query.subject {
            Some(subject) => {
                params.push(subject.to_string().into());
                SKIPS_OF
            }
            None => SKIPS,
        };
        self.readers().rows(sql, params).await?.iter().map(entry).collect()
    }
}

/// Reads `seq, at, body`.
pub(crate) fn entry(row: &Row) -> Result<LedgerEntry, Error> {
    let seq = row.int(0)?;
    Ok(LedgerEntry { seq, at: row::timestamp(row.int(1)?)?, record: row::record(seq, &row.text(2)?)? })
}
