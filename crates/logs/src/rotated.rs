//! Logs of processes, which their writer rotates.
//!
//! `web.stdout.log` grows; when it is large enough it is put aside as `web.stdout-<time>.log`, perhaps compressed later,
//! and removed some day. [`RotatedLog`] reads the files as the one log they are. A [`Cursor`] is a place in it that stays
//! right whatever is put aside, renamed and compressed; if the place is gone, reading goes on behind it and says so.

mod cursor;
mod cut;
mod lines;
mod merged;
mod order;
mod reader;
mod search;
mod upkeep;
mod volume;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{Stream, stream};
use jiff::Timestamp;

use crate::error::{During, Error};
use crate::run_log::blocking;
use crate::wait::{Backoff, pause};
use reader::Reader;

pub use cursor::Cursor;
pub use lines::{LINE_LIMIT, Lines};
pub use merged::{MergedLine, MergedLog, MergedPage, OutputStream};
pub use upkeep::{Upkeep, UpkeepDone};

/// How much a follower takes at once.
const PIECE: usize = 64 * 1024;

/// A log that is rotated while it is written.
#[derive(Debug, Clone)]
pub struct RotatedLog {
    path: PathBuf,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub from: Cursor,
    /// Its bytes, as they were written.
    pub bytes: Vec<u8>,
    /// Where the next one begins.
    pub next: Cursor,
    /// Something that was asked for is gone: what stands here follows it.
    pub gap: bool,
}

impl RotatedLog {
    /// The log with this file as the one that is written to. It may be missing.
    pub fn new(path: impl Into<PathBuf>) -> RotatedLog {
        RotatedLog { path: path.into() }
    }

    /// The file that is written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Up to `max` bytes from a place on, perhaps fewer, and none only at the end of the log as it is now.
    pub async fn read(&self, from: Cursor, max: usize) -> Result<Piece, Error> {
        let path = self.path.clone();
        blocking(move || Reader::new(&path).read(from, max).during("read", &path)).await
    }

    /// Where the last `lines` lines begin.
    pub async fn last_lines(&self, lines: usize) -> Result<Cursor, Error> {
        let path = self.path.clone();
        blocking(move || search::last_lines(&path, lines).during("read", &path)).await
    }

    /// The last `lines` lines, but no more than [`TAIL_LIMIT`](crate::TAIL_LIMIT) bytes of them.
    pub async fn tail(&self, lines: usize) -> Result<Piece, Error> {
        let path = self.path.clone();
        blocking(move || search::tail(&path, lines).during("read", &path)).await
    }

    /// The end of the log as it is now.
    pub async fn end(&self) -> Result<Cursor, Error> {
        self.last_lines(0).await
    }

    /// Everything from a place on, and then what is added, without an end. A slow reader holds back nobody but itself;
    /// if what it has not read yet is removed, the next piece says so.
    pub fn follow(&self, from: Cursor) -> impl Stream<Item = Result<Piece, Error>> + Send + use<> {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
        stream::unfold(Some((Reader::new(&self.path), from, backoff)), |follower| async move {
            let (mut reader, mut from, mut backoff) = follower?;
            loop {
                let read = blocking(move || {
                    let piece = reader.read(from, PIECE).during("read", &reader.log)?;
                    Ok((reader, piece))
                });
                let piece;
                (reader, piece) = match read.await {
                    Ok(read) => read,
                    Err(error) => return Some((Err(error), None)),
                };
                from = piece.next;
                if !piece.bytes.is_empty() {
                    backoff.reset();
                    return Some((Ok(piece), Some((reader, from, backoff))));
                }
                pause(backoff.next()).await;
            }
        })
    }

    /// Compresses and removes what was put aside, as this says. For one caller at a time.
    pub async fn keep_up(&self, upkeep: Upkeep, now: Timestamp) -> Result<UpkeepDone, Error> {
        let path = self.path.clone();
        blocking(move || upkeep::keep_up(&path, &upkeep, now)).await
    }
}
