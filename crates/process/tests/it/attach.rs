//! Daemons come and go; commands and logs do not notice.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use piton_process::{Child, ExitStatus, Invocation};

use crate::scene::{Scene, count, lives, until};

/// Runs until the log holds the text, then drops everything.
async fn run_until(scene: &Scene, invocation: &Invocation, text: &str) {
    tokio::select! {
        result = scene.run(invocation) => panic!("it ended: {result:?}"),
        () = scene.until_log_holds(text) => {}
    }
}

pub(crate) async fn a_dropped_future_hurts_nothing() {
    let mut scene = Scene::new();
    let script = "echo $$ > pid; echo one; until [ -e go ]; do sleep 0.01; done; echo two; exit 5";
    let invocation = scene.script("a", script);
    run_until(&scene, &invocation, "one\n").await;
    let pid = scene.pid_in("pid").await;
    for restart in [false, true] {
        if restart {
            scene.restart_daemon();
        }
        assert!(lives(pid));
        assert!(scene.runner.knows(&invocation.token).await.unwrap());
        run_until(&scene, &invocation, "one\n").await;
    }
    scene.touch("go");
    assert_eq!(scene.run(&invocation).await.unwrap().status, ExitStatus::Code(5));
    assert_eq!(scene.log(), "$ a\none\ntwo\n");
    assert_eq!(scene.pid_in("pid").await, pid, "it was started twice");
}

pub(crate) async fn an_end_that_nobody_saw_is_reported_later() {
    let mut scene = Scene::new();
    let script = "echo one; echo $$ > pid; until [ -e go ]; do sleep 0.01; done; echo two; exit 5";
    let invocation = scene.script("a", script);
    run_until(&scene, &invocation, "one\n").await;
    let pid = scene.pid_in("pid").await;
    scene.touch("go");
    until("the end", || !lives(pid)).await;
    scene.restart_daemon();
    for _ in 0..2 {
        let exit = scene.run(&invocation).await.unwrap();
        assert_eq!(exit.status, ExitStatus::Code(5));
        let noticed = scene.runner.held().await.unwrap().iter().find_map(Child::exited).unwrap();
        assert_eq!(exit.ended_at.as_microsecond(), noticed.at_unix_us, "it ended before anybody asked");
    }
    assert_eq!(scene.log(), "$ a\none\ntwo\n");
}

pub(crate) async fn a_new_daemon_continues_the_log_at_every_point() {
    let mut scene = Scene::new();
    let script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); [ $((i % 50)) -gt 0 ] || sleep 0.01; done";
    let invocation = scene.script("a", script);
    let mut restarts = 0;
    loop {
        // A daemon that dies whenever the log has grown a bit more.
        let seen = fs::read(scene.logs.run_dir(scene.run).join("log")).map_or(0, |log| log.len());
        let more = until("more output", || {
            fs::read(scene.logs.run_dir(scene.run).join("log")).is_ok_and(|log| log.len() > seen)
        });
        tokio::select! {
            biased;
            exit = scene.run(&invocation) => { assert!(exit.unwrap().success()); break }
            () = more => {}
        }
        scene.restart_daemon();
        restarts += 1;
    }
    assert!(restarts > 0, "the command was too quick for this test to say anything");
    let lines = count(400, |i| format!("line {i}\n"));
    assert_eq!(scene.log(), format!("$ a\n{lines}"));
}

/// Long enough for many deaths; the secret is printed in halves.
const LONG: &str = "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); \
                    [ $((i % 20)) -gt 0 ] || { printf 'hunter2/'; sleep 0.01; echo hunter2; }; done";

/// The body of a process that lives to be killed.
pub(crate) async fn be_a_daemon(dir: PathBuf) {
    let scene = Scene::join(dir);
    assert!(scene.run(&scene.script("a", LONG)).await.unwrap().success());
}

pub(crate) async fn killed_daemons_lose_nothing() {
    let scene = Scene::new();
    let length = || fs::metadata(scene.logs.run_dir(scene.run).join("log")).map_or(0, |log| log.len());
    let mut deaths = 0;
    loop {
        let seen = length();
        #[expect(clippy::disallowed_methods, reason = "the test is what kills this daemon")]
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut daemon = command.arg("daemon").arg(scene.file("")).spawn().unwrap();
        let mut ended = None;
        until("more output or the end", || {
            ended = daemon.try_wait().unwrap();
            ended.is_some() || length() > seen
        })
        .await;
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        deaths += 1;
    }
    assert!(deaths > 1, "the command was too quick for this test to say anything");
    let lines = count(1000, |i| format!("line {i}\n{}", if i % 20 == 19 { "***\n" } else { "" }));
    assert!(scene.log() == format!("$ a\n{lines}"));
}

pub(crate) async fn release_forgets_and_discards() {
    let mut scene = Scene::new();
    let [a, b] = [scene.script("a", "echo a"), scene.script("b", "echo b")];
    let mut other = scene.script("other", "echo other");
    other.token = "another-run/1/execute/other".into();
    for invocation in [&a, &b, &other] {
        scene.run(invocation).await.unwrap();
    }
    assert_eq!(scene.runner.held().await.unwrap().len(), 3);
    scene.restart_daemon();
    for _ in 0..2 {
        scene.runner.release(scene.run).await.unwrap();
    }
    assert!(!scene.runner.knows(&a.token).await.unwrap());
    assert!(scene.runner.knows(&other.token).await.unwrap());
    assert!(!scene.logs.raw_path(scene.run, &a.token).exists());
    assert_eq!(scene.log(), "$ a\na\n$ b\nb\n$ other\nother\n");
}

pub(crate) async fn what_never_started_can_be_told_apart() {
    let scene = Scene::new();
    assert!(!scene.runner.knows(&scene.token("never")).await.unwrap());
    assert!(scene.runner.held().await.unwrap().is_empty());
    is_send(scene.runner.run(&scene.script("a", ""), scene.run, &scene.open().await, &scene.stop));
    is_send(scene.runner.capture(&scene.script("a", ""), scene.run, &scene.stop));
    is_send(scene.runner.release(scene.run));
}

/// Futures are spawned on a runtime of many threads.
fn is_send(_: impl Future + Send) {}
