//! Jobs that their files hold back, and since when. What somebody holds back by hand is beside the schedules.

use std::collections::BTreeMap;

use jiff::Timestamp;
use piton_model::{Digest, Subject};

use crate::batch::Batch;
use crate::db::{Row, params};
use crate::row::{self, micros};
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) const HOLD: &str = "INSERT INTO held_jobs (subject, declaration, held, at) VALUES ($1, $2, 1, $3) \
     ON CONFLICT (subject) DO UPDATE SET declaration = excluded.declaration, held = 1, \
     at = CASE WHEN held_jobs.held = 1 THEN held_jobs.at ELSE excluded.at END";
pub(crate) const RELEASE: &str =
    "UPDATE held_jobs SET declaration = $2, held = 0, at = $3 WHERE subject = $1 AND held = 1";
pub(crate) const FORGET: &str = "DELETE FROM held_jobs WHERE subject = $1";
pub(crate) const ONE: &str = "SELECT subject, declaration, held, at FROM held_jobs WHERE subject = $1";
pub(crate) const ALL: &str = "SELECT subject, declaration, held, at FROM held_jobs";

/// What the file of a job says of whether it may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHold {
    /// The declaration that is meant.
    pub declaration: Digest,
    /// Whether it is held back.
    pub holds: bool,
    /// Since when that is so.
    pub at: Timestamp,
}

impl Store {
    /// Remembers that a job is held back by its file. Since when stays, where it was so already.
    pub async fn hold_by_file(&self, subject: &Subject, declaration: &Digest, at: Timestamp) -> Result<(), Error> {
        let change = Change::Held { declaration: declaration.clone(), at };
        self.writer().perform(Holding { subject: subject.clone(), change }).await
    }

    /// Remembers that a job is held back by its file no more, where it was.
    pub async fn release_by_file(&self, subject: &Subject, declaration: &Digest, at: Timestamp) -> Result<(), Error> {
        let change = Change::Released { declaration: declaration.clone(), at };
        self.writer().perform(Holding { subject: subject.clone(), change }).await
    }

    /// Forgets what the file of a job said that is gone.
    pub async fn forget_hold(&self, subject: &Subject) -> Result<(), Error> {
        self.writer().perform(Holding { subject: subject.clone(), change: Change::Forgotten }).await
    }

    /// What the file of a job said.
    pub async fn file_hold(&self, subject: &Subject) -> Result<Option<FileHold>, Error> {
        let subject = subject.to_string();
        let row = self.readers().row(ONE, params![subject.as_str()]).await?;
        row.map(|row| Ok(read(&row)?.1)).transpose()
    }

    /// What the files of jobs said of which one ever held its job back.
    pub async fn file_holds(&self) -> Result<BTreeMap<Subject, FileHold>, Error> {
        let rows = self.readers().rows(ALL, params![]).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<(Subject, FileHold), Error> {
    let declaration = row.text(1)?;
    let declaration = Digest::parse(&declaration).ok_or_else(|| Error::Unreadable {
        what: format!("the digest `{declaration}`"),
        detail: "it has not 64 hexadecimal characters".to_owned(),
    })?;
    let hold = FileHold { declaration, holds: row.int(2)? != 0, at: row::timestamp(row.int(3)?)? };
    Ok((row::subject(&row.text(0)?)?, hold))
}

struct Holding {
    subject: Subject,
    change: Change,
}

enum Change {
    Held { declaration: Digest, at: Timestamp },
    Released { declaration: Digest, at: Timestamp },
    Forgotten,
}

impl Operation for Holding {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        let subject = self.subject.to_string();
        match &self.change {
            Change::Held { declaration, at } => {
                batch.conn().run(HOLD, params![subject, declaration.as_str(), micros(*at)]).await?
            }
            Change::Released { declaration, at } => {
                batch.conn().run(RELEASE, params![subject, declaration.as_str(), micros(*at)]).await?
            }
            Change::Forgotten => batch.conn().run(FORGET, params![subject]).await?,
        };
        Ok(())
    }
}
