//! Waits for a [`Lane`]. Whoever stops waiting gives its place to those behind, and a call that is dropped its permit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Lane, Pass, Refusal, Ticket, Turn, Verdict};
use crate::Clock;

#[derive(Debug)]
pub(crate) struct Turnstile {
    lane: Mutex<Lane>,
    changed: Notify,
    clock: Arc<dyn Clock>,
}

/// Why a call did not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// The breaker is open, for so long.
    Open(Duration),
    /// The host asked for a pause, which lasts so long.
    Held(Duration),
    /// Others were before it for as long as it was willing to wait.
    Crowded,
}

impl Turnstile {
    pub(crate) fn new(lane: Lane, clock: Arc<dyn Clock>) -> Arc<Turnstile> {
        Arc::new(Turnstile { lane: Mutex::new(lane), changed: Notify::new(), clock })
    }

    /// Waits for its turn, but not longer than `patience`.
    pub(crate) async fn pass(self: &Arc<Turnstile>, patience: Duration) -> Result<Permit, NotAdmitted> {
        let place = Place { turnstile: self, ticket: self.lane().enter() };
        let give_up = self.clock.uptime() + patience;
        loop {
            // Before looking, so that what changes right after is noticed.
            let changed = self.changed.notified();
            let now = self.clock.uptime();
            let turn = self.lane().turn(place.ticket, now);
            let again = match turn {
                Turn::Go(pass) => return Ok(Permit { turnstile: Arc::clone(self), pass: Some(pass) }),
                Turn::Refused(Refusal::Open(until)) => return Err(NotAdmitted::Open(until.saturating_sub(now))),
                Turn::Refused(Refusal::Held(until)) => return Err(NotAdmitted::Held(until.saturating_sub(now))),
                Turn::Later(_) if now >= give_up => return Err(NotAdmitted::Crowded),
                Turn::Later(at) => at.unwrap_or(give_up).min(give_up),
            };
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(again) => {}
            }
        }
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        // The lane is whole after each of its functions.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, which is given up when it is dropped.
struct Place<'a> {
    turnstile: &'a Turnstile,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turnstile.lane().leave(self.ticket);
        self.turnstile.changed.notify_waiters();
    }
}

/// Allows one call.
#[derive(Debug)]
pub(crate) struct Permit {
    turnstile: Arc<Turnstile>,
    pass: Option<Pass>,
}

impl Permit {
    /// The call is over. Where its host asked for a pause, nobody else goes before that.
    pub(crate) fn settle(mut self, verdict: Verdict, pause: Option<Duration>) {
        if let Some(pause) = pause {
            self.turnstile.lane().hold(self.turnstile.clock.uptime() + pause);
        }
        self.end(verdict);
    }

    fn end(&mut self, verdict: Verdict) {
        if let Some(pass) = self.pass.take() {
            self.turnstile.lane().settle(pass, verdict, self.turnstile.clock.uptime());
            self.turnstile.changed.notify_waiters();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(Verdict::Unknown);
    }
}
