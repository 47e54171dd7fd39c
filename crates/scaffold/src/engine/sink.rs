//! Takes what is rendered, up to a limit.

use std::io;

use piton_gotmpl::Interrupt;

/// Writes between two questions whether to give up.
const PATIENCE: u32 = 256;

/// Bytes with a limit.
pub(super) struct Sink {
    bytes: Vec<u8>,
    limit: u64,
    interrupt: Interrupt,
    until_asked: u32,
    pub(super) full: bool,
}

impl Sink {
    pub(super) fn new(limit: u64, interrupt: Interrupt) -> Sink {
        Sink { bytes: Vec::new(), limit, interrupt, until_asked: PATIENCE, full: false }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > self.limit {
            self.full = true;
            return Err(io::Error::other("too many bytes"));
        }
        self.until_asked -= 1;
        if self.until_asked == 0 {
            self.until_asked = PATIENCE;
            if (self.interrupt)() {
                return Err(io::Error::other("interrupted"));
            }
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
