//! Logs on a disk that has no room for them.

use std::fs;
use std::os::unix::fs::symlink;

use piton_process::{Error, ExitStatus, Invocation};

use crate::scene::{Scene, lives, until};

/// From now on every byte of the log finds a full disk.
async fn fill_the_disk(scene: &Scene) {
    scene.logs.prepare(scene.run).await.unwrap();
    let log = scene.logs.run_dir(scene.run).join("log");
    let _ = fs::remove_file(&log);
    symlink("/dev/full", &log).unwrap();
}

async fn run(scene: &Scene, invocation: &Invocation) -> Result<(ExitStatus, bool), Error> {
    let attended = scene.runner.run(invocation, scene.run, &scene.open().await, &scene.stop).await?;
    Ok((attended.exit.status, attended.unwritten.is_some_and(|error| error.is_disk_full())))
}

pub(crate) async fn nothing_is_started_without_a_log() {
    let scene = Scene::new();
    fill_the_disk(&scene).await;
    let invocation = scene.script("a", "touch started");
    assert!(matches!(run(&scene, &invocation).await, Err(Error::Log(error)) if error.is_disk_full()));
    assert!(!scene.runner.knows(&invocation.token).await.unwrap());
}

pub(crate) async fn an_exit_is_known_whatever_became_of_the_log() {
    let scene = Scene::new();
    fill_the_disk(&scene).await;
    for (what, script, status) in [
        ("well", "echo said; exit 0", ExitStatus::Code(0)),
        ("badly", "echo said; exit 5", ExitStatus::Code(5)),
        ("killed", "echo said; kill -9 $$", ExitStatus::Signal(9)),
    ] {
        // Without a header there is nothing to write before the command speaks.
        let invocation = Invocation { header: String::new(), ..scene.script(what, script) };
        assert_eq!(run(&scene, &invocation).await.unwrap(), (status, true), "{what}");
    }
}

pub(crate) async fn what_was_started_is_attended_to_without_a_log() {
    let mut scene = Scene::new();
    let script = "echo one; echo $$ > pid; until [ -e go ]; do sleep 0.01; done; exit 5";
    let invocation = scene.script("a", script);
    tokio::select! {
        result = scene.run(&invocation) => panic!("it ended: {result:?}"),
        () = scene.until_log_holds("one\n") => {}
    }
    let pid = scene.pid_in("pid").await;
    scene.restart_daemon();
    fill_the_disk(&scene).await;
    let go = async {
        assert!(lives(pid));
        scene.touch("go");
        until("the end", || !lives(pid)).await;
    };
    let (ended, ()) = tokio::join!(run(&scene, &invocation), go);
    assert_eq!(ended.unwrap(), (ExitStatus::Code(5), true));
}
