//! Very many new rows on PostgreSQL, written beside the writer.
//!
//! The writer of a node has its turn for as long as its transaction takes, and a file of half a million rows takes many
//! seconds: meanwhile nothing would begin or end anywhere. Here the rows are sent on a connection of their own, and only
//! when they are all there the transaction takes its turn, for the one entry that tells of them. To the writer it is as if
//! another node had done it.

use jiff::Timestamp;
use piton_model::{By, NewProvision, ScheduleId};
use tokio::time::Instant;

use super::{copy, scheduled};
use crate::batch::Batch;
use crate::dialect::Dialect;
use crate::hurry::{self, attended};
use crate::known::Known;
use crate::writer::{SILENCE, commit_error, within};
use crate::{Error, Store};

/// How many are written so at once, each with a connection to the server.
pub(crate) const AT_ONCE: u32 = 2;
/// From how many rows on others would mind to wait; a connection of one's own has its price, too.
const MANY: usize = 2_000;

impl Store {
    /// Schedules very many provisions, all or none. None where that is to be done by the writer: they are few, an id is
    /// taken, or the database is away, which the writer knows how to bear.
    pub(super) async fn schedule_beside(
        &self,
        new: &[NewProvision],
        by: &By,
        at: Timestamp,
    ) -> Result<Option<Vec<ScheduleId>>, Error> {
        if new.len() < MANY || self.dialect() != Dialect::Postgres {
            return Ok(None);
        }
        // Closed: the writer says so.
        let Ok(_turn) = self.beside().acquire().await else { return Ok(None) };
        let begun = Instant::now();
        let give_up = hurry::deadline().unwrap_or_else(|| Instant::now() + SILENCE);
        let limit = self.writer().limit();
        let sent = attended(self.address(), give_up, within(limit, Box::pin(self.send(new, by, at)))).await;
        let batch = match sent {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(None),
            // The writer would have to wait for the same lock.
            Err(locked @ Error::Locked(_)) => return Err(locked),
            // It would take as long, and everybody would wait for it.
            Err(error) if begun.elapsed() >= limit / 2 => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "rows could not be sent beside the writer");
                return Ok(None);
            }
        };
        let committed = within(limit, batch.commit()).await.map_err(commit_error)?;
        hurry::answered();
        self.tidings().told(committed.known.head);
        self.tidings().provisions_changed();
        // It is committed, however the connection ends.
        let _ = committed.conn.close().await;
        Ok(Some(new.iter().map(|new| new.id).collect()))
    }

    /// All but the commit; nothing where the server refuses the rows as they are.
    async fn send(&self, new: &[NewProvision], by: &By, at: Timestamp) -> Result<Option<Batch>, Error> {
        let mut conn = self.address().connect().await?;
        let dialect = conn.dialect();
        conn.script(format!("{}{}", dialect.begin(), dialect.wait_little())).await?;
        if !conn.copy(copy::COPY, copy::lines(new, at)).await? {
            // However it ends, nothing was written.
            let _ = conn.close().await;
            return Ok(None);
        }
        conn.script(dialect.wait_long()).await?;
        let mut batch = Batch::take_turn(conn, String::new(), self.vault().clone(), Known::default(), true).await?;
        scheduled(&mut batch, new.iter().map(|new| new.id), by, at);
        batch.flush().await?;
        Ok(Some(batch))
    }
}
