//! The one who appends to a log. Everything here blocks, and is called on threads where that is fine.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{During, Error};
use crate::hub::Shared;
use crate::index::{self, Entry};
use crate::layout::Layout;

/// The open log of one run.
pub(crate) struct Writer {
    log_path: PathBuf,
    index_path: PathBuf,
    log: File,
    index: File,
    shared: Arc<Shared>,
    state: State,
    /// An operation failed half-way, so that the files know better than `state`.
    stale: bool,
}

/// What the files say.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    len: u64,
    ends_line: bool,
    /// Whose bytes are at the end.
    tail: Option<String>,
    sections: HashMap<String, Kept>,
    notes: HashSet<String>,
}

/// What the log holds of one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) header: String,
    /// Where it starts in the log.
    pub(crate) start: u64,
    pub(crate) cap: u64,
    /// How many bytes of its stream are in the log.
    pub(crate) bytes: u64,
    /// After how many raw bytes its output ends, once that is settled.
    pub(crate) sealed: Option<u64>,
}

impl Writer {
    /// Opens a log for appending and repairs what a crash left. [`Error::Busy`] if it is open already.
    pub(crate) fn open(layout: &Layout, shared: Arc<Shared>) -> Result<Writer, Error> {
        layout.create()?;
        let (log_path, index_path) = (layout.log(), layout.index());
        let index = append_to(&index_path)?;
        match index.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: log_path }),
            Err(TryLockError::Error(error)) => return Err(error).during("lock", &index_path),
        }
        let log = append_to(&log_path)?;
        let mut writer = Writer { log_path, index_path, log, index, shared, state: State::default(), stale: true };
        writer.refresh()?;
        Ok(writer)
    }

    /// Finds or begins a section. The header counts only for a new one.
    pub(crate) fn section(&mut self, token: &str, header: &str, cap: u64) -> Result<Kept, Error> {
        self.refresh()?;
        if !self.state.sections.contains_key(token) {
            let header = self.on_its_own_line(header);
            let start = self.state.len;
            self.announce(&Entry::Section { token: token.to_owned(), start, header: header.clone(), cap })?;
            self.state.sections.insert(token.to_owned(), Kept { header, start, cap, bytes: 0, sealed: None });
            self.state.tail = Some(token.to_owned());
        }
        let header = self.kept(token)?.header.clone();
        self.write(token, 0, header.as_bytes())?;
        self.kept(token).cloned()
    }

    /// Makes sure that the bytes are in the log, `at` being their place in the section's stream; those that are there
    /// are skipped.
    pub(crate) fn write(&mut self, token: &str, at: u64, bytes: &[u8]) -> Result<(), Error> {
        self.refresh()?;
        let there = self.kept(token)?.bytes;
        let Some(skip) = there.checked_sub(at) else {
            return Err(io::Error::other("bytes are missing that had been written")).during("continue", &self.log_path);
        };
        let missing = usize::try_from(skip).ok().and_then(|skip| bytes.get(skip..)).unwrap_or_default();
        if missing.is_empty() {
            return Ok(());
        }
        if self.state.tail.as_deref() != Some(token) {
            self.announce(&Entry::More { token: token.to_owned(), start: self.state.len })?;
            self.state.tail = Some(token.to_owned());
        }
        self.append(missing)?;
        if let Some(kept) = self.state.sections.get_mut(token) {
            kept.bytes += missing.len() as u64;
        }
        Ok(())
    }

    /// Settles that a section's output ends after `raw` bytes, unless that is settled already; returns what is.
    pub(crate) fn seal(&mut self, token: &str, raw: u64) -> Result<u64, Error> {
        self.refresh()?;
        if let Some(sealed) = self.kept(token)?.sealed {
            return Ok(sealed);
        }
        self.announce(&Entry::Sealed { token: token.to_owned(), raw })?;
        if let Some(kept) = self.state.sections.get_mut(token) {
            kept.sealed = Some(raw);
        }
        Ok(raw)
    }

    /// Writes a note, unless one with this key is there.
    pub(crate) fn note(&mut self, key: &str, text: &str) -> Result<(), Error> {
        self.refresh()?;
        if self.state.notes.contains(key) {
            return Ok(());
        }
        let text = self.on_its_own_line(text);
        self.announce(&Entry::Note { key: key.to_owned(), start: self.state.len, text: text.clone() })?;
        self.state.tail = None;
        self.state.notes.insert(key.to_owned());
        self.append(text.as_bytes())
    }

    /// How many bytes of a section's stream are in the log.
    pub(crate) fn kept(&self, token: &str) -> Result<&Kept, Error> {
        let missing = || io::Error::other("a section has vanished from the index");
        self.state.sections.get(token).ok_or_else(missing).during("continue", &self.log_path)
    }

    fn on_its_own_line(&self, text: &str) -> String {
        let before = if self.state.ends_line { "" } else { "\n" };
        let after = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        format!("{before}{text}{after}")
    }

    fn announce(&mut self, entry: &Entry) -> Result<(), Error> {
        self.stale = true;
        entry.to_line().and_then(|line| self.index.write_all(&line)).during("write", &self.index_path)?;
        self.stale = false;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stale = true;
        self.log.write_all(bytes).during("write", &self.log_path)?;
        self.stale = false;
        self.state.len += bytes.len() as u64;
        self.state.ends_line = bytes.last().map_or(self.state.ends_line, |last| *last == b'\n');
        self.shared.grown(self.state.len);
        Ok(())
    }

    /// Reads the state back from the files, if it is not certain to be theirs.
    fn refresh(&mut self) -> Result<(), Error> {
        if !self.stale {
            return Ok(());
        }
        let len = self.log.metadata().during("examine", &self.log_path)?.len();
        let entries = index::recover(&mut self.index, len).during("read", &self.index_path)?;
        let mut last = [b'\n'];
        if let Some(at) = len.checked_sub(1) {
            self.log.read_exact_at(&mut last, at).during("read", &self.log_path)?;
        }
        self.state = State::of(&entries, len, last == [b'\n']);
        self.stale = false;
        self.shared.grown(len);
        // A note is complete or about to be: its text is in the index.
        let note = entries.iter().rev().find(|entry| entry.start().is_some());
        if let Some(Entry::Note { start, text, .. }) = note {
            let there = usize::try_from(len - start).unwrap_or(usize::MAX);
            if let Some(rest) = text.as_bytes().get(there..).filter(|rest| !rest.is_empty()) {
                self.append(rest)?;
            }
        }
        Ok(())
    }
}

impl State {
    fn of(entries: &[Entry], len: u64, ends_line: bool) -> State {
        let mut state = State { len, ends_line, ..State::default() };
        let ends = entries.iter().filter_map(Entry::start).skip(1).chain([len]);
        let extents = entries.iter().filter(|entry| entry.start().is_some()).zip(ends);
        for (entry, end) in extents {
            let bytes = end - entry.start().unwrap_or(end);
            match entry {
                Entry::Section { token, start, header, cap } => {
                    let kept = Kept { header: header.clone(), start: *start, cap: *cap, bytes, sealed: None };
                    state.sections.insert(token.clone(), kept);
                    state.tail = Some(token.clone());
                }
                Entry::More { token, .. } => {
                    if let Some(kept) = state.sections.get_mut(token) {
                        kept.bytes += bytes;
                    }
                    state.tail = Some(token.clone());
                }
                Entry::Note { key, .. } => {
                    state.notes.insert(key.clone());
                    state.tail = None;
                }
                Entry::Sealed { .. } => {}
            }
        }
        for entry in entries {
            if let Entry::Sealed { token, raw } = entry
                && let Some(kept) = state.sections.get_mut(token)
            {
                kept.sealed = Some(*raw);
            }
        }
        state
    }
}

fn append_to(path: &PathBuf) -> Result<File, Error> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).during("open", path)
}
