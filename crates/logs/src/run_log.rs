//! Writing the log of one run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::pump::Pump;
use crate::redact::Redactor;
use crate::section_stream::SectionStream;
use crate::writer::Writer;

/// The log of one run, open for writing.
///
/// Everything written passes the redactor. Every operation is idempotent: after a crash the same calls are made again,
/// and only what is missing is written.
#[derive(Clone)]
pub struct RunLog {
    pub(crate) writer: Arc<Mutex<Writer>>,
    pub(crate) redactor: Redactor,
    pub(crate) cap: u64,
}

/// The place in a log for the output of one child.
pub struct Section {
    pump: Pump,
}

impl RunLog {
    /// Writes a line of Piton's own, once per key.
    ///
    /// It starts a new line, and may stand in the middle of a child's output. The text is written as it is, so it
    /// should begin with `piton: ` to be told apart from a child's.
    pub async fn note(&self, key: &str, text: &str) -> Result<(), Error> {
        let (writer, key, text) = (Arc::clone(&self.writer), key.to_owned(), self.redactor.redact(text));
        blocking(move || lock(&writer).note(&key, &text)).await
    }

    /// Begins, or continues, the section of the child started under this token. The header is the line above its
    /// output.
    ///
    /// Tokens are never used for a second child: the section would continue the first one's.
    pub async fn section(&self, token: &str, header: &str) -> Result<Section, Error> {
        let (writer, cap, header) = (Arc::clone(&self.writer), self.cap, self.redactor.redact(header));
        let name = token.to_owned();
        let kept = blocking(move || lock(&writer).section(&name, &header, cap)).await?;
        let at = kept.header.len() as u64;
        let pump = Pump {
            writer: Arc::clone(&self.writer),
            token: token.to_owned(),
            stream: SectionStream::new(&self.redactor, kept.start + at, kept.cap),
            at,
            sealed: kept.sealed,
            raw: PathBuf::new(),
            file: None,
            read: 0,
            ready: Vec::new(),
        };
        Ok(Section { pump })
    }

    /// The redactor that everything written here passes, for what is shown elsewhere.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

impl Section {
    /// Appends what the child writes to its raw file, until `ended` has resolved and the file is read to its end then.
    ///
    /// Returns how many bytes of the log are the section's, header included. Dropping the future loses nothing: the
    /// next [`RunLog::section`] with this token continues where the log ends. While the disk is full and the child
    /// runs, it waits for room.
    pub async fn pump(self, raw: &Path, ended: impl Future<Output = ()>) -> Result<u64, Error> {
        Pump { raw: raw.to_owned(), ..self.pump }.run(ended).await
    }
}

/// Locks what is only ever used on blocking threads, or for a moment. After a panic the writer rereads its files.
pub(crate) fn lock(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something that blocks where that is fine.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::ShuttingDown),
        },
    }
}
