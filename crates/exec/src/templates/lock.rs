//! The lock between those who read templates and those who replace them.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use super::Error;

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn shared(directory: &Path) -> Result<Lock, Error> {
        let file = open(directory)?;
        file.lock_shared().map_err(Error::io("lock", directory))?;
        Ok(Lock { _file: file })
    }

    pub(super) fn exclusive(directory: &Path) -> Result<Lock, Error> {
        let file = open(directory)?;
        file.lock().map_err(Error::io("lock", directory))?;
        Ok(Lock { _file: file })
    }
}

fn open(directory: &Path) -> Result<File, Error> {
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    let path = directory.join(".lock");
    OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path).map_err(Error::io("open", &path))
}
