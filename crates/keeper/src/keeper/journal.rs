//! The keeper's memory on disk: one line of JSON per thing it promised to remember.
//!
//! A killed keeper needs only that lines reach the kernel, a machine that loses power needs them synced. Only exits are
//! synced of which somebody may ask then, and those of one turn together: a sync costs milliseconds, a thousand children
//! may end in the same second, and a machine that lost power has lost its running children anyway. For the same reason
//! a journal that is replaced by a shorter one is synced only if it holds something that was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::note;
use super::table::{Held, Starting};
use crate::Token;

/// Journals shorter than this are not worth rewriting: a thousand children start within it.
const SMALL: u64 = 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// It is about to be started. If nothing follows, nobody knows whether it was.
    Starting(Starting),
    /// This is how it is now.
    Held(Held),
    /// It was acknowledged, or could not be started.
    Forgotten(Token),
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_when_rewritten: u64,
    /// The end of the file may be half a line; only a rewrite makes it trustworthy again.
    damaged: bool,
    /// The name of the file is on the disk, so that what is synced in it is found again.
    is_named: bool,
}

impl Journal {
    /// Opens the journal and reads what it says. It must be rewritten before it is appended to.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let path = dir.join("keeper").join("journal");
        let file = open_append(&path)?;
        let entries = read(&File::open(&path)?)?;
        let journal = Self { path, file, bytes: 0, bytes_when_rewritten: 0, damaged: true, is_named: false };
        Ok((journal, entries))
    }

    /// Whether the next write has to be a [`Journal::rewrite`].
    pub(super) fn wants_rewrite(&self) -> bool {
        self.damaged || self.bytes > SMALL + 2 * self.bytes_when_rewritten
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Adds entries; with `sync`, they are on the disk when this returns.
    pub(super) fn append(&mut self, entries: &[Entry], sync: bool) -> io::Result<()> {
        let lines = lines(entries)?;
        let written = self.file.write_all(&lines).and_then(|()| if sync { self.sync() } else { Ok(()) });
        // After a failed sync the kernel may have dropped the pages and forgotten that it did: never sync this file
        // again.
        self.damaged |= written.is_err();
        self.bytes += lines.len() as u64;
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.is_named {
            sync_directory_of(&self.path)?;
            self.is_named = true;
        }
        Ok(())
    }

    /// Replaces the journal by these entries; with `sync`, they are on the disk when this returns. Without, a machine
    /// that loses power may find any of the two, or nothing.
    pub(super) fn rewrite(&mut self, entries: impl Iterator<Item = Entry>, sync: bool) -> io::Result<()> {
        self.damaged = true;
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // One at a time: all of them together would be more than the keeper otherwise needs.
        let mut file = BufWriter::new(open_append(&fresh)?);
        let mut bytes = 0;
        for entry in entries {
            let line = lines(&[entry])?;
            bytes += line.len() as u64;
            file.write_all(&line)?;
        }
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&fresh, &self.path)?;
        if sync {
            sync_directory_of(&self.path)?;
        }
        let path = std::mem::take(&mut self.path);
        *self = Self { path, file, bytes, bytes_when_rewritten: bytes, damaged: false, is_named: sync };
        Ok(())
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn lines(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::with_capacity(entries.len() * 256);
    for entry in entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn read(file: &File) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut unreadable = 0_u32;
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(entry) => entries.push(entry),
            Err(_) => unreadable += 1,
        }
    }
    if unreadable > 0 {
        // The last line of a killed keeper, or an entry of a newer one. The rest is still true.
        note(format_args!("skipped {unreadable} unreadable journal lines"));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Journal {
        /// Every write fails from here on, as on a full disk.
        pub(in crate::keeper) fn fill_the_disk(&mut self) {
            self.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
            // A rewrite begins by replacing this name, which a directory that is not empty refuses.
            fs::create_dir_all(self.path.with_extension("new").join("x")).unwrap();
        }

        pub(in crate::keeper) fn empty_the_disk(&mut self) {
            fs::remove_dir_all(self.path.with_extension("new")).unwrap();
        }
    }

    fn forgotten(token: &str) -> Entry {
        Entry::Forgotten(token.parse().unwrap())
    }

    fn fresh() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("keeper")).unwrap();
        let (mut journal, entries) = Journal::open(dir.path()).unwrap();
        assert!(entries.is_empty());
        journal.rewrite(std::iter::empty(), true).unwrap();
        (dir, journal)
    }

    #[test]
    fn a_torn_last_line_costs_only_itself() {
        let (dir, mut journal) = fresh();
        journal.append(&[forgotten("a"), forgotten("b")], true).unwrap();
        let text = fs::read(&journal.path).unwrap();
        for cut in 0..=text.len() {
            fs::write(&journal.path, &text[..cut]).unwrap();
            let (_, entries) = Journal::open(dir.path()).unwrap();
            let whole = text[..cut].split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"}")).count();
            assert_eq!(entries, [forgotten("a"), forgotten("b")][..whole], "cut at {cut}");
        }
    }

    #[test]
    fn asks_for_a_rewrite_when_it_has_grown() {
        let (dir, mut journal) = fresh();
        assert!(!journal.wants_rewrite());
        while journal.bytes <= SMALL {
            journal.append(&vec![forgotten("a"); 1000], false).unwrap();
        }
        assert!(journal.wants_rewrite());
        for (sync, token) in [(true, "z"), (false, "x")] {
            journal.rewrite(std::iter::once(forgotten(token)), sync).unwrap();
            assert!(!journal.wants_rewrite());
            journal.append(&[forgotten("y")], false).unwrap();
            assert_eq!(Journal::open(dir.path()).unwrap().1, [forgotten(token), forgotten("y")]);
        }
    }
}
