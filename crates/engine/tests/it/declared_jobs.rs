//! Jobs that are declared, and jobs that somebody makes.

use std::time::Duration;

use piton_engine::{Error, JobPhase};
use piton_model::{Batch, FailureClass, Name, Program};
use piton_testkit::simulation::Simulation;

use crate::site::{ana, assert_story, begin, failing, hangs, lasting, minutes, monday, program, told};

fn batch() -> Batch {
    Batch::new(Program::Shell { line: "true".to_owned() })
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

async fn names(simulation: &Simulation) -> Vec<(String, JobPhase)> {
    simulation.node(0).jobs().await.unwrap().iter().map(|job| (job.name.clone(), job.phase())).collect()
}

#[tokio::test]
async fn a_declared_job_runs_once_for_each_declaration() {
    let mut simulation = begin(monday("08:00:00"), |s| program(s, "job", "load", r#""command": "true""#)).await;
    for _ in 0..3 {
        simulation.run_for(minutes(5)).await.unwrap();
        simulation.kill(0).await;
        simulation.start("one").await.unwrap();
    }
    program(&simulation, "job", "load", r#""command": "true", "parallelism": 2"#);
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    // What it was once, it need not do again.
    program(&simulation, "job", "load", r#""command": "true""#);
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 job/load #1 submitted to run: new or changed configuration
        Mon 02 08:00:00 job/load #1 claimed by one, attempt 1
        Mon 02 08:00:01 job/load #1 done -> succeeded
        Mon 02 08:15:00 job/load #2 submitted to run: new or changed configuration
        Mon 02 08:15:00 job/load #2 claimed by one, attempt 1
        Mon 02 08:15:01 job/load #2 done -> succeeded
    ",
    );
    assert_eq!(names(&simulation).await, [("load".to_owned(), JobPhase::Succeeded)]);
}

#[tokio::test]
async fn a_changed_declaration_takes_the_place_of_what_runs() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(30));
        program(s, "job", "load", r#""command": "true""#);
    })
    .await;
    simulation.run_for(minutes(5)).await.unwrap();
    program(&simulation, "job", "load", r#""command": "false""#);
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    // When the older one hears of it is a matter of the simulation.
    let told = told(&simulation).await;
    let untimed: Vec<&str> = told.lines().filter_map(|line| line.split_once(" job/")).map(|(_, rest)| rest).collect();
    assert_story(
        &untimed.join("\n"),
        r"
        load #1 submitted to run: new or changed configuration
        load #1 claimed by one, attempt 1
        load #1 superseded
        load #2 submitted to run: new or changed configuration
        load #1 failed: `execute` failed as the script says -> superseded
        load #2 claimed by one, attempt 1
    ",
    );
}

#[tokio::test]
async fn a_suspended_job_begins_when_it_is_resumed() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        program(s, "job", "asleep", r#""command": "true", "suspend": true"#);
    })
    .await;
    simulation.run_for(minutes(5)).await.unwrap();
    let job = simulation.node(0).job_object("asleep").await.unwrap();
    assert_eq!((job.phase(), job.suspended, job.run), (JobPhase::Pending, true, None));
    program(&simulation, "job", "asleep", r#""command": "true", "suspend": false"#);
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    assert_eq!(names(&simulation).await, [("asleep".to_owned(), JobPhase::Succeeded)]);
    // Held back by somebody before it is declared anew, it waits as well.
    simulation.node(0).hold_job("asleep", ana()).await.unwrap();
    program(&simulation, "job", "asleep", r#""command": "false""#);
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    assert_eq!(told(&simulation).await.matches("submitted").count(), 1);
    simulation.node(0).release_job("asleep").await.unwrap();
    simulation.run_for(minutes(1)).await.unwrap();
    assert_eq!(told(&simulation).await.matches("submitted").count(), 2);
}

/// As in Kubernetes: since when it is suspended, and since when no more, over restarts.
#[tokio::test]
async fn a_file_that_holds_a_job_back_tells_since_when() {
    let declare =
        |s: &Simulation, members: &str| program(s, "job", "asleep", &format!(r#""command": "true"{members}"#));
    let suspended = async |simulation: &Simulation| {
        let conditions = simulation.node(0).job_object("asleep").await.unwrap().conditions();
        let found = conditions.into_iter().find(|condition| condition.kind == "Suspended");
        found.map(|condition| (condition.holds, condition.reason, condition.at))
    };
    let held = |time: &str| Some((true, "JobSuspended".to_owned(), Some(monday(time))));
    let mut simulation = begin(monday("08:00:00"), |s| declare(s, r#", "suspend": true"#)).await;
    simulation.run_for(minutes(5)).await.unwrap();
    assert_eq!(suspended(&simulation).await, held("08:00:00"));
    simulation.kill(0).await;
    simulation.start("one").await.unwrap();
    declare(&simulation, r#", "suspend": true, "parallelism": 2"#);
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    assert_eq!(suspended(&simulation).await, held("08:00:00"), "it was never let go");
    declare(&simulation, "");
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    let released = Some((false, "JobResumed".to_owned(), Some(monday("08:10:00"))));
    assert_eq!(suspended(&simulation).await, released);
    assert_eq!(names(&simulation).await, [("asleep".to_owned(), JobPhase::Succeeded)]);
    // What is declared anew was never held back.
    declare(&simulation, r#", "parallelism": 3"#);
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    assert_eq!(suspended(&simulation).await, None);
    simulation
        .write("programs/asleep.json", r#"{"type": "process", "spec": {"name": "other", "command": "true"}}"#)
        .unwrap();
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    assert_eq!(simulation.store().file_holds().await.unwrap().len(), 0, "what is gone is forgotten");
}

#[tokio::test]
async fn to_suspend_a_job_in_its_file_runs_it_no_second_time() {
    let mut simulation = begin(monday("08:00:00"), |s| program(s, "job", "load", r#""command": "true""#)).await;
    simulation.run_for(minutes(5)).await.unwrap();
    for members in [r#""command": "true", "suspend": true"#, r#""command": "true""#] {
        program(&simulation, "job", "load", members);
        simulation.reload().unwrap();
        simulation.run_for(minutes(5)).await.unwrap();
    }
    assert_eq!(told(&simulation).await.matches("submitted").count(), 1);
}

/// What the older declaration began is not let go on, or else both would run.
#[tokio::test]
async fn a_held_job_that_was_declared_anew_gives_way_when_it_is_released() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|task| if task.run.subject.to_string() == "job/load" { hangs() } else { lasting(1) });
        program(s, "job", "load", r#""command": "true""#);
    })
    .await;
    simulation.run_for(minutes(1)).await.unwrap();
    simulation.node(0).hold_job("load", ana()).await.unwrap();
    program(&simulation, "job", "load", r#""command": "false""#);
    simulation.reload().unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    assert_eq!(told(&simulation).await.matches("submitted").count(), 1, "it waits");
    simulation.node(0).release_job("load").await.unwrap();
    simulation.run_for(minutes(1)).await.unwrap();
    let told = told(&simulation).await;
    assert!(told.contains("job/load #1 superseded"), "{told}");
    assert!(told.contains("job/load #2 claimed by one"), "{told}");
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}

#[tokio::test]
async fn a_job_goes_some_time_after_its_end() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(10));
        program(s, "job", "load", r#""command": "true", "ttl_seconds_after_finished": 300"#);
    })
    .await;
    let ttl = |seconds| Batch { ttl_after_finished: Some(Duration::from_secs(seconds)), ..batch() };
    simulation.node(0).create_job(name("quick"), ttl(0), ana()).await.unwrap();
    simulation.node(0).create_job(name("kept"), batch(), ana()).await.unwrap();
    simulation.run_until(monday("08:12:00")).await.unwrap();
    let phase = JobPhase::Succeeded;
    assert_eq!(names(&simulation).await, [("kept".to_owned(), phase), ("load".to_owned(), phase)]);
    // A restart does not make it be forgotten that a job is to go.
    simulation.kill(0).await;
    simulation.start("one").await.unwrap();
    simulation.run_until(monday("08:16:00")).await.unwrap();
    // What is declared is not begun again.
    assert_eq!(names(&simulation).await, [("kept".to_owned(), phase)]);
    let told = told(&simulation).await;
    assert_eq!(told.matches("submitted").count(), 3, "{told}");
    assert!(told.contains("Mon 02 08:10:00 job/quick #"), "{told}");
    assert!(told.contains("Mon 02 08:15:00 job/load #1 removed by"), "{told}");
}

/// A wall clock that was set wrong removes nothing before its time.
#[tokio::test]
async fn a_clock_that_leaps_takes_no_job_away() {
    let mut simulation = begin(monday("08:00:00"), |_| {}).await;
    let ttl = |seconds| Batch { ttl_after_finished: Some(Duration::from_secs(seconds)), ..batch() };
    simulation.node(0).create_job(name("load"), ttl(1800), ana()).await.unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    simulation.clock.jump(monday("20:00:00"));
    simulation.run_for(minutes(5)).await.unwrap();
    assert_eq!(names(&simulation).await, [("load".to_owned(), JobPhase::Succeeded)]);
    simulation.clock.jump(monday("08:10:00"));
    simulation.run_for(minutes(24 * 60)).await.unwrap();
    assert_eq!(names(&simulation).await, []);
}

#[tokio::test]
async fn jobs_are_made_stopped_and_removed() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|task| {
            if task.run.subject.to_string() == "job/broken" { failing(FailureClass::Permanent) } else { hangs() }
        });
    })
    .await;
    let engine = simulation.node(0).clone();
    engine.create_job(name("load"), batch(), ana()).await.unwrap();
    engine.create_job(name("broken"), batch(), ana()).await.unwrap();
    simulation.run_for(minutes(1)).await.unwrap();
    assert!(matches!(engine.create_job(name("load"), batch(), ana()).await, Err(Error::JobExists(_))));
    let expected = [("broken".to_owned(), JobPhase::Failed), ("load".to_owned(), JobPhase::Running)];
    assert_eq!(names(&simulation).await, expected);
    let conditions = engine.job_object("broken").await.unwrap().conditions();
    assert_eq!((conditions[0].kind, conditions[0].reason.as_str()), ("Failed", "scripted"));
    engine.stop_job("load", ana()).await.unwrap();
    simulation.settle().await.unwrap();
    let stopped = engine.job_object("load").await.unwrap();
    assert_eq!(stopped.phase(), JobPhase::Failed);
    assert_eq!(stopped.conditions()[0].reason, "JobStopped");
    assert!(matches!(engine.stop_job("load", ana()).await, Err(Error::NotRunning(_))));
    engine.delete_job("load", ana()).await.unwrap();
    assert!(matches!(engine.job_object("load").await, Err(Error::NotFound { .. })));
    // One that runs is stopped first.
    engine.create_job(name("load"), batch(), ana()).await.unwrap();
    simulation.settle().await.unwrap();
    let delete = tokio::spawn({
        let engine = engine.clone();
        async move { engine.delete_job("load", ana()).await }
    });
    while !delete.is_finished() {
        simulation.settle().await.unwrap();
        tokio::task::yield_now().await;
    }
    delete.await.unwrap().unwrap();
    assert_eq!(names(&simulation).await, [("broken".to_owned(), JobPhase::Failed)]);
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}
