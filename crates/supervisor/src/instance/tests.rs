//! The machine against a world that answers in any order.

use std::collections::{BTreeMap, BTreeSet};

use piton_keeper::BootId;
use piton_model::{Detector, FailureMode, Hook, Name, Program, RestartWhen, RunMode, StartPolicy, StopStage};
use proptest::prelude::*;

use super::*;

fn line() -> Program {
    Program::Shell { line: "x".to_owned() }
}

fn process() -> Process {
    Process::new(Name::parse("web").unwrap(), line())
}

/// Children, and what was asked and not answered yet.
struct World {
    process: Process,
    instance: Instance,
    now: Now,
    alive: BTreeMap<u64, Up>,
    pending: Vec<Effect>,
    spawned: Vec<Incarnation>,
    acknowledged: BTreeSet<u64>,
    /// How long hooks before a start were given to end.
    graces: Vec<Duration>,
}

impl World {
    fn new(process: Process) -> World {
        World {
            process,
            instance: Instance::stopped(),
            now: Now { moment: Duration::from_secs(1000), at: Timestamp::UNIX_EPOCH },
            alive: BTreeMap::new(),
            pending: Vec::new(),
            spawned: Vec::new(),
            acknowledged: BTreeSet::new(),
            graces: Vec::new(),
        }
    }

    fn feed(&mut self, event: Event) {
        let was_fatal = self.instance.state == State::Fatal;
        let by_hand = matches!(event, Event::Start | Event::Restart { .. } | Event::Stop { .. });
        let rules = Rules { process: &self.process, digest: Digest::default(), seed: 1 };
        let (instance, effects) = self.instance.clone().step(event, self.now, &rules);
        self.instance = instance;
        assert!(!was_fatal || by_hand || self.instance.state == State::Fatal, "only a hand helps what is fatal");
        for effect in effects {
            match effect {
                Effect::Spawn(_) => {
                    let under_way = self.pending.iter().any(|effect| matches!(effect, Effect::Spawn(_)));
                    assert!(self.alive.is_empty() && !under_way, "never two children");
                    self.pending.push(effect);
                }
                Effect::Acknowledge(of) => {
                    assert!(!self.alive.contains_key(&of.number), "what lives is not forgotten");
                    assert!(self.acknowledged.insert(of.number), "once is enough");
                }
                Effect::EndHooks { number, grace } => {
                    let before_start = Effect::RunHooks { phase: HookPhase::PreStart, number };
                    assert!(self.pending.contains(&before_start), "only what runs is ended");
                    self.graces.push(grace);
                }
                other => self.pending.push(other),
            }
        }
    }

    fn end(&mut self, number: u64, status: ExitStatus) {
        if self.alive.remove(&number).is_some() {
            self.feed(Event::Ended { number, end: End { status, at: self.now.at } });
        }
    }

    /// Answers one of the open requests; badly, if not `well`.
    fn answer(&mut self, index: usize, well: bool) {
        if self.pending.is_empty() {
            return;
        }
        match self.pending.remove(index % self.pending.len()) {
            Effect::Spawn(of) if well => {
                let identity = ProcessIdentity { pid: 7, start_ticks: of.number, boot_id: boot() };
                let up = Up { of, identity, since: self.now.moment, at: self.now.at };
                self.alive.insert(of.number, up.clone());
                self.spawned.push(of);
                self.feed(Event::Spawned(up));
            }
            Effect::Spawn(of) => {
                let transient = index.is_multiple_of(2);
                self.feed(Event::Refused { number: of.number, transient, message: "no".to_owned() });
            }
            Effect::Signal { of, .. } => {
                if well {
                    self.end(of.number, ExitStatus::Signal(15));
                }
            }
            Effect::Sweep(of) => {
                self.end(of.number, ExitStatus::Signal(9));
                self.feed(Event::Swept { number: of.number, survivors: Vec::new() });
            }
            Effect::RunHooks { phase, number } => {
                let result = if well { Ok(()) } else { Err("hook".to_owned()) };
                self.feed(Event::Hooked { phase, number, result });
            }
            Effect::Command { of, .. } => self.feed(Event::Commanded { number: of.number }),
            Effect::Look { of, .. } => {
                let seen = (!well).then(|| Sighting { by: "pidfile:/x".to_owned(), pid: Some(8) });
                self.feed(Event::Looked { number: of.number, seen });
            }
            Effect::Acknowledge(_) | Effect::EndHooks { .. } => unreachable!("not kept"),
        }
    }

    fn pass(&mut self, span: Duration) {
        self.now.moment += span;
        self.now.at += span;
    }

    fn due(&mut self) {
        if let Some(due) = self.instance.due() {
            self.pass(due.saturating_sub(self.now.moment));
            self.feed(Event::Due);
            assert!(self.instance.due().is_none_or(|next| next > due || next >= self.now.moment));
        }
    }

    /// Lets everything come to rest that was begun.
    fn rest(&mut self) {
        for _ in 0..200 {
            if !self.pending.is_empty() {
                self.answer(0, true);
            } else if matches!(self.instance.state, State::Stopping { .. }) {
                self.due();
            } else if self.instance.state == State::Waiting {
                self.feed(Event::Met);
            } else {
                return;
            }
        }
        panic!("no rest: {:?}", self.instance);
    }

    fn run(process: Process) -> World {
        let mut world = World::new(process);
        world.feed(Event::Start);
        world.rest();
        world
    }

    fn crash(&mut self, code: i32) {
        let number = *self.alive.keys().next().expect("it runs");
        self.end(number, ExitStatus::Code(code));
    }
}

fn boot() -> BootId {
    BootId::current().unwrap()
}

#[derive(Debug, Clone)]
enum Act {
    Start,
    Stop,
    Restart,
    Met,
    Answer(usize, bool),
    Crash(i32),
    Due,
    Pass(u64),
    Probe(ProbeKind, bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let kinds = prop_oneof![Just(ProbeKind::Startup), Just(ProbeKind::Readiness), Just(ProbeKind::Liveness)];
    let act = prop_oneof![
        2 => Just(Act::Start),
        1 => Just(Act::Stop),
        1 => Just(Act::Restart),
        3 => Just(Act::Met),
        8 => (0usize..4, prop::bool::weighted(0.8)).prop_map(|(index, well)| Act::Answer(index, well)),
        3 => (0i32..2).prop_map(Act::Crash),
        3 => Just(Act::Due),
        2 => (0u64..20_000).prop_map(Act::Pass),
        2 => (kinds, any::<bool>()).prop_map(|(kind, up)| Act::Probe(kind, up)),
    ];
    prop::collection::vec(act, 0..60)
}

fn hook() -> Hook {
    Hook {
        name: Name::parse("h").unwrap(),
        command: "x".to_owned(),
        failure_mode: FailureMode::Fail,
        run_mode: RunMode::Blocking,
        timeout: Duration::from_secs(1),
        env: BTreeMap::default(),
        work_dir: None,
    }
}

fn processes() -> impl Strategy<Value = Process> {
    let when = prop_oneof![Just(RestartWhen::Always), Just(RestartWhen::OnFailure), Just(RestartWhen::Never)];
    let parts = (when, 0u64..2, prop::option::of(0u32..3), 0u64..2, 0u32..3, any::<[bool; 6]>());
    parts.prop_map(
        |(when, delay, flap_limit, duration, retries, [hooks, detectors, startup, command, stages, growth])| {
            let mut process = process();
            process.restart.when = when;
            process.restart.delay = Duration::from_secs(delay);
            process.restart.flap_limit = flap_limit;
            process.restart.growth_percent = if growth { 200 } else { 100 };
            process.start = StartPolicy { duration: Duration::from_secs(duration), retries, ..StartPolicy::default() };
            if hooks {
                process.hooks.pre_start.push(hook());
                process.hooks.post_start.push(hook());
                process.hooks.pre_stop.push(hook());
                process.hooks.post_stop.push(hook());
            }
            if detectors {
                process.detectors.push(Detector::PidFile { path: "/x".into() });
            }
            if startup {
                process.probes.startup = Some(piton_model::Probe {
                    check: piton_model::ProbeCheck::Tcp { address: "x:1".to_owned() },
                    initial_delay: Duration::ZERO,
                    period: Duration::from_secs(1),
                    timeout: Duration::from_secs(1),
                    success_threshold: 1,
                    failure_threshold: 1,
                });
            }
            process.stop.command = command.then(line);
            if stages {
                process.stop.stages.push(StopStage { signal: "SIGINT".to_owned(), wait: Duration::from_secs(1) });
            }
            process
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Two children, a forgotten living one and a way out of fatal are looked for by the world itself.
    #[test]
    fn whatever_happens_a_stop_ends_in_stopped(process in processes(), acts in acts()) {
        let mut world = World::new(process);
        for act in acts {
            match act {
                Act::Start => world.feed(Event::Start),
                Act::Stop => world.feed(Event::Stop { wait: None }),
                Act::Restart => world.feed(Event::Restart { wait: None }),
                Act::Met => world.feed(Event::Met),
                Act::Answer(index, well) => world.answer(index, well),
                Act::Crash(code) => if !world.alive.is_empty() { world.crash(code) },
                Act::Due => world.due(),
                Act::Pass(millis) => world.pass(Duration::from_millis(millis)),
                Act::Probe(kind, up) => {
                    let number = world.instance.number;
                    world.feed(Event::Probed { number, kind, up, message: String::new() });
                }
            }
            let numbers: Vec<u64> = world.spawned.iter().map(|of| of.number).collect();
            prop_assert!(numbers.is_sorted_by(|a, b| a < b), "numbers rise");
            for pair in world.spawned.windows(2) {
                let (before, after) = (pair[0].restarts, pair[1].restarts);
                prop_assert!(after == 0 || after == before + 1, "restarts are counted one by one: {before}, {after}");
            }
        }
        world.feed(Event::Stop { wait: None });
        world.rest();
        prop_assert_eq!(&world.instance.state, &State::Stopped);
        prop_assert!(world.alive.is_empty() && world.instance.graves.is_empty());
        let all: BTreeSet<u64> = world.spawned.iter().map(|of| of.number).collect();
        prop_assert_eq!(all, world.acknowledged, "everything is forgotten in the end");
    }

    /// Whatever was before, a start leads to a child if nothing goes wrong.
    #[test]
    fn a_start_leads_to_a_child(process in processes(), acts in acts()) {
        let mut world = World::new(process);
        for act in acts {
            match act {
                Act::Answer(index, well) => world.answer(index, well),
                Act::Stop => world.feed(Event::Stop { wait: None }),
                Act::Restart => world.feed(Event::Restart { wait: None }),
                Act::Due => world.due(),
                Act::Crash(code) => if !world.alive.is_empty() { world.crash(code) },
                _ => world.feed(Event::Start),
            }
        }
        world.rest();
        world.feed(Event::Start);
        world.rest();
        prop_assert!(world.alive.len() == 1 || matches!(world.instance.state, State::Detached { .. }), "{:?}", world.instance);
    }
}

#[test]
fn whoever_stops_it_does_not_wait_for_the_hooks_before_its_start() {
    let millis = Duration::from_millis;
    let mut hooked = process();
    hooked.hooks.pre_start.push(hook());
    hooked.stop.stages[0].wait = millis(700);
    for (event, grace, after) in [
        (Event::Stop { wait: None }, 700, InstanceState::Stopped),
        (Event::Stop { wait: Some(millis(50)) }, 50, InstanceState::Stopped),
        (Event::Restart { wait: None }, 700, InstanceState::Running),
    ] {
        let mut world = World::new(hooked.clone());
        world.feed(Event::Start);
        world.feed(Event::Met);
        world.feed(event);
        assert_eq!((world.instance.shown(), &*world.graces), (InstanceState::Stopping, &[millis(grace)][..]));
        world.rest();
        assert_eq!(world.instance.shown(), after);
    }
}

fn restarting(when: RestartWhen, delay: u64) -> Process {
    let mut process = process();
    (process.restart.when, process.restart.delay) = (when, Duration::from_secs(delay));
    process
}

#[test]
fn the_policy_decides() {
    use InstanceState::{Backoff, Exited};
    for (when, code, expected) in [
        (RestartWhen::Always, 0, Backoff),
        (RestartWhen::Always, 1, Backoff),
        (RestartWhen::OnFailure, 0, Exited),
        (RestartWhen::OnFailure, 1, Backoff),
        (RestartWhen::Never, 0, Exited),
        (RestartWhen::Never, 1, Exited),
    ] {
        let mut world = World::run(restarting(when, 3));
        world.crash(code);
        assert_eq!(world.instance.shown(), expected, "{when:?} {code}");
        let reason = world.instance.reason.as_deref();
        assert_eq!(reason.is_some(), code == 1 || expected == Backoff, "{when:?} {code}: {reason:?}");
    }
}

#[test]
fn without_a_delay_the_next_is_asked_for_first() {
    let mut world = World::run(restarting(RestartWhen::Always, 0));
    world.crash(1);
    assert!(matches!(world.pending[0], Effect::Spawn(of) if of.restarts == 1), "{:?}", world.pending);
    assert_eq!(world.pending.len(), 1);
    world.answer(0, true);
    assert!(matches!(world.pending[0], Effect::Sweep(_)), "and then what the first left is looked for");
}

#[test]
fn what_ended_is_held_until_its_successor_runs() {
    let mut world = World::run(restarting(RestartWhen::Always, 3));
    world.crash(1);
    world.rest();
    assert!(world.acknowledged.is_empty(), "its token still counts the restarts");
    world.due();
    world.rest();
    assert_eq!(world.acknowledged.len(), 1);
    assert_eq!(world.instance.restarts, 1);
}

#[test]
fn delays_grow_and_begin_anew_after_health() {
    let mut process = restarting(RestartWhen::Always, 1);
    process.restart.growth_percent = 200;
    process.restart.delay_cap = Duration::from_secs(5);
    let mut world = World::run(process);
    let crash = |world: &mut World| {
        world.crash(1);
        let delay = world.instance.due().unwrap().saturating_sub(world.now.moment);
        world.due();
        world.rest();
        delay.as_secs_f64()
    };
    let delays: Vec<f64> = (0..4).map(|_| crash(&mut world)).collect();
    for (delay, most) in delays.iter().zip([1.0, 2.0, 4.0, 5.0]) {
        assert!((most * 0.9..=most).contains(delay), "{delays:?}");
    }
    world.pass(Duration::from_secs(10));
    assert!((crash(&mut world) - 1.0).abs() < 1e-9);
    assert_eq!(world.instance.restarts, 5);
}

#[test]
fn too_many_restarts_are_given_up_with_a_reason() {
    let mut process = restarting(RestartWhen::Always, 0);
    process.restart.flap_limit = Some(3);
    let mut world = World::run(process);
    for _ in 0..3 {
        world.crash(2);
        world.rest();
        assert_eq!(world.instance.shown(), InstanceState::Running);
    }
    world.crash(2);
    world.rest();
    assert_eq!(world.instance.shown(), InstanceState::Fatal);
    let reason = world.instance.reason.clone().unwrap();
    assert_eq!(reason, "restarted 3 times within 60s, the last time after: exit code 2");
    world.feed(Event::Start);
    world.rest();
    assert_eq!((world.instance.shown(), world.instance.restarts), (InstanceState::Running, 0));
}

#[test]
fn a_start_that_fails_is_tried_as_often_as_declared() {
    let mut process = process();
    process.start =
        StartPolicy { duration: Duration::from_secs(1), retries: 2, retry_interval: Duration::from_secs(5) };
    let mut world = World::run(process);
    for _ in 0..2 {
        assert_eq!(world.instance.shown(), InstanceState::Starting);
        world.crash(1);
        assert!(matches!(world.instance.state, State::Backoff { retrying: true, .. }));
        world.due();
        world.rest();
    }
    world.crash(1);
    assert_eq!(world.instance.shown(), InstanceState::Fatal);
    assert_eq!(world.instance.reason.as_deref(), Some("exit code 1, before it had run for 1s"));
}

#[test]
fn a_stop_goes_through_its_stages() {
    let mut process = process();
    process.stop.stages.push(StopStage { signal: "SIGINT".to_owned(), wait: Duration::from_secs(2) });
    let mut world = World::run(process);
    world.feed(Event::Stop { wait: Some(Duration::from_secs(1)) });
    let waits = |world: &mut World| {
        let wait = world.instance.due().unwrap().saturating_sub(world.now.moment);
        world.due();
        wait.as_secs()
    };
    assert_eq!((waits(&mut world), waits(&mut world)), (1, 2));
    let kinds: Vec<&str> = world
        .pending
        .iter()
        .map(|effect| match effect {
            Effect::Signal { index: 0, .. } => "first",
            Effect::Signal { .. } => "second",
            Effect::Sweep(_) => "kill",
            _ => "?",
        })
        .collect();
    assert_eq!(kinds, ["first", "second", "kill"]);
}

#[test]
fn an_end_that_is_heard_of_before_the_start_counts() {
    let mut world = World::new(restarting(RestartWhen::Never, 0));
    world.feed(Event::Start);
    world.feed(Event::Met);
    let Some(Effect::Spawn(of)) = world.pending.pop() else { panic!("{:?}", world.pending) };
    let end = End { status: ExitStatus::Code(0), at: world.now.at };
    world.feed(Event::Ended { number: of.number, end });
    let identity = ProcessIdentity { pid: 7, start_ticks: 1, boot_id: boot() };
    world.feed(Event::Spawned(Up { of, identity, since: world.now.moment, at: world.now.at }));
    assert_eq!(world.instance.shown(), InstanceState::Exited);
}

fn readiness() -> piton_model::Probe {
    piton_model::Probe {
        check: piton_model::ProbeCheck::Tcp { address: "x:1".to_owned() },
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 1,
    }
}

#[test]
fn what_a_detector_sees_is_ready_where_no_probe_says_more() {
    for probe in [None, Some(readiness())] {
        let mut process = restarting(RestartWhen::Never, 0);
        process.detectors.push(Detector::PidFile { path: "/x".into() });
        process.probes.readiness = probe;
        let is_enough = process.probes.readiness.is_none();
        let mut world = World::run(process);
        world.crash(0);
        assert!(!world.instance.is_ready(), "nobody has looked yet");
        world.answer(0, false);
        assert_eq!((world.instance.shown(), world.instance.is_ready()), (InstanceState::Running, is_enough));
        world.answer(0, true);
        assert_eq!((world.instance.shown(), world.instance.is_ready()), (InstanceState::Exited, false));
    }
}

/// Its child has ended, and a detector sees what that has left running.
fn seen_by_a_detector(mut process: Process) -> World {
    process.detectors.push(Detector::PidFile { path: "/x".into() });
    let mut world = World::run(process);
    world.crash(0);
    assert_eq!(world.instance.to_probe(), None, "nobody has looked yet");
    world.answer(0, false);
    world
}

#[test]
fn what_a_detector_sees_is_probed() {
    let mut process = restarting(RestartWhen::Never, 0);
    process.probes.readiness = Some(readiness());
    let mut world = seen_by_a_detector(process);
    let number = world.spawned[0].number;
    assert_eq!(world.instance.to_probe(), Some(world.spawned[0]));
    let probed = |kind, up| Event::Probed { number, kind, up, message: "no".to_owned() };
    for up in [true, false, true] {
        world.feed(probed(ProbeKind::Readiness, up));
        assert_eq!((world.instance.is_ready(), world.instance.reason.is_none()), (up, up));
        // That it is seen again says nothing about that.
        world.answer(0, false);
        assert_eq!((world.instance.shown(), world.instance.is_ready()), (InstanceState::Running, up));
    }
    world.feed(Event::Probed { number: number + 1, kind: ProbeKind::Readiness, up: false, message: String::new() });
    assert!(world.instance.is_ready(), "that was said of another child");
    world.feed(probed(ProbeKind::Liveness, false));
    assert_eq!((world.instance.shown(), world.instance.to_probe()), (InstanceState::Stopping, None));
}

#[test]
fn what_a_detector_sees_has_started_once_its_startup_probe_has_succeeded() {
    let mut process = restarting(RestartWhen::Never, 0);
    process.probes.startup = Some(readiness());
    let mut world = seen_by_a_detector(process);
    assert_eq!((world.instance.shown(), world.instance.is_ready()), (InstanceState::Starting, false));
    let number = world.spawned[0].number;
    world.feed(Event::Probed { number, kind: ProbeKind::Startup, up: true, message: String::new() });
    assert_eq!((world.instance.shown(), world.instance.is_ready()), (InstanceState::Running, true));
    // It goes after it had come up: that is no failed start.
    world.answer(0, true);
    assert_eq!(world.instance.shown(), InstanceState::Exited);
}

/// How many times the hooks after the start are to be run and have not answered yet.
fn announcements(world: &World) -> usize {
    let is_one = |effect: &&Effect| matches!(effect, Effect::RunHooks { phase: HookPhase::PostStart, .. });
    world.pending.iter().filter(is_one).count()
}

#[test]
fn what_a_detector_sees_has_its_hooks_and_its_tries_as_a_child_has() {
    let mut process = restarting(RestartWhen::Never, 0);
    process.probes.startup = Some(readiness());
    process.hooks.post_start.push(hook());
    process.start.retries = 1;
    let mut world = seen_by_a_detector(process);
    // It goes before it had come up.
    world.answer(0, true);
    assert!(matches!(world.instance.state, State::Backoff { retrying: true, .. }), "{:?}", world.instance);
    assert_eq!((world.instance.tries, announcements(&world)), (1, 0));
    world.due();
    world.rest();
    world.crash(0);
    world.answer(0, false);
    assert_eq!((world.instance.shown(), world.instance.tries), (InstanceState::Starting, 1));
    assert_eq!(announcements(&world), 0);
    let number = world.spawned[1].number;
    for _ in 0..2 {
        world.feed(Event::Probed { number, kind: ProbeKind::Startup, up: true, message: String::new() });
        // It is seen once more.
        world.answer(0, false);
        assert_eq!((world.instance.shown(), world.instance.tries), (InstanceState::Running, 0));
        assert_eq!(announcements(&world), 1);
        world.pending.rotate_right(1);
    }
}

#[test]
fn what_a_detector_sees_has_to_run_for_long_enough() {
    let mut process = restarting(RestartWhen::Never, 0);
    process.hooks.post_start.push(hook());
    process.start.duration = Duration::from_secs(5);
    // Seen before its time has come, or only after.
    for seen_early in [true, false] {
        let mut process = process.clone();
        process.detectors.push(Detector::PidFile { path: "/x".into() });
        let mut world = World::run(process);
        world.crash(0);
        assert_eq!(world.instance.shown(), InstanceState::Starting);
        if seen_early {
            world.answer(0, false);
            assert_eq!((world.instance.shown(), announcements(&world)), (InstanceState::Starting, 0));
        }
        world.due();
        assert_eq!(announcements(&world), usize::from(seen_early), "nobody knows whether it runs");
        if !seen_early {
            world.answer(0, false);
        }
        assert_eq!((world.instance.shown(), announcements(&world)), (InstanceState::Running, 1));
    }
    let mut world = seen_by_a_detector(process);
    world.pass(Duration::from_secs(4));
    world.answer(0, true);
    assert_eq!(world.instance.shown(), InstanceState::Fatal, "it went too soon");
    assert_eq!(world.instance.reason.as_deref(), Some("exit code 0, before it had run for 5s"));
}
