//! Hooks around jobs of several tasks.

use std::fs;
use std::time::Duration;

use piton_model::{Batch, FailureMode, HOOK_RETRY_DELAY, Hook, Hooks, RunMode};

use crate::batches::{assert_succeeded, batch, begun, run, scene, soon};
use crate::scene::{Scene, env, failure, name};

fn hook(id: &str, command: &str) -> Hook {
    Hook {
        name: name(id),
        command: command.to_owned(),
        failure_mode: FailureMode::Fail,
        run_mode: RunMode::Blocking,
        timeout: Duration::from_secs(60),
        env: env(&[]),
        work_dir: None,
    }
}

fn said(scene: &Scene) -> Vec<String> {
    fs::read_to_string(scene.path("said")).unwrap_or_default().lines().map(str::to_owned).collect()
}

pub(crate) async fn hooks_run_around_the_tasks() {
    let scene = scene();
    let say = "echo $PITON_HOOK_PHASE $PITON_HOOK_NAME $WHO $PROVISR_HOOK_NAME >> said";
    let hooks = Hooks {
        pre_start: vec![hook("a", say), Hook { env: env(&[("WHO", "me")]), ..hook("b", say) }],
        post_start: vec![hook("c", &format!("{say}; touch go"))],
        // Nothing runs any more when the job has come to its end by itself.
        pre_stop: vec![hook("d", say)],
        post_stop: vec![hook("e", say)],
    };
    let line = "until [ -e go ]; do sleep 0.01; done; echo task >> said";
    let run = run(&scene, Batch { hooks, ..batch(&scene, line) }).await;
    assert_succeeded(&scene, &run);
    let expected = ["pre_start a a", "pre_start b me b", "post_start c c", "task", "post_stop e e"];
    let squeezed: Vec<String> = said(&scene).iter().map(|line| line.replace("  ", " ")).collect();
    assert_eq!(squeezed, expected);
    let log = scene.log(&run);
    for header in ["pre_start a: $ ", "post_start c: $ ", "task 0-1: $ ", "post_stop e: $ "] {
        assert!(log.contains(header), "{header} is not in {log}");
    }
}

pub(crate) async fn a_hook_that_fails_keeps_the_job_from_starting() {
    let scene = scene();
    let hooks = Hooks { pre_start: vec![hook("check", "exit 5"), hook("next", "touch next")], ..Hooks::default() };
    let failed = failure(&run(&scene, Batch { hooks, ..batch(&scene, "touch started") }).await);
    assert_eq!((failed.code.as_str(), failed.exit_code), ("hook_failed", Some(5)));
    assert!(failed.message.contains("pre_start hook `check`"), "{}", failed.message);
    assert!(!scene.path("started").exists() && !scene.path("next").exists());
    // After the start it ends the job, once what is to be told before the stop was.
    let hooks = Hooks {
        post_start: vec![hook("probe", "until [ -e up ]; do sleep 0.01; done; exit 6")],
        pre_stop: vec![hook("drain", "touch drained")],
        ..Hooks::default()
    };
    let failed =
        failure(&run(&scene, Batch { hooks, ..batch(&scene, "touch up; while :; do sleep 0.02; done") }).await);
    assert_eq!((failed.code.as_str(), failed.exit_code), ("hook_failed", Some(6)));
    assert!(scene.path("drained").exists());
}

pub(crate) async fn failure_modes() {
    let scene = scene();
    let hooks = Hooks {
        pre_start: vec![
            Hook { failure_mode: FailureMode::Ignore, ..hook("ignored", "exit 1") },
            Hook { failure_mode: FailureMode::Retry, ..hook("twice", "date +%s%N >> twice; ! mkdir once") },
            Hook {
                failure_mode: FailureMode::Ignore,
                timeout: Duration::from_millis(50),
                ..hook("slow", "while :; do sleep 0.02; done")
            },
        ],
        post_stop: vec![hook("late", "exit 9")],
        ..Hooks::default()
    };
    let run = run(&scene, Batch { hooks, ..batch(&scene, "true") }).await;
    assert_succeeded(&scene, &run);
    let log = scene.log(&run);
    assert!(log.contains("piton: the pre_start hook `ignored` failed with exit code 1"), "{log}");
    assert!(log.contains("piton: the pre_start hook `slow` took longer than 0.05 s"), "{log}");
    assert!(log.contains("piton: the post_stop hook `late` failed with exit code 9"), "{log}");
    let tries = fs::read_to_string(scene.path("twice")).unwrap();
    let tries: Vec<u128> = tries.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(tries.len(), 2);
    assert!(tries[1] - tries[0] >= HOOK_RETRY_DELAY.as_nanos(), "it rested: {tries:?}");
    let always = Hook { failure_mode: FailureMode::Retry, ..hook("always", "exit 2") };
    let hooks = Hooks { pre_start: vec![always], ..Hooks::default() };
    let failed = failure(&self::run(&scene, Batch { hooks, ..batch(&scene, "true") }).await);
    assert_eq!((failed.code.as_str(), failed.exit_code), ("hook_failed", Some(2)));
}

pub(crate) async fn a_hook_that_takes_too_long_has_failed_however_it_exits() {
    let scene = scene();
    let polite = "trap 'exit 0' TERM; while :; do sleep 0.02; done";
    let slow = Hook { timeout: Duration::from_millis(500), ..hook("slow", polite) };
    let hooks = Hooks { pre_start: vec![slow], ..Hooks::default() };
    let failed = failure(&run(&scene, Batch { hooks, ..batch(&scene, "touch started") }).await);
    assert_eq!(failed.code, "hook_failed");
    assert!(failed.message.contains("took longer than 0.5 s and was stopped"), "{}", failed.message);
    assert!(!scene.path("started").exists());
}

pub(crate) async fn nobody_waits_for_what_runs_beside() {
    let scene = scene();
    let beside = |id: &str, command: &str| Hook { run_mode: RunMode::Async, ..hook(id, command) };
    let hooks = Hooks {
        // It ends only after the task has begun, and is not cut off.
        pre_start: vec![beside("warm", "until [ -e begun ]; do sleep 0.01; done; echo warm >> said")],
        post_start: vec![beside("broken", "exit 1")],
        post_stop: vec![hook("end", "echo end >> said")],
        ..Hooks::default()
    };
    let run = run(&scene, Batch { hooks, ..batch(&scene, "touch begun") }).await;
    assert_succeeded(&scene, &run);
    assert_eq!(said(&scene), ["warm", "end"]);
    assert!(scene.log(&run).contains("the post_start hook `broken` failed"), "{}", scene.log(&run));
}

pub(crate) async fn a_restarted_daemon_runs_no_hook_twice() {
    let mut scene = scene();
    let wait = |phase: &str| format!("echo {phase} >> said; until [ -e go-{phase} ]; do sleep 0.01; done");
    let hooks = Hooks {
        pre_start: vec![hook("a", &wait("before"))],
        post_start: vec![hook("b", &wait("after"))],
        post_stop: vec![hook("c", &wait("end"))],
        ..Hooks::default()
    };
    let mut run = begun(&scene, Batch { hooks, ..batch(&scene, "echo task >> said") });
    for phase in ["before", "after", "end"] {
        let reached = || said(&scene).iter().any(|line| line == phase);
        tokio::select! {
            _ = scene.step(&run, true) => panic!("it should not end"),
            () = scene.until(phase, reached) => {}
        }
        scene.restart_with(soon);
        fs::write(scene.path(&format!("go-{phase}")), "").unwrap();
        if phase == "before" {
            run = scene.step(&run, true).await;
        }
    }
    let run = scene.step(&run, true).await;
    assert_succeeded(&scene, &run);
    let mut lines = said(&scene);
    lines.sort();
    assert_eq!(lines, ["after", "before", "end", "task"]);
}
