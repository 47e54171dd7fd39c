//! The directory in which everything is kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

/// What jobs work with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the database, the logs and the keeper are.
    pub dir: PathBuf,
    /// How the keeper is started when none answers: this program, in its other life.
    pub keeper_argv: Vec<OsString>,
    /// The working directory of tasks that name none.
    pub work_dir: PathBuf,
    /// The environment of the program: all of it for tasks that inherit it, a part for the others.
    pub environment: BTreeMap<String, String>,
    /// How many jobs run at once.
    pub max_concurrent: usize,
}

/// Takes the directory; what is returned holds it, and the end of the program gives it back.
pub(crate) fn lock(dir: &Path) -> Result<File, Error> {
    let failed = |source| Error::Directory { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(dir.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
