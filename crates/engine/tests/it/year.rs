//! A year of schedules with failures, crashes, clock steps and changed declarations: nothing is lost or done twice.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use piton_cron::Schedule;
use piton_engine::{Config, Task};
use piton_model::{
    Action, FailureClass, IacStep, Mode, Name, Operation, Origin, Outcome, OutcomeKind, Projection, Record, Run,
    RunState, SkipReason, Step, Subject, WorkspacePhase,
};
use piton_spec::JobTrigger;
use piton_testkit::ledger::verbatim;
use piton_testkit::scripted::{Behaviour, Does, What};
use piton_testkit::simulation::Simulation;
use proptest::prelude::*;
use rand::Rng;

use crate::site::{ana, hours, job, minutes, workspace};

const WORKSPACES: [(&str, &str); 10] = [
    ("annapurna", r#""deploy_schedule": "0 9 * * 1", "destroy_schedule": "0 18 * * 5""#),
    ("broadpeak", r#""deploy_schedule": ["0 7 * * 1,4"], "destroy_schedule": "30 20 * * 1,4", "catch_up": "skip""#),
    ("cho-oyu", r#""deploy_schedule": "30 2 * * 0", "destroy_schedule": "30 1 * * 3", "timezone": "Europe/Berlin""#),
    (
        "dhaulagiri",
        r#""deploy_schedule": "15 1 * * 0", "destroy_schedule": "45 1 * * 0", "timezone": "America/New_York""#,
    ),
    ("everest", r#""deploy_schedule": "0 0 1 * *", "destroy_schedule": "0 0 15 * *", "timezone": "Asia/Kathmandu""#),
    ("gasherbrum", r#""deploy_schedule": "@weekly", "approval": "manual""#),
    ("kangchenjunga", r#""template": "camp", "mode_schedules": {"busy": "0 8 * * 1", "quiet": "0 20 * * 5"}"#),
    (
        "lhotse",
        r#""deploy_schedule": ["0 6 * * 2", "0 12 * * 2"], "destroy_schedule": "0 12 * * 2", "timezone": "Australia/Lord_Howe""#,
    ),
    (
        "makalu",
        r#""deploy_schedule": "0 4 * * 6", "timeout": "20m", "catch_up": "skip", "timezone": "America/Sao_Paulo""#,
    ),
    ("nanga-parbat", r#""deploy_schedule": "0 2 29 2 *", "destroy_schedule": "0 3 31 * *""#),
];

const JOBS: [(&str, &str); 6] = [
    ("dump", r#""schedule": "0 3 * * 1""#),
    ("upload", r#""schedule": "0 3 * * 1", "depends_on": ["dump"]"#),
    ("report", r#""schedule": ["0 5 1 * *", "0 5 15 * *"], "catch_up": "latest", "timezone": "Europe/London""#),
    ("sweep", r#""schedule": "30 1,2 * * 0", "timezone": "Europe/Berlin""#),
    ("mount", r#""schedule": "@reboot""#),
    ("measure", r#""schedule": "0 0 * * 3", "timeout": "10m""#),
];

const EVENT_JOBS: &str = r#"[
    {"name": "smoke", "type": "command", "command": "true", "schedule": "@deployment"},
    {"name": "notify", "type": "command", "command": "true", "schedule": "@deployment", "depends_on": ["smoke"]},
    {"name": "alarm", "type": "command", "command": "true", "schedule": ["@deployment-failed", "@destroy-failed"]},
    {"name": "farewell", "type": "command", "command": "true", "schedule": "@destroy"}
]"#;

fn declare(simulation: &Simulation, name: &str, version: u32) {
    let (_, config) = WORKSPACES.iter().find(|(other, _)| *other == name).unwrap();
    let jobs = if name == "annapurna" { EVENT_JOBS } else { "[]" };
    let text = format!(r#"{{{config}, "vars": {{"version": {version}}}, "jobs": {jobs}}}"#);
    if config.contains("template") {
        simulation.write(&format!("workspaces/{name}/config.json"), &text).unwrap();
    } else {
        workspace(simulation, name, &text);
    }
}

/// What a step does, from the seed and the step alone.
fn fate(seed: u64, task: &Task) -> Behaviour {
    let mut hasher = DefaultHasher::new();
    (seed, task.run.id, task.attempt, task.step).hash(&mut hasher);
    let number = hasher.finish();
    let lasts = Some(Duration::from_secs(number % 400));
    let behaviour = |does| Behaviour { does, lasts, heeds: !number.is_multiple_of(3) };
    match (number >> 16) % 100 {
        0 => behaviour(Does::Fail(FailureClass::Permanent)),
        1..7 => behaviour(Does::Fail(FailureClass::Transient)),
        7 if number.is_multiple_of(4) => behaviour(Does::Fail(FailureClass::Uncertain)),
        8 if number.is_multiple_of(4) => Behaviour { lasts: None, heeds: true, ..behaviour(Does::Pass) },
        9..12 if task.step == Step::Iac(IacStep::Plan) => behaviour(Does::Done),
        12..60 if task.step == Step::Iac(IacStep::Plan) && task.run.subject.name() == "gasherbrum" => {
            behaviour(Does::Gate("summit"))
        }
        _ => behaviour(Does::Pass),
    }
}

/// With every other seed runs are taken a moment before they are due.
fn takes_ahead(seed: u64) -> bool {
    !seed.is_multiple_of(2)
}

fn configured(config: Config) -> Config {
    Config {
        boot_id: Some("boot".to_owned()),
        lease: Duration::from_secs(3600),
        start_deadline: Duration::from_secs(120),
        ..config
    }
}

fn configured_ahead(config: Config) -> Config {
    Config { ahead: Duration::from_millis(25), ..configured(config) }
}

/// Lets `days` go by, and answers with the ledger.
async fn live(seed: u64, days: i64, crashes: u32) -> Simulation {
    let start: Timestamp = "2027-12-30T21:17:00Z".parse().unwrap();
    let mut simulation = Simulation::new(seed, start).await.unwrap();
    simulation.configure = if takes_ahead(seed) { configured_ahead } else { configured };
    let registry = r#"{"templates": {"camp": {"content_hash": "one"}}}"#;
    simulation.write("templates/registry.json", registry).unwrap();
    simulation.write("templates/camp/main.tf", "# nothing\n").unwrap();
    for (name, _) in WORKSPACES {
        declare(&simulation, name, 0);
    }
    for (name, rest) in JOBS {
        job(&simulation, name, rest);
    }
    simulation.reload().unwrap();
    simulation.scripted.play(move |task| fate(seed, task));
    simulation.start("one").await.unwrap();
    simulation.crashes = crashes;
    let end = start + hours(24 * days);
    let mut version = 0;
    while simulation.clock.now() < end {
        let span = simulation.random().random_range(1..24 * 6);
        let stop = (simulation.clock.now() + hours(span)).min(end);
        simulation.run_until(stop).await.unwrap();
        match simulation.random().random_range(0..6) {
            0 => {
                version += 1;
                for (name, _) in WORKSPACES {
                    if simulation.random().random_ratio(1, 3) {
                        declare(&simulation, name, version);
                    }
                }
                simulation.reload().unwrap();
                simulation.run_for(minutes(4)).await.unwrap();
                if simulation.random().random_ratio(1, 3) {
                    decide(&simulation).await;
                }
            }
            // The clock is set, or the machine slept.
            1 => simulation.clock.set(simulation.clock.now() + hours(3)),
            2 => simulation.clock.set(simulation.clock.now() - minutes(90)),
            3 => {
                // The daemon is away for days, and something changes meanwhile.
                simulation.kill(0).await;
                version += 1;
                declare(&simulation, "annapurna", version);
                simulation.reload().unwrap();
                let away = simulation.random().random_range(1..100);
                simulation.clock.set(simulation.clock.now() + hours(away));
                simulation.start("one").await.unwrap();
            }
            4 => decide(&simulation).await,
            _ => {}
        }
    }
    simulation.crashes = 0;
    // What is still under way comes to its end.
    simulation.run_for(hours(30)).await.unwrap();
    simulation
}

/// Somebody approves what is gated, and cancels what is under way.
async fn decide(simulation: &Simulation) {
    let engine = simulation.node(0);
    for run in simulation.store().live().await.unwrap() {
        if engine.approve(run.id, None, ana()).await.is_err() {
            engine.cancel(run.id, ana(), None).await.unwrap();
        }
    }
}

/// The cron lines of a subject by their text, and the zone they are read in.
type Lines = (Subject, Vec<(String, Schedule)>, jiff::tz::TimeZone);

fn lines(simulation: &Simulation) -> Vec<Lines> {
    let loaded = simulation.loaded();
    let workspaces = loaded.catalog.workspaces.values().map(|workspace| {
        let lines = workspace.lines.iter().map(|line| (line.text.clone(), line.schedule.clone())).collect();
        (workspace.subject(), lines, workspace.time_zone.clone())
    });
    let jobs = loaded.catalog.jobs.values().map(|job| {
        let cron = |trigger: &JobTrigger| match trigger {
            JobTrigger::Cron(schedule) => Some((schedule.expression().to_owned(), schedule.clone())),
            JobTrigger::Word(_) | JobTrigger::Declared(_) => None,
        };
        (job.subject.clone(), job.triggers.iter().filter_map(cron).collect(), job.time_zone.clone())
    });
    workspaces.chain(jobs).collect()
}

/// Every fire of every line became one run or was skipped once.
async fn every_fire_is_accounted_for(simulation: &Simulation, start: Timestamp) -> usize {
    let cursors = simulation.store().cursors().await.unwrap();
    let entries = simulation.entries().await.unwrap();
    let runs = simulation.runs().await.unwrap();
    let mut fires = 0;
    for (subject, lines, zone) in lines(simulation) {
        let mut expected: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        for (text, schedule) in &lines {
            let until = cursors[&subject];
            let due = schedule.upcoming(start, &zone).take_while(|at| *at <= until);
            expected.entry(text.clone()).or_default().extend(due);
        }
        let mut accounted: BTreeMap<String, usize> = BTreeMap::new();
        let mut exact: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        for run in runs.values().filter(|run| run.subject == subject) {
            if let Origin::Cron { fire, line } = &run.origin {
                *accounted.entry(line.clone()).or_default() += 1;
                exact.entry(line.clone()).or_default().push(*fire);
            }
        }
        for entry in &entries {
            let Record::Skipped { subject: other, due, line, reason, count } = &entry.record else { continue };
            if *other != subject || line.starts_with('@') && !expected.contains_key(line) {
                continue;
            }
            *accounted.entry(line.clone()).or_default() += *count as usize;
            if !matches!(reason, SkipReason::OvertakenBy { .. }) {
                assert_eq!(*count, 1);
                exact.entry(line.clone()).or_default().push(*due);
            }
        }
        for (line, due) in expected {
            assert_eq!(accounted.get(&line).copied().unwrap_or(0), due.len(), "{subject}: {line}");
            let mut exact = exact.remove(&line).unwrap_or_default();
            exact.sort_unstable();
            let many = exact.len();
            exact.dedup();
            assert_eq!(exact.len(), many, "{subject}: {line} has two answers for one fire");
            assert!(exact.iter().all(|fire| due.contains(fire)), "{subject}: {line} was never due then");
            fires += due.len();
        }
    }
    fires
}

/// What is taken ahead of its time waits for it.
async fn nothing_begins_before_it_is_due(simulation: &Simulation) -> usize {
    let runs = simulation.runs().await.unwrap();
    let effects = simulation.scripted.effects();
    let mut ahead = 0;
    // Where a daemon died, the clock may have been set back before the next one begins again what was lost.
    for effect in effects.iter().filter(|effect| effect.what == What::Begun && !effect.resumed) {
        let (id, attempt, step) = effect.key;
        let Some(run) = runs.get(&id) else { continue };
        if let Origin::Cron { fire, .. } = run.origin
            && attempt.get() == 1
            && step == run.action.first_step()
        {
            assert!(effect.at >= fire, "{} began at {}, before {fire}", run.subject, effect.at);
            ahead += usize::from(run.submitted_at < fire);
        }
    }
    ahead
}

/// What is seen of each workspace is what its runs, in the order in which they ended, made of it.
async fn workspaces_are_what_their_runs_made_of_them(simulation: &Simulation) {
    let runs = simulation.runs().await.unwrap();
    let mut settled: BTreeMap<Subject, WorkspacePhase> = BTreeMap::new();
    for entry in simulation.entries().await.unwrap() {
        let Record::Run { run, subject: Subject::Workspace(name), outcome: Some(outcome), .. } = entry.record else {
            continue;
        };
        if let Some(phase) = made(&runs[&run], &outcome) {
            settled.insert(Subject::Workspace(name), phase);
        }
    }
    for (subject, phase) in settled {
        let Some(Projection::Workspace(state)) = simulation.store().projection(&subject).await.unwrap() else {
            panic!("nothing is seen of {subject}");
        };
        assert_eq!(state.settled, phase, "{subject}");
        let live = simulation.store().active_of(&subject).await.unwrap();
        let active = |run: &Run| matches!(run.state, RunState::Running { .. } | RunState::Gated { .. });
        assert_eq!(state.active.is_some(), live.iter().any(active), "{subject}");
    }
}

fn made(run: &Run, outcome: &Outcome) -> Option<WorkspacePhase> {
    let Action::Iac(iac) = &*run.action else { return None };
    let began = run.reached >= Some(Step::Iac(IacStep::Apply));
    match (outcome, &iac.operation) {
        (Outcome::Succeeded, Operation::Deploy { mode }) => Some(WorkspacePhase::Deployed { mode: mode.clone() }),
        (Outcome::Succeeded, Operation::Destroy) => Some(WorkspacePhase::Destroyed),
        (Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Indeterminate { .. }, _) => {
            Some(WorkspacePhase::Failed)
        }
        (Outcome::Cancelled { .. } | Outcome::Superseded { .. }, _) if began => Some(WorkspacePhase::Failed),
        _ => None,
    }
}

async fn check(simulation: &Simulation, start: Timestamp) -> usize {
    assert_eq!(simulation.store().audit().await.unwrap(), []);
    assert_eq!(simulation.scripted.repeated_effects(), []);
    workspaces_are_what_their_runs_made_of_them(simulation).await;
    nothing_begins_before_it_is_due(simulation).await;
    every_fire_is_accounted_for(simulation, start).await
}

#[expect(clippy::print_stdout, reason = "how much happened is worth knowing")]
async fn a_while(seed: u64, days: i64, crashes: u32) {
    let start = "2027-12-30T21:17:00Z".parse().unwrap();
    let simulation = live(seed, days, crashes).await;
    let fires = check(&simulation, start).await;
    let runs = simulation.runs().await.unwrap();
    let entries = simulation.store().head().await.unwrap();
    let mut outcomes: BTreeMap<OutcomeKind, usize> = BTreeMap::new();
    for outcome in runs.values().filter_map(Run::outcome) {
        *outcomes.entry(outcome.kind()).or_default() += 1;
    }
    println!("seed {seed}: {fires} fires, {} runs, {entries} entries, {outcomes:?}", runs.len());
    let days = usize::try_from(days).unwrap();
    assert!(fires > 2 * days && runs.len() > days, "{fires} fires, {} runs", runs.len());
    let ahead = nothing_begins_before_it_is_due(&simulation).await;
    assert_eq!(ahead > 0, takes_ahead(seed), "{ahead} were taken ahead of their time");
    assert!(outcomes.len() >= 6, "it was too quiet: {outcomes:?}");
    let busy = Mode(Name::parse("busy").unwrap());
    let in_mode = |run: &Run| matches!(&*run.action, Action::Iac(iac) if iac.operation.mode() == Some(&busy));
    assert!(runs.values().any(in_mode));
}

#[tokio::test]
async fn a_year_goes_by() {
    a_while(1, 366, 8).await;
}

#[tokio::test]
async fn a_spring_goes_by_with_many_crashes() {
    a_while(2, 100, 60).await;
}

#[tokio::test]
async fn a_spring_goes_by_with_hardly_any() {
    a_while(3, 100, 1).await;
}

/// The last thing that happens is a question that nobody has answered yet.
#[tokio::test]
async fn a_week_goes_by_and_a_gate_is_open() {
    lived(3_348_571_702, 8).await;
}

async fn lived(seed: u64, days: i64) -> String {
    let simulation = live(seed, days, 100).await;
    check(&simulation, "2027-12-30T21:17:00Z".parse().unwrap()).await;
    verbatim(&simulation.entries().await.unwrap())
}

#[test]
fn the_same_seed_makes_the_same_ledger() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime().block_on(lived(11, 40)), runtime().block_on(lived(11, 40)));
    assert!(first.len() > 10_000);
    for (a, b) in first.lines().zip(second.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(first.len(), second.len());
    assert_ne!(first, runtime().block_on(lived(12, 40)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn no_seed_breaks_an_invariant(seed in any::<u32>(), days in 3_i64..15) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(lived(u64::from(seed), days));
    }
}
