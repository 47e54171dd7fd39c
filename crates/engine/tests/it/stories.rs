//! When workspaces are deployed and destroyed, told by the ledger.

use piton_model::{Digest, FailureClass, Operation, WorkspacePhase};
use piton_testkit::scripted::{Behaviour, Does};
use piton_testkit::simulation::Simulation;

use crate::site::{
    PLAN, SECOND, ana, assert_story, begin, failing, hours, lasting, monday, submitted, told, workspace,
};

const DAILY: &str = r#"{"deploy_schedule": "0 9 * * *", "destroy_schedule": "0 18 * * *"}"#;
const MORNINGS: &str = r#"{"deploy_schedule": "0 9 * * *"}"#;
const NEVER: &str = "{}";

fn register_template(simulation: &Simulation, content: &str) {
    let registry = format!(r#"{{"templates": {{"camp": {{"content_hash": "{content}"}}}}}}"#);
    simulation.write("templates/registry.json", &registry).unwrap();
    simulation.write("templates/camp/main.tf", "# nothing\n").unwrap();
}

#[tokio::test]
async fn a_daemon_that_was_away_does_the_latest_line_once() {
    let mut simulation = begin(monday("08:00:00"), |s| workspace(s, "everest", DAILY)).await;
    simulation.run_for(hours(11)).await.unwrap();
    simulation.kill(0).await;
    simulation.clock.set(monday("12:00:00") + hours(48));
    simulation.start("one").await.unwrap();
    simulation.run_for(hours(1)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 09:00:00 workspace/everest #1 submitted to deploy: schedule `0 9 * * *`
        Mon 02 09:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 09:00:05 workspace/everest #1 done -> succeeded
        Mon 02 18:00:00 workspace/everest #2 submitted to destroy: schedule `0 18 * * *`
        Mon 02 18:00:00 workspace/everest #2 claimed by one, attempt 1
        Mon 02 18:00:05 workspace/everest #2 done -> succeeded
        Wed 04 12:00:00 workspace/everest skipped 1 of `0 9 * * *` until Tue 03 09:00:00: overtaken by the line due at 2026-03-04T09:00:00Z
        Wed 04 12:00:00 workspace/everest skipped 1 of `0 18 * * *` until Tue 03 18:00:00: overtaken by the line due at 2026-03-04T09:00:00Z
        Wed 04 12:00:00 workspace/everest #3 submitted to deploy: schedule `0 9 * * *`
        Wed 04 12:00:00 workspace/everest #3 claimed by one, attempt 1
        Wed 04 12:00:05 workspace/everest #3 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn a_new_workspace_is_deployed_at_once_where_its_latest_line_says_so() {
    let mut simulation = begin(monday("12:00:00"), |s| {
        workspace(s, "everest", DAILY);
        workspace(s, "lhotse", r#"{"deploy_schedule": "0 18 * * *", "destroy_schedule": "0 9 * * *"}"#);
        workspace(s, "makalu", r#"{"deploy_schedule": "0 9 * * *", "catch_up": "skip"}"#);
        workspace(s, "nuptse", NEVER);
    })
    .await;
    simulation.run_for(hours(1)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 12:00:00 workspace/everest #1 submitted to deploy: new or changed configuration
        Mon 02 12:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 12:00:05 workspace/everest #1 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn what_changed_decides_when_it_is_deployed_again() {
    let mut simulation = begin(monday("12:00:00"), |s| {
        register_template(s, "one");
        s.write("workspaces/k2/config.json", r#"{"template": "camp", "deploy_schedule": "0 9 * * *"}"#).unwrap();
        workspace(s, "everest", MORNINGS);
    })
    .await;
    simulation.run_for(hours(1)).await.unwrap();
    // Words do not matter.
    workspace(&simulation, "everest", r#"{"deploy_schedule": "0 9 * * *", "description": "high"}"#);
    // A template waits for the next line.
    register_template(&simulation, "two");
    simulation.reload().unwrap();
    simulation.run_for(hours(1)).await.unwrap();
    assert_eq!(submitted(&simulation).await.len(), 2);
    // A variable does not.
    workspace(&simulation, "everest", r#"{"deploy_schedule": "0 9 * * *", "vars": {"tents": 3}}"#);
    simulation.reload().unwrap();
    simulation.run_for(hours(24)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 12:00:00 workspace/everest #1 submitted to deploy: new or changed configuration
        Mon 02 12:00:00 workspace/k2 #2 submitted to deploy: new or changed configuration
        Mon 02 12:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 12:00:00 workspace/k2 #2 claimed by one, attempt 1
        Mon 02 12:00:05 workspace/k2 #2 done -> succeeded
        Mon 02 12:00:05 workspace/everest #1 done -> succeeded
        Mon 02 14:00:00 workspace/everest #3 submitted to deploy: new or changed configuration
        Mon 02 14:00:00 workspace/everest #3 claimed by one, attempt 1
        Mon 02 14:00:05 workspace/everest #3 done -> succeeded
        Tue 03 09:00:00 workspace/everest skipped 1 of `0 9 * * *` until Tue 03 09:00:00: already deployed, nothing changed
        Tue 03 09:00:00 workspace/k2 #4 submitted to deploy: schedule `0 9 * * *`
        Tue 03 09:00:00 workspace/k2 #4 claimed by one, attempt 1
        Tue 03 09:00:05 workspace/k2 #4 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn a_change_while_no_daemon_ran_is_noticed_even_during_the_first_deployment() {
    let mut simulation = begin(monday("12:00:00"), |s| {
        s.scripted.play(|_| lasting(10));
        workspace(s, "everest", MORNINGS);
    })
    .await;
    simulation.kill(0).await;
    workspace(&simulation, "everest", r#"{"deploy_schedule": "0 9 * * *", "vars": {"tents": 3}}"#);
    simulation.reload().unwrap();
    simulation.start("one").await.unwrap();
    simulation.run_for(hours(2)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 12:00:00 workspace/everest #1 submitted to deploy: new or changed configuration
        Mon 02 12:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 12:00:00 workspace/everest #2 submitted to deploy: new or changed configuration
        Mon 02 12:50:00 workspace/everest #1 done -> succeeded
        Mon 02 12:50:00 workspace/everest #2 claimed by one, attempt 1
        Mon 02 13:40:00 workspace/everest #2 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn a_failed_deployment_waits_for_a_change() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|task| if task.step == PLAN { failing(FailureClass::Permanent) } else { lasting(1) });
        workspace(s, "everest", NEVER);
    })
    .await;
    workspace(&simulation, "everest", MORNINGS);
    simulation.reload().unwrap();
    simulation.run_for(hours(26)).await.unwrap();
    simulation.scripted.play(|_| lasting(1));
    simulation.write("workspaces/everest/main.tf", "# better\n").unwrap();
    simulation.reload().unwrap();
    simulation.run_for(hours(24)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: new or changed configuration
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:02:00 workspace/everest #1 failed: `plan` failed as the script says -> failed
        Mon 02 09:00:00 workspace/everest skipped 1 of `0 9 * * *` until Mon 02 09:00:00: the last deployment failed; waiting for a changed configuration or a manual deploy
        Tue 03 09:00:00 workspace/everest skipped 1 of `0 9 * * *` until Tue 03 09:00:00: the last deployment failed; waiting for a changed configuration or a manual deploy
        Tue 03 10:00:00 workspace/everest #2 submitted to deploy: new or changed configuration
        Tue 03 10:00:00 workspace/everest #2 claimed by one, attempt 1
        Tue 03 10:05:00 workspace/everest #2 done -> succeeded
        Wed 04 09:00:00 workspace/everest skipped 1 of `0 9 * * *` until Wed 04 09:00:00: already deployed, nothing changed
    ",
    );
}

#[tokio::test]
async fn a_plan_that_waits_for_approval_gives_way_to_a_due_destroy() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|task| {
            let deploys = task.run.action.verb() == "deploy" && task.run.attempts == 1;
            let asks = Behaviour { does: Does::Gate("camp"), lasts: Some(SECOND), heeds: true };
            if deploys && task.step == PLAN && task.run.submitted_at > monday("10:00:00") { asks } else { lasting(1) }
        });
        workspace(s, "everest", DAILY);
    })
    .await;
    simulation.run_for(hours(2)).await.unwrap();
    simulation.write("workspaces/everest/main.tf", "# other\n").unwrap();
    simulation.clock.set(monday("10:30:00"));
    simulation.reload().unwrap();
    simulation.run_for(hours(9)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 09:00:00 workspace/everest #1 submitted to deploy: schedule `0 9 * * *`
        Mon 02 09:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 09:05:00 workspace/everest #1 done -> succeeded
        Mon 02 10:30:00 workspace/everest #2 submitted to deploy: new or changed configuration
        Mon 02 10:30:00 workspace/everest #2 claimed by one, attempt 1
        Mon 02 10:32:01 workspace/everest #2 asks camp?
        Mon 02 18:00:00 workspace/everest #2 superseded -> superseded
        Mon 02 18:00:00 workspace/everest #3 submitted to destroy: schedule `0 18 * * *`
        Mon 02 18:00:00 workspace/everest #3 claimed by one, attempt 1
        Mon 02 18:05:00 workspace/everest #3 done -> succeeded
    ",
    );
    let gated = submitted(&simulation).await[1];
    assert!(simulation.scripted.cleaned().contains(&gated), "what was kept for it is gone");
}

#[tokio::test]
async fn modes_follow_their_lines() {
    let mut simulation = begin(monday("12:00:00"), |s| {
        register_template(s, "one");
        let modes = r#"{"busy": "0 9 * * 1-5", "quiet": ["0 18 * * *"]}"#;
        let text = format!(r#"{{"template": "camp", "mode_schedules": {modes}, "destroy_schedule": "0 20 * * 5"}}"#);
        s.write("workspaces/k2/config.json", &text).unwrap();
    })
    .await;
    simulation.run_for(hours(24)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 12:00:00 workspace/k2 #1 submitted to deploy: new or changed configuration
        Mon 02 12:00:00 workspace/k2 #1 claimed by one, attempt 1
        Mon 02 12:00:05 workspace/k2 #1 done -> succeeded
        Mon 02 18:00:00 workspace/k2 #2 submitted to deploy: schedule `0 18 * * *`
        Mon 02 18:00:00 workspace/k2 #2 claimed by one, attempt 1
        Mon 02 18:00:05 workspace/k2 #2 done -> succeeded
        Tue 03 09:00:00 workspace/k2 #3 submitted to deploy: schedule `0 9 * * 1-5`
        Tue 03 09:00:00 workspace/k2 #3 claimed by one, attempt 1
        Tue 03 09:00:05 workspace/k2 #3 done -> succeeded
    ",
    );
    let k2 = simulation.node(0).workspace("k2").unwrap();
    let projection = simulation.store().projection(&k2.subject()).await.unwrap();
    let Some(piton_model::Projection::Workspace(state)) = projection else { panic!("{projection:?}") };
    assert!(matches!(state.settled, WorkspacePhase::Deployed { mode: Some(mode) } if mode.to_string() == "busy"));
    let last = *submitted(&simulation).await.last().unwrap();
    let run = simulation.node(0).run(last).await.unwrap();
    let piton_model::Action::Iac(iac) = &*run.action else { panic!("not infrastructure") };
    assert!(matches!(iac.operation, Operation::Deploy { .. }));
}

#[tokio::test]
async fn only_the_plan_that_was_shown_can_be_approved() {
    let asks = Behaviour { does: Does::Gate("camp"), lasts: Some(SECOND), heeds: true };
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(move |task| if task.step == PLAN { asks } else { lasting(1) });
        workspace(s, "everest", NEVER);
    })
    .await;
    let run = simulation.node(0).deploy("everest", None, ana()).await.unwrap().id;
    simulation.run_for(hours(1)).await.unwrap();
    let other = simulation.node(0).approve(run, Some(Digest::of(b"another plan")), ana()).await;
    assert_eq!(other.unwrap_err().code(), "another_plan");
    assert_eq!(simulation.node(0).deploy("everest", None, ana()).await.unwrap_err().code(), "busy");
    simulation.node(0).approve(run, Some(Digest::of(b"camp")), ana()).await.unwrap();
    simulation.run_for(hours(1)).await.unwrap();
    // Nobody answers the second one, and the third is refused.
    let lapsed = simulation.node(0).deploy("everest", None, ana()).await.unwrap().id;
    simulation.run_for(hours(25)).await.unwrap();
    let refused = simulation.node(0).deploy("everest", None, ana()).await.unwrap().id;
    simulation.run_for(hours(1)).await.unwrap();
    simulation.node(0).reject(refused, ana(), None).await.unwrap();
    let node = simulation.node(0);
    for answer in [node.approve(refused, None, ana()).await, node.reject(refused, ana(), None).await] {
        assert_eq!(answer.unwrap_err().code(), "nothing_to_approve");
    }
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: asked for by ana
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:02:01 workspace/everest #1 asks camp?
        Mon 02 09:00:00 workspace/everest #1 approved by ana
        Mon 02 09:00:00 workspace/everest #1 claimed by one, attempt 2
        Mon 02 09:02:00 workspace/everest #1 done -> succeeded
        Mon 02 10:00:00 workspace/everest #2 submitted to deploy: asked for by ana
        Mon 02 10:00:00 workspace/everest #2 claimed by one, attempt 1
        Mon 02 10:02:01 workspace/everest #2 asks camp?
        Tue 03 10:02:01 workspace/everest #2 expired -> expired
        Tue 03 11:00:00 workspace/everest #3 submitted to deploy: asked for by ana
        Tue 03 11:00:00 workspace/everest #3 claimed by one, attempt 1
        Tue 03 11:02:01 workspace/everest #3 asks camp?
        Tue 03 12:00:00 workspace/everest #3 rejected by ana -> rejected
    ",
    );
    assert_eq!(simulation.scripted.cleaned(), [run, lapsed, refused].into());
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_stops_no_schedule() {
    let mut simulation = begin(monday("08:00:00"), |s| workspace(s, "everest", DAILY)).await;
    simulation.clock.set("2031-01-01T12:00:00Z".parse().unwrap());
    simulation.settle().await.unwrap();
    simulation.run_for(hours(1)).await.unwrap();
    simulation.clock.set(monday("08:30:00"));
    simulation.run_for(hours(12)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Wed 01 12:00:00 workspace/everest skipped 1766 of `0 9 * * *` until Tue 31 09:00:00: overtaken by the line due at 2031-01-01T09:00:00Z
        Wed 01 12:00:00 workspace/everest skipped 1766 of `0 18 * * *` until Tue 31 18:00:00: overtaken by the line due at 2031-01-01T09:00:00Z
        Wed 01 12:00:00 workspace/everest #1 submitted to deploy: schedule `0 9 * * *`
        Wed 01 12:00:00 workspace/everest #1 claimed by one, attempt 1
        Wed 01 12:00:05 workspace/everest #1 done -> succeeded
        Mon 02 09:00:00 workspace/everest skipped 1 of `0 9 * * *` until Mon 02 09:00:00: already deployed, nothing changed
        Mon 02 18:00:00 workspace/everest #2 submitted to destroy: schedule `0 18 * * *`
        Mon 02 18:00:00 workspace/everest #2 claimed by one, attempt 1
        Mon 02 18:00:05 workspace/everest #2 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn what_a_vanished_workspace_deployed_is_still_seen_and_destroyed() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        workspace(s, "everest", r#"{"deploy_schedule": "0 9 * * *", "vars": {"camps": 4}}"#);
        let custom = r#"{"deploy_schedule": "0 9 * * *", "custom_deploy": {"apply_command": "climb"}}"#;
        workspace(s, "lhotse", custom);
        workspace(s, "makalu", NEVER);
    })
    .await;
    simulation.run_for(hours(2)).await.unwrap();
    let engine = simulation.node(0);
    assert!(engine.leftovers().await.unwrap().is_empty(), "all are declared");
    std::fs::remove_dir_all(simulation.layout().workspaces).unwrap();
    simulation.reload().unwrap();
    simulation.run_for(hours(24)).await.unwrap();
    let engine = simulation.node(0);
    let left = engine.leftovers().await.unwrap();
    assert_eq!(left.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["everest", "lhotse"]);

    let error = engine.deploy("everest", None, ana()).await.unwrap_err();
    assert_eq!(error.code(), "not_declared");
    assert!(error.hint().unwrap().contains("piton workspace destroy everest"), "{error}");
    assert_eq!(engine.destroy("makalu", ana()).await.unwrap_err().code(), "not_found", "it was never deployed");
    // Nobody knows any more what undoes a command.
    let error = engine.destroy("lhotse", ana()).await.unwrap_err();
    assert!(error.code() == "not_declared" && error.hint().unwrap().contains("put its directory back"), "{error}");

    let run = engine.destroy("everest", ana()).await.unwrap();
    let piton_model::Action::Iac(iac) = &*run.action else { panic!("{run:?}") };
    assert_eq!((&iac.operation, &iac.vars["camps"]), (&Operation::Destroy, &4.into()));
    assert_eq!(iac.state_at.as_ref().map(|worker| worker.as_str()), Some("one"));
    assert_eq!(engine.destroy("everest", ana()).await.unwrap_err().code(), "busy");
    simulation.run_for(hours(1)).await.unwrap();
    let engine = simulation.node(0);
    assert_eq!(engine.leftovers().await.unwrap().len(), 1);
    assert_eq!(engine.destroy("everest", ana()).await.unwrap_err().code(), "not_found");
}
