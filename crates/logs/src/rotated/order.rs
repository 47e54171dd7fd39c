//! In which order two logs are read as one.
//!
//! Nobody knows how the lines of two files were interleaved, so whoever reads decides, and everybody after them has to
//! find the same order. It is kept in a small file: stretches of one log or the other, each with its place in the
//! merged log. What is in it never changes; it grows at its end when it is read, and loses its beginning.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::lines::LINE_LIMIT;
use super::reader::place;
use super::volume::{OpenVolume, Volume, VolumeId, Volumes, volumes};
use super::{Cursor, OutputStream, RotatedLog};

/// So many stretches are kept.
const MOST: usize = 1024;
/// A larger file is none of ours.
const LONGEST: u64 = 1 << 20;

/// A part of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub(super) struct Stretch {
    /// Its place in the merged log.
    pub(super) at: u64,
    pub(super) stream: OutputStream,
    pub(super) id: VolumeId,
    pub(super) offset: u64,
    pub(super) length: u64,
}

type Wire = (u64, OutputStream, i64, u64, u64, u64);

impl From<Wire> for Stretch {
    fn from((at, stream, born, inode, offset, length): Wire) -> Stretch {
        Stretch { at, stream, id: VolumeId { born, inode }, offset, length }
    }
}

impl From<Stretch> for Wire {
    fn from(stretch: Stretch) -> Wire {
        let Stretch { at, stream, id, offset, length } = stretch;
        (at, stream, id.born, id.inode, offset, length)
    }
}

impl Stretch {
    pub(super) fn end(&self) -> u64 {
        self.at + self.length
    }
}

/// The order so far, with all that was written up to now: whole lines, and what follows them where that has ended.
/// Concurrent callers see the same.
pub(super) fn up_to_date(book: &Path, logs: &[(OutputStream, RotatedLog)], ended: bool) -> io::Result<Vec<Stretch>> {
    let mut file = lock(book)?;
    let mut text = Vec::new();
    (&mut file).take(LONGEST).read_to_end(&mut text)?;
    // One that cannot be read begins anew: places change, and whoever has an old one is told of a gap.
    let before: Vec<Stretch> = serde_json::from_slice(&text).unwrap_or_default();
    let mut stretches = before.clone();
    let mut found = Vec::new();
    for (stream, log) in logs {
        let last = before.iter().rev().find(|stretch| stretch.stream == *stream);
        let from = last.map_or(Cursor::BEGINNING, |last| Cursor::new(last.id, last.offset + last.length));
        found.extend(added(&volumes(log.path())?, from, ended)?.into_iter().map(|part| (*stream, part)));
    }
    // A whole file was written before another that was changed later; within the present ones nothing is known.
    found.sort_by_key(|(_, part)| part.changed);
    for (stream, part) in found {
        append(&mut stretches, stream, &part);
    }
    let surplus = stretches.len().saturating_sub(MOST);
    stretches.drain(..surplus);
    if stretches != before {
        let mut beside = book.as_os_str().to_owned();
        beside.push(".new");
        let _ = fs::remove_file(&beside);
        let mut fresh = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        fresh.write_all(&serde_json::to_vec(&stretches)?)?;
        fs::rename(&beside, book)?;
    }
    Ok(stretches)
}

/// Opens the book for one at a time. The lock is that of the file that has the name, and writing replaces the file.
fn lock(book: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(book)?;
        file.lock()?;
        match fs::metadata(book) {
            Ok(meta) if (meta.dev(), meta.ino()) == (file.metadata()?.dev(), file.metadata()?.ino()) => {
                return Ok(file);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
}

struct Part {
    id: VolumeId,
    offset: u64,
    length: u64,
    changed: i64,
    /// What stood before it was removed before anybody saw it.
    lost: bool,
}

/// What follows a place in a log, up to the end of its last whole line, or of the log where that has ended.
fn added(volumes: &Volumes, from: Cursor, ended: bool) -> io::Result<Vec<Part>> {
    let Some((first, from, mut lost)) = place(volumes, from) else { return Ok(Vec::new()) };
    let mut parts = Vec::new();
    for volume in volumes.all.iter().skip_while(|volume| volume.id != first.id) {
        let offset = if volume.id == from.id { from.offset } else { 0 };
        // One that was emptied begins again.
        let offset = if offset > volume.length { 0 } else { offset };
        let end = if volume.current && !ended { end_of_lines(volume, offset)? } else { volume.length };
        if end > offset {
            let (length, changed) = (end - offset, volume.changed);
            parts.push(Part { id: volume.id, offset, length, changed, lost: std::mem::take(&mut lost) });
        }
    }
    Ok(parts)
}

/// Where the last whole line of a volume ends. One that is longer than is shown counts as whole.
fn end_of_lines(volume: &Volume, from: u64) -> io::Result<u64> {
    let Some(mut open) = OpenVolume::open(volume)? else { return Ok(from) };
    let begin = volume.length.saturating_sub(LINE_LIMIT as u64).max(from);
    let mut block = vec![0; usize::try_from(volume.length.saturating_sub(begin)).unwrap_or(0)];
    let count = open.read(begin, &mut block)?;
    Ok(match memchr::memrchr(b'\n', &block[..count]) {
        Some(end) => begin + end as u64 + 1,
        None if begin > from => volume.length,
        None => from,
    })
}

fn append(stretches: &mut Vec<Stretch>, stream: OutputStream, part: &Part) {
    let at = stretches.last().map_or(0, Stretch::end);
    if let Some(last) = stretches.last_mut()
        && (last.stream, last.id, last.offset + last.length) == (stream, part.id, part.offset)
    {
        last.length += part.length;
        return;
    }
    // A place that nothing is at: whoever passes it is told of a gap.
    let at = at + u64::from(part.lost);
    stretches.push(Stretch { at, stream, id: part.id, offset: part.offset, length: part.length });
}
