//! What people want of processes, remembered over restarts.
//!
//! What a wish says is no matter of this crate: it is kept as it came. Each node has wishes of its own, because each
//! keeps processes of its own, also where nodes share a database.

use std::collections::BTreeMap;

use crate::batch::Batch;
use crate::db::params;
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) const ALL: &str = "SELECT process, body FROM wishes WHERE node = $1";
pub(crate) const WRITE: &str = "INSERT INTO wishes (node, process, body) VALUES ($1, $2, $3) \
     ON CONFLICT (node, process) DO UPDATE SET body = excluded.body";
pub(crate) const FORGET: &str = "DELETE FROM wishes WHERE node = $1 AND process = $2";

impl Store {
    /// The wishes of a node by the name of their process.
    pub async fn wishes(&self, node: &str) -> Result<BTreeMap<String, String>, Error> {
        let rows = self.readers().rows(ALL, params![node]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
    }

    /// Replaces the wish for a process; none forgets it.
    pub async fn save_wish(&self, node: &str, process: &str, wish: Option<String>) -> Result<(), Error> {
        self.writer().perform(Save { node: node.to_owned(), process: process.to_owned(), wish }).await
    }
}

struct Save {
    node: String,
    process: String,
    wish: Option<String>,
}

impl Operation for Save {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        let (node, process) = (self.node.as_str(), self.process.as_str());
        match &self.wish {
            Some(wish) => batch.conn().run(WRITE, params![node, process, wish.as_str()]).await?,
            None => batch.conn().run(FORGET, params![node, process]).await?,
        };
        Ok(())
    }
}
