//! Fires of schedules, and holding them back.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use piton_model::{By, Event, NewRun, Record, RunId, Subject};

use crate::batch::{Batch, Needs};
use crate::db::params;
use crate::row::{self, micros, whole_micros};
use crate::submit::submit;
use crate::writer::Operation;
use crate::{Error, Store, Submitted};

pub(crate) const CURSOR: &str = "SELECT cursor_at FROM schedules WHERE subject = $1";
pub(crate) const CURSORS: &str = "SELECT subject, cursor_at FROM schedules";
pub(crate) const MOVE_CURSOR: &str = "INSERT INTO schedules (subject, cursor_at) VALUES ($1, $2) \
     ON CONFLICT (subject) DO UPDATE SET cursor_at = excluded.cursor_at";
pub(crate) const SUSPEND: &str =
    "INSERT INTO suspensions (subject, by_whom, at) VALUES ($1, $2, $3) ON CONFLICT (subject) DO NOTHING";
pub(crate) const RESUME: &str = "DELETE FROM suspensions WHERE subject = $1";
pub(crate) const SUSPENDED: &str = "SELECT subject FROM suspensions";

/// What follows from the fires of a subject's schedules up to a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Fire {
    /// Whose schedules.
    pub subject: Subject,
    /// Where the cursor must stand; `None` where it was never moved.
    pub expect: Option<Timestamp>,
    /// Where it stands then: the fires up to and including this moment are settled.
    pub cursor: Timestamp,
    /// The runs they make.
    pub submit: Vec<NewRun>,
    /// What they do to other runs, such as asking them to stop. What cannot happen to a run any more is left out.
    pub cancel: Vec<(RunId, Event)>,
    /// The fires that make no run, as [`Record::Skipped`].
    pub skipped: Vec<Record>,
}

/// What became of a [`Fire`].
#[derive(Debug, Clone, PartialEq)]
pub enum FireResult {
    /// It happened.
    Fired(Vec<Submitted>),
    /// Somebody else moved the cursor: it stands there now, and nothing was done.
    Moved(Option<Timestamp>),
}

impl Store {
    /// Settles fires: moves the cursor, submits, cancels and records what was skipped, all together or not at all.
    pub async fn fire(&self, fire: Fire, at: Timestamp) -> Result<FireResult, Error> {
        only_skips(&fire.skipped)?;
        self.writer().perform(Fires { fire, at: whole_micros(at) }).await
    }

    /// Records fires that made no run.
    pub async fn skip(&self, skipped: Vec<Record>, at: Timestamp) -> Result<(), Error> {
        only_skips(&skipped)?;
        self.writer().perform(Skip { skipped, at: whole_micros(at) }).await
    }

    /// Where the cursors stand.
    pub async fn cursors(&self) -> Result<BTreeMap<Subject, Timestamp>, Error> {
        let rows = self.readers().rows(CURSORS, params![]).await?;
        rows.iter().map(|row| Ok((row::subject(&row.text(0)?)?, row::timestamp(row.int(1)?)?))).collect()
    }

    /// Where the cursor of a subject stands.
    pub async fn cursor(&self, subject: &Subject) -> Result<Option<Timestamp>, Error> {
        let subject = subject.to_string();
        let row = self.readers().row(CURSOR, params![subject.as_str()]).await?;
        row.map(|row| row::timestamp(row.int(0)?)).transpose()
    }

    /// Holds back the triggers of a subject. A subject that is already held back stays so, by whom it was.
    pub async fn suspend(&self, subject: &Subject, by: &By, at: Timestamp) -> Result<(), Error> {
        let suspended = Some((by.clone(), at));
        self.writer().perform(Suspension { subject: subject.clone(), suspended }).await
    }

    /// Lets the triggers of a subject go on.
    pub async fn resume(&self, subject: &Subject) -> Result<(), Error> {
        self.writer().perform(Suspension { subject: subject.clone(), suspended: None }).await
    }

    /// The subjects whose triggers are held back.
    pub async fn suspended(&self) -> Result<BTreeSet<Subject>, Error> {
        let rows = self.readers().rows(SUSPENDED, params![]).await?;
        rows.iter().map(|row| row::subject(&row.text(0)?)).collect()
    }
}

/// What happens to runs is recorded by the operations that also change the runs.
pub(crate) fn only_skips(records: &[Record]) -> Result<(), Error> {
    if records.iter().all(|record| matches!(record, Record::Skipped { .. })) {
        Ok(())
    } else {
        Err(Error::Misuse("only a skipped fire may be recorded by itself"))
    }
}

struct Fires {
    fire: Fire,
    at: Timestamp,
}

impl Operation for Fires {
    type Answer = FireResult;

    fn needs(&self, needs: &mut Needs) {
        needs.submission(&self.fire.submit);
        needs.runs.extend(self.fire.cancel.iter().map(|(run, _)| *run));
    }

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        let Fire { subject, expect, cursor, submit: runs, cancel, skipped } = &self.fire;
        let subject = subject.to_string();
        let rows = batch.conn().rows(CURSOR, params![subject.as_str()]).await?;
        let found = rows.first().map(|row| row.int(0)).transpose()?;
        if found != expect.map(micros) {
            return Ok(FireResult::Moved(found.map(row::timestamp).transpose()?));
        }
        batch.conn().run(MOVE_CURSOR, params![subject.as_str(), micros(*cursor)]).await?;
        for (run, event) in cancel {
            // It may have ended since the caller looked; then there is nothing left to stop.
            let _ = batch.change(*run, event.clone(), self.at).await?;
        }
        for record in skipped {
            batch.append(record.clone(), self.at);
        }
        let submitted = submit(batch, runs, self.at).await?;
        Ok(FireResult::Fired(submitted))
    }
}

struct Skip {
    skipped: Vec<Record>,
    at: Timestamp,
}

impl Operation for Skip {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        for record in &self.skipped {
            batch.append(record.clone(), self.at);
        }
        Ok(())
    }
}

struct Suspension {
    subject: Subject,
    suspended: Option<(By, Timestamp)>,
}

impl Operation for Suspension {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        let subject = self.subject.to_string();
        match &self.suspended {
            Some((by, at)) => batch.conn().run(SUSPEND, params![subject, by.to_string(), micros(*at)]).await?,
            None => batch.conn().run(RESUME, params![subject]).await?,
        };
        batch.announce();
        Ok(())
    }
}
