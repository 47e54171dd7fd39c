//! How many runs there are, for those who look often: without reading those that wait.

use jiff::Timestamp;
use piton_model::{Run, SubjectKind};

use crate::db::params;
use crate::query::Span;
use crate::{Error, Store};

pub(crate) const WAITING: &str =
    "SELECT COUNT(*), MIN(due_at) FROM runs WHERE phase = 'pending' AND subject >= $1 AND subject < $2";
pub(crate) const BEGUN: &str = "SELECT body, due_at FROM runs WHERE phase IN ('running', 'gated') ORDER BY id";

/// Runs of one kind that may be claimed, now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Of what they are.
    pub kind: SubjectKind,
    /// How many.
    pub count: i64,
    /// When the first of them may be claimed.
    pub since: Option<Timestamp>,
}

/// The runs that have not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Census {
    /// Those that wait, counted.
    pub waiting: Vec<Waiting>,
    /// Those that were begun, which are never many: the oldest first.
    pub begun: Vec<Run>,
}

impl Store {
    /// Counts the runs that have not ended.
    pub async fn census(&self) -> Result<Census, Error> {
        let mut waiting = Vec::new();
        for kind in SubjectKind::ALL {
            let span = Span::of_kind(kind);
            let Some(row) = self.readers().row(WAITING, params![span.from, span.to]).await? else { continue };
            let since = row.maybe_int(1)?.map(crate::row::timestamp).transpose()?;
            waiting.push(Waiting { kind, count: row.int(0)?, since });
        }
        Ok(Census { waiting, begun: self.live_rows(BEGUN, params![]).await? })
    }
}
