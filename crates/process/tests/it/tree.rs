//! What a command leaves behind.

use piton_process::ExitStatus;

use crate::scene::{Scene, lives};

pub(crate) async fn leftovers_are_killed_and_named() {
    let scene = Scene::new();
    // One stays in the group, one has a session of its own and ignores everything.
    let script = "sh -c 'echo $$ > first; exec sleep 1000' & \
                  setsid sh -c 'trap \"\" TERM INT HUP; echo $$ > second; while :; do sleep 0.1; done' & \
                  until [ -s first ] && [ -s second ]; do sleep 0.01; done; echo main ends; exit 3";
    let exit = scene.run(&scene.script("a", script)).await.unwrap();
    assert_eq!((exit.status, exit.stopped, exit.killed), (ExitStatus::Code(3), false, false));
    assert!(exit.swept >= 2, "{exit:?}");
    for pid in [scene.pid_in("first").await, scene.pid_in("second").await] {
        assert!(!lives(pid));
    }
    assert_eq!(scene.log(), format!("$ a\nmain ends\npiton: killed {} leftover processes\n", exit.swept));
}

pub(crate) async fn open_output_delays_nothing() {
    let scene = Scene::new();
    let exit = scene.run(&scene.script("a", "sleep 1000 & echo done")).await.unwrap();
    assert_eq!((exit.status, exit.swept), (ExitStatus::Code(0), 1));
    assert_eq!(scene.log(), "$ a\ndone\npiton: killed 1 leftover process\n");
}
