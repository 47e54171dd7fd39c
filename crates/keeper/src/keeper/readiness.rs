//! Which of many descriptors have something to say: `epoll`, whose cost does not grow with those that are silent.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// How many are told of at once; the others are told of next time.
const BATCH: usize = 256;

#[derive(Debug)]
pub(super) struct Readiness {
    epoll: OwnedFd,
}

impl Readiness {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Tells of the descriptor by this name when it can be read, from now on.
    pub(super) fn add(&self, fd: impl AsFd, name: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(name), epoll::EventFlags::IN)?)
    }

    /// Whether it is to be told when the descriptor can be read, and when it can be written.
    pub(super) fn set(&self, fd: impl AsFd, name: u64, read: bool, write: bool) -> io::Result<()> {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, read);
        flags.set(epoll::EventFlags::OUT, write);
        Ok(epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(name), flags)?)
    }

    pub(super) fn remove(&self, fd: impl AsFd) {
        // It is not there: nothing to do.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Those that are ready now.
    pub(super) fn ready(&self) -> Vec<u64> {
        self.wait(Some(Duration::ZERO)).unwrap_or_default()
    }

    /// Those that are ready, as soon as there are any or the time is over.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<u64>> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut events = Vec::<epoll::Event>::with_capacity(BATCH);
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Copied out of a packed structure.
        Ok(events.iter().map(|event| { event.data }.u64()).collect())
    }
}
