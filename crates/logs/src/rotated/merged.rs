//! Standard output and standard error as one log of lines.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::lines::Lines;
use super::order::{Stretch, up_to_date};
use super::reader::Reader;
use super::search::last_lines_in;
use super::volume::{OpenVolume, volumes};
use super::{Cursor, RotatedLog};
use crate::error::{During, Error};
use crate::run_log::blocking;

const BLOCK: usize = 64 * 1024;
/// No page has more text, in bytes.
const PAGE_LIMIT: usize = 4 << 20;

/// Which output of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of a process, and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedLine {
    /// Where it begins: asked for what is there and behind it, the log begins with this line.
    pub offset: u64,
    /// Which output it is of.
    pub stream: OutputStream,
    /// The line without its end.
    pub text: String,
}

/// Some lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergedPage {
    /// The lines.
    pub lines: Vec<MergedLine>,
    /// Where the next page begins.
    pub next: u64,
    /// Lines that were asked for are gone.
    pub gap: bool,
}

/// The two outputs of a process as one log, in which a number is a place.
///
/// Lines of one output are in their order; those of the two are interleaved as they were first seen by a reader, and for
/// every later one in the same way. A line that has not ended yet is not shown as long as it may go on.
#[derive(Debug, Clone)]
pub struct MergedLog {
    logs: Vec<(OutputStream, RotatedLog)>,
    book: PathBuf,
    /// Nobody writes to it.
    ended: bool,
}

impl MergedLog {
    /// Of these two files, which may be one and the same. `book` is a file, missing at first, in which the order of
    /// their lines is remembered.
    pub fn new(stdout: impl Into<PathBuf>, stderr: impl Into<PathBuf>, book: impl Into<PathBuf>) -> MergedLog {
        let (stdout, stderr) = (RotatedLog::new(stdout), RotatedLog::new(stderr));
        let mut logs = vec![(OutputStream::Stdout, stdout.clone())];
        if stderr.path() != stdout.path() {
            logs.push((OutputStream::Stderr, stderr));
        }
        MergedLog { logs, book: book.into(), ended: false }
    }

    /// Only one of them, as a log of the same kind, with a book of its own.
    pub fn one(stream: OutputStream, path: impl Into<PathBuf>, book: impl Into<PathBuf>) -> MergedLog {
        MergedLog { logs: vec![(stream, RotatedLog::new(path))], book: book.into(), ended: false }
    }

    /// Whether the process is known to have ended: a line that it has left without an end will not go on, and is shown.
    /// The next one that writes is expected to end it first.
    #[must_use]
    pub fn with_end(mut self, ended: bool) -> MergedLog {
        self.ended = ended;
        self
    }

    /// Up to `limit` lines from a place on; without a place the last ones.
    pub async fn page(&self, since: Option<u64>, limit: usize) -> Result<MergedPage, Error> {
        let log = self.clone();
        blocking(move || {
            log.read(since, limit).during("read", log.logs.first().map_or(&log.book, |(_, log)| &log.path))
        })
        .await
    }

    fn read(&self, since: Option<u64>, limit: usize) -> io::Result<MergedPage> {
        let stretches = up_to_date(&self.book, &self.logs, self.ended)?;
        let (first, end) = match (stretches.first(), stretches.last()) {
            (Some(first), Some(last)) => (first.at, last.end()),
            _ => (0, 0),
        };
        let (next, gap) = match since {
            None => (self.last(&stretches, limit)?.unwrap_or(end), false),
            // Of another time: what there is begins anew.
            Some(since) if since > end => (first, true),
            Some(since) => (since.max(first), since < first && first > 0),
        };
        let mut page = MergedPage { lines: Vec::new(), next, gap };
        let mut size = 0;
        for stretch in stretches.iter().filter(|stretch| stretch.end() > next) {
            if page.lines.len() >= limit || size > PAGE_LIMIT {
                break;
            }
            page.gap |= stretch.at > page.next;
            self.read_stretch(stretch, limit, &mut page, &mut size)?;
        }
        Ok(page)
    }

    /// Adds the lines of a stretch from the page's end on.
    fn read_stretch(&self, stretch: &Stretch, limit: usize, page: &mut MergedPage, size: &mut usize) -> io::Result<()> {
        let Some(log) = self.log(stretch.stream) else { return Ok(()) };
        let mut at = page.next.max(stretch.at);
        let mut reader = Reader::new(&log.path);
        let mut lines = Lines::default();
        let mut line = |page: &mut MergedPage, (length, text): (u64, String)| {
            if page.lines.len() < limit && *size <= PAGE_LIMIT {
                *size += text.len();
                page.lines.push(MergedLine { offset: page.next, stream: stretch.stream, text });
                page.next += length;
            }
        };
        page.next = at;
        // Of a place within a file the byte before it is read along.
        let mut before = usize::from(stretch.offset + (at - stretch.at) > 0);
        while at < stretch.end() && page.lines.len() < limit {
            let room = usize::try_from(stretch.end() - at).unwrap_or(BLOCK).min(BLOCK);
            let from = Cursor::new(stretch.id, stretch.offset + (at - stretch.at) - before as u64);
            let piece = reader.read(from, room + before)?;
            if piece.from != from || piece.bytes.len() <= before {
                // Gone since it was seen.
                (page.gap, page.next) = (true, stretch.end());
                return Ok(());
            }
            let late = before > 0 && is_late_end(&piece.bytes);
            let bytes = &piece.bytes[before + usize::from(late)..];
            (at, page.next) = (at + u64::from(late), page.next + u64::from(late));
            before = 0;
            lines.push(bytes, |length, text| line(page, (length, text)));
            at += bytes.len() as u64;
        }
        if at >= stretch.end()
            && let Some(rest) = lines.rest()
        {
            line(page, rest);
        }
        Ok(())
    }

    /// Where the last lines begin.
    fn last(&self, stretches: &[Stretch], limit: usize) -> io::Result<Option<u64>> {
        let (mut left, mut place) = (limit, None);
        let all: Vec<_> =
            self.logs.iter().map(|(stream, log)| Ok((*stream, volumes(log.path())?.all))).collect::<io::Result<_>>()?;
        for stretch in stretches.iter().rev() {
            if left == 0 {
                break;
            }
            let known = all.iter().filter(|(stream, _)| *stream == stretch.stream).flat_map(|(_, volumes)| volumes);
            let Some(volume) = known.into_iter().find(|volume| volume.id == stretch.id) else { break };
            let Some(mut open) = OpenVolume::open(volume)? else { break };
            let end = stretch.offset + stretch.length;
            let begin = begin_of_lines(&mut open, stretch.offset)?;
            let (offset, found) = last_lines_in(&mut open, volume, begin, end, left)?;
            place = Some(stretch.at + (offset - stretch.offset));
            left -= found.min(left);
        }
        Ok(place)
    }

    fn log(&self, stream: OutputStream) -> Option<&RotatedLog> {
        self.logs.iter().find(|(known, _)| *known == stream).map(|(_, log)| log)
    }
}

/// Where the lines of a stretch begin that begins there.
fn begin_of_lines(open: &mut OpenVolume, offset: u64) -> io::Result<u64> {
    let Some(before) = offset.checked_sub(1) else { return Ok(offset) };
    let mut around = [0; 2];
    let count = open.read(before, &mut around)?;
    Ok(offset + u64::from(is_late_end(&around[..count])))
}

/// Whether the second of these bytes is the end of a line that was shown before it had one, as is the last one of a
/// process: this is no line of its own.
fn is_late_end(bytes: &[u8]) -> bool {
    matches!(bytes, [before, b'\n', ..] if *before != b'\n')
}
