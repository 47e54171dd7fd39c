//! Commands that simply run.

use std::fs;

use futures_util::future::join_all;
use piton_process::{Error, ExitStatus, RefusalKind};

use crate::scene::{SECRET, Scene, count};

pub(crate) async fn exit_codes_and_signals() {
    let scene = Scene::new();
    for (what, script, status) in [
        ("true", "exit 0", ExitStatus::Code(0)),
        ("false", "exit 3", ExitStatus::Code(3)),
        ("suicide", "kill -ABRT $$", ExitStatus::Signal(6)),
    ] {
        let exit = scene.run(&scene.script(what, script)).await.unwrap();
        assert_eq!((exit.status, exit.stopped, exit.killed, exit.swept), (status, false, false, 0), "{what}");
        assert_eq!(exit.success(), what == "true");
    }
    assert_eq!(scene.log(), "$ true\n$ false\n$ suicide\n");
}

pub(crate) async fn everything_in_order_and_redacted() {
    let scene = Scene::new();
    let script = "i=0; while [ $i -lt 3000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; \
                  printf 'password: hunter2'; printf '/'; printf 'hunter2, again '; echo \"$SECRET\"; printf end";
    scene.run(&scene.script("talk", script)).await.unwrap();
    let lines = count(3000, |i| format!("out {i}\nerr {i}\n"));
    assert!(scene.log() == format!("$ talk\n{lines}password: ***, again ***\nend\n"));
    assert!(!scene.log().contains(SECRET));
}

pub(crate) async fn a_hundred_side_by_side() {
    let scene = Scene::new();
    let invocations: Vec<_> =
        (0..100).map(|i| scene.script(&format!("c{i}"), &format!("echo a{i}; echo b{i}; exit {i}"))).collect();
    let exits = join_all(invocations.iter().map(|invocation| scene.run(invocation))).await;
    for (i, exit) in (0..).zip(exits) {
        assert_eq!(exit.unwrap().status, ExitStatus::Code(i));
    }
    let log = scene.log();
    for i in 0..100 {
        for line in [format!("$ c{i}"), format!("a{i}"), format!("b{i}")] {
            assert_eq!(log.lines().filter(|found| **found == line).count(), 1, "{line}");
        }
    }
}

pub(crate) async fn captured_output_goes_to_files() {
    let scene = Scene::new();
    let invocation = scene.script("show", "printf '{\"a\":1}'; echo warning >&2; exit 2");
    for _ in 0..2 {
        let captured = scene.runner.capture(&invocation, scene.run, &scene.stop).await.unwrap();
        assert_eq!(captured.exit.status, ExitStatus::Code(2));
        assert_eq!(fs::read_to_string(&captured.stdout).unwrap(), "{\"a\":1}");
        assert_eq!(fs::read_to_string(&captured.stderr).unwrap(), "warning\n");
    }
}

pub(crate) async fn what_cannot_start_says_why() {
    let scene = Scene::new();
    let fine = scene.script("a", "exit 0");
    let mut missing = fine.clone();
    missing.argv = vec!["no-such-program".into()];
    let mut elsewhere = scene.script("b", "exit 0");
    elsewhere.cwd = scene.file("missing");
    let mut not_a_token = scene.script("c", "exit 0");
    not_a_token.token = "no token".into();
    let kind = |result| match result {
        Err(Error::Spawn { kind, message }) => {
            assert!(scene.log().contains(&message), "{message} is not in the log");
            kind
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(scene.run(&missing).await), RefusalKind::ProgramNotFound);
    assert_eq!(kind(scene.run(&elsewhere).await), RefusalKind::WorkingDirectory);
    assert!(matches!(scene.run(&not_a_token).await, Err(Error::Token(_))));
    // What did not start may be started.
    assert!(scene.run(&fine).await.unwrap().success());
}

pub(crate) async fn what_a_command_goes_without_is_noted() {
    let scene = Scene::new();
    let mut invocation = scene.script("limited", "echo done");
    // More than any kernel counts to, where it counts at all.
    invocation.limits.pids_max = Some(u32::MAX);
    for _ in 0..2 {
        assert!(scene.run(&invocation).await.unwrap().success());
    }
    let log = scene.log();
    let notes: Vec<&str> = log.lines().filter(|line| line.starts_with("piton: ") && line.contains("pids")).collect();
    assert_eq!(notes.len(), 1, "{log}");
    assert!(log.contains("$ limited\n") && log.contains("done\n"), "{log}");
}
