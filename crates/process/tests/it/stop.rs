//! Stopping, from polite to final.

use std::time::Duration;

use piton_process::{Error, ExitStatus, Signal, Stage, StopSequence, Target};

use crate::scene::Scene;

fn quick(signal: Signal, target: Target) -> Stage {
    Stage { signal, target, wait: Duration::from_millis(100) }
}

pub(crate) async fn a_polite_command_ends_by_itself() {
    let scene = Scene::new();
    let script = "trap 'echo saving; exit 1' INT; echo ready; while :; do sleep 0.01; done";
    let mut invocation = scene.script("a", script);
    invocation.stop = StopSequence::infrastructure();
    let stop = async {
        scene.until_log_holds("ready\n").await;
        scene.stop.cancel();
    };
    let (exit, ()) = tokio::join!(scene.run(&invocation), stop);
    let exit = exit.unwrap();
    assert_eq!((exit.status, exit.stopped, exit.killed), (ExitStatus::Code(1), true, false));
    let log = scene.log();
    assert!(log.contains("saving\n") && log.contains("piton: stopping: sending SIGINT\n"), "{log}");
}

pub(crate) async fn a_stubborn_command_is_killed() {
    let scene = Scene::new();
    let mut invocation = scene.script("a", "trap '' INT TERM; echo ready; while :; do sleep 0.01; done");
    invocation.stop = StopSequence(vec![
        quick(Signal::Int, Target::Process),
        quick(Signal::Term, Target::Group),
        quick(Signal::Kill, Target::Tree),
    ]);
    let stop = async {
        scene.until_log_holds("ready\n").await;
        scene.stop.cancel();
    };
    let (exit, ()) = tokio::join!(scene.run(&invocation), stop);
    let exit = exit.unwrap();
    assert_eq!((exit.status, exit.stopped, exit.killed), (ExitStatus::Signal(9), true, true));
    let expected = "$ a\nready\npiton: stopping: sending SIGINT\n\
        piton: still running after 100ms: sending SIGTERM to the process group\n\
        piton: still running after 100ms: sending SIGKILL to the command and all it started\n";
    assert!(scene.log().starts_with(expected), "{}", scene.log());
}

pub(crate) async fn a_command_that_finishes_meanwhile_has_its_own_exit() {
    let scene = Scene::new();
    let invocation = scene.script("a", "exit 7");
    scene.run(&invocation).await.unwrap();
    scene.stop.cancel();
    let exit = scene.run(&invocation).await.unwrap();
    assert_eq!((exit.status, exit.stopped, exit.killed), (ExitStatus::Code(7), false, false));
}

pub(crate) async fn nothing_is_started_to_be_stopped() {
    let scene = Scene::new();
    scene.stop.cancel();
    let invocation = scene.script("a", "touch started");
    assert!(matches!(scene.run(&invocation).await, Err(Error::NotStarted)));
    let captured = scene.runner.capture(&invocation, scene.run, &scene.stop).await;
    assert!(matches!(captured, Err(Error::NotStarted)));
    assert!(!scene.file("started").exists());
}

pub(crate) async fn stopping_signals_the_tool_and_not_its_children() {
    let scene = Scene::new();
    // The child is a process of its own that would leave a mark; the tool ends it in its own good time. SIGTERM,
    // because shells let what they start in the background ignore SIGINT.
    let script = "sh -c 'trap \"touch interrupted\" TERM; touch up; until [ -e quit ]; do sleep 0.01; done' & child=$!; \
                  trap 'touch quit; wait $child; exit 1' TERM; until [ -e up ]; do sleep 0.01; done; \
                  echo ready; while :; do sleep 0.01; done";
    let mut invocation = scene.script("a", script);
    invocation.stop = StopSequence(vec![Stage { signal: Signal::Term, target: Target::Process, wait: Duration::MAX }]);
    let stop = async {
        scene.until_log_holds("ready\n").await;
        scene.stop.cancel();
    };
    let (exit, ()) = tokio::join!(scene.run(&invocation), stop);
    assert_eq!(exit.unwrap().status, ExitStatus::Code(1));
    assert!(!scene.file("interrupted").exists());
}
