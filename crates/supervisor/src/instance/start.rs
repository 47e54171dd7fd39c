//! On the way up.

use std::time::Duration;

use piton_model::HookPhase;

use super::{Effect, End, Grave, Instance, LOOK_EVERY, Sighting, State, Then, Turn, Up};
use crate::LastExit;
use crate::incarnation::Incarnation;
use crate::probe::ProbeKind;

/// Before a start is tried again for which the machine was short of something.
const SHORTAGE: Duration = Duration::from_secs(1);

impl Instance {
    pub(super) fn start(&mut self) {
        match &mut self.state {
            State::Stopped | State::Exited | State::Fatal | State::Backoff { .. } => self.begin_anew(),
            State::PreStart { cancelled, .. } | State::Spawning { cancelled, .. } => {
                // What was cancelled to become another child still has to.
                if *cancelled == Some(Then::Stay) {
                    *cancelled = Some(Then::Start);
                }
            }
            State::Stopping { then, .. } => *then = Then::Start,
            State::Waiting | State::Up { .. } | State::Detached { .. } => {}
        }
    }

    /// Another life: what happened in the one before counts no more.
    pub(super) fn begin_anew(&mut self) {
        self.state = State::Waiting;
        (self.restarts, self.tries, self.streak) = (0, 0, 0);
        (self.again, self.prepared, self.announced, self.ready) = (false, false, false, false);
        self.flaps.clear();
        self.reason = None;
    }

    pub(super) fn met(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::Waiting {
            self.prepare(turn);
        }
    }

    /// Runs the hooks before the start, unless they have succeeded already, and then starts.
    pub(super) fn prepare(&mut self, turn: &mut Turn<'_>) {
        if self.prepared || turn.process().hooks.pre_start.is_empty() {
            return self.spawn(turn);
        }
        let number =
            self.planned.take().filter(|number| *number > self.number).unwrap_or_else(|| self.next_number(turn));
        self.number = number;
        self.state = State::PreStart { number, cancelled: None };
        turn.then(Effect::RunHooks { phase: HookPhase::PreStart, number });
    }

    pub(super) fn spawn(&mut self, turn: &mut Turn<'_>) {
        self.prepared = true;
        self.planned = None;
        self.number = self.next_number(turn);
        let restarts = self.restarts + u32::from(self.again);
        let of = Incarnation { number: self.number, restarts, digest: turn.rules.digest };
        self.state = State::Spawning { of, cancelled: None, wait: None, early: None };
        turn.then(Effect::Spawn(of));
    }

    /// Later supervisors know nothing of the numbers of children that were acknowledged, so these follow the clock.
    fn next_number(&self, turn: &Turn<'_>) -> u64 {
        u64::try_from(turn.now.at.as_millisecond()).unwrap_or(0).max(self.number + 1)
    }

    pub(super) fn hooked(&mut self, phase: HookPhase, number: u64, result: Result<(), String>, turn: &mut Turn<'_>) {
        match phase {
            HookPhase::PreStart => {
                let State::PreStart { number: awaited, cancelled } = &mut self.state else { return };
                if *awaited != number {
                    return;
                }
                match (cancelled.take(), result) {
                    (Some(then), _) => self.finish(then, false, turn),
                    (None, Ok(())) => self.spawn(turn),
                    (None, Err(reason)) => self.start_failed(reason, false, turn),
                }
            }
            HookPhase::PostStart => {
                if let Err(reason) = result
                    && self.number == number
                {
                    self.reason = Some(reason);
                }
            }
            HookPhase::PreStop | HookPhase::PostStop => self.stop_hooked(phase, number, result, turn),
        }
    }

    pub(super) fn spawned(&mut self, up: Up, turn: &mut Turn<'_>) {
        let State::Spawning { of, cancelled, wait, early } = &mut self.state else { return };
        if *of != up.of {
            return;
        }
        let (cancelled, wait, early) = (cancelled.take(), *wait, early.take());
        self.restarts = up.of.restarts;
        self.started_at = Some(up.at);
        self.reason = None;
        self.ready = turn.process().probes.readiness.is_none();
        self.settle_graves(turn);
        self.sweep_graves(turn);
        let number = up.of.number;
        let duration = turn.process().start.duration;
        let young_until = (!duration.is_zero()).then(|| up.since.saturating_add(duration));
        let unproven = turn.process().probes.startup.is_some();
        self.state = State::Up { up, young_until, unproven };
        if let Some(end) = early {
            if let Some(then) = cancelled {
                self.stop(then, wait, turn);
            }
            return self.ended(number, end, turn);
        }
        match cancelled {
            Some(then) => self.stop(then, wait, turn),
            None => self.grown(turn),
        }
    }

    /// Counts as started once it has run for long enough and its startup probe has succeeded. What goes on without its
    /// child has to be seen for that.
    pub(super) fn grown(&mut self, turn: &mut Turn<'_>) {
        let (State::Up { up, young_until: None, unproven: false }
        | State::Detached { up, young_until: None, unproven: false, seen: Some(_), .. }) = &self.state
        else {
            return;
        };
        let number = up.of.number;
        self.tries = 0;
        if !std::mem::replace(&mut self.announced, true) && !turn.process().hooks.post_start.is_empty() {
            turn.then(Effect::RunHooks { phase: HookPhase::PostStart, number });
        }
    }

    pub(super) fn refused(&mut self, number: u64, transient: bool, message: String, turn: &mut Turn<'_>) {
        let State::Spawning { of, cancelled, .. } = &mut self.state else { return };
        if of.number != number {
            return;
        }
        let cancelled = cancelled.take();
        self.sweep_graves(turn);
        match cancelled {
            Some(then) => self.finish(then, false, turn),
            None => self.start_failed(message, transient, turn),
        }
    }

    /// Nothing was started.
    fn start_failed(&mut self, reason: String, transient: bool, turn: &mut Turn<'_>) {
        let start = turn.process().start;
        let wait = if self.tries < start.retries {
            self.tries += 1;
            Some(start.retry_interval)
        } else {
            transient.then(|| start.retry_interval.max(SHORTAGE))
        };
        self.reason = Some(reason);
        self.state = match wait {
            Some(wait) => State::Backoff { until: turn.after(wait), retrying: true },
            None => State::Fatal,
        };
    }

    pub(super) fn ended(&mut self, number: u64, end: End, turn: &mut Turn<'_>) {
        match &mut self.state {
            State::Spawning { of, early, .. } if of.number == number => *early = Some(end),
            State::Up { up, young_until, unproven } if up.of.number == number => {
                let (up, young_until, unproven) = (up.clone(), *young_until, *unproven);
                self.bury(&up, end, true, turn);
                if turn.process().detectors.is_empty() {
                    return self.by_policy(end, young_until.is_some() || unproven, turn);
                }
                turn.then(Effect::Look { of: up.of, after: Duration::ZERO });
                self.state = State::Detached { up, end, seen: None, young_until, unproven };
            }
            State::Stopping { up, .. } if up.as_ref().is_some_and(|up| up.of.number == number) => {
                self.ended_while_stopping(end, turn);
            }
            _ => {}
        }
    }

    /// Remembers a child that ended until nothing is left of it and its supervisor needs it no more.
    pub(super) fn bury(&mut self, up: &Up, end: End, unexpected: bool, turn: &Turn<'_>) {
        if turn.now.moment.saturating_sub(up.since) >= turn.process().restart.reset_after {
            self.streak = 0;
        }
        self.again = true;
        self.ready = false;
        self.last_exit = Some(LastExit { status: end.status, at: end.at, unexpected });
        self.graves.push(Grave { of: up.of, asked: false, swept: false, settled: false });
    }

    /// Has killed what those who ended have left behind.
    pub(super) fn sweep_graves(&mut self, turn: &mut Turn<'_>) {
        for grave in self.graves.iter_mut().filter(|grave| !grave.asked) {
            grave.asked = true;
            turn.then(Effect::Sweep(grave.of));
        }
    }

    /// From now on something else tells what those who ended told.
    pub(super) fn settle_graves(&mut self, turn: &mut Turn<'_>) {
        for grave in &mut self.graves {
            grave.settled = true;
        }
        self.close_graves(turn);
    }

    pub(super) fn close_graves(&mut self, turn: &mut Turn<'_>) {
        self.graves.retain(|grave| {
            let closed = grave.swept && grave.settled;
            if closed {
                turn.then(Effect::Acknowledge(grave.of));
            }
            !closed
        });
    }

    pub(super) fn looked(&mut self, number: u64, sighting: Option<Sighting>, turn: &mut Turn<'_>) {
        match &mut self.state {
            State::Detached { up, end, seen, young_until, unproven } if up.of.number == number => match sighting {
                Some(sighting) => {
                    *seen = Some(sighting);
                    turn.then(Effect::Look { of: up.of, after: LOOK_EVERY });
                    // It runs, which is enough where no probe says more.
                    self.ready |= turn.process().probes.readiness.is_none();
                    self.grown(turn);
                }
                None => {
                    let (end, young) = (*end, young_until.is_some() || *unproven);
                    self.by_policy(end, young, turn);
                }
            },
            State::Stopping { of, .. } if of.number == number => self.looked_while_stopping(sighting.is_some(), turn),
            _ => {}
        }
    }

    pub(super) fn due_now(&mut self, turn: &mut Turn<'_>) {
        if self.due().is_none_or(|due| due > turn.now.moment) {
            return;
        }
        match &mut self.state {
            State::Up { young_until, .. } | State::Detached { young_until, .. } => {
                *young_until = None;
                self.grown(turn);
            }
            State::Backoff { .. } => self.prepare(turn),
            State::Stopping { .. } => self.stage_is_over(turn),
            _ => {}
        }
    }

    pub(super) fn probed(&mut self, number: u64, kind: ProbeKind, is_up: bool, message: String, turn: &mut Turn<'_>) {
        let (State::Up { up, unproven, .. } | State::Detached { up, unproven, seen: Some(_), .. }) = &mut self.state
        else {
            return;
        };
        if up.of.number != number {
            return;
        }
        match (kind, is_up) {
            (ProbeKind::Startup, true) => {
                *unproven = false;
                self.grown(turn);
            }
            (ProbeKind::Readiness, _) => {
                self.ready = is_up;
                self.reason = (!is_up).then(|| format!("the {} probe failed: {message}", word(kind)));
            }
            (ProbeKind::Liveness, true) => {}
            (ProbeKind::Startup | ProbeKind::Liveness, false) => {
                self.stop(Then::Fail(format!("the {} probe failed: {message}", word(kind))), None, turn);
            }
        }
    }
}

fn word(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Startup => "startup",
        ProbeKind::Readiness => "readiness",
        ProbeKind::Liveness => "liveness",
    }
}
