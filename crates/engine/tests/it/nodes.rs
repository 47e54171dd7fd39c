//! Daemons that die, come back, and stand beside each other.

use jiff::SignedDuration;
use piton_engine::Driven;
use piton_model::{OutcomeKind, Phase};
use piton_testkit::scripted::What;
use piton_testkit::simulation::Simulation;

use crate::site::{APPLY, ana, assert_story, begin, hours, lasting, minutes, monday, submitted, told, workspace};

const DAILY: &str = r#"{"deploy_schedule": "0 9 * * *", "destroy_schedule": "0 18 * * *"}"#;

async fn beginning(simulation: &mut Simulation) -> piton_model::RunId {
    let run = simulation.node(0).deploy("everest", None, ana()).await.unwrap().id;
    simulation.settle().await.unwrap();
    run
}

fn declare(simulation: &Simulation) {
    simulation.scripted.play(|_| lasting(5));
    workspace(simulation, "everest", "{}");
}

#[tokio::test]
async fn a_daemon_that_comes_back_takes_over_its_children() {
    let mut simulation = begin(monday("08:00:00"), declare).await;
    let run = beginning(&mut simulation).await;
    for _ in 0..4 {
        simulation.run_for(minutes(3)).await.unwrap();
        simulation.kill(0).await;
        simulation.clock.set(simulation.clock.now() + minutes(1));
        simulation.start("one").await.unwrap();
    }
    simulation.run_for(hours(1)).await.unwrap();
    let ended = simulation.node(0).run(run).await.unwrap();
    assert_eq!((ended.attempts, ended.outcome().map(piton_model::Outcome::kind)), (1, Some(OutcomeKind::Succeeded)));
    let applies = simulation.scripted.effects().into_iter().filter(|effect| effect.key.2 == APPLY);
    assert_eq!(applies.filter(|effect| effect.what == What::Begun).count(), 1);
    told(&simulation).await;
}

#[tokio::test]
async fn a_worker_that_is_gone_is_rescued_by_another_one() {
    let mut simulation = begin(monday("08:00:00"), declare).await;
    beginning(&mut simulation).await;
    simulation.run_for(minutes(11)).await.unwrap();
    simulation.kill(0).await;
    // The one plans anew what was only planned.
    simulation.start("two").await.unwrap();
    simulation.run_for(minutes(16)).await.unwrap();
    simulation.kill(1).await;
    // And nobody repeats what may have been applied.
    simulation.start("three").await.unwrap();
    simulation.run_for(hours(1)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: asked for by ana
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:11:15 workspace/everest #1 lost its lease
        Mon 02 08:11:15 workspace/everest #1 claimed by two, attempt 2
        Mon 02 08:27:15 workspace/everest #1 lost its lease -> indeterminate
    ",
    );
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_changes_nothing_any_more() {
    let mut simulation = begin(monday("08:00:00"), declare).await;
    simulation.kill(0).await;
    simulation.scripted.play(|_| lasting(0));
    let (one, two) = (simulation.engine("one"), simulation.engine("two"));
    let run = one.deploy("everest", None, ana()).await.unwrap().id;
    let mut drive = piton_engine::Rounds::new(&one).await.unwrap().claim().await.unwrap().remove(0);
    let mut rounds = piton_engine::Rounds::new(&two).await.unwrap();
    assert_eq!(rounds.rescue().await.unwrap(), 0, "its lease lasts");
    simulation.clock.set(monday("08:01:00"));
    assert_eq!(rounds.rescue().await.unwrap(), 0, "the database may have been away for the holder too");
    simulation.clock.set(monday("08:01:15"));
    assert_eq!(rounds.rescue().await.unwrap(), 1);
    assert_eq!(rounds.claim().await.unwrap().len(), 1);
    // The first one comes to the end of its step, and is refused.
    simulation.clock.set(monday("08:10:00"));
    assert!(matches!(drive.step().await, Driven::Lost));
    let held = two.run(run).await.unwrap();
    assert_eq!(held.lease().map(|lease| lease.worker.as_str().to_owned()), Some("two".to_owned()));
    assert_eq!(held.phase(), Phase::Running);
}

#[tokio::test]
async fn a_renewal_stops_what_is_not_held_any_more() {
    let mut simulation = begin(monday("08:00:00"), declare).await;
    simulation.kill(0).await;
    let (one, two) = (simulation.engine("one"), simulation.engine("two"));
    let run = one.deploy("everest", None, ana()).await.unwrap().id;
    let mut rounds = piton_engine::Rounds::new(&one).await.unwrap();
    let drives = rounds.claim().await.unwrap();
    assert_eq!((drives.len(), one.driving()), (1, 1));
    let mut others = piton_engine::Rounds::new(&two).await.unwrap();
    others.rescue().await.unwrap();
    simulation.clock.set(monday("08:00:15"));
    assert_eq!(others.rescue().await.unwrap(), 1);
    rounds.renew().await.unwrap();
    assert_eq!(rounds.stopping(), [run]);
    drop(drives);
    assert_eq!(one.driving(), 0);
}

#[tokio::test]
async fn the_end_of_an_old_attempt_does_not_hide_the_new_one() {
    let mut simulation = begin(monday("08:00:00"), declare).await;
    simulation.kill(0).await;
    let (engine, other) = (simulation.engine("one"), simulation.engine("two"));
    let mut rounds = piton_engine::Rounds::new(&engine).await.unwrap();
    let run = engine.deploy("everest", None, ana()).await.unwrap().id;
    let old = rounds.claim().await.unwrap();
    let mut others = piton_engine::Rounds::new(&other).await.unwrap();
    for (time, lost) in [("08:00:00", 0), ("08:00:15", 1)] {
        simulation.clock.set(monday(time));
        assert_eq!(rounds.rescue().await.unwrap(), 0, "nobody gives up what he drives himself");
        assert_eq!(others.rescue().await.unwrap(), lost);
    }
    let new = rounds.claim().await.unwrap();
    assert_eq!(new.len(), 1);
    drop(old);
    assert_eq!(engine.driving(), 1, "the new attempt can still be reached");
    rounds.renew().await.unwrap();
    assert_eq!(rounds.stopping(), []);
    engine.cancel(run, ana(), None).await.unwrap();
    assert_eq!(rounds.stopping(), [run]);
}

#[tokio::test]
async fn a_node_whose_wall_clock_is_set_takes_nobodys_runs() {
    let mut simulation = begin(monday("08:00:00"), declare).await;
    simulation.kill(0).await;
    let (one, two) = (simulation.engine("one"), simulation.engine("two"));
    let run = one.deploy("everest", None, ana()).await.unwrap().id;
    let mut holder = piton_engine::Rounds::new(&one).await.unwrap();
    let _drives = holder.claim().await.unwrap();
    let mut other = piton_engine::Rounds::new(&two).await.unwrap();
    let start = simulation.clock.now();
    // The one renews by a clock that is right, the other looks by one that is a day ahead.
    for seconds in (0..60).step_by(5) {
        simulation.clock.jump(start);
        simulation.clock.set(start + SignedDuration::from_secs(seconds));
        holder.renew().await.unwrap();
        simulation.clock.jump(start + hours(24));
        assert_eq!(other.rescue().await.unwrap(), 0, "after {seconds} s");
    }
    // When the holder falls silent, a lease later it is lost.
    simulation.clock.set(simulation.clock.now() + SignedDuration::from_secs(15));
    assert_eq!(other.rescue().await.unwrap(), 1);
    assert_eq!(one.run(run).await.unwrap().phase(), Phase::Pending);
}

#[tokio::test]
async fn a_wall_clock_that_leaps_removes_nothing_for_a_day() {
    let mut simulation = begin(monday("08:00:00"), |s| workspace(s, "everest", "{}")).await;
    simulation.configure = |config| piton_engine::Config { keep_runs_per_subject: 0, ..config };
    let engine = simulation.engine("two");
    let mut rounds = piton_engine::Rounds::new(&engine).await.unwrap();
    let run = engine.deploy("everest", None, ana()).await.unwrap().id;
    simulation.run_for(hours(1)).await.unwrap();
    assert!(engine.run(run).await.unwrap().outcome().is_some());
    assert_eq!(rounds.retain().await.unwrap(), 0, "it is young");
    simulation.clock.jump(simulation.clock.now() + hours(24 * 365));
    assert_eq!(rounds.retain().await.unwrap(), 0, "the clock leapt");
    simulation.clock.set(simulation.clock.now() + hours(23));
    assert_eq!(rounds.retain().await.unwrap(), 0, "the clock leapt a moment ago");
    // The newest entry of the ledger always stays, and so does the run it speaks of.
    engine.deploy("everest", None, ana()).await.unwrap();
    simulation.run_for(hours(2)).await.unwrap();
    assert_eq!(rounds.retain().await.unwrap(), 1);
    assert!(engine.run(run).await.is_err());
}

#[tokio::test]
async fn two_nodes_fire_each_line_once() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        for name in ["everest", "lhotse", "makalu"] {
            workspace(s, name, DAILY);
        }
    })
    .await;
    simulation.start("two").await.unwrap();
    simulation.run_for(hours(72)).await.unwrap();
    told(&simulation).await;
    assert_eq!(submitted(&simulation).await.len(), 3 * 6);
    // A change that only one of them notices late is not deployed twice.
    workspace(&simulation, "everest", r#"{"deploy_schedule": "0 9 * * *", "vars": {"tents": 3}}"#);
    simulation.reload().unwrap();
    simulation.run_for(hours(30)).await.unwrap();
    let everest = simulation.node(0).workspace("everest").unwrap().subject();
    let runs = simulation.runs().await.unwrap();
    assert_eq!(runs.values().filter(|run| run.subject == everest).count(), 7);
}
