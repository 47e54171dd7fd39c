//! A log file that may be moved away while it is written, as `logrotate` does: then another one of its name is begun.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often it is looked, at most, whether the file is still the one that its name names.
const LOOK: Duration = Duration::from_secs(1);

/// A file that is appended to.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    place: Place,
    looked: Option<Instant>,
}

/// What a file is, whatever it is called: its device and its number there.
type Place = (u64, u64);

impl LogFile {
    /// Opens a file, or makes one that only its owner may read.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        let (file, place) = append_to(path)?;
        Ok(LogFile { path: path.to_owned(), open: Mutex::new(Open { file, place, looked: None }) })
    }

    /// Somebody says that it may have been moved: the next line looks.
    pub fn look_again(&self) {
        self.lock().looked = None;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that has the name now.
    fn current(&self) -> MutexGuard<'_, Open> {
        let mut open = self.lock();
        let now = Instant::now();
        if open.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK) {
            open.looked = Some(now);
            // Where no other can be opened, the one that was moved still takes what there is to say.
            if is_moved(&self.path, open.place)
                && let Ok((file, place)) = append_to(&self.path)
            {
                (open.file, open.place) = (file, place);
            }
        }
        open
    }
}

impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.current().file.write(bytes)
    }

    /// A line as a whole goes to one file.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.current().file.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<(File, Place)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let place = place_of(&file.metadata()?);
    Ok((file, place))
}

/// Whether a file is not the one of this name any more, and another one can be. What is no file, such as a pipe, might
/// keep whoever opens it waiting.
fn is_moved(path: &Path, place: Place) -> bool {
    match path.metadata() {
        Ok(found) => found.is_file() && place_of(&found) != place,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn place_of(found: &Metadata) -> Place {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_after_a_move_is_in_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("piton.log"), directory.path().join("piton.log.1"));
        let log = LogFile::open(&path).unwrap();
        let say = |line: &str| {
            log.look_again();
            (&log).write_all(line.as_bytes()).unwrap();
        };
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        say("one\n");
        say("two\n");
        assert_eq!(read(&path), "one\ntwo\n");
        std::fs::rename(&path, &moved).unwrap();
        say("three\n");
        assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("one\ntwo\n", "three\n"));
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        // Some move it and make the next one themselves.
        std::fs::rename(&path, &moved).unwrap();
        std::fs::write(&path, "theirs\n").unwrap();
        say("four\n");
        assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("three\n", "theirs\nfour\n"));
    }

    #[test]
    fn what_cannot_be_begun_anew_goes_on_in_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("piton.log"), directory.path().join("piton.log.1"));
        let log = LogFile::open(&path).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::create_dir(&path).unwrap();
        (&log).write_all(b"one\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
    }
}
