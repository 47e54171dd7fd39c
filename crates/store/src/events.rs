//! Reading the ledger.

use piton_model::{LedgerEntry, RunId, Seq};

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

impl Store {
    /// The position of the last entry; 0 in an empty ledger.
    pub async fn head(&self) -> Result<Seq, Error> {
        self.readers().row(HEAD, params![]).await?.map_or(Ok(0), |row| row.int(0))
    }

    /// Up to `limit` entries after the position `after`, in order.
    pub async fn entries(&self, after: Seq, limit: usize) -> Result<Vec<LedgerEntry>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.readers().rows(AFTER, params![after, limit]).await?.iter().map(entry).collect()
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
}

/// Reads `seq, at, body`.
pub(crate) fn entry(row: &Row) -> Result<LedgerEntry, Error> {
    let seq = row.int(0)?;
    Ok(LedgerEntry { seq, at: row::timestamp(row.int(1)?)?, record: row::record(seq, &row.text(2)?)? })
}
