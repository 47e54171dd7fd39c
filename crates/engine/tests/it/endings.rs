//! How runs end: cancelled, too late, failed, lost.

use std::time::Duration;

use piton_model::{FailureClass, OutcomeKind, RunId};
use piton_testkit::scripted::{Behaviour, Does};
use piton_testkit::simulation::Simulation;

use crate::site::{
    APPLY, PLAN, ana, assert_story, begin, failing, hangs, hours, lasting, minutes, monday, told, workspace,
};

const NEVER: &str = r#"{"timeout": "30m"}"#;

async fn deploying(script: impl Fn(&piton_engine::Task) -> Behaviour + Send + 'static) -> (Simulation, RunId) {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(script);
        workspace(s, "everest", NEVER);
    })
    .await;
    let run = simulation.node(0).deploy("everest", None, ana()).await.unwrap().id;
    simulation.settle().await.unwrap();
    (simulation, run)
}

async fn outcome(simulation: &Simulation, run: RunId) -> OutcomeKind {
    simulation.node(0).run(run).await.unwrap().outcome().expect("it ended").kind()
}

#[tokio::test]
async fn a_run_that_has_not_begun_is_cancelled_at_once() {
    let (mut simulation, _) = deploying(|_| lasting(5)).await;
    let waiting = simulation.node(0).plan("everest", None, ana()).await.unwrap().id;
    simulation.run_for(minutes(1)).await.unwrap();
    simulation.node(0).cancel(waiting, ana(), None).await.unwrap();
    assert_eq!(outcome(&simulation, waiting).await, OutcomeKind::Cancelled);
    assert!(simulation.scripted.effects().iter().all(|effect| effect.key.0 != waiting));
}

#[tokio::test]
async fn a_run_that_is_under_way_is_stopped_and_begins_nothing_more() {
    let (mut simulation, run) = deploying(|_| lasting(5)).await;
    simulation.run_for(minutes(11)).await.unwrap();
    simulation.node(0).cancel(run, ana(), None).await.unwrap();
    simulation.settle().await.unwrap();
    assert_eq!(outcome(&simulation, run).await, OutcomeKind::Cancelled);
    assert!(simulation.scripted.effects().iter().all(|effect| effect.key.2 != APPLY));
    told(&simulation).await;
}

#[tokio::test]
async fn a_cancel_by_another_node_reaches_the_one_that_drives() {
    let (mut simulation, run) = deploying(|_| hangs()).await;
    let other = simulation.engine("two");
    other.cancel(run, ana(), None).await.unwrap();
    simulation.settle().await.unwrap();
    assert_eq!(outcome(&simulation, run).await, OutcomeKind::Cancelled);
}

#[tokio::test]
async fn a_cancel_that_comes_before_the_daemon_is_back_is_heeded() {
    let (mut simulation, run) = deploying(|_| hangs()).await;
    simulation.kill(0).await;
    let other = simulation.engine("two");
    other.cancel(run, ana(), None).await.unwrap();
    simulation.start("one").await.unwrap();
    simulation.settle().await.unwrap();
    assert_eq!(outcome(&simulation, run).await, OutcomeKind::Cancelled);
}

#[tokio::test]
async fn an_apply_that_comes_to_its_end_although_it_was_told_to_stop_counts() {
    let (mut simulation, run) = deploying(|task| Behaviour { heeds: task.step != APPLY, ..lasting(5) }).await;
    simulation.run_for(minutes(16)).await.unwrap();
    simulation.node(0).cancel(run, ana(), None).await.unwrap();
    simulation.settle().await.unwrap();
    assert_eq!(outcome(&simulation, run).await, OutcomeKind::Succeeded);
    told(&simulation).await;
}

#[tokio::test]
async fn what_takes_too_long_is_stopped() {
    let (mut simulation, run) = deploying(|task| if task.step == PLAN { hangs() } else { lasting(5) }).await;
    simulation.run_for(hours(1)).await.unwrap();
    assert_eq!(outcome(&simulation, run).await, OutcomeKind::TimedOut);
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: asked for by ana
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:30:00 workspace/everest #1 failed: took longer than 1800s and was stopped during `plan` -> timed_out
    ",
    );
}

#[tokio::test]
async fn no_step_begins_after_the_time_is_over() {
    // Twenty minutes each: the second one ends late, and the third never begins.
    let slow = |_: &piton_engine::Task| Behaviour { heeds: false, ..lasting(20) };
    let (mut simulation, run) = deploying(slow).await;
    simulation.run_for(hours(1)).await.unwrap();
    assert_eq!(outcome(&simulation, run).await, OutcomeKind::TimedOut);
    assert_eq!(simulation.scripted.effects().iter().filter(|effect| effect.key.2 == PLAN).count(), 0);
}

#[tokio::test]
async fn a_wall_clock_that_is_set_makes_nothing_late() {
    let (mut simulation, run) = deploying(|task| if task.step == PLAN { hangs() } else { lasting(5) }).await;
    for jump in [hours(24), hours(-48), hours(24 * 365)] {
        simulation.clock.jump(simulation.clock.now() + jump);
        simulation.run_for(minutes(5)).await.unwrap();
        assert!(simulation.node(0).run(run).await.unwrap().outcome().is_none(), "{jump} made it late");
    }
    // A quarter of an hour has gone by: the rest of its time is left, not more.
    simulation.run_for(minutes(14)).await.unwrap();
    assert!(simulation.node(0).run(run).await.unwrap().outcome().is_none());
    simulation.run_for(minutes(2)).await.unwrap();
    assert_eq!(outcome(&simulation, run).await, OutcomeKind::TimedOut);
}

#[tokio::test]
async fn a_run_that_is_taken_back_is_as_old_as_it_is_whatever_the_wall_clock_shows() {
    for jump in [hours(24), hours(-24)] {
        let mut simulation = Simulation::new(7, monday("08:00:00")).await.unwrap();
        simulation.configure = |config| piton_engine::Config { boot_id: Some("boot".to_owned()), ..config };
        simulation.scripted.play(|_| hangs());
        workspace(&simulation, "everest", NEVER);
        simulation.reload().unwrap();
        simulation.start("one").await.unwrap();
        let run = simulation.node(0).deploy("everest", None, ana()).await.unwrap().id;
        simulation.run_for(minutes(10)).await.unwrap();
        simulation.kill(0).await;
        simulation.clock.jump(simulation.clock.now() + jump);
        simulation.clock.set(simulation.clock.now() + minutes(10));
        simulation.start("one").await.unwrap();
        simulation.run_for(minutes(9)).await.unwrap();
        assert!(simulation.node(0).run(run).await.unwrap().outcome().is_none(), "{jump} made it late");
        simulation.run_for(minutes(2)).await.unwrap();
        assert_eq!(outcome(&simulation, run).await, OutcomeKind::TimedOut, "{jump}");
    }
}

#[tokio::test]
async fn a_panic_fails_the_run_and_nothing_else() {
    let panics = Behaviour { does: Does::Panic, lasts: Some(Duration::ZERO), heeds: true };
    for (at, expected) in [(PLAN, OutcomeKind::Failed), (APPLY, OutcomeKind::Indeterminate)] {
        let (mut simulation, run) = deploying(move |task| if task.step == at { panics } else { lasting(1) }).await;
        simulation.run_for(hours(1)).await.unwrap();
        assert_eq!(outcome(&simulation, run).await, expected);
        simulation.scripted.play(|_| lasting(1));
        let next = simulation.node(0).deploy("everest", None, ana()).await.unwrap().id;
        simulation.run_for(hours(1)).await.unwrap();
        assert_eq!(outcome(&simulation, next).await, OutcomeKind::Succeeded);
        assert_eq!(simulation.node(0).driving(), 0);
        told(&simulation).await;
    }
}

#[tokio::test]
async fn transient_failures_are_tried_again_with_longer_and_longer_pauses() {
    let (mut simulation, run) =
        deploying(|task| if task.run.failures < 2 { failing(FailureClass::Transient) } else { lasting(1) }).await;
    simulation.run_for(hours(1)).await.unwrap();
    assert_eq!(outcome(&simulation, run).await, OutcomeKind::Succeeded);
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: asked for by ana
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:00:00 workspace/everest #1 failed: `prepare` failed as the script says
        Mon 02 08:00:10 workspace/everest #1 claimed by one, attempt 2
        Mon 02 08:00:10 workspace/everest #1 failed: `prepare` failed as the script says
        Mon 02 08:00:30 workspace/everest #1 claimed by one, attempt 3
        Mon 02 08:05:30 workspace/everest #1 done -> succeeded
    ",
    );
    let hopeless = {
        simulation.scripted.play(|_| failing(FailureClass::Transient));
        simulation.node(0).deploy("everest", None, ana()).await.unwrap().id
    };
    simulation.run_for(hours(1)).await.unwrap();
    let ended = simulation.node(0).run(hopeless).await.unwrap();
    assert_eq!((ended.attempts, ended.outcome().map(piton_model::Outcome::kind)), (3, Some(OutcomeKind::Failed)));
}
