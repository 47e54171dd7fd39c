//! Secrets that lie in the database: sealed anew when the key has changed, and gone when they have lain long enough.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use piton_model::Run;
use piton_vault::Vault;

use crate::batch::Batch;
use crate::db::params;
use crate::row::{self, micros};
use crate::writer::Operation;
use crate::{Error, Store};

// What `Run::sealed` looks like in a body. Within a text of JSON its quotes would be escaped.
pub(crate) const SEALED_HISTORY: &str = "SELECT id, body, ended_at FROM run_history \
     WHERE ended_at < $1 AND (ended_at, id) > ($2, $3) AND body LIKE '%\"sealed\":{\"key\":\"%' \
     ORDER BY ended_at, id LIMIT $4";
pub(crate) const SEALED_LIVE: &str = "SELECT id, body FROM runs WHERE id > $1 AND body LIKE '%\"sealed\":{\"key\":\"%' \
     ORDER BY id LIMIT $2";
pub(crate) const REWRITE_HISTORY: &str = "UPDATE run_history SET body = $2 WHERE id = $1";
pub(crate) const REWRITE_LIVE: &str = "UPDATE runs SET body = $2 WHERE id = $1";

const ROWS: i64 = 256;

/// What became of sealed secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tended {
    /// Runs whose secrets are gone.
    pub forgotten: u64,
    /// Runs whose secrets were sealed with an older key, and are now sealed with the first.
    pub resealed: u64,
    /// Fingerprints of keys that are not known here, and how many runs are sealed with each.
    pub unknown: BTreeMap<String, u64>,
}

/// What to do about one run.
#[derive(Debug, PartialEq)]
enum Verdict {
    Leave,
    Forget,
    Reseal,
    Unknown(String),
}

impl Store {
    /// Seals the secrets of runs that have not ended with the first key, where they are sealed with another.
    pub async fn reseal_live(&self) -> Result<Tended, Error> {
        let mut all = Tended::default();
        let mut after = Some(String::new());
        while let Some(id) = after {
            let (tended, next) = self.writer().perform(Live { after: id, vault: self.vault().clone() }).await?;
            all.add(tended);
            after = next;
        }
        Ok(all)
    }

    /// Looks at the runs of which it has been known since this time that they ended: forgets the secrets of deployments of
    /// which it was known before `forget_before`, and seals the others with the first key.
    ///
    /// It works in small steps, so that other writes are not held up.
    pub async fn tend_history(&self, ended: Range<Timestamp>, forget_before: Timestamp) -> Result<Tended, Error> {
        let mut all = Tended::default();
        let mut after = (micros(ended.start), String::new());
        loop {
            let bounds = params![micros(ended.end), after.0, after.1.as_str(), ROWS];
            let rows = self.readers().rows(SEALED_HISTORY, bounds).await?;
            let Some(last) = rows.last() else { return Ok(all) };
            after = (last.int(2)?, last.text(0)?);
            let mut bodies = Vec::new();
            for found in &rows {
                if let Some(body) = all.rewrite(self.vault(), &found.text(1)?, Some(forget_before))? {
                    bodies.push((found.text(0)?, body));
                }
            }
            if !bodies.is_empty() {
                self.writer().perform(History { bodies }).await?;
            }
        }
    }
}

impl Tended {
    /// Counts what `other` says, too.
    pub fn add(&mut self, other: Tended) {
        self.forgotten += other.forgotten;
        self.resealed += other.resealed;
        for (key, count) in other.unknown {
            *self.unknown.entry(key).or_default() += count;
        }
    }

    /// What is to be written in place of `body`, if anything is. A run that cannot be read is somebody else's to report.
    fn rewrite(
        &mut self,
        vault: &Vault,
        body: &str,
        forget_before: Option<Timestamp>,
    ) -> Result<Option<String>, Error> {
        let Ok(key) = row::sealed_with(body) else { return Ok(None) };
        let Ok(run) = row::run(vault, body, None) else { return Ok(None) };
        match judge(&run, &key, vault, forget_before) {
            Verdict::Leave => Ok(None),
            Verdict::Forget => {
                self.forgotten += 1;
                let action = Arc::new(run.action.without_secrets());
                row::run_body(vault, &Run { action, sealed: None, forgotten: true, ..run }).map(Some)
            }
            Verdict::Reseal => {
                self.resealed += 1;
                row::run_body(vault, &run).map(Some)
            }
            Verdict::Unknown(key) => {
                *self.unknown.entry(key).or_default() += 1;
                Ok(None)
            }
        }
    }
}

fn judge(run: &Run, key: &str, vault: &Vault, forget_before: Option<Timestamp>) -> Verdict {
    let is_old = run.known_to_have_ended().zip(forget_before).is_some_and(|(known, before)| known < before);
    if is_old && row::may_be_forgotten(run) {
        return Verdict::Forget;
    }
    match vault.fingerprints().next() {
        _ if run.sealed.is_some() => Verdict::Unknown(key.to_owned()),
        Some(first) if first != key => Verdict::Reseal,
        _ => Verdict::Leave,
    }
}

struct Live {
    after: String,
    vault: Vault,
}

impl Operation for Live {
    type Answer = (Tended, Option<String>);

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        batch.flush().await?;
        let mut tended = Tended::default();
        let rows = batch.conn().rows(SEALED_LIVE, params![self.after.as_str(), ROWS]).await?;
        let mut last = None;
        for found in &rows {
            let id = found.text(0)?;
            if let Some(body) = tended.rewrite(&self.vault, &found.text(1)?, None)? {
                batch.conn().run(REWRITE_LIVE, params![id.as_str(), body]).await?;
            }
            last = Some(id);
        }
        Ok((tended, last))
    }
}

struct History {
    bodies: Vec<(String, String)>,
}

impl Operation for History {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        batch.flush().await?;
        for (id, body) in &self.bodies {
            batch.conn().run(REWRITE_HISTORY, params![id.as_str(), body.as_str()]).await?;
        }
        Ok(())
    }
}
