//! What a run must remember in files that nobody else shall read, not even in a copy of the data directory.

use std::fs;
use std::io;
use std::path::Path;

use piton_model::{Failure, RunId};
use piton_vault::{Sealed, Vault};

use crate::{durable, failing};

/// Seals and opens files of one run. What was sealed for one file opens as that file and no other.
#[derive(Debug, Clone)]
pub(crate) struct Safe {
    vault: Vault,
    run: RunId,
}

impl Safe {
    pub(crate) fn new(vault: Vault, run: RunId) -> Safe {
        Safe { vault, run }
    }

    /// Writes `content` so that it is on the disk, sealed, when this returns. Without a key it writes nothing, and says so.
    pub(crate) fn put(&self, path: &Path, content: &[u8]) -> Result<bool, Failure> {
        let sealed = self.vault.seal(&self.context(path), content);
        let Some(sealed) = sealed.map_err(|error| failing::io("write", path, &io::Error::other(error)))? else {
            return Ok(false);
        };
        let text = format!("{} {}\n", sealed.key, sealed.text);
        durable::write(path, text.as_bytes(), 0o600).map_err(|error| failing::io("write", path, &error))?;
        Ok(true)
    }

    /// What was sealed into a file; nothing where there is no such file.
    pub(crate) fn get(&self, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failing::io("read", path, &error)),
        };
        let (key, text) = text.trim_end().split_once(' ').unwrap_or_default();
        let sealed = Sealed { key: key.to_owned(), text: text.to_owned() };
        self.vault.open(&self.context(path), &sealed).map(Some).map_err(|error| {
            failing::permanent("file_sealed", format!("cannot open {}: {error}", path.display()))
                .hint("put the key back that Piton had when the plan was made, or run it again")
        })
    }

    fn context(&self, path: &Path) -> String {
        let name = path.file_name().unwrap_or_default();
        format!("{}/{}", self.run, name.display())
    }
}

#[cfg(test)]
mod tests {
    use piton_vault::Key;

    use super::*;

    fn safe(vault: &Vault, run: u8) -> Safe {
        Safe::new(vault.clone(), RunId::new(jiff::Timestamp::UNIX_EPOCH, [run; 10]))
    }

    #[test]
    fn what_was_put_away_comes_back_to_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a.sealed"), dir.path().join("b.sealed"));
        let vault = Vault::new([Key::generate().unwrap()]);
        assert_eq!(safe(&vault, 1).get(&path), Ok(None));
        assert_eq!(safe(&vault, 1).put(&path, b"hunter2"), Ok(true));
        assert_eq!(safe(&vault, 1).get(&path), Ok(Some(b"hunter2".to_vec())));
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        fs::copy(&path, &other).unwrap();
        let stranger = Vault::new([Key::generate().unwrap()]);
        for opened in [safe(&vault, 2).get(&path), safe(&vault, 1).get(&other), safe(&stranger, 1).get(&path)] {
            assert_eq!(opened.unwrap_err().code, "file_sealed");
        }
        fs::write(&other, "nonsense").unwrap();
        assert_eq!(safe(&vault, 1).get(&other).unwrap_err().code, "file_sealed");
    }

    #[test]
    fn without_a_key_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sealed");
        assert_eq!(safe(&Vault::default(), 1).put(&path, b"hunter2"), Ok(false));
        assert!(!path.exists());
    }
}
