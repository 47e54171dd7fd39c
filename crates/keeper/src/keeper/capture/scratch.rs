//! What all logs share to look at bytes: one buffer, and a pipe to look through.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice, tee};

/// How much is looked at: what a pipe holds.
const WINDOW: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Scratch {
    reader: OwnedFd,
    writer: OwnedFd,
    null: File,
    window: Vec<u8>,
    out: Vec<u8>,
}

impl Scratch {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        Ok(Self { reader, writer, null, window: Vec::new(), out: Vec::new() })
    }

    /// Shows what is in the pipe without taking it; gives how much that is, 0 if nobody can write to it any more.
    pub(super) fn look(&mut self, pipe: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.window.clear();
        let count = tee(pipe, &self.writer, WINDOW, SpliceFlags::NONBLOCK)?;
        self.window.reserve_exact(WINDOW);
        while self.window.len() < count {
            let left = count - self.window.len();
            let spare = rustix::buffer::spare_capacity(&mut self.window);
            match rustix::io::read(&self.reader, spare) {
                Ok(0) => return Err(Errno::IO),
                Ok(read) if read <= left => {}
                Ok(_) => return Err(Errno::IO),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// What was seen, and room for what is made of it.
    pub(super) fn window_and_out(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.window, &mut self.out)
    }

    /// Takes exactly so much out of the pipe, which is known to be there.
    pub(super) fn discard(&self, pipe: BorrowedFd<'_>, count: usize) -> Result<(), Errno> {
        let mut left = count;
        while left > 0 {
            match self.discard_some(pipe, left) {
                Ok(0) => return Err(Errno::IO),
                Ok(taken) => left -= taken,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes up to so much out of the pipe; 0 if nobody can write to it any more.
    pub(super) fn discard_some(&self, pipe: BorrowedFd<'_>, most: usize) -> Result<usize, Errno> {
        splice(pipe, None, &self.null, None, most, SpliceFlags::NONBLOCK)
    }
}
