//! A person stands between plan and apply.

use crate::site::{Site, until};
use crate::workspaces::CODE;

const CONFIG: &str = r#"{ "approval": "manual", "deploy_schedule": "0 0 29 2 *", "catch_up": "skip" }"#;

fn gated(site: &Site) -> String {
    let said = site.piton(["workspace", "deploy", "everest"]);
    assert_eq!(said.code, 0, "{said}");
    let run = site.runs("workspace/everest").pop().unwrap();
    assert_eq!(run["state"], "gated", "{run}");
    assert_eq!(run["plan"]["add"], 1);
    run["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_approved_plan_is_applied() {
    let site = Site::new();
    site.workspace("everest", CONFIG, CODE);
    let _daemon = site.serve();
    let run = gated(&site);
    assert!(!site.data().join("deployments/everest/terraform.tfstate").exists(), "applied before it was approved");

    let said = site.piton(["run", "approve", &run, "--digest", &"0".repeat(64)]);
    assert_eq!(said.code, 5, "another digest was accepted: {said}");
    let said = site.piton(["run", "approve", &run]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.json(["run", "show", &run])["outcome"], "succeeded");
    assert_eq!(site.status("everest"), "deployed");
    let said = site.piton(["run", "approve", &run]);
    assert_eq!(said.code, 5, "an approval was spent twice: {said}");
    site.audit();
}

#[test]
fn an_approval_survives_the_daemon() {
    let site = Site::new();
    site.workspace("everest", CONFIG, CODE);
    let daemon = site.serve();
    let run = gated(&site);
    daemon.kill();
    let _daemon = site.serve();
    assert_eq!(site.json(["run", "show", &run])["state"], "gated");
    let said = site.piton(["run", "approve", &run]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.status("everest"), "deployed");
    site.audit();
}

#[test]
fn an_approval_of_what_a_custom_command_printed_survives_the_daemon() {
    let site = Site::new();
    // It never prints the same again, so nothing but what was printed can show what was approved.
    let config = r#"{ "approval": "manual", "deploy_schedule": "0 0 29 2 *", "catch_up": "skip",
        "custom_deploy": { "plan_command": "date +%N", "apply_command": "echo applied" } }"#;
    site.workspace("everest", config, CODE);
    let daemon = site.serve();
    let said = site.piton(["workspace", "deploy", "everest"]);
    assert_eq!(said.code, 0, "{said}");
    let run = site.runs("workspace/everest").pop().unwrap()["id"].as_str().unwrap().to_owned();
    daemon.kill();
    let _daemon = site.serve();
    let said = site.piton(["run", "approve", &run]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.json(["run", "show", &run])["outcome"], "succeeded", "{said}");
    assert!(!site.daemon_log().contains("run that is over"), "{}", site.daemon_log());
    site.audit();
}

#[test]
fn a_rejected_plan_changes_nothing() {
    let site = Site::new();
    site.workspace("everest", CONFIG, CODE);
    let _daemon = site.serve();
    let run = gated(&site);
    let said = site.piton(["run", "reject", &run, "--reason", "too expensive"]);
    assert_eq!(said.code, 0, "{said}");
    let shown = site.json(["run", "show", &run]);
    assert_eq!(shown["outcome"], "rejected");
    assert!(shown["message"].as_str().unwrap().contains("too expensive"));
    assert_eq!(site.status("everest"), "pending");
    assert_eq!(site.piton(["run", "approve", &run]).code, 5);
    site.audit();
}

#[test]
fn a_waiting_run_can_be_cancelled() {
    let site = Site::new();
    site.workspace("everest", CONFIG, CODE);
    let _daemon = site.serve();
    let run = gated(&site);
    assert_eq!(site.piton(["run", "cancel", &run]).code, 0);
    until("it has ended", || site.json(["run", "show", &run])["outcome"] == "cancelled");
    // The lock is free again.
    gated(&site);
    site.audit();
}
