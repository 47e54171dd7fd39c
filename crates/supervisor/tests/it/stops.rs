//! Stops, and who would rather not.

use std::time::Duration;

use piton_model::{Program, StopStage};
use piton_supervisor::InstanceState;
use rustix::process::Signal;

use crate::scene::{Scene, idle, lives, name_of, process, send, until};

pub(crate) async fn who_ignores_the_first_signal_gets_the_next() {
    let mut web = process(
        "web",
        "trap 'echo term >> heard' TERM; trap '' INT; echo ready >> heard; while :; do sleep 0.02; done",
    );
    web.stop.stages = ["SIGTERM", "SIGINT"].map(|signal| stage(signal, 100)).to_vec();
    let scene = Scene::with([web]).await;
    until("its traps", || scene.read("heard").contains("ready")).await;
    scene.until_state("web", InstanceState::Running).await;
    let pid = scene.pid("web");
    let stopped = scene.supervisor.stop(&name_of("web"), Some(Duration::from_millis(50))).await.unwrap();
    assert_eq!(stopped[0].last_exit.clone().unwrap().status, piton_keeper::ExitStatus::Signal(9));
    assert!(!lives(pid) && scene.read("heard").contains("term"));
}

fn stage(signal: &str, millis: u64) -> StopStage {
    StopStage { signal: signal.to_owned(), wait: Duration::from_millis(millis) }
}

pub(crate) async fn nobody_escapes_into_another_session() {
    let script = "(setsid sh -c 'trap \"\" TERM; echo $$ > escaped; while :; do sleep 0.05; done' &) ; \
                  (trap '' TERM; echo $(exec sh -c 'echo $PPID') > stayed; while :; do sleep 0.05; done) & \
                  exec sleep 100000";
    let scene = Scene::with([process("web", script)]).await;
    scene.until_state("web", InstanceState::Running).await;
    let pids = [scene.pid_in("escaped").await, scene.pid_in("stayed").await, scene.pid("web")];
    assert!(pids.iter().all(|pid| lives(*pid)), "{pids:?}");
    scene.supervisor.stop(&name_of("web"), None).await.unwrap();
    assert!(!pids.iter().any(|pid| lives(*pid)), "{pids:?}");
}

pub(crate) async fn the_stopped_are_continued_to_be_stopped() {
    let mut web = idle("web");
    web.stop.stages = vec![stage("SIGTERM", 60_000)];
    let scene = Scene::with([web]).await;
    scene.until_state("web", InstanceState::Running).await;
    send(scene.pid("web"), Signal::STOP);
    let stopped = scene.supervisor.stop(&name_of("web"), None).await.unwrap();
    assert_eq!(stopped[0].last_exit.clone().unwrap().status, piton_keeper::ExitStatus::Signal(15));
}

pub(crate) async fn a_command_may_stop_it() {
    let mut web = process("web", "trap '' TERM; until [ -e please ]; do sleep 0.02; done; exit 5");
    web.stop.command = Some(Program::Shell { line: "echo $PITON_PID > asked; touch please; sleep 100000".to_owned() });
    web.stop.stages = vec![stage("SIGTERM", 60_000)];
    let scene = Scene::with([web]).await;
    scene.until_state("web", InstanceState::Running).await;
    let pid = scene.pid("web");
    let stopped = scene.supervisor.stop(&name_of("web"), None).await.unwrap();
    assert_eq!(stopped[0].last_exit.clone().unwrap().status, piton_keeper::ExitStatus::Code(5));
    assert_eq!(scene.read("asked").trim(), pid.to_string());
}

pub(crate) async fn less_patience_may_be_asked_for_later() {
    let mut web = process("web", "trap '' TERM; echo x > ready; while :; do sleep 0.02; done");
    web.stop.stages = vec![stage("SIGTERM", 3_600_000)];
    let scene = Scene::with([web]).await;
    until("its trap", || scene.read("ready") == "x\n").await;
    let (web, supervisor) = (name_of("web"), scene.supervisor.clone());
    let patient = tokio::spawn(async move { supervisor.stop(&web, None).await.unwrap() });
    scene.until_state("web", InstanceState::Stopping).await;
    scene.supervisor.stop(&name_of("web"), Some(Duration::from_millis(10))).await.unwrap();
    assert_eq!(patient.await.unwrap()[0].state, InstanceState::Stopped);
}
