//! Waits for a [`Lane`]. Whoever stops waiting gives its place to those behind, and a call that is dropped its permit.
//!
//! Only the first of the queue can go, so only it is woken when something changes: to wake all of them for each call that
//! ends would cost more than the calls. Whoever leaves the queue, for whatever reason, wakes the one who is first then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Lane, Pass, Refusal, Ticket, Turn, Verdict};
use crate::Clock;

#[derive(Debug)]
pub(crate) struct Turnstile {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct State {
    lane: Lane,
    /// How each of those who wait is woken.
    bells: HashMap<Ticket, Arc<Notify>>,
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
        Arc::new(Turnstile { state: Mutex::new(State { lane, bells: HashMap::new() }), clock })
    }

    /// Waits for its turn, but not longer than `patience`.
    pub(crate) async fn pass(self: &Arc<Turnstile>, patience: Duration) -> Result<Permit, NotAdmitted> {
        let bell = Arc::new(Notify::new());
        let place = Place { turnstile: self, ticket: self.enter(bell.clone()) };
        let give_up = self.clock.uptime() + patience;
        loop {
            let now = self.clock.uptime();
            let turn = self.state().lane.turn(place.ticket, now);
            let again = match turn {
                Turn::Go(pass) => return Ok(Permit { turnstile: Arc::clone(self), pass: Some(pass) }),
                Turn::Refused(Refusal::Open(until)) => return Err(NotAdmitted::Open(until.saturating_sub(now))),
                Turn::Refused(Refusal::Held(until)) => return Err(NotAdmitted::Held(until.saturating_sub(now))),
                Turn::Later(_) if now >= give_up => return Err(NotAdmitted::Crowded),
                Turn::Later(at) => at.unwrap_or(give_up).min(give_up),
            };
            tokio::select! {
                // A bell that rang since the look is still heard.
                () = bell.notified() => {}
                () = self.clock.sleep_until(again) => {}
            }
        }
    }

    fn enter(&self, bell: Arc<Notify>) -> Ticket {
        let mut state = self.state();
        let ticket = state.lane.enter();
        state.bells.insert(ticket, bell);
        ticket
    }

    /// Something has changed: the first of the queue may look again.
    fn ring(state: &State) {
        if let Some(bell) = state.lane.first().and_then(|ticket| state.bells.get(&ticket)) {
            bell.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole after each of its functions.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, which is given up when it is dropped.
struct Place<'a> {
    turnstile: &'a Turnstile,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.turnstile.state();
        state.bells.remove(&self.ticket);
        state.lane.leave(self.ticket);
        Turnstile::ring(&state);
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
            self.turnstile.state().lane.hold(self.turnstile.clock.uptime() + pause);
        }
        self.end(verdict);
    }

    fn end(&mut self, verdict: Verdict) {
        if let Some(pass) = self.pass.take() {
            let mut state = self.turnstile.state();
            state.lane.settle(pass, verdict, self.turnstile.clock.uptime());
            Turnstile::ring(&state);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(Verdict::Unknown);
    }
}
