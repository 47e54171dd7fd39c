//! A mark beside a log whose oldest files were removed.
//!
//! A reader that comes later finds no trace of them, and has to be told all the same that the log does not begin where
//! it seems to. `.web.stdout.log.cut` is left beside `web.stdout.log` by whoever removes one first, which is also the
//! keeper: the name is known there, too.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whether something of the log's beginning was removed.
pub(super) fn is_marked(log: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(mark_of(log)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Leaves the mark. Has to be there before the first file goes.
pub(super) fn leave_mark(log: &Path) -> io::Result<()> {
    // A new one only: in a directory of somebody else a link may lie there.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(mark_of(log)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn mark_of(log: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(log.file_name().unwrap_or_default());
    name.push(".cut");
    log.with_file_name(name)
}
