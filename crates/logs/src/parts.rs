//! Whose bytes are where in a log, for readers.

use std::fs;
use std::io;

use crate::error::{During, Error};
use crate::index::Entry;
use crate::layout::Layout;

/// Consecutive bytes of a log that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The token of the child that wrote them, or the key of the note that they are.
    pub token: String,
    /// Where they start.
    pub start: u64,
    /// Where they end.
    pub end: u64,
}

/// Reads the index beside a writer that may be appending to it: a line without its end is not there yet. Blocks.
pub(crate) fn parts(layout: &Layout) -> Result<Vec<Part>, Error> {
    let path = layout.index();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).during("read", &path),
    };
    // Asked after the index was read: what an entry announces is written after the entry.
    let len = match fs::metadata(layout.log()) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error).during("examine", &layout.log()),
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let entries = lines.map_while(|line| serde_json::from_slice::<Entry>(line).ok());
    let mut parts: Vec<Part> = Vec::new();
    for entry in entries {
        let (token, start) = match entry {
            Entry::Section { token, start, .. } | Entry::More { token, start } => (token, start),
            Entry::Note { key, start, .. } => (key, start),
            Entry::Sealed { .. } => continue,
        };
        let start = start.min(len);
        if let Some(last) = parts.last_mut() {
            last.end = start;
        }
        parts.push(Part { token, start, end: len });
    }
    parts.retain(|part| part.start < part.end);
    Ok(parts)
}
