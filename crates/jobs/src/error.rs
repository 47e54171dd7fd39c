//! What can go wrong.

use std::io;
use std::path::PathBuf;

use piton_spec::Diagnostic;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another program has the directory.
    #[error("another program uses {}", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Directory {
        /// It, or what is in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key that seals secrets in the database cannot be had.
    #[error("cannot have the key for secrets: {0}")]
    Key(#[from] piton_vault::FileError),
    /// The database does not do what it is asked.
    #[error(transparent)]
    Store(#[from] piton_store::Error),
    /// There is no such job, there is one already, or it cannot be done now.
    #[error(transparent)]
    Engine(#[from] piton_engine::Error),
    /// What was given declares nothing.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Diagnostic>),
    /// The log of a job cannot be read.
    #[error(transparent)]
    Log(#[from] piton_logs::Error),
    /// What was asked for takes a job that has begun.
    #[error("the job `{0}` has not begun")]
    NotBegun(String),
}
