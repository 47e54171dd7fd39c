//! Carries one child's raw output into its section, while the child writes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::FallocateFlags;

use crate::error::{During, Error};
use crate::run_log::{blocking, lock};
use crate::section_stream::SectionStream;
use crate::wait::{Backoff, pause};
use crate::writer::Writer;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// How many chunks one turn on a blocking thread takes, so that pumps share the threads fairly.
const CHUNKS_PER_TURN: usize = 16;

/// The way from a raw file into a section.
pub(crate) struct Pump {
    pub(crate) writer: Arc<Mutex<Writer>>,
    pub(crate) token: String,
    pub(crate) stream: SectionStream,
    /// Where the next bytes belong in the section's stream.
    pub(crate) at: u64,
    /// After how many raw bytes the output ends, once that is settled.
    pub(crate) sealed: Option<u64>,
    pub(crate) raw: PathBuf,
    pub(crate) file: Option<File>,
    /// How far the raw file was read.
    pub(crate) read: u64,
    /// What is ready for the log.
    pub(crate) ready: Vec<u8>,
}

/// What a turn achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There is more to read.
    More,
    /// All that is there was read.
    Drained,
    /// All that will ever be there is in the log.
    Done,
}

impl Pump {
    pub(crate) async fn run(mut self, ended: impl Future<Output = ()>) -> Result<u64, Error> {
        let mut ended = pin!(ended);
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        loop {
            let turn;
            (self, turn) = blocking(move || {
                let turn = self.turn();
                Ok((self, turn))
            })
            .await?;
            match turn {
                Ok(Turn::More) => {
                    backoff.reset();
                    continue;
                }
                Ok(Turn::Drained) => {}
                Ok(Turn::Done) => return lock(&self.writer).kept(&self.token).map(|kept| kept.bytes),
                // The child goes on, and so may the log as soon as somebody makes room.
                Err(error) if error.is_disk_full() && self.sealed.is_none() => {}
                Err(error) => return Err(error),
            }
            loop {
                tokio::select! {
                    biased;
                    () = &mut ended => {
                        self = blocking(move || { self.seal()?; Ok(self) }).await?;
                        break;
                    }
                    () = pause(backoff.next()) => {}
                }
                if !self.ready.is_empty() || self.raw_len() > self.read {
                    backoff.reset();
                    break;
                }
            }
        }
    }

    /// Settles where the output ends: whatever somebody writes there later is not the child's.
    fn seal(&mut self) -> Result<(), Error> {
        let len = self.raw_len();
        self.sealed = Some(lock(&self.writer).seal(&self.token, len)?);
        Ok(())
    }

    /// Reads for a while, and writes what comes of it.
    fn turn(&mut self) -> Result<Turn, Error> {
        self.flush()?;
        let mut buffer = Vec::new();
        for _ in 0..CHUNKS_PER_TURN {
            if self.stream.is_full() {
                self.free_what_is_not_kept();
                return self.pause_or_finish();
            }
            let end = self.sealed.unwrap_or(u64::MAX).min(self.raw_len());
            let available = usize::try_from(end.saturating_sub(self.read)).unwrap_or(usize::MAX);
            if available == 0 {
                return self.pause_or_finish();
            }
            if buffer.is_empty() {
                buffer.resize(available.min(CHUNK), 0);
            }
            let piece = available.min(buffer.len());
            let count = match self.read_at(&mut buffer[..piece]).during("read", &self.raw)? {
                0 => return self.pause_or_finish(),
                count => count,
            };
            self.read += count as u64;
            self.stream.feed(&buffer[..count], &mut self.ready);
            self.flush()?;
        }
        Ok(Turn::More)
    }

    fn pause_or_finish(&mut self) -> Result<Turn, Error> {
        if self.sealed.is_some() {
            self.stream.finish(&mut self.ready);
        } else {
            self.stream.settle(&mut self.ready);
        }
        self.flush()?;
        // Most children are silent most of the time: keep no buffer for them.
        self.ready = Vec::new();
        Ok(if self.sealed.is_some() { Turn::Done } else { Turn::Drained })
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.ready.is_empty() {
            lock(&self.writer).write(&self.token, self.at, &self.ready)?;
            self.at += self.ready.len() as u64;
            self.ready.clear();
        }
        Ok(())
    }

    fn raw_len(&self) -> u64 {
        fs::metadata(&self.raw).map_or(0, |metadata| metadata.len())
    }

    fn read_at(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.raw)?,
        };
        let count = file.read_at(buffer, self.read);
        self.file = Some(file);
        count
    }

    /// The log is full, but the child must not stop: give the disk back what it writes in vain. What was read stays,
    /// for it is what the section is recomputed from.
    fn free_what_is_not_kept(&mut self) {
        let len = self.raw_len();
        if len > self.read {
            // Some file systems have no holes; then the output takes its space until the run ends.
            let _ = punch(&self.raw, self.read, len);
            self.read = len;
        }
    }
}

fn punch(path: &Path, from: u64, to: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(&file, flags, from, to - from)?)
}
