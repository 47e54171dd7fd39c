//! What has to be known of a job after a crash of the daemon, beyond the tasks that the keeper remembers.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use piton_model::batch::TaskId;
use piton_model::{BatchEnd, Failure};
use serde::{Deserialize, Serialize};

use crate::{durable, failing};

/// What has to be known of a job after a crash. It is on the disk before anything follows from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    #[serde(skip)]
    path: PathBuf,
    /// Since when the job is active.
    pub(super) since: Timestamp,
    /// Whether it is held back.
    pub(super) suspended: bool,
    /// When it was last held back or let go on.
    #[serde(default)]
    pub(super) suspension_changed_at: Option<Timestamp>,
    /// Tasks that were told to stop: what they do then says nothing about them.
    stopped: BTreeSet<String>,
    /// How the job ends, once that is decided.
    pub(super) end: Option<BatchEnd>,
}

impl Journal {
    /// A new one, for a job that begins.
    pub(super) fn begin(path: PathBuf, since: Timestamp) -> Result<Journal, Failure> {
        let journal =
            Journal { path, since, suspended: false, suspension_changed_at: None, stopped: BTreeSet::new(), end: None };
        journal.write()?;
        Ok(journal)
    }

    /// The one that is there.
    pub(super) fn find(path: &Path) -> Result<Option<Journal>, Failure> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failing::io("read", path, &error)),
        };
        let journal: Journal =
            serde_json::from_slice(&text).map_err(|error| failing::io("read", path, &error.into()))?;
        Ok(Some(Journal { path: path.to_owned(), ..journal }))
    }

    pub(super) fn was_stopped(&self, id: TaskId) -> bool {
        self.stopped.contains(&id.to_string())
    }

    /// Notes that these are told to stop.
    pub(super) fn stop(&mut self, ids: &[TaskId]) -> Result<(), Failure> {
        let before = self.stopped.len();
        self.stopped.extend(ids.iter().map(ToString::to_string));
        if self.stopped.len() == before { Ok(()) } else { self.write() }
    }

    /// Notes how the job ends, and that these are stopped for it.
    pub(super) fn decide(&mut self, end: &BatchEnd, stop: &[TaskId]) -> Result<(), Failure> {
        self.end = Some(end.clone());
        self.stopped.extend(stop.iter().map(ToString::to_string));
        self.write()
    }

    /// Notes that the job is held back, or goes on from now.
    pub(super) fn suspend(&mut self, suspended: bool, now: Timestamp) -> Result<(), Failure> {
        if !suspended {
            self.since = now;
        }
        (self.suspended, self.suspension_changed_at) = (suspended, Some(now));
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let failed = |error: io::Error| failing::io("write", &self.path, &error);
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        durable::write(&self.path, &text, 0o600).map_err(failed)
    }
}
