//! What can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes this log.
    #[error("another process is writing the log {}", path.display())]
    Busy {
        /// Which log.
        path: PathBuf,
    },
    /// The runtime is shutting down.
    #[error("the program is shutting down")]
    ShuttingDown,
}

impl Error {
    /// Whether more space on the disk (or in the quota) is all that is missing.
    pub fn is_disk_full(&self) -> bool {
        let Error::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Adds what was tried, and with which file, to an I/O error.
pub(crate) trait During<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source })
    }
}
