//! One client's end of the socket, never blocking.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::frame::{self, Decoder};
use crate::protocol::ToClient;

/// A client that lets this much pile up has stopped reading; it can connect again and list.
const BACKLOG_LIMIT: usize = 8 << 20;
/// How much is read in one turn, so that no client keeps the others waiting.
const TURN: usize = 256 * 1024;

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
    pending: Vec<u8>,
    pub(super) phase: Phase,
}

/// What one turn of reading brought.
pub(super) struct Received {
    pub(super) bodies: Vec<Vec<u8>>,
    /// The client hung up, or sent what is no frame.
    pub(super) ended: bool,
}

impl Connection {
    /// Takes the stream if it comes from the keeper's own user or root.
    pub(super) fn accept(stream: UnixStream) -> Option<Self> {
        let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?.uid;
        if !(peer == rustix::process::geteuid() || peer.is_root()) || stream.set_nonblocking(true).is_err() {
            return None;
        }
        Some(Self { stream, decoder: Decoder::default(), pending: Vec::new(), phase: Phase::Greeting })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Broken || (self.phase == Phase::Closing && self.pending.is_empty())
    }

    /// Reads what has arrived. Complete messages are to be answered even if the client has hung up behind them.
    pub(super) fn receive(&mut self) -> Received {
        let mut received = Received { bodies: Vec::new(), ended: false };
        let mut chunk = [0; 16 * 1024];
        let mut budget = TURN;
        while budget > 0 && !received.ended {
            match self.stream.read(&mut chunk) {
                Ok(0) => received.ended = true,
                Ok(count) => {
                    budget = budget.saturating_sub(count);
                    self.decoder.extend(&chunk[..count]);
                    received.ended = !self.decode(&mut received.bodies);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => received.ended = true,
            }
        }
        received
    }

    fn decode(&mut self, bodies: &mut Vec<Vec<u8>>) -> bool {
        loop {
            match self.decoder.next_body() {
                Ok(Some(body)) => bodies.push(body),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    pub(super) fn send(&mut self, message: &ToClient) {
        match frame::encode(message) {
            Ok(bytes) if self.pending.len() + bytes.len() <= BACKLOG_LIMIT => {
                self.pending.extend_from_slice(&bytes);
                self.flush();
            }
            _ => self.phase = Phase::Broken,
        }
    }

    pub(super) fn flush(&mut self) {
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
