//! The keeper is killed: the command goes on, and nobody pretends to know how it ended.

use std::fs;

use piton_process::{Error, ExitStatus, identity};

use crate::scene::{Scene, lives, until};

const PATIENT: &str = "echo one; echo $$ > pid; until [ -e go ]; do sleep 0.01; done; echo two; touch done";

pub(crate) async fn the_command_finishes_and_is_lost() {
    let scene = Scene::new();
    let invocation = scene.script("a", PATIENT);
    let act = async {
        scene.until_log_holds("one\n").await;
        let pid = scene.pid_in("pid").await;
        scene.kill_keeper().await;
        assert!(lives(pid));
        scene.touch("go");
        pid
    };
    let (result, pid) = tokio::join!(scene.run(&invocation), act);
    let Err(Error::Lost { identity, .. }) = result else { panic!("{result:?}") };
    assert_eq!(identity.pid, pid);
    assert!(!identity::is_alive(&identity) && scene.file("done").exists());
    assert_eq!(scene.log(), "$ a\none\ntwo\n");
    // Asking again changes nothing.
    assert!(matches!(scene.run(&invocation).await, Err(Error::Lost { .. })));
    assert_eq!(scene.log(), "$ a\none\ntwo\n");
}

pub(crate) async fn a_finished_command_is_still_known() {
    let scene = Scene::new();
    let invocation = scene.script("a", "exit 4");
    scene.run(&invocation).await.unwrap();
    scene.kill_keeper().await;
    assert!(scene.runner.knows(&invocation.token).await.unwrap());
    assert_eq!(scene.run(&invocation).await.unwrap().status, ExitStatus::Code(4));
}

pub(crate) async fn a_command_whose_records_are_gone_is_watched_to_its_end() {
    let scene = Scene::new();
    let invocation = scene.script("a", PATIENT);
    let act = async {
        scene.until_log_holds("one\n").await;
        fs::remove_dir_all(scene.file("keeper")).unwrap();
        scene.kill_keeper().await;
        until("another keeper", || scene.file("keeper").exists()).await;
        scene.touch("go");
    };
    let (result, ()) = tokio::join!(scene.run(&invocation), act);
    assert!(matches!(result, Err(Error::Lost { .. })), "{result:?}");
    assert!(scene.file("done").exists());
    assert_eq!(scene.log(), "$ a\none\ntwo\n");
}

pub(crate) async fn an_orphan_can_be_stopped() {
    for records in [true, false] {
        let scene = Scene::new();
        let invocation = scene.script("a", PATIENT);
        let act = async {
            scene.until_log_holds("one\n").await;
            if !records {
                fs::remove_dir_all(scene.file("keeper")).unwrap();
            }
            scene.kill_keeper().await;
            scene.stop.cancel();
        };
        let (result, ()) = tokio::join!(scene.run(&invocation), act);
        assert!(matches!(result, Err(Error::Lost { .. })), "{result:?}");
        assert!(!scene.file("done").exists());
        assert!(scene.log().contains("piton: stopping: sending SIGTERM to the process group\n"), "{}", scene.log());
    }
}
