//! From which commit of its blueprint a run has rendered what it is about to push.
//!
//! A branch may move between two passes of a run, and both have to make the same commit: the first may have pushed it
//! before it was killed. So the commit of the blueprint is written down before anybody outside is spoken to, and
//! forgotten when nothing can have been pushed, or the run has succeeded; one that has failed may be sent again.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

/// The notes, each a file that is named by the mark of its run.
#[derive(Debug)]
pub struct Pins(PathBuf);

impl Pins {
    pub fn new(directory: PathBuf) -> Pins {
        Pins(directory)
    }

    /// What was written down for a run.
    pub fn of(&self, mark: &str) -> Option<String> {
        fs::read_to_string(self.0.join(mark)).ok().filter(|commit| !commit.is_empty())
    }

    /// Writes it down, durably.
    pub fn keep(&self, mark: &str, commit: &str) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let partial = self.0.join(format!(".{mark}"));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(commit.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, self.0.join(mark))
    }

    /// The next pass may render what the blueprint is by then.
    pub fn forget(&self, mark: &str) {
        match fs::remove_file(self.0.join(mark)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(mark, %error, "it stays written down from which commit a run has rendered");
            }
            _ => {}
        }
    }

    /// Forgets what was written down so long ago that nobody knows of its run any more.
    pub fn sweep(&self, longest: Duration) {
        // Where nothing was ever written down there is none.
        let Ok(entries) = fs::read_dir(&self.0) else { return };
        for entry in entries.filter_map(Result::ok) {
            let written = entry.metadata().and_then(|found| found.modified());
            if written.is_ok_and(|time| time.elapsed().unwrap_or_default() > longest) {
                self.forget(&entry.file_name().to_string_lossy());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_there_until_it_is_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let pins = Pins::new(root.path().join("pins"));
        assert_eq!(pins.of("abc-123"), None);
        pins.keep("abc-123", "1111").unwrap();
        pins.keep("abc-123", "2222").unwrap();
        assert_eq!(pins.of("abc-123").as_deref(), Some("2222"));
        assert_eq!(pins.of("abc"), None);
        pins.sweep(Duration::from_secs(60));
        assert_eq!(pins.of("abc-123").as_deref(), Some("2222"));
        let written = fs::File::open(root.path().join("pins/abc-123")).unwrap();
        written.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        pins.keep("abc-124", "3333").unwrap();
        pins.sweep(Duration::from_secs(60));
        assert_eq!((pins.of("abc-123"), pins.of("abc-124").as_deref()), (None, Some("3333")));
        pins.keep("abc-123", "2222").unwrap();
        pins.forget("abc-123");
        pins.forget("abc-123");
        assert_eq!(pins.of("abc-123"), None);
    }
}
