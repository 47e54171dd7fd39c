//! From which commit of its blueprint a run has rendered what it is about to push.
//!
//! A branch may move between two passes of a run, and both have to make the same commit: the first may have pushed it
//! before it was killed. So the commit of the blueprint is written down before anybody outside is spoken to, and
//! forgotten when nothing can have been pushed, or the run is over.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

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
        pins.forget("abc-123");
        pins.forget("abc-123");
        assert_eq!(pins.of("abc-123"), None);
    }
}
