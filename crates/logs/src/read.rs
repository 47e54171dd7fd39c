//! Reading from a log.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags};

use crate::error::{During, Error};
use crate::run_log::blocking;
use crate::store::Chunk;

/// The most that [`LogStore::tail`](crate::LogStore::tail) returns, in bytes.
pub const TAIL_LIMIT: u64 = 8 << 20;

const BLOCK: u64 = 64 * 1024;

/// An open log, or one that does not exist yet.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) file: Option<Arc<File>>,
    pub(crate) path: PathBuf,
}

impl Reader {
    /// Up to `max` bytes from `from` on.
    pub(crate) async fn read(&self, from: u64, max: usize) -> Result<Chunk, Error> {
        let Some(file) = &self.file else { return Ok(Chunk { offset: from, bytes: Vec::new(), end: 0 }) };
        // Asked first: what is read never ends behind it, except where the log grows meanwhile.
        let end = file.metadata().during("examine", &self.path)?.len();
        let available = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        if available == 0 {
            return Ok(Chunk { offset: from, bytes: Vec::new(), end });
        }
        let mut bytes = vec![0; available.min(max)];
        let count = match read_cached(file, &mut bytes, from) {
            Some(count) => count,
            None => {
                let (reader, file) = (self.clone(), Arc::clone(file));
                let read = move || {
                    let count = file.read_at(&mut bytes, from).during("read", &reader.path)?;
                    Ok((bytes, count))
                };
                let count;
                (bytes, count) = blocking(read).await?;
                count
            }
        };
        bytes.truncate(count);
        Ok(Chunk { offset: from, bytes, end })
    }
}

/// Reads what is in memory; `None` if that would need the disk, or the file system cannot tell.
fn read_cached(file: &File, buffer: &mut [u8], at: u64) -> Option<usize> {
    loop {
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT) {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// The last lines, read backwards from the end. Blocks.
pub(crate) fn tail(reader: &Reader, lines: usize) -> Result<Chunk, Error> {
    let Some(file) = &reader.file else { return Ok(Chunk { offset: 0, bytes: Vec::new(), end: 0 }) };
    let end = file.metadata().during("examine", &reader.path)?.len();
    let start = start_of_last(file, end, lines).during("read", &reader.path)?;
    let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start).during("read", &reader.path)?;
    Ok(Chunk { offset: start, bytes, end })
}

fn start_of_last(file: &File, end: u64, lines: usize) -> io::Result<u64> {
    if lines == 0 || end == 0 {
        return Ok(end);
    }
    let floor = end.saturating_sub(TAIL_LIMIT);
    // The newline that ends the last line begins none.
    let (mut at, mut left) = (end - 1, lines);
    let mut block = Vec::new();
    while at > floor {
        let from = at.saturating_sub(BLOCK).max(floor);
        block.resize(usize::try_from(at - from).unwrap_or(0), 0);
        file.read_exact_at(&mut block, from)?;
        for newline in memchr::memrchr_iter(b'\n', &block) {
            left -= 1;
            if left == 0 {
                return Ok(from + newline as u64 + 1);
            }
        }
        at = from;
    }
    Ok(floor)
}
