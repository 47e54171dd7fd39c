//! A cheap look at a SQLite file before the engine opens it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::Error;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Refuses a file that is no database or was cut off. A missing or empty one is a new database.
pub(crate) fn inspect(path: &Path) -> Result<(), Error> {
    let corrupt = |detail: String| Err(Error::Corrupt { path: path.display().to_string(), detail });
    let unavailable = |error: std::io::Error| Error::Unavailable(format!("{}: {error}", path.display()));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unavailable(error)),
    };
    let metadata = file.metadata().map_err(unavailable)?;
    if metadata.is_dir() {
        return Err(Error::Unavailable(format!("{} is a directory", path.display())));
    }
    let length = metadata.len();
    let log = log_length(path);
    if length == 0 {
        // An empty file beside a log is not new: something emptied it.
        return if log == 0 { Ok(()) } else { corrupt("the file is empty, but its log is not".to_owned()) };
    }
    let mut header = [0; 100];
    if let Err(error) = file.read_exact(&mut header) {
        return match error.kind() {
            ErrorKind::UnexpectedEof => corrupt(format!("it is only {length} bytes long")),
            _ => Err(unavailable(error)),
        };
    }
    if header[..16] != *MAGIC {
        return corrupt("it is not a SQLite database".to_owned());
    }
    // While there is a log, the file may rightly be behind it.
    let word = |at: usize| u64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let page_size = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        size => size,
    };
    let pages = word(28);
    let size_is_valid = word(24) == word(92);
    if log == 0 && size_is_valid && pages * page_size > length {
        return corrupt(format!("it should be {} bytes long and is {length}", pages * page_size));
    }
    Ok(())
}

/// Makes an empty file for its owner alone, where there is none. The engine gives its other files the same mode.
pub(crate) fn create(path: &Path) -> Result<(), Error> {
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::Unavailable(format!("{}: {error}", path.display()))),
    }
}

fn log_length(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(0, |metadata| metadata.len())
}
