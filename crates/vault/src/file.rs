//! Keys in a file: one to a line, the first seals.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::{InvalidKey, Key, Vault};

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("cannot {doing} the key file {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("the key file {} can be read by others (mode {mode:o}); make it 0600", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// One of its lines is no key.
    #[error("line {line} of the key file {}: {InvalidKey}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: usize,
    },
    /// It holds no key.
    #[error("the key file {} holds no key", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The system has no random numbers.
    #[error(transparent)]
    Vault(#[from] crate::Error),
}

impl Vault {
    /// The keys of a file. Lines that are empty or begin with `#` are skipped.
    pub fn from_file(path: &Path) -> Result<Vec<Key>, FileError> {
        let io = |source| FileError::Io { doing: "read", path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(FileError::Open { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(io)?;
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let invalid = |InvalidKey| FileError::Line { path: path.to_owned(), line: number };
            keys.push(Key::parse(line).map_err(invalid)?);
        }
        if keys.is_empty() { Err(FileError::Empty { path: path.to_owned() }) } else { Ok(keys) }
    }

    /// The keys of a file, which is made with a new key where there is none. Of two that make it at once, both get the
    /// key of one.
    pub fn from_file_or_new(path: &Path) -> Result<Vec<Key>, FileError> {
        match Vault::from_file(path) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let key = Key::generate()?;
        make(path, &key).map_err(|source| FileError::Io { doing: "write", path: path.to_owned(), source })?;
        Vault::from_file(path)
    }
}

/// Whole and on the disk, or not at all; a file that is there is left alone.
fn make(path: &Path, key: &Key) -> io::Result<()> {
    let partial = path.with_extension(format!("new-{}", std::process::id()));
    let written = write(&partial, key).and_then(|()| match fs::hard_link(&partial, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    let removed = fs::remove_file(&partial);
    written?;
    removed?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn write(path: &Path, key: &Key) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let head =
        "# Opens the secrets of runs in the database. Keep a copy apart from the database's, and show it to nobody.\n";
    file.write_all(head.as_bytes())?;
    file.write_all(key.to_text().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.key");
        let first = Vault::from_file_or_new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Vault::from_file_or_new(&path).unwrap();
        assert_eq!(first[0].fingerprint(), again[0].fingerprint());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        make(&path, &Key::generate().unwrap()).unwrap();
        assert_eq!(Vault::from_file(&path).unwrap()[0].fingerprint(), first[0].fingerprint());
    }

    #[test]
    fn a_file_that_is_no_good_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.key");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Vault::from_file_or_new(&path).map(|keys| keys.len()).map_err(|error| error.to_string())
        };
        let key = "ab".repeat(32);
        assert_eq!(write(&format!("# new\n{key}\n\n{}\n", "cd".repeat(32)), 0o600), Ok(2));
        assert!(write(&key, 0o644).unwrap_err().contains("mode 644"));
        assert!(write("# nothing\n", 0o600).unwrap_err().contains("holds no key"));
        let said = write("# c\nhunter2\n", 0o600).unwrap_err();
        assert!(said.contains("line 2") && !said.contains("hunter2"), "{said}");
    }
}
