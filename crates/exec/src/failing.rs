//! Failures that are not a tool's: files, the disk, the keeper.

use std::io;
use std::path::Path;

use piton_model::{Failure, FailureClass};

/// A failure to do something with a file.
pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot {doing} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::new(FailureClass::Transient, "disk_full", message).hint("free some space, then run it again")
        }
        io::ErrorKind::PermissionDenied => Failure::new(FailureClass::Permanent, "permission_denied", message),
        _ => Failure::new(FailureClass::Permanent, "io_error", message),
    }
}

/// A failure that trying again would only repeat.
pub(crate) fn permanent(code: &str, message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Permanent, code, message)
}

/// Somebody asked to stop before anything was started.
pub(crate) fn stopped_before(doing: &str) -> Failure {
    Failure::new(FailureClass::Interrupted, "stopped", format!("stopped before {doing}"))
}

/// A task of the runtime did not end as it should.
pub(crate) fn task(error: &tokio::task::JoinError) -> Failure {
    permanent("internal", format!("a task of Piton's own failed: {error}"))
}
