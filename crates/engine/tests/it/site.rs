//! Declarations and small helps for simulations.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use piton_model::{By, Event, FailureClass, IacStep, Record, RunId, Step};
use piton_testkit::scripted::{Behaviour, Does};
use piton_testkit::simulation::Simulation;

pub const SECOND: Duration = Duration::from_secs(1);
pub const APPLY: Step = Step::Iac(IacStep::Apply);
pub const PLAN: Step = Step::Iac(IacStep::Plan);

/// A Monday.
pub fn monday(time: &str) -> Timestamp {
    format!("2026-03-02T{time}Z").parse().unwrap()
}

pub fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

pub fn ana() -> By {
    By::User("ana".to_owned())
}

pub fn lasting(minutes: u64) -> Behaviour {
    Behaviour::passes(Duration::from_secs(minutes * 60))
}

pub fn hangs() -> Behaviour {
    Behaviour { does: Does::Pass, lasts: None, heeds: true }
}

pub fn failing(class: FailureClass) -> Behaviour {
    Behaviour::fails(class)
}

/// Writes workspace `name`, with code of its own.
pub fn workspace(simulation: &Simulation, name: &str, config: &str) {
    simulation.write(&format!("workspaces/{name}/main.tf"), "# nothing\n").unwrap();
    simulation.write(&format!("workspaces/{name}/config.json"), config).unwrap();
}

/// Writes standalone job `name`.
pub fn job(simulation: &Simulation, name: &str, rest: &str) {
    let text = format!(r#"{{"name": "{name}", "type": "command", "command": "true", {rest}}}"#);
    simulation.write(&format!("jobs/{name}.json"), &text).unwrap();
}

/// One node over the declarations, at `start`.
pub async fn begin(start: Timestamp, declare: impl FnOnce(&Simulation)) -> Simulation {
    let mut simulation = Simulation::new(7, start).await.unwrap();
    declare(&simulation);
    simulation.reload().unwrap();
    simulation.start("one").await.unwrap();
    simulation.settle().await.unwrap();
    simulation
}

/// What the ledger says beside the steps, in words; and that no invariant is broken.
pub async fn told(simulation: &Simulation) -> String {
    assert_eq!(simulation.store().audit().await.unwrap(), []);
    assert_eq!(simulation.scripted.repeated_effects(), []);
    let story = simulation.story().await.unwrap();
    story.lines().filter(|line| !line.contains(" passed ")).collect::<Vec<_>>().join("\n")
}

/// Compares stories line by line, without the indentation of the source.
#[track_caller]
pub fn assert_story(told: &str, expected: &str) {
    let trim = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let (told, expected) = (trim(told), trim(expected));
    assert!(told == expected, "it went like this:\n{told}\n\nand was expected like this:\n{expected}\n");
}

/// The runs in the order in which they were submitted.
pub async fn submitted(simulation: &Simulation) -> Vec<RunId> {
    let entries = simulation.entries().await.unwrap();
    entries
        .into_iter()
        .filter_map(|entry| match entry.record {
            Record::Run { run, event: Event::Submitted { .. }, .. } => Some(run),
            Record::Run { .. } | Record::Skipped { .. } | Record::Removed { .. } | Record::Audit(_) => None,
        })
        .collect()
}

/// Writes a program of this type and name: a job of tasks, or a schedule of such jobs.
pub fn program(simulation: &Simulation, kind: &str, name: &str, rest: &str) {
    let text = format!(r#"{{"type": "{kind}", "spec": {{"name": "{name}", {rest}}}}}"#);
    simulation.write(&format!("programs/{name}.json"), &text).unwrap();
}

/// Writes a schedule of jobs.
pub fn cron_job(simulation: &Simulation, name: &str, rest: &str) {
    program(simulation, "cronjob", name, &format!(r#""job_template": {{"command": "true"}}, {rest}"#));
}
