//! What is due is taken a moment before: it begins neither before its time nor after it, and what happens in that moment
//! counts.

use std::time::Duration;

use jiff::Timestamp;
use piton_engine::{Config, Shutdown};
use piton_model::{Action, OutcomeKind, Phase, Program, Run};
use piton_testkit::scripted::{Effect, What};
use piton_testkit::simulation::Simulation;

use crate::site::{ana, cron_job, hangs, hours, job, lasting, minutes, monday, told, workspace};

const AHEAD: Duration = Duration::from_millis(25);
/// Within the moment before nine.
const JUST_BEFORE: &str = "08:59:59.980";

async fn begin(declare: impl FnOnce(&Simulation)) -> Simulation {
    let mut simulation = Simulation::new(7, monday("08:00:00")).await.unwrap();
    simulation.configure = |config| Config { ahead: AHEAD, ..config };
    simulation.scripted.play(|_| lasting(1));
    declare(&simulation);
    simulation.reload().unwrap();
    simulation.start("one").await.unwrap();
    simulation.settle().await.unwrap();
    simulation
}

/// The report of nine o'clock is taken, and the time has not come.
async fn taken() -> (Simulation, Run) {
    let mut simulation = begin(|s| job(s, "report", r#""schedule": "0 9 * * *""#)).await;
    simulation.run_until(monday(JUST_BEFORE)).await.unwrap();
    let live = simulation.store().live().await.unwrap();
    let [run] = &live[..] else { panic!("{live:?}") };
    assert!(run.lease().is_some() && run.submitted_at < monday("09:00:00"), "{run:?}");
    let run = run.clone();
    (simulation, run)
}

fn begun(simulation: &Simulation) -> Vec<Effect> {
    simulation.scripted.effects().into_iter().filter(|effect| effect.what == What::Begun).collect()
}

fn begun_at(simulation: &Simulation) -> Vec<Timestamp> {
    begun(simulation).into_iter().map(|effect| effect.at).collect()
}

async fn outcome(simulation: &Simulation, run: &Run) -> Option<OutcomeKind> {
    simulation.node(0).run(run.id).await.unwrap().outcome().map(piton_model::Outcome::kind)
}

#[tokio::test]
async fn it_begins_when_it_is_due_and_is_said_to() {
    let (mut simulation, run) = taken().await;
    assert_eq!(begun(&simulation), []);
    simulation.run_until(monday("12:00:00")).await.unwrap();
    let nine = monday("09:00:00");
    assert_eq!(begun_at(&simulation), [nine]);
    let run = simulation.node(0).run(run.id).await.unwrap();
    assert_eq!((run.started_at, run.attempts), (Some(nine), 1));
    let piton_model::Projection::Job(state) = simulation.store().projection(&run.subject).await.unwrap().unwrap()
    else {
        panic!("it is a job");
    };
    assert_eq!((state.last_run, state.last_schedule, state.run_count), (Some(nine), Some(nine), 1));
    told(&simulation).await;
}

#[tokio::test]
async fn what_is_due_after_a_while_is_done_whenever_that_is_over() {
    let mut simulation = begin(|s| {
        job(s, "ticks", r#""schedule": "@every 5s""#);
        job(s, "watch", r#""schedule": "@every 90m""#);
    })
    .await;
    simulation.scripted.play(|_| lasting(0));
    simulation.run_until(monday("11:00:10")).await.unwrap();
    let runs = simulation.runs().await.unwrap();
    let done = |name: &str| {
        let of_job = runs.values().filter(|run| run.subject.name() == name && run.phase() == Phase::Ended);
        of_job.map(|run| (run.started_at, run.outcome().map(piton_model::Outcome::kind))).collect::<Vec<_>>()
    };
    let watched = [monday("09:30:00"), monday("11:00:00")].map(|at| (Some(at), Some(OutcomeKind::Succeeded)));
    assert_eq!(done("watch"), watched);
    let ticks = done("ticks");
    assert!(ticks.len() > 2_000, "{}", ticks.len());
    assert!(ticks.iter().all(|(_, outcome)| *outcome == Some(OutcomeKind::Succeeded)), "{ticks:?}");
    told(&simulation).await;
}

#[tokio::test]
async fn a_job_of_any_kind_is_what_it_was_when_it_is_looked_at_again() {
    let nine = r#""schedule": "0 9 * * *""#;
    let mut simulation = begin(|s| {
        job(s, "command", &format!(r#"{nine}, "environment": {{"A": "b"}}, "timeout": "90s""#));
        s.write(
            "jobs/script.json",
            &format!(r##"{{"name": "script", "type": "script", "script": "#!/bin/sh\ntrue\n", {nine}}}"##),
        )
        .unwrap();
        s.write("templates/registry.json", r#"{"templates": {"camp": {"content_hash": "one"}}}"#).unwrap();
        s.write("templates/camp/main.tf", "# nothing\n").unwrap();
        s.write(
            "jobs/template.json",
            &format!(r#"{{"name": "template", "type": "template", "template": "camp", {nine}}}"#),
        )
        .unwrap();
        cron_job(s, "tasks", r#""schedule": "0 9 * * *", "concurrency_policy": "Allow""#);
        let jobs = format!(r#"[{{"name": "inner", "type": "command", "command": "true", {nine}}}]"#);
        workspace(s, "everest", &format!(r#"{{"jobs": {jobs}}}"#));
    })
    .await;
    simulation.scripted.play(|_| lasting(0));
    simulation.run_until(monday(JUST_BEFORE)).await.unwrap();
    let early: Vec<_> = simulation.store().live().await.unwrap().iter().map(|run| run.subject.to_string()).collect();
    assert_eq!(early.len(), 5, "{early:?}");
    simulation.run_until(monday("10:00:00")).await.unwrap();
    let of_jobs = simulation.runs().await.unwrap().into_values().filter(|run| early.contains(&run.subject.to_string()));
    for run in of_jobs {
        assert_eq!(run.outcome().map(piton_model::Outcome::kind), Some(OutcomeKind::Succeeded), "{}", run.subject);
        assert_eq!(run.started_at, Some(monday("09:00:00")), "{}", run.subject);
    }
    told(&simulation).await;
}

#[tokio::test]
async fn what_is_cancelled_in_the_moment_never_begins() {
    let (mut simulation, run) = taken().await;
    simulation.node(0).cancel(run.id, ana(), None).await.unwrap();
    simulation.run_until(monday("12:00:00")).await.unwrap();
    assert_eq!((begun(&simulation), outcome(&simulation, &run).await), (vec![], Some(OutcomeKind::Cancelled)));
    told(&simulation).await;
}

#[tokio::test]
async fn what_is_suspended_in_the_moment_never_begins() {
    let (mut simulation, run) = taken().await;
    simulation.node(0).suspend_job(None, "report", ana()).await.unwrap();
    simulation.run_until(monday("12:00:00")).await.unwrap();
    assert_eq!((begun(&simulation), outcome(&simulation, &run).await), (vec![], Some(OutcomeKind::Cancelled)));
    told(&simulation).await;
}

#[tokio::test]
async fn what_is_declared_otherwise_in_the_moment_is_done_as_declared() {
    for (rest, expected) in [
        (r#""schedule": "0 10 * * *""#, vec![monday("10:00:00")]),
        (r#""schedule": "0 9 * * *", "enabled": false"#, vec![]),
        // What does not matter changes nothing.
        (r#""schedule": "0 9 * * *", "description": "daily""#, vec![monday("09:00:00")]),
    ] {
        let (mut simulation, _) = taken().await;
        job(&simulation, "report", rest);
        simulation.reload().unwrap();
        simulation.run_until(monday("12:00:00")).await.unwrap();
        assert_eq!(begun_at(&simulation), expected, "{rest}");
        told(&simulation).await;
    }
}

#[tokio::test]
async fn a_command_that_is_changed_in_the_moment_is_the_one_that_runs() {
    let (mut simulation, run) = taken().await;
    let changed = r#"{"name": "report", "type": "command", "command": "false", "schedule": "0 9 * * *"}"#;
    simulation.write("jobs/report.json", changed).unwrap();
    simulation.reload().unwrap();
    simulation.run_until(monday("12:00:00")).await.unwrap();
    let effects = begun(&simulation);
    assert_eq!(begun_at(&simulation), [monday("09:00:00")]);
    let begun = simulation.node(0).run(effects[0].key.0).await.unwrap();
    let Action::Command(command) = &*begun.action else { panic!("{begun:?}") };
    assert_eq!(command.program, Program::Shell { line: "false".to_owned() });
    assert_eq!(begun.origin, run.origin);
    assert_eq!(outcome(&simulation, &run).await, Some(OutcomeKind::Superseded));
    assert_eq!(outcome(&simulation, &begun).await, Some(OutcomeKind::Succeeded));
    told(&simulation).await;
}

#[tokio::test]
async fn a_daemon_that_dies_in_the_moment_loses_nothing_and_hastens_nothing() {
    for back in ["08:59:59.990", "09:00:00", "09:00:07"] {
        let (mut simulation, run) = taken().await;
        simulation.kill(0).await;
        simulation.clock.set(monday(back));
        simulation.start("one").await.unwrap();
        simulation.run_until(monday("12:00:00")).await.unwrap();
        assert_eq!(begun_at(&simulation), [monday(back).max(monday("09:00:00"))]);
        assert_eq!(outcome(&simulation, &run).await, Some(OutcomeKind::Succeeded));
        told(&simulation).await;
    }
}

#[tokio::test]
async fn of_several_nodes_each_run_has_one_and_all_begin_in_time() {
    let mut simulation = begin(|s| {
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            job(s, name, r#""schedule": "0 * * * *""#);
        }
    })
    .await;
    simulation.start("two").await.unwrap();
    simulation.run_for(hours(6)).await.unwrap();
    let effects = begun(&simulation);
    assert_eq!(effects.len(), 6 * 8);
    for effect in effects {
        assert_eq!(effect.at.as_second() % 3600, 0, "{effect:?}");
        assert_eq!(effect.at.subsec_nanosecond(), 0, "{effect:?}");
    }
    told(&simulation).await;
}

#[tokio::test]
async fn what_waits_for_another_job_or_has_a_run_in_its_way_is_decided_about_in_time() {
    let mut simulation = begin(|s| {
        job(s, "dump", r#""schedule": "0 9 * * *""#);
        job(s, "upload", r#""schedule": "0 9 * * *", "depends_on": ["dump"]"#);
        job(s, "busy", r#""schedule": "0 * * * *""#);
    })
    .await;
    simulation.run_until(monday("08:45:00")).await.unwrap();
    let busy = simulation.node(0).run_job(None, "busy", ana()).await.unwrap();
    simulation.scripted.play(move |task| if task.run.id == busy.id { hangs() } else { lasting(1) });
    simulation.run_until(monday(JUST_BEFORE)).await.unwrap();
    let early: Vec<_> = simulation.store().live().await.unwrap().iter().map(|run| run.subject.to_string()).collect();
    assert_eq!(early.len(), 2, "{early:?}");
    assert!(early.contains(&"job/dump".to_owned()) && early.contains(&"job/busy".to_owned()), "{early:?}");
    simulation.run_until(monday("09:30:00")).await.unwrap();
    let uploads: Vec<_> = begun(&simulation).into_iter().filter(|effect| effect.subject.name() == "upload").collect();
    assert_eq!(uploads.iter().map(|effect| effect.at).collect::<Vec<_>>(), [monday("09:01:00")]);
    let story = told(&simulation).await;
    assert!(story.contains("Mon 02 09:00:00 job/busy skipped 1 of `0 * * * *`"), "{story}");
}

/// Looks again and again, while the clock stands still.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let search = async {
        while !holds().await {
            tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await.unwrap_err();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), search)
        .await
        .unwrap_or_else(|_| panic!("waited too long until {what}"));
}

#[tokio::test]
async fn the_loops_of_a_daemon_take_ahead_and_begin_in_time() {
    let mut simulation = Simulation::new(7, monday("08:59:00")).await.unwrap();
    simulation.configure = |config| Config { ahead: AHEAD, ..config };
    simulation.scripted.play(|_| lasting(1));
    job(&simulation, "report", r#""schedule": "0 9 * * *""#);
    simulation.reload().unwrap();
    let engine = simulation.engine("one");
    engine.start().await.unwrap();
    let hand = &simulation.clock;
    let store = engine.store();
    until("its fires are counted", async || !store.cursors().await.unwrap().is_empty()).await;
    // The clock stands still in the moment before nine: the run is taken all the same.
    hand.set(monday(JUST_BEFORE));
    let is_taken = async || store.live().await.unwrap().iter().any(|run| run.lease().is_some());
    until("it is taken", is_taken).await;
    assert_eq!(begun(&simulation), []);
    hand.set(monday("09:00:00"));
    until("it begins", async || !begun(&simulation).is_empty()).await;
    assert_eq!(begun_at(&simulation), [monday("09:00:00")]);
    hand.set(hand.now() + minutes(2));
    engine.shutdown(Shutdown::Drain).await;
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}
