//! Finding places in a log: by lines from its end, and by time. Blocks.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::reader::Reader;
use super::volume::{OpenVolume, Volume, volumes};
use super::{Cursor, Piece};
use crate::read::TAIL_LIMIT;

const BLOCK: usize = 64 * 1024;
/// How far back lines are looked for in a file, which may be one line of a hundred gigabytes.
const FURTHEST: u64 = 8 * TAIL_LIMIT;
/// How long the time at the beginning of a line may be.
const STAMP: usize = 40;

pub(super) fn last_lines(log: &Path, lines: usize) -> io::Result<Cursor> {
    let all = volumes(log)?;
    let mut left = lines;
    let mut at = all.last().map_or(Cursor::BEGINNING, |last| Cursor::new(last.id, last.length));
    for volume in all.iter().rev() {
        if left == 0 {
            break;
        }
        let Some(mut open) = OpenVolume::open(volume)? else { break };
        let floor = if volume.compressed { 0 } else { volume.length.saturating_sub(FURTHEST) };
        let (offset, found) = last_lines_in(&mut open, volume, floor, volume.length, left)?;
        at = Cursor::new(volume.id, offset);
        left -= found;
        if floor > 0 && offset == floor {
            break;
        }
    }
    Ok(at)
}

/// Where the last lines between two places of a volume begin, and how many there are.
pub(super) fn last_lines_in(
    open: &mut OpenVolume,
    volume: &Volume,
    from: u64,
    to: u64,
    lines: usize,
) -> io::Result<(u64, usize)> {
    if lines == 0 || to <= from {
        return Ok((to, 0));
    }
    // The line end that ends the last line begins none.
    let last = to - 1;
    let mut block = vec![0; BLOCK];
    if volume.compressed {
        // Only forwards, so the places of the last line ends are kept on the way.
        let mut starts = VecDeque::from([from]);
        let mut at = from;
        while at < last {
            let room = usize::try_from(last - at).unwrap_or(BLOCK).min(BLOCK);
            let count = open.read(at, &mut block[..room])?;
            if count == 0 {
                break;
            }
            for end in memchr::memchr_iter(b'\n', &block[..count]) {
                starts.push_back(at + end as u64 + 1);
                if starts.len() > lines {
                    starts.pop_front();
                }
            }
            at += count as u64;
        }
        return Ok((starts.front().copied().unwrap_or(from), starts.len()));
    }
    let (mut at, mut found) = (last, 0);
    while at > from {
        let begin = at.saturating_sub(BLOCK as u64).max(from);
        let count = open.read(begin, &mut block[..usize::try_from(at - begin).unwrap_or(0)])?;
        for end in memchr::memrchr_iter(b'\n', &block[..count]) {
            found += 1;
            if found == lines {
                return Ok((begin + end as u64 + 1, found));
            }
        }
        at = begin;
    }
    Ok((from, found + 1))
}

pub(super) fn tail(log: &Path, lines: usize) -> io::Result<Piece> {
    let from = last_lines(log, lines)?;
    let mut piece = Piece { from, bytes: Vec::new(), next: from, gap: false };
    let mut reader = Reader::new(log);
    // Its last bytes, where the lines are too long; a whole block more is kept so that little is copied.
    let limit = usize::try_from(TAIL_LIMIT).unwrap_or(usize::MAX);
    loop {
        let more = reader.read(piece.next, BLOCK)?;
        if more.bytes.is_empty() {
            break;
        }
        if more.gap {
            (piece.from, piece.gap) = (more.from, true);
            piece.bytes.clear();
        }
        piece.next = more.next;
        piece.bytes.extend_from_slice(&more.bytes);
        if piece.bytes.len() > 2 * limit {
            cut(&mut piece, limit);
        }
    }
    if piece.bytes.len() > limit {
        cut(&mut piece, limit);
    }
    Ok(piece)
}

fn cut(piece: &mut Piece, limit: usize) {
    piece.bytes.drain(..piece.bytes.len() - limit);
    piece.gap = true;
}

pub(super) fn since(log: &Path, time: Timestamp) -> io::Result<Cursor> {
    let all = volumes(log)?;
    let wanted = i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX);
    let Some(volume) = all.iter().find(|volume| volume.changed >= wanted) else {
        return last_lines(log, 0);
    };
    let beginning = Cursor::new(volume.id, 0);
    let Some(mut open) = OpenVolume::open(volume)? else { return Ok(beginning) };
    if time_of_line(&mut open, 0, volume.length)?.is_none() {
        return Ok(beginning);
    }
    if volume.compressed {
        return scan(&mut open, volume, time);
    }
    // The first place behind which every line is late enough, as far as lines say when they were written.
    let (mut early, mut late) = (0, volume.length);
    while early < late {
        let middle = early + (late - early) / 2;
        match next_line(&mut open, middle, volume.length)? {
            Some((_, when)) if when < time => early = middle + 1,
            _ => late = middle,
        }
    }
    let at = next_line(&mut open, early, volume.length)?.map_or(volume.length, |(at, _)| at);
    Ok(Cursor::new(volume.id, at))
}

fn scan(open: &mut OpenVolume, volume: &Volume, time: Timestamp) -> io::Result<Cursor> {
    let mut at = 0;
    let mut kept = Vec::new();
    let mut block = vec![0; BLOCK];
    loop {
        let count = open.read(at + kept.len() as u64, &mut block)?;
        let ended = count == 0;
        kept.extend_from_slice(&block[..count]);
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &kept) {
            if parse_time(&kept[begin..end]).is_some_and(|when| when >= time) {
                return Ok(Cursor::new(volume.id, at + begin as u64));
            }
            begin = end + 1;
        }
        if ended {
            return Ok(Cursor::new(volume.id, volume.length));
        }
        // Of a line without an end only the beginning matters.
        if begin == 0 && kept.len() > BLOCK {
            begin = kept.len();
        }
        at += begin as u64;
        kept.drain(..begin);
    }
}

/// The first line that begins at a place or behind it and says when it was written.
fn next_line(open: &mut OpenVolume, from: u64, length: u64) -> io::Result<Option<(u64, Timestamp)>> {
    let mut at = from;
    if at > 0 {
        // A line begins here only if another ended right before.
        at -= 1;
    } else if let Some(when) = time_of_line(open, 0, length)? {
        return Ok(Some((0, when)));
    }
    let mut block = vec![0; BLOCK];
    while at < length {
        let count = open.read(at, &mut block)?;
        if count == 0 {
            break;
        }
        for end in memchr::memchr_iter(b'\n', &block[..count]) {
            let line = at + end as u64 + 1;
            if let Some(when) = time_of_line(open, line, length)? {
                return Ok(Some((line, when)));
            }
        }
        at += count as u64;
    }
    Ok(None)
}

fn time_of_line(open: &mut OpenVolume, at: u64, length: u64) -> io::Result<Option<Timestamp>> {
    let mut line = [0; STAMP];
    let room = usize::try_from(length.saturating_sub(at)).unwrap_or(STAMP).min(STAMP);
    let count = open.read(at, &mut line[..room])?;
    Ok(parse_time(&line[..count]))
}

/// The time at the beginning of a line, as the keeper writes it.
pub(super) fn parse_time(line: &[u8]) -> Option<Timestamp> {
    let end = memchr::memchr(b' ', line.get(..STAMP.min(line.len()))?)?;
    std::str::from_utf8(line.get(..end)?).ok()?.parse().ok()
}
