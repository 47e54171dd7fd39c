//! The real loops, started as the daemon starts them; only the clock stands still until it is moved.

use std::future::Future;
use std::time::Duration;

use piton_engine::{Engine, Shutdown};
use piton_model::{OutcomeKind, Phase, RunId};
use piton_testkit::scripted::What;
use piton_testkit::simulation::Simulation;

use crate::site::{APPLY, ana, lasting, minutes, monday, workspace};

const DAILY: &str = r#"{"deploy_schedule": "0 9 * * *", "destroy_schedule": "0 18 * * *"}"#;

async fn site() -> Simulation {
    let simulation = Simulation::new(7, monday("08:00:00")).await.unwrap();
    simulation.scripted.play(|_| lasting(1));
    workspace(&simulation, "everest", DAILY);
    simulation.reload().unwrap();
    simulation
}

/// Lets the clock jump to the next time that somebody waits for, once the loops have come to rest as far as one can
/// tell from outside.
async fn jump(simulation: &Simulation) {
    let hand = &simulation.clock;
    tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await.unwrap_err();
    if let Some(next) = hand.next_wake().filter(|next| *next > hand.now()) {
        hand.set(next);
    }
}

/// Lets time go by until `done`.
async fn until<T>(simulation: &Simulation, done: impl Future<Output = T>) -> T {
    let drive = async {
        loop {
            jump(simulation).await;
        }
    };
    tokio::select! {
        answer = tokio::time::timeout(Duration::from_secs(60), done) => answer.expect("it takes too long"),
        () = drive => unreachable!(),
    }
}

/// Lets time go by, and not further, until a run is in its apply.
async fn applying(engine: &Engine, simulation: &Simulation) -> RunId {
    let search = async {
        loop {
            let live = engine.store().live().await.unwrap();
            if let Some(run) = live.iter().find(|run| run.step() == Some(APPLY)) {
                return run.id;
            }
            jump(simulation).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), search).await.expect("no run comes to its apply")
}

#[tokio::test]
async fn a_schedule_is_followed_and_a_drain_waits_for_what_is_under_way() {
    let mut simulation = site().await;
    let engine = simulation.engine("one");
    engine.start().await.unwrap();
    let run = applying(&engine, &simulation).await;
    assert!(simulation.clock.now() >= monday("09:00:00"));
    until(&simulation, engine.shutdown(Shutdown::Drain)).await;
    let ended = engine.run(run).await.unwrap();
    assert_eq!(ended.outcome().map(piton_model::Outcome::kind), Some(OutcomeKind::Succeeded));
    assert_eq!(engine.driving(), 0);
    assert_eq!(engine.deploy("everest", None, ana()).await.unwrap_err().code(), "shutting_down");
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}

#[tokio::test]
async fn a_detached_run_goes_on_and_is_taken_back_once() {
    let mut simulation = site().await;
    simulation.scripted.play(|task| if task.step == APPLY { lasting(30) } else { lasting(1) });
    let engine = simulation.engine("one");
    engine.start().await.unwrap();
    let run = engine.deploy("everest", None, ana()).await.unwrap().id;
    assert_eq!(applying(&engine, &simulation).await, run);
    // No time goes by: it lets go at once.
    tokio::time::timeout(Duration::from_secs(60), engine.shutdown(Shutdown::Detach)).await.unwrap();
    let held = engine.run(run).await.unwrap();
    assert_eq!((held.phase(), held.step(), engine.driving()), (Phase::Running, Some(APPLY), 0));

    simulation.clock.set(simulation.clock.now() + minutes(31));
    let next = simulation.engine("one");
    next.start().await.unwrap();
    let ended = until(&simulation, next.settled(run)).await.unwrap();
    assert_eq!((ended.attempts, ended.outcome().map(piton_model::Outcome::kind)), (1, Some(OutcomeKind::Succeeded)));
    until(&simulation, next.shutdown(Shutdown::Drain)).await;
    let applies = simulation.scripted.effects().into_iter().filter(|effect| effect.key.2 == APPLY);
    let applies: Vec<(What, bool)> = applies.map(|effect| (effect.what, effect.resumed)).collect();
    assert_eq!(applies, [(What::Begun, false), (What::TakenOver, true), (What::Ended(Ok(())), true)]);
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}

#[tokio::test]
async fn a_cancel_reaches_a_run_whoever_asks() {
    let mut simulation = site().await;
    let engine = simulation.engine("one");
    engine.start().await.unwrap();
    simulation.scripted.play(|_| crate::site::hangs());
    let other = simulation.engine("two");
    for asked in [&engine, &other] {
        let run = engine.deploy("everest", None, ana()).await.unwrap().id;
        // It is not known how far the claim has come by then: it must not matter.
        asked.cancel(run, ana(), None).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), engine.settled(run)).await.unwrap().unwrap();
        assert_eq!(ended.outcome().map(piton_model::Outcome::kind), Some(OutcomeKind::Cancelled));
    }
    until(&simulation, engine.shutdown(Shutdown::Drain)).await;
}

#[tokio::test]
async fn loops_that_have_nothing_to_do_do_nothing() {
    let mut simulation = site().await;
    let engine = simulation.engine("one");
    engine.start().await.unwrap();
    let run = engine.deploy("everest", None, ana()).await.unwrap().id;
    until(&simulation, engine.settled(run)).await.unwrap();
    // Every loop sleeps; with the clock at rest nothing may write.
    let mut commits = engine.store().changes();
    commits.mark_unchanged();
    let mut awake = 0;
    while tokio::time::timeout(Duration::from_millis(200), commits.changed()).await.is_ok() {
        awake += 1;
        assert!(awake < 20, "a loop wakes itself");
    }
    engine.shutdown(Shutdown::Drain).await;
}
