//! What happened to processes, for people to read: it is bounded, and nothing is decided by it.

use jiff::Timestamp;

use crate::batch::Batch;
use crate::db::{Row, params};
use crate::row::{self, micros};
use crate::statement::Column::{Int, Text};
use crate::statement::Rows;
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) const LAST: &str = "SELECT MAX(number) FROM process_history";
pub(crate) const WRITE: Rows = Rows {
    head: "INSERT INTO process_history (number, node, at, name, process, pid, status, error)",
    columns: &[Int, Text, Int, Text, Text, Int, Text, Text],
    tail: "",
};
pub(crate) const CUT: &str = "DELETE FROM process_history WHERE number <= $1";
pub(crate) const FORGET: &str = "DELETE FROM process_history WHERE at < $1";
pub(crate) const LATEST: &str = "SELECT number, at, name, process, pid, status, error FROM process_history \
     WHERE number < $1 ORDER BY number DESC LIMIT $2 OFFSET $3";
pub(crate) const LATEST_OF: &str = "SELECT number, at, name, process, pid, status, error FROM process_history \
     WHERE number < $1 AND (name = $4 OR process = $4) ORDER BY number DESC LIMIT $2 OFFSET $3";

/// How many rows are kept.
const KEPT: i64 = 50_000;

/// Something that happened to an instance of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEvent {
    /// When.
    pub at: Timestamp,
    /// The instance.
    pub name: String,
    /// The process that it is an instance of.
    pub process: String,
    /// Its process id, where it had one.
    pub pid: Option<u32>,
    /// The state that it went to.
    pub status: String,
    /// How it ended, or why it could not be started.
    pub error: Option<String>,
}

impl Store {
    /// Writes down what happened on a node, the oldest first, and forgets what is too old.
    pub async fn record_process_events(&self, node: &str, events: Vec<ProcessEvent>) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        self.writer().perform(Record { node: node.to_owned(), events }).await
    }

    /// Forgets what happened before `before`, on all nodes.
    pub async fn forget_process_events(&self, before: Timestamp) -> Result<(), Error> {
        self.writer().perform(Forget { before }).await
    }

    /// What happened before the row `before` (or until now), the latest first, but for the first `offset` of them, each with
    /// the number of its row; of one instance, or of all instances of one process, where a name is given.
    pub async fn process_events(
        &self,
        name: Option<&str>,
        before: Option<i64>,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(i64, ProcessEvent)>, Error> {
        let before = before.unwrap_or(i64::MAX);
        let [offset, limit] = [offset, limit].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let rows = match name {
            Some(name) => self.readers().rows(LATEST_OF, params![before, limit, offset, name]).await?,
            None => self.readers().rows(LATEST, params![before, limit, offset]).await?,
        };
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<(i64, ProcessEvent), Error> {
    let event = ProcessEvent {
        at: row::timestamp(row.int(1)?)?,
        name: row.text(2)?,
        process: row.text(3)?,
        pid: row.maybe_int(4)?.and_then(|pid| u32::try_from(pid).ok()),
        status: row.text(5)?,
        error: row.maybe_text(6)?,
    };
    Ok((row.int(0)?, event))
}

struct Record {
    node: String,
    events: Vec<ProcessEvent>,
}

impl Operation for Record {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        let rows = batch.conn().rows(LAST, params![]).await?;
        let mut number = rows.first().map(|row| row.maybe_int(0)).transpose()?.flatten().unwrap_or(0);
        let before = number;
        let mut values = Vec::with_capacity(self.events.len() * WRITE.width());
        for event in &self.events {
            number += 1;
            values.extend(params![
                number,
                self.node.as_str(),
                micros(event.at),
                event.name.as_str(),
                event.process.as_str(),
                event.pid.map(i64::from),
                event.status.as_str(),
                event.error.as_deref(),
            ]);
        }
        batch.conn().write_rows(&WRITE, values).await?;
        // Not with every row: what is a little too much is cut with the next thousand.
        if number / 1_000 > before / 1_000 {
            batch.conn().run(CUT, params![number - KEPT]).await?;
        }
        Ok(())
    }
}

struct Forget {
    before: Timestamp,
}

impl Operation for Forget {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        batch.conn().run(FORGET, params![micros(self.before)]).await.map(|_| ())
    }
}
