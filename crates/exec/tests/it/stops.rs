//! Stopped, killed, restarted in the middle.

use std::fs;

use piton_model::{FailureClass, Outcome};
use piton_process::identity::BootId;

use crate::scene::{Scene, deploy, failure, kill};
use crate::tool::Tool;

/// `first` is done when `slow` begins; `slow` ends when somebody says so.
const SLOW: &str = r#"
resource "terraform_data" "first" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "echo x >> ../../../effects; touch ../../../started; until test -e ../../../go; do sleep 0.02; done"
  }
}
"#;

pub(crate) async fn a_cancelled_apply_saves_its_state(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let run = scene.drive_to(scene.run(deploy(scene.code(&[("main.tf", SLOW)]))), "apply").await;
    let cancel = async {
        scene.until("the apply", || scene.path("started").exists()).await;
        scene.stop.cancel();
    };
    let (run, ()) = tokio::join!(scene.step(&run, false), cancel);
    let failure = failure(&run);
    assert_eq!((failure.code.as_str(), failure.class), ("stopped", FailureClass::Interrupted), "{}", scene.log(&run));
    assert!(scene.resources().contains(&"first".to_owned()));
    assert!(!scene.deployment().join(".terraform.tfstate.lock.info").exists());
    assert!(scene.log(&run).contains("Gracefully shutting down"), "{}", scene.log(&run));

    // Nothing new is begun for a run that shall stop.
    let next = scene.drive(scene.run(deploy(scene.code(&[("main.tf", SLOW)])))).await;
    assert!(matches!(next.outcome(), Some(Outcome::Failed { failure }) if failure.class == FailureClass::Interrupted));
}

pub(crate) async fn a_killed_tool_leaves_the_run_uncertain(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let run = scene.drive_to(scene.run(deploy(scene.code(&[("main.tf", SLOW)]))), "apply").await;
    let murder = async {
        scene.until("the apply", || scene.path("started").exists()).await;
        let held = scene.runner.held().await.unwrap();
        let apply = held.iter().find(|child| child.token.as_str().ends_with("/apply/apply")).unwrap();
        kill(apply.identity.pid);
    };
    let (run, ()) = tokio::join!(scene.step(&run, false), murder);
    assert!(matches!(run.outcome(), Some(Outcome::Indeterminate { .. })), "{:?}", run.state);
    let failure = failure(&run);
    assert_eq!((failure.code.as_str(), failure.class), ("tool_killed", FailureClass::Uncertain));
    assert!(failure.message.contains("SIGKILL"), "{}", failure.message);
    assert!(failure.hint.as_deref().unwrap().contains("held by "), "{failure:?}");
}

pub(crate) async fn a_restarted_daemon_finishes_the_apply_once(tool: Tool) {
    let mut scene = Scene::new(Some(&tool));
    let run = scene.drive_to(scene.run(deploy(scene.code(&[("main.tf", SLOW)]))), "apply").await;
    {
        let started = scene.path("started");
        tokio::select! {
            _ = scene.step(&run, false) => panic!("it should not end"),
            () = scene.until("the apply", || started.exists()) => {}
        }
    }
    scene.restart_daemon();
    let go = async {
        fs::write(scene.path("go"), "").unwrap();
    };
    let (run, ()) = tokio::join!(scene.step(&run, true), go);
    let run = scene.drive(run).await;
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(&run));
    assert_eq!(fs::read_to_string(scene.path("effects")).unwrap(), "x\n");
    assert_eq!(scene.log(&run).matches("Apply complete!").count(), 1, "{}", scene.log(&run));

    // Every step of an attempt may be repeated, and does nothing twice.
    let again = scene.run(deploy(scene.code(&[("main.tf", "output \"x\" { value = 1 }\n")])));
    let at_plan = scene.drive_to(again, "plan").await;
    let once = scene.step(&at_plan, false).await;
    let log = scene.log(&once);
    scene.restart_daemon();
    let twice = scene.step(&at_plan, true).await;
    assert_eq!(once.report, twice.report);
    assert_eq!(scene.log(&twice), log);
}

pub(crate) async fn an_apply_that_nobody_saw_is_not_repeated(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let run = scene.drive_to(scene.run(deploy(scene.code(&[("main.tf", SLOW)]))), "apply").await;
    fs::write(scene.path("go"), "").unwrap();
    // The mark of an apply that was begun, and a keeper that knows nothing of it.
    fs::write(scene.logs.run_dir(run.id).join("effect-1"), "").unwrap();
    let resumed = scene.step(&run, true).await;
    assert_eq!(failure(&resumed).code, "effect_unseen");
    assert!(matches!(resumed.outcome(), Some(Outcome::Indeterminate { .. })));
    assert!(!scene.path("effects").exists());
}

/// Stopped between the mark and the start: the keeper would know, in the same boot, of an apply that was started.
pub(crate) async fn an_apply_that_was_marked_but_not_started_is_done_once(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let run = scene.drive_to(scene.run(deploy(scene.code(&[("main.tf", SLOW)]))), "apply").await;
    fs::write(scene.path("go"), "").unwrap();
    let boot = BootId::current().unwrap();
    fs::write(scene.logs.run_dir(run.id).join("effect-1"), boot.as_str()).unwrap();
    let resumed = scene.step(&run, true).await;
    let run = scene.drive(resumed).await;
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(&run));
    assert_eq!(fs::read_to_string(scene.path("effects")).unwrap(), "x\n");
}
