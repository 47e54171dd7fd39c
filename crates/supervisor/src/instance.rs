//! The state machine of one instance. Pure: what happened goes in, what has to be done comes out.
//!
//! ```text
//!            start                met              hooks              spawned        has run for long enough
//!  Stopped ────────▶ Waiting ──────────▶ PreStart ──────▶ Spawning ──────────▶ Up(young) ────────────▶ Up
//!     ▲                                                      ▲                    │                     │
//!     │                                       due, at once   │        ended       ▼       ended         │
//!     │                                        Backoff ◀─────┴──────────────── by policy ◀──────────────┤
//!     │                                                                           │                     │
//!     │                                                 Exited, Fatal ◀───────────┘                     │
//!     └─────────────────────────── Stopping ◀──────────────────── stop ─────────────────────────────────┘
//! ```

mod policy;
mod start;
mod stop;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use piton_keeper::{ExitStatus, ProcessIdentity};
use piton_model::{HookPhase, Process};

use crate::clock::Now;
use crate::incarnation::{Digest, Incarnation};
use crate::probe::ProbeKind;
use crate::{InstanceState, LastExit};

pub(crate) use policy::is_success;

/// A child that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Up {
    pub(crate) of: Incarnation,
    pub(crate) identity: ProcessIdentity,
    /// When it was started.
    pub(crate) since: Duration,
    /// The same, to show.
    pub(crate) at: Timestamp,
}

/// What a detector sees of an instance whose child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// By which it was seen.
    pub(crate) by: String,
    /// The process that it sees, where it can tell.
    pub(crate) pid: Option<u32>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) at: Timestamp,
}

/// What follows a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing.
    Stay,
    /// A start, as if by hand.
    Start,
    /// What the policy says of a failure.
    Fail(String),
}

/// How far a stop is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its hooks run.
    PreStop,
    /// The command that asks politely runs.
    Command { until: Duration },
    /// The signal with this number was sent.
    Signal { index: usize, until: Duration },
    /// The whole tree is being killed.
    Killing { until: Duration },
    /// The child is gone; what it left behind is being killed.
    Sweeping,
    /// The last hooks run.
    PostStop,
}

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Stopped,
    /// For what it depends on.
    Waiting,
    PreStart {
        number: u64,
        /// It was told to stop meanwhile.
        cancelled: Option<Then>,
    },
    Spawning {
        of: Incarnation,
        cancelled: Option<Then>,
        /// The time it then has to react to the first signal.
        wait: Option<Duration>,
        /// The end may be heard of before the start.
        early: Option<End>,
    },
    Up {
        up: Up,
        /// Until when it is too young to count as started; none once it does.
        young_until: Option<Duration>,
        /// Its startup probe has not succeeded yet.
        unproven: bool,
    },
    /// The child ended, but one of the detectors may see that what it started is alive.
    Detached {
        up: Up,
        end: End,
        /// None before the first answer.
        seen: Option<Sighting>,
        /// Until when it is too young to count as started, as for its child; none once it does.
        young_until: Option<Duration>,
        /// Its startup probe has not succeeded yet.
        unproven: bool,
    },
    Stopping {
        of: Incarnation,
        /// The child, while it lives.
        up: Option<Up>,
        /// Nobody will tell the end: the detectors have to be asked.
        detached: bool,
        stage: Stage,
        then: Then,
        /// It was young when the stop began.
        young: bool,
        /// The time to react to the first signal.
        wait: Option<Duration>,
        /// Hooks are run around it.
        hooks: bool,
    },
    Backoff {
        until: Duration,
        /// The start itself is tried again.
        retrying: bool,
    },
    Exited,
    Fatal,
}

/// A child that ended and that the keeper still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grave {
    pub(crate) of: Incarnation,
    /// The keeper was asked to kill what it left behind.
    pub(crate) asked: bool,
    /// Nothing is left of what it started.
    pub(crate) swept: bool,
    /// What it tells a supervisor that comes back is told by something newer, or not wanted.
    pub(crate) settled: bool,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) state: State,
    /// The number of the newest child.
    pub(crate) number: u64,
    /// A number to be used in place of the next: a hook that runs under it is to be taken back.
    pub(crate) planned: Option<u64>,
    pub(crate) restarts: u32,
    /// A child of this life has ended: the next one is a restart.
    pub(crate) again: bool,
    /// Failed starts in a row.
    pub(crate) tries: u32,
    /// Restarts since it was last healthy.
    pub(crate) streak: u32,
    /// When it was restarted, within the window of the flap limit.
    pub(crate) flaps: VecDeque<Duration>,
    /// The hooks before the start have succeeded in this life.
    pub(crate) prepared: bool,
    /// The hooks after the start have been run in this life.
    pub(crate) announced: bool,
    pub(crate) ready: bool,
    pub(crate) graves: Vec<Grave>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) last_exit: Option<LastExit>,
    pub(crate) reason: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// Somebody, or the declaration, wants it to run.
    Start,
    /// Somebody wants it to be gone.
    Stop { wait: Option<Duration> },
    /// It has to be another child.
    Restart { wait: Option<Duration> },
    /// A child of a supervisor before was taken over.
    Adopted,
    /// What it depends on is there.
    Met,
    /// All hooks of a phase are through.
    Hooked { phase: HookPhase, number: u64, result: Result<(), String> },
    /// A child runs.
    Spawned(Up),
    /// A child could not be started.
    Refused { number: u64, transient: bool, message: String },
    /// A child ended.
    Ended { number: u64, end: End },
    /// The command that asks politely is through.
    Commanded { number: u64 },
    /// Nothing is left of a child but these.
    Swept { number: u64, survivors: Vec<u32> },
    /// What the detectors see.
    Looked { number: u64, seen: Option<Sighting> },
    /// The time given by [`Instance::due`] has come.
    Due,
    /// A probe made up its mind.
    Probed { number: u64, kind: ProbeKind, up: bool, message: String },
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    RunHooks {
        phase: HookPhase,
        number: u64,
    },
    /// End the hooks before a start, which are not to lead to one any more. They have this long to react.
    EndHooks {
        number: u64,
        grace: Duration,
    },
    Spawn(Incarnation),
    /// Run the command that asks politely.
    Command {
        of: Incarnation,
        timeout: Duration,
    },
    /// Send the signal with this number.
    Signal {
        of: Incarnation,
        index: usize,
    },
    /// Kill the child and all it started.
    Sweep(Incarnation),
    Acknowledge(Incarnation),
    /// Ask the detectors.
    Look {
        of: Incarnation,
        after: Duration,
    },
}

/// By what is decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) process: &'a Process,
    pub(crate) digest: Digest,
    /// Spreads delays.
    pub(crate) seed: u64,
}

/// How long a tree may take to die before it is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(10);
/// How often detectors are asked about a process that has no child of ours any more.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while it is being stopped.
const LOOK_CLOSELY: Duration = Duration::from_millis(100);

impl Instance {
    /// One that nobody wants yet.
    pub(crate) fn stopped() -> Instance {
        Instance {
            state: State::Stopped,
            number: 0,
            planned: None,
            restarts: 0,
            again: false,
            tries: 0,
            streak: 0,
            flaps: VecDeque::new(),
            prepared: false,
            announced: false,
            ready: false,
            graves: Vec::new(),
            started_at: None,
            last_exit: None,
            reason: None,
        }
    }

    /// One whose child was started by a supervisor before. `announcing` says that this one had begun with the hooks after
    /// the start and is not known to be through with them: [`Event::Adopted`] goes on with them.
    pub(crate) fn adopted(up: Up, announcing: bool, now: Now, rules: &Rules<'_>) -> Instance {
        let grown = up.since.saturating_add(rules.process.start.duration);
        let young_until = (grown > now.moment).then_some(grown);
        Instance {
            number: up.of.number,
            restarts: up.of.restarts,
            again: up.of.restarts > 0,
            prepared: true,
            // They come when it has run for long enough, the first time in its life.
            announced: !announcing && (young_until.is_none() || up.of.restarts > 0),
            ready: rules.process.probes.readiness.is_none(),
            started_at: Some(up.at),
            state: State::Up { young_until, unproven: false, up },
            ..Instance::stopped()
        }
    }

    /// The one way to another state.
    #[must_use]
    pub(crate) fn step(mut self, event: Event, now: Now, rules: &Rules<'_>) -> (Instance, Vec<Effect>) {
        let mut effects = Vec::new();
        let mut turn = Turn { now, rules, effects: &mut effects };
        match event {
            Event::Start => self.start(),
            Event::Stop { wait } => self.stop(Then::Stay, wait, &mut turn),
            Event::Restart { wait } => self.stop(Then::Start, wait, &mut turn),
            Event::Adopted => self.grown(&mut turn),
            Event::Met => self.met(&mut turn),
            Event::Hooked { phase, number, result } => self.hooked(phase, number, result, &mut turn),
            Event::Spawned(up) => self.spawned(up, &mut turn),
            Event::Refused { number, transient, message } => self.refused(number, transient, message, &mut turn),
            Event::Ended { number, end } => self.ended(number, end, &mut turn),
            Event::Commanded { number } => self.commanded(number, &mut turn),
            Event::Swept { number, survivors } => self.swept(number, &survivors, &mut turn),
            Event::Looked { number, seen } => self.looked(number, seen, &mut turn),
            Event::Due => self.due_now(&mut turn),
            Event::Probed { number, kind, up, message } => self.probed(number, kind, up, message, &mut turn),
        }
        (self, effects)
    }

    /// When [`Event::Due`] is wanted.
    pub(crate) fn due(&self) -> Option<Duration> {
        match &self.state {
            State::Up { young_until, .. } | State::Detached { young_until, .. } => *young_until,
            State::Backoff { until, .. } => Some(*until),
            State::Stopping { stage, .. } => match stage {
                Stage::Command { until } | Stage::Signal { until, .. } | Stage::Killing { until } => Some(*until),
                Stage::PreStop | Stage::Sweeping | Stage::PostStop => None,
            },
            _ => None,
        }
    }

    /// The child that runs, as far as is known.
    pub(crate) fn up(&self) -> Option<&Up> {
        match &self.state {
            State::Up { up, .. } => Some(up),
            State::Stopping { up, .. } => up.as_ref(),
            _ => None,
        }
    }

    /// Whose output may come: that of the child that runs, or of what it has left running.
    pub(crate) fn printing(&self) -> Option<Incarnation> {
        match &self.state {
            State::Up { up, .. } | State::Detached { up, .. } => Some(up.of),
            _ => None,
        }
    }

    /// Which child is being started: of that it may be heard later than of the death of the keeper which did it.
    pub(crate) fn spawning(&self) -> Option<Incarnation> {
        match &self.state {
            State::Spawning { of, .. } => Some(*of),
            _ => None,
        }
    }

    /// What is to be probed: the child that runs, or what it has left running, as far as a detector sees that.
    pub(crate) fn to_probe(&self) -> Option<Incarnation> {
        match &self.state {
            State::Detached { up, seen: Some(_), .. } => Some(up.of),
            _ => self.up().map(|up| up.of),
        }
    }

    /// Where it is, for people.
    pub(crate) fn shown(&self) -> InstanceState {
        match &self.state {
            State::Stopped => InstanceState::Stopped,
            State::Waiting => InstanceState::Waiting,
            State::PreStart { cancelled: None, .. } | State::Spawning { cancelled: None, .. } => {
                InstanceState::Starting
            }
            State::PreStart { .. } | State::Spawning { .. } | State::Stopping { .. } => InstanceState::Stopping,
            State::Up { young_until: None, unproven: false, .. }
            | State::Detached { young_until: None, unproven: false, .. } => InstanceState::Running,
            State::Up { .. } | State::Detached { .. } => InstanceState::Starting,
            State::Backoff { .. } => InstanceState::Backoff,
            State::Exited => InstanceState::Exited,
            State::Fatal => InstanceState::Fatal,
        }
    }

    /// It runs, and is ready as far as anybody can see.
    pub(crate) fn is_ready(&self) -> bool {
        self.shown() == InstanceState::Running && self.ready
    }

    /// Nothing of it runs, and nothing is about to.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.state, State::Stopped | State::Waiting | State::Backoff { .. } | State::Exited | State::Fatal)
    }
}

/// What one step works with.
struct Turn<'a> {
    now: Now,
    rules: &'a Rules<'a>,
    effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    fn process(&self) -> &Process {
        self.rules.process
    }

    fn after(&self, span: Duration) -> Duration {
        self.now.moment.saturating_add(span)
    }

    fn then(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}
