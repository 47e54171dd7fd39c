//! One client's end of the socket, never blocking.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::frame::{self, Decoder};
use crate::protocol::ToClient;
use crate::{is_held_down, lineage};

/// A client that lets this much pile up has stopped reading; it can connect again and list.
const BACKLOG_LIMIT: usize = 8 << 20;
/// How much is read in one turn, so that no client keeps the others waiting.
const TURN: usize = 256 * 1024;
/// What is to be sent waits for more, so that client and keeper change places less often, until it is this much or the
/// keeper has nothing else to say.
const TOGETHER: usize = 32 * 1024;
/// No more is read from a client while so many bytes of its requests wait for an answer.
const ASKED_LIMIT: usize = 2 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The client has not said hello.
    Greeting,
    /// Requests are answered.
    Open { subscribed: bool },
    /// What is pending is sent, then the connection is closed.
    Closing,
    /// Nothing more can be done with it.
    Broken,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    /// What has been asked and not answered yet.
    requests: VecDeque<Vec<u8>>,
    /// How many bytes that is.
    asked: usize,
    /// The client hung up, or sent what is no frame. What it asked before is still answered.
    ended: bool,
    pending: Vec<u8>,
    /// Whether it is watched for room to write.
    is_watched_for_room: bool,
    pub(super) phase: Phase,
}

impl Connection {
    /// Takes the stream if it comes from the keeper's own user or root, and not from one of its descendants that may be
    /// confined: what they start through the keeper would be free of whatever they are held to.
    pub(super) fn accept(stream: UnixStream) -> Option<Self> {
        let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
        if !(peer.uid == rustix::process::geteuid() || peer.uid.is_root()) || stream.set_nonblocking(true).is_err() {
            return None;
        }
        let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).ok()?;
        if is_held_down(pid) && lineage(pid)?.contains(&std::process::id()) {
            return None;
        }
        Some(Self {
            stream,
            decoder: Decoder::default(),
            requests: VecDeque::new(),
            asked: 0,
            ended: false,
            pending: Vec::new(),
            is_watched_for_room: false,
            phase: Phase::Greeting,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether it has to be watched for room to write from now on, if that is another answer than last time.
    pub(super) fn changed_wish(&mut self) -> Option<bool> {
        let wish = !self.pending.is_empty();
        (std::mem::replace(&mut self.is_watched_for_room, wish) != wish).then_some(wish)
    }

    pub(super) fn is_done(&self) -> bool {
        let said_all = self.ended && self.requests.is_empty();
        self.phase == Phase::Broken || said_all || (self.phase == Phase::Closing && self.pending.is_empty())
    }

    pub(super) fn has_requests(&self) -> bool {
        !self.requests.is_empty() && self.phase != Phase::Broken
    }

    pub(super) fn next_request(&mut self) -> Option<Vec<u8>> {
        let body = self.requests.pop_front()?;
        self.asked -= body.len();
        Some(body)
    }

    /// Reads what has arrived, unless much is still to be answered.
    pub(super) fn receive(&mut self) {
        let mut chunk = [0; 16 * 1024];
        let mut budget = if self.asked < ASKED_LIMIT { TURN } else { 0 };
        while budget > 0 && !self.ended {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    budget = budget.saturating_sub(count);
                    self.decoder.extend(&chunk[..count]);
                    self.ended = !self.decode();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.ended = true,
            }
        }
    }

    fn decode(&mut self) -> bool {
        loop {
            match self.decoder.next_body() {
                Ok(Some(body)) => {
                    self.asked += body.len();
                    self.requests.push_back(body);
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// To be followed by a [`Connection::flush`] before the keeper waits.
    pub(super) fn send(&mut self, message: &ToClient) {
        match frame::encode(message) {
            Ok(bytes) if self.pending.len() + bytes.len() <= BACKLOG_LIMIT => {
                self.pending.extend_from_slice(&bytes);
                if self.pending.len() >= TOGETHER {
                    self.flush();
                }
            }
            _ => self.phase = Phase::Broken,
        }
    }

    pub(super) fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut sent = 0;
        while sent < self.pending.len() {
            // NOSIGNAL: a client that hung up is its own problem.
            match rustix::net::send(&self.stream, &self.pending[sent..], SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => {
                    self.phase = Phase::Broken;
                    return;
                }
            }
        }
        self.pending.drain(..sent);
        if self.pending.is_empty() {
            self.pending.shrink_to(4096);
        }
    }
}
