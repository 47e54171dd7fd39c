//! On the way down.

use std::time::Duration;

use piton_model::HookPhase;

use super::{Effect, End, Instance, KILL_AGAIN, LOOK_CLOSELY, Stage, State, Then, Turn, Up};
use crate::incarnation::Incarnation;

impl Instance {
    pub(super) fn stop(&mut self, next: Then, wait: Option<Duration>, turn: &mut Turn<'_>) {
        match &mut self.state {
            State::Stopped | State::Waiting | State::Backoff { .. } | State::Exited | State::Fatal => {
                self.leave_nothing(next, turn);
            }
            State::PreStart { number, cancelled } => {
                *cancelled = Some(next);
                // A hook may take an hour, and nobody needs any more what it prepares.
                let grace = wait.unwrap_or_else(|| turn.process().stop.first_wait());
                turn.then(Effect::EndHooks { number: *number, grace });
            }
            State::Spawning { cancelled, wait: patience, .. } => {
                *cancelled = Some(next);
                *patience = wait.or(*patience);
            }
            State::Up { up, young_until, unproven } => {
                let young = young_until.is_some() || *unproven;
                let (of, up) = (up.of, Some(up.clone()));
                self.begin_stop(of, up, young, next, wait, turn);
            }
            State::Detached { up, young_until, unproven, .. } => {
                let (of, young) = (up.of, young_until.is_some() || *unproven);
                self.begin_stop(of, None, young, next, wait, turn);
            }
            State::Stopping { then, stage, wait: patience, .. } => {
                *then = next;
                // Who asks again with less patience gets it.
                if let Some(wait) = wait {
                    *patience = Some(wait);
                    if let Stage::Command { until } | Stage::Signal { until, .. } = stage {
                        *until = (*until).min(turn.after(wait));
                    }
                }
            }
        }
    }

    /// Begins a stop: by hooks where somebody asked for it, by signals where it failed.
    fn begin_stop(
        &mut self,
        of: Incarnation,
        up: Option<Up>,
        young: bool,
        then: Then,
        wait: Option<Duration>,
        turn: &mut Turn<'_>,
    ) {
        let (hooks, detached) = (!matches!(then, Then::Fail(_)), up.is_none());
        self.state = State::Stopping { of, up, detached, stage: Stage::PreStop, then, young, wait, hooks };
        if hooks && !turn.process().hooks.pre_stop.is_empty() {
            turn.then(Effect::RunHooks { phase: HookPhase::PreStop, number: of.number });
        } else {
            self.command(turn);
        }
    }

    fn command(&mut self, turn: &mut Turn<'_>) {
        if turn.process().stop.command.is_none() {
            return self.signal(0, turn);
        }
        let first = turn.process().stop.first_wait();
        let State::Stopping { of, stage, wait, .. } = &mut self.state else { return };
        let timeout = wait.unwrap_or(first);
        *stage = Stage::Command { until: turn.after(timeout) };
        turn.then(Effect::Command { of: *of, timeout });
    }

    /// Sends the signal with this number, or kills everything after the last.
    fn signal(&mut self, number: usize, turn: &mut Turn<'_>) {
        let declared = turn.process().stop.stages.get(number).map(|stage| stage.wait);
        let State::Stopping { of, stage, wait, detached, .. } = &mut self.state else { return };
        let of = *of;
        let Some(declared) = declared else {
            *stage = Stage::Killing { until: turn.after(KILL_AGAIN) };
            return turn.then(Effect::Sweep(of));
        };
        let patience = wait.filter(|_| number == 0).unwrap_or(declared);
        *stage = Stage::Signal { index: number, until: turn.after(patience) };
        turn.then(Effect::Signal { of, index: number });
        if *detached {
            turn.then(Effect::Look { of, after: Duration::ZERO });
        }
    }

    pub(super) fn commanded(&mut self, number: u64, turn: &mut Turn<'_>) {
        if let State::Stopping { of, stage: Stage::Command { .. }, .. } = &self.state
            && of.number == number
        {
            self.signal(0, turn);
        }
    }

    pub(super) fn stage_is_over(&mut self, turn: &mut Turn<'_>) {
        let State::Stopping { stage, .. } = &self.state else { return };
        match stage {
            Stage::Command { .. } => self.signal(0, turn),
            Stage::Signal { index, .. } => self.signal(index + 1, turn),
            Stage::Killing { .. } => self.signal(usize::MAX, turn),
            Stage::PreStop | Stage::Sweeping | Stage::PostStop => {}
        }
    }

    pub(super) fn stop_hooked(
        &mut self,
        phase: HookPhase,
        number: u64,
        result: Result<(), String>,
        turn: &mut Turn<'_>,
    ) {
        let State::Stopping { of, stage, up, detached, .. } = &self.state else { return };
        if of.number != number {
            return;
        }
        match (phase, stage) {
            (HookPhase::PreStop, Stage::PreStop) if up.is_none() && !detached => {
                self.sweeping();
                self.swept_while_stopping(turn);
            }
            (HookPhase::PreStop, Stage::PreStop) => self.command(turn),
            (HookPhase::PostStop, Stage::PostStop) => self.gone(turn),
            _ => return,
        }
        // A stop is not for a hook to prevent.
        if let Err(reason) = result {
            self.reason = Some(reason);
        }
    }

    pub(super) fn ended_while_stopping(&mut self, end: End, turn: &mut Turn<'_>) {
        let State::Stopping { up, stage, then, .. } = &mut self.state else { return };
        let Some(up) = up.take() else { return };
        let unexpected = matches!(then, Then::Fail(_));
        // Hooks that run still have to come to their end.
        if *stage != Stage::PreStop {
            *stage = Stage::Sweeping;
        }
        self.bury(&up, end, unexpected, turn);
        self.sweep_graves(turn);
    }

    fn sweeping(&mut self) {
        if let State::Stopping { stage, .. } = &mut self.state {
            *stage = Stage::Sweeping;
        }
    }

    pub(super) fn looked_while_stopping(&mut self, alive: bool, turn: &mut Turn<'_>) {
        let State::Stopping { of, detached: true, stage, .. } = &mut self.state else { return };
        if !matches!(stage, Stage::Signal { .. }) {
            return;
        }
        if alive {
            return turn.then(Effect::Look { of: *of, after: LOOK_CLOSELY });
        }
        let of = *of;
        *stage = Stage::Sweeping;
        turn.then(Effect::Sweep(of));
    }

    pub(super) fn swept(&mut self, number: u64, survivors: &[u32], turn: &mut Turn<'_>) {
        if !survivors.is_empty() {
            let pids: Vec<String> = survivors.iter().map(u32::to_string).collect();
            self.reason = Some(format!("these processes could not be killed: {}", pids.join(", ")));
        }
        for grave in self.graves.iter_mut().filter(|grave| grave.of.number == number) {
            grave.swept = true;
        }
        self.close_graves(turn);
        match &mut self.state {
            // Killed, and the end not heard of yet: it will be, or it is killed again.
            State::Stopping { stage: Stage::Killing { .. }, up: Some(_), .. } => {}
            State::Stopping { stage: stage @ Stage::Killing { .. }, .. } => {
                *stage = Stage::Sweeping;
                self.swept_while_stopping(turn);
            }
            _ => self.swept_while_stopping(turn),
        }
    }

    fn swept_while_stopping(&mut self, turn: &mut Turn<'_>) {
        let State::Stopping { stage: stage @ Stage::Sweeping, of, hooks, .. } = &mut self.state else { return };
        if self.graves.iter().any(|grave| !grave.swept) {
            return;
        }
        if *hooks && !turn.process().hooks.post_stop.is_empty() {
            *stage = Stage::PostStop;
            return turn.then(Effect::RunHooks { phase: HookPhase::PostStop, number: of.number });
        }
        self.gone(turn);
    }

    fn gone(&mut self, turn: &mut Turn<'_>) {
        let State::Stopping { then, young, .. } = &mut self.state else { return };
        let (then, young) = (std::mem::replace(then, Then::Stay), *young);
        self.finish(then, young, turn);
    }

    /// Nothing runs any more: what was to follow does.
    pub(super) fn finish(&mut self, then: Then, young: bool, turn: &mut Turn<'_>) {
        match then {
            Then::Fail(reason) => self.failed(reason, young, turn),
            Then::Stay | Then::Start => self.leave_nothing(then, turn),
        }
    }

    /// Stops what does not run.
    fn leave_nothing(&mut self, next: Then, turn: &mut Turn<'_>) {
        self.settle_graves(turn);
        self.sweep_graves(turn);
        let stuck = self.reason.take().filter(|_| matches!(self.state, State::Stopping { .. }));
        self.tries = 0;
        self.planned = None;
        if next == Then::Start {
            return self.begin_anew();
        }
        match self.graves.iter().rev().find(|grave| !grave.swept) {
            Some(grave) => {
                self.state = State::Stopping {
                    of: grave.of,
                    up: None,
                    detached: false,
                    stage: Stage::Sweeping,
                    then: next,
                    young: false,
                    wait: None,
                    hooks: false,
                };
            }
            None => self.state = State::Stopped,
        }
        self.reason = stuck;
    }
}
