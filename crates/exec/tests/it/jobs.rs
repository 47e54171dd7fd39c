//! Scripts and commands.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use piton_model::{Action, Command, FailureClass, Outcome, Program, Run, Subject};

use crate::scene::{Scene, command, env, failure, name};

fn shell(line: &str) -> Command {
    command(Program::Shell { line: line.to_owned() })
}

fn script(text: &str) -> Command {
    command(Program::Script { text: text.to_owned() })
}

fn job(workspace: Option<&str>) -> Subject {
    Subject::Job { workspace: workspace.map(name), name: name("backup") }
}

async fn run(scene: &Scene, action: Command) -> Run {
    scene.drive(scene.run_of(job(Some("everest")), Action::Command(action))).await
}

pub(crate) async fn scripts_lines_and_programs() {
    let scene = Scene::new(None);
    let programs = [
        script("echo one; echo two"),
        script("#!/bin/bash\nset -eu\na=(one two)\nprintf '%s\\n' \"${a[@]}\"\n"),
        script("#!/usr/bin/env -S sh -e\nprintf 'one\\n'; printf 'two\\n'\n"),
        shell("echo one && echo two"),
        command(Program::Exec { argv: vec!["printf".into(), "%s\n".into(), "one".into(), "two".into()] }),
    ];
    for program in programs {
        let run = run(&scene, program.clone()).await;
        assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{program:?} {}", scene.log(&run));
        assert_eq!(run.report.exit_code, Some(0));
        assert!(scene.log(&run).ends_with("one\ntwo\n"), "{}", scene.log(&run));
    }
    // No shell looks at the arguments of a program.
    let literal = command(Program::Exec { argv: vec!["echo".into(), "$(touch x); *".into()] });
    let run = run(&scene, literal).await;
    assert!(scene.log(&run).ends_with("$(touch x); *\n"));
}

pub(crate) async fn the_environment_of_a_job() {
    let scene = Scene::new(None);
    let mut action = shell("echo $WORKSPACE_ID,$JOB_NAME,$WORKSPACE_DEPLOYMENT_DIR,$PITON_RUN_ID,$REGION; pwd; env");
    action.env = env(&[("REGION", "europe")]);
    let run = run(&scene, action.clone()).await;
    let dir = scene.deployment().canonicalize().unwrap();
    let log = scene.log(&run);
    assert!(log.contains(&format!("everest,backup,{},{},europe\n{}\n", dir.display(), run.id, dir.display())), "{log}");

    let standalone = scene.drive(scene.run_of(job(None), Action::Command(action.clone()))).await;
    assert!(scene.log(&standalone).contains("_standalone_,backup,"), "{}", scene.log(&standalone));

    action.env = env(&[("LD_PRELOAD", "/x.so")]);
    assert_eq!(failure(&self::run(&scene, action).await).code, "env_refused");
}

pub(crate) async fn exit_codes() {
    let scene = Scene::new(None);
    let failed = async |action| failure(&run(&scene, action).await);
    let one = failed(shell("exit 1")).await;
    assert_eq!((one.code.as_str(), one.message.as_str()), ("command_failed", "Command failed: exit status 1"));
    assert_eq!((one.class, one.exit_code), (FailureClass::Permanent, Some(1)));
    assert!(failed(shell("no-such-program-anywhere")).await.hint.unwrap().contains("not found"));
    let signal = failed(shell("kill -9 $$")).await;
    assert_eq!((signal.message.as_str(), signal.exit_code), ("Command failed: signal: killed", Some(137)));
    let missing = failed(command(Program::Exec { argv: vec!["no-such-program-anywhere".into()] })).await;
    assert_eq!((missing.code.as_str(), missing.class), ("spawn_failed", FailureClass::Permanent));
    assert_eq!(failed(command(Program::Exec { argv: vec![] })).await.code, "command_empty");
    assert_eq!(failed(script("#!/no/such/interpreter\n")).await.code, "spawn_failed");
}

/// However late it is asked for.
pub(crate) async fn the_time_of_an_exit() {
    for code in [0, 3] {
        let mut scene = Scene::new(None);
        let begun = scene.run_of(job(None), Action::Command(shell(&format!("exit {code}"))));
        let at_once = scene.step(&begun, false).await;
        scene.restart_daemon();
        let later = scene.step(&begun, true).await;
        let exited = scene.runner.held().await.unwrap().iter().find_map(piton_process::Child::exited).unwrap();
        for run in [at_once, later] {
            assert_eq!(run.report.exit_code, Some(code));
            assert_eq!(run.report.exited_at.unwrap().as_microsecond(), exited.at_unix_us);
        }
    }
}

/// The disk was filled while it ran and nobody looked.
pub(crate) async fn a_log_that_cannot_be_written_hides_no_exit() {
    for code in [0, 3] {
        let mut scene = Scene::new(None);
        let dir = scene.path("").display().to_string();
        let line = format!("touch {dir}/started; until [ -e {dir}/go ]; do sleep 0.02; done; exit {code}");
        let begun = scene.run_of(job(None), Action::Command(shell(&line)));
        tokio::select! {
            run = scene.step(&begun, false) => panic!("it should not end: {:?}", run.state),
            () = scene.until("the job", || scene.path("started").exists()) => {}
        }
        scene.restart_daemon();
        let log = scene.logs.run_dir(begun.id).join("log");
        fs::remove_file(&log).unwrap();
        symlink("/dev/full", &log).unwrap();
        fs::write(scene.path("go"), "").unwrap();
        let run = scene.step(&begun, true).await;
        assert_eq!(run.report.exit_code, Some(code), "{:?}", run.state);
        if code == 0 {
            assert_eq!(run.outcome(), Some(&Outcome::Succeeded));
            assert!(run.report.unwritten.unwrap().contains("log"));
        } else {
            let failure = failure(&run);
            assert_eq!((failure.code.as_str(), failure.class), ("command_failed", FailureClass::Permanent));
            assert!(
                failure.message.starts_with("Command failed: exit status 3 (the log is not complete: "),
                "{failure:?}"
            );
        }
    }
}

pub(crate) async fn working_directories() {
    let scene = Scene::new(None);
    let within = |dir: PathBuf| Command { working_dir: Some(dir), ..shell("pwd") };
    let absolute = run(&scene, within(scene.path("bin"))).await;
    assert!(scene.log(&absolute).contains(&scene.path("bin").display().to_string()));
    let missing = failure(&run(&scene, within("sub".into())).await);
    assert_eq!(missing.code, "working_dir_missing");
    assert!(missing.message.contains("deployments/everest/sub"), "{}", missing.message);
    fs::create_dir(scene.deployment().join("sub")).unwrap();
    let there = run(&scene, within("sub".into())).await;
    assert!(scene.log(&there).contains("deployments/everest/sub\n"));
    let standalone = scene.drive(scene.run_of(job(None), Action::Command(within("own/dir".into())))).await;
    assert!(scene.log(&standalone).contains("own/dir\n"), "{}", scene.log(&standalone));
}

/// Also one that says that all is well: it was cut short.
pub(crate) async fn a_job_is_stopped() {
    for code in [9, 0] {
        let scene = Scene::new(None);
        let line = format!("trap 'echo bye; exit {code}' TERM; touch ../../../started; while :; do sleep 0.02; done");
        let begun = scene.run_of(job(Some("everest")), Action::Command(shell(&line)));
        let cancel = async {
            scene.until("the job", || scene.path("started").exists()).await;
            scene.stop.cancel();
        };
        let (run, ()) = tokio::join!(scene.drive(begun), cancel);
        let failure = failure(&run);
        assert_eq!((failure.class, failure.exit_code), (FailureClass::Interrupted, Some(code)));
        assert!(scene.log(&run).contains("bye\n"));
    }
}

pub(crate) async fn secrets_are_masked() {
    let scene = Scene::new(None);
    let mut action = shell("echo the password is $DB_PASSWORD; printf $DB_PASSWORD | base64; exit 3");
    action.env = env(&[("DB_PASSWORD", "hunter2hunter2")]);
    let run = run(&scene, action).await;
    let log = scene.log(&run);
    assert!(log.contains("the password is ***\n"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains("aHVudGVyM"), "{log}");
}
