//! Finding places in a log by lines from its end. Blocks.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::reader::Reader;
use super::volume::{OpenVolume, Volume, volumes};
use super::{Cursor, Piece};
use crate::read::TAIL_LIMIT;

const BLOCK: usize = 64 * 1024;
/// How far back lines are looked for in a file, which may be one line of a hundred gigabytes.
const FURTHEST: u64 = 8 * TAIL_LIMIT;

pub(super) fn last_lines(log: &Path, lines: usize) -> io::Result<Cursor> {
    let all = volumes(log)?.all;
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
