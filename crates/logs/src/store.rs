//! The logs of all runs below one directory.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use piton_model::RunId;
use tokio::sync::watch;

use crate::error::{During, Error};
use crate::hub::Hub;
use crate::layout::{Layout, remove_tree};
use crate::parts::{self, Part};
use crate::redact::Redactor;
use crate::run_log::{RunLog, blocking};
use crate::wait::{Backoff, pause};
use crate::{follow, read};

/// How many bytes of a log are kept, unless [`LogStore::with_cap`] says otherwise.
pub const DEFAULT_CAP: u64 = 1 << 30;

/// How long a new writer waits for the last one to let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// The logs of all runs below one directory. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    hub: Arc<Hub>,
    runs_dir: Arc<PathBuf>,
    cap: u64,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where the piece starts, in bytes from the start of the log.
    pub offset: u64,
    /// The bytes, just as they were written but for the secrets: neither lines nor UTF-8 are cut with care.
    pub bytes: Vec<u8>,
    /// How long the log was.
    pub end: u64,
}

impl Chunk {
    /// The offset after the piece: where to read on.
    pub fn next(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl fmt::Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogStore").field(&self.runs_dir).finish()
    }
}

impl LogStore {
    /// Keeps a directory for each run in this one.
    pub fn new(runs_dir: PathBuf) -> LogStore {
        LogStore { hub: Arc::default(), runs_dir: Arc::new(runs_dir), cap: DEFAULT_CAP }
    }

    /// Keeps about this many bytes of each log; a line in the log says where output is missing.
    pub fn with_cap(self, bytes: u64) -> LogStore {
        LogStore { cap: bytes, ..self }
    }

    /// The directory of a run's files.
    pub fn run_dir(&self, run: RunId) -> PathBuf {
        self.runs_dir.join(run.to_string())
    }

    /// The file for a child's raw output, in a directory that [`LogStore::prepare`] makes.
    pub fn raw_path(&self, run: RunId, token: &str) -> PathBuf {
        self.layout(run).raw(token)
    }

    /// Makes the run's directory and the one for raw output. [`LogStore::open`] does so, too.
    pub async fn prepare(&self, run: RunId) -> Result<(), Error> {
        let layout = self.layout(run);
        blocking(move || layout.create()).await
    }

    /// Opens a log for writing.
    ///
    /// All writers of a log in this process are one. One process at a time may write it: a second gets [`Error::Busy`].
    pub async fn open(&self, run: RunId, redactor: Redactor) -> Result<RunLog, Error> {
        let shared = self.hub.run(run);
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
        let mut waited = Duration::ZERO;
        loop {
            let (shared, layout) = (Arc::clone(&shared), self.layout(run));
            match blocking(move || shared.writer(&layout)).await {
                // A future that was dropped may still be finishing its last write.
                Err(Error::Busy { .. }) if waited < PATIENCE => {
                    let delay = backoff.next();
                    waited += delay;
                    pause(delay).await;
                }
                Err(error) => return Err(error),
                Ok(writer) => return Ok(RunLog { writer, redactor, cap: self.cap }),
            }
        }
    }

    /// Reads up to `max` bytes. A log that does not exist yet is empty; so is what lies behind the end.
    pub async fn read(&self, run: RunId, from: u64, max: usize) -> Result<Chunk, Error> {
        self.hub.run(run).reader(self.layout(run)).await?.read(from, max).await
    }

    /// Reads from `from` on, and goes on as the log grows, until `ended` is true (or its sender gone) and everything
    /// was read.
    ///
    /// After an error the stream ends.
    pub fn follow(
        &self,
        run: RunId,
        from: u64,
        ended: watch::Receiver<bool>,
    ) -> impl Stream<Item = Result<Chunk, Error>> + Send + use<> {
        follow::follow(self.hub.run(run), self.layout(run), from, ended)
    }

    /// Reads the last lines, but no more than [`TAIL_LIMIT`](crate::TAIL_LIMIT) bytes of them.
    pub async fn tail(&self, run: RunId, lines: usize) -> Result<Chunk, Error> {
        let reader = self.hub.run(run).reader(self.layout(run)).await?;
        blocking(move || read::tail(&reader, lines)).await
    }

    /// Whose bytes are where in the log, in order.
    pub async fn parts(&self, run: RunId) -> Result<Vec<Part>, Error> {
        let layout = self.layout(run);
        blocking(move || parts::parts(&layout)).await
    }

    /// Makes the log durable, then removes the raw output it was made from, which no redactor has seen.
    ///
    /// For a run that has ended: its sections cannot be continued any more.
    pub async fn discard_raw(&self, run: RunId) -> Result<(), Error> {
        let layout = self.layout(run);
        blocking(move || {
            match std::fs::File::open(layout.log()) {
                Ok(log) => log.sync_data().during("write", &layout.log())?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).during("open", &layout.log()),
            }
            remove_tree(&layout.raw_dir())
        })
        .await
    }

    /// Removes the run's directory with all that is in it. What is not there is fine.
    pub async fn remove(&self, run: RunId) -> Result<(), Error> {
        let dir = self.run_dir(run);
        blocking(move || remove_tree(&dir)).await
    }

    fn layout(&self, run: RunId) -> Layout {
        Layout { dir: self.run_dir(run) }
    }
}
