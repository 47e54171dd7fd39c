//! Why a command could not be run, or its end is not known.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use piton_keeper::protocol::{Refusal, RefusalKind};
use piton_keeper::{ProcessIdentity, TokenError, client};

/// Why a command could not be run, or its end is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command ran and is gone, but nobody saw how it ended: the keeper was killed, or the machine went down.
    #[error("nobody saw how the command ended: its keeper had died (pid {}, gone since {ended_at})", identity.pid)]
    Lost {
        /// Which process it was.
        identity: ProcessIdentity,
        /// When its end was noticed, at the latest.
        ended_at: Timestamp,
    },
    /// The keeper died in the very moment of starting the command: it may or may not have run.
    #[error("nobody knows whether the command was started: {0}")]
    StartUncertain(String),
    /// The command cannot be started.
    #[error("{message}")]
    Spawn {
        /// Why, for programs: not found, not permitted, no such directory, out of resources.
        kind: RefusalKind,
        /// Why, for people.
        message: String,
    },
    /// It was to be stopped before it was started, so it was not.
    #[error("stopped before it was started")]
    NotStarted,
    /// The token is not one.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The keeper cannot be reached, or refuses.
    #[error(transparent)]
    Keeper(#[from] client::Error),
    /// The log cannot be written, so nothing was started.
    #[error(transparent)]
    Log(#[from] piton_logs::Error),
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// What it is about.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Sorts the keeper's refusals of a start.
    pub(crate) fn of_start(error: client::Error) -> Error {
        match error {
            client::Error::Refused(Refusal { kind: RefusalKind::StartUncertain, message }) => {
                Error::StartUncertain(message)
            }
            client::Error::Refused(Refusal { kind, message }) if is_about_the_command(kind) => {
                Error::Spawn { kind, message }
            }
            other => Error::Keeper(other),
        }
    }
}

fn is_about_the_command(kind: RefusalKind) -> bool {
    use RefusalKind::{
        BadSpec, Limits, NotExecutable, Output, PermissionDenied, ProgramNotFound, Resources, System, WorkingDirectory,
    };
    matches!(
        kind,
        BadSpec
            | ProgramNotFound
            | PermissionDenied
            | NotExecutable
            | WorkingDirectory
            | Output
            | Limits
            | Resources
            | System
    )
}
