//! Whose bytes are where in a log: the index, one JSON object per line.
//!
//! An entry is written before the bytes it announces. A crash in between is repaired from the entry alone.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

/// One line of the index. `start` is an offset in the log; the entry's bytes end where the next entry's begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A section begins. What its stream depends on is fixed here, so that a later version of Piton continues it alike.
    Section { token: String, start: u64, header: String, cap: u64 },
    /// A section goes on, after something else was written.
    More { token: String, start: u64 },
    /// A line of Piton's own, whole.
    Note { key: String, start: u64, text: String },
    /// The output of this section ends after so many raw bytes, whatever may still be written there.
    Sealed { token: String, raw: u64 },
}

impl Entry {
    /// Where the entry's bytes start, if it has any.
    pub(crate) fn start(&self) -> Option<u64> {
        match self {
            Entry::Section { start, .. } | Entry::More { start, .. } | Entry::Note { start, .. } => Some(*start),
            Entry::Sealed { .. } => None,
        }
    }

    pub(crate) fn to_line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Reads the entries that fit a log of this length, and cuts off what does not: the line a crash tore, and after a
/// power loss the entries whose bytes did not reach the disk.
pub(crate) fn recover(file: &mut File, log_len: u64) -> io::Result<Vec<Entry>> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let mut entries = Vec::new();
    let (mut good, mut last_start) = (0, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(line_text) = line.strip_suffix(b"\n") else { break };
        let Ok(entry) = serde_json::from_slice::<Entry>(line_text) else { break };
        if let Some(start) = entry.start() {
            if start < last_start || start > log_len {
                break;
            }
            last_start = start;
        }
        good += line.len();
        entries.push(entry);
    }
    if good < text.len() {
        file.set_len(good as u64)?;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::Section { token: "a".into(), start: 0, header: "$ a\n".into(), cap: 9 },
            Entry::Note { key: "k".into(), start: 10, text: "note\n".into() },
            Entry::More { token: "a".into(), start: 15 },
            Entry::Sealed { token: "a".into(), raw: 7 },
        ]
    }

    fn index(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_torn_line_is_cut_off_wherever_it_tore() {
        let whole: Vec<u8> = entries().iter().flat_map(|entry| entry.to_line().unwrap()).collect();
        for len in 0..=whole.len() {
            let mut file = index(&whole[..len]);
            let found = recover(&mut file, 100).unwrap();
            assert_eq!(found.len(), memchr::memchr_iter(b'\n', &whole[..len]).count());
            let kept = file.metadata().unwrap().len();
            assert_eq!(recover(&mut file, 100).unwrap(), found);
            assert!(kept == 0 || whole[usize::try_from(kept).unwrap() - 1] == b'\n');
        }
    }

    #[test]
    fn entries_beyond_the_log_are_dropped_with_all_that_follows() {
        let whole: Vec<u8> = entries().iter().flat_map(|entry| entry.to_line().unwrap()).collect();
        assert_eq!(recover(&mut index(&whole), 14).unwrap(), entries()[..2]);
        assert_eq!(recover(&mut index(&whole), 15).unwrap(), entries());
        assert_eq!(recover(&mut index(b"\xff\n{}\n"), 15).unwrap(), []);
    }
}
