//! What a workspace scheduler left behind, and its environment variables.

use std::fs;

use crate::site::Site;
use crate::workspaces::CODE;

#[test]
fn its_state_is_taken_over_once() {
    let site = Site::new();
    site.workspace("everest", r#"{ "deploy_schedule": "0 9 * * *", "destroy_schedule": false }"#, CODE);
    site.write(
        "jobs/cleanup.json",
        r#"{ "name": "cleanup", "type": "command", "command": "true", "schedule": "0 2 * * *" }"#,
    );
    site.write(
        "state/scheduler.json",
        r#"{ "workspaces": { "everest": { "status": "deployed", "last_deployed": "2025-09-15T09:00:00Z",
            "last_destroyed": "2025-09-14T18:00:00Z", "last_deploy_error": "", "last_destroy_error": "" } },
            "last_updated": "2025-09-15T10:30:00Z" }"#,
    );
    site.write(
        "state/jobs.json",
        r#"{ "jobs": { "cleanup": { "name": "cleanup", "workspace_id": "_standalone_", "status": "success", "run_count": 15,
            "success_count": 14, "failure_count": 1, "last_run": "2025-09-27T12:00:01Z" } } }"#,
    );
    let shown = site.json(["workspace", "status", "everest"]);
    assert_eq!(shown["status"], "deployed", "{shown}");
    assert_eq!(shown["last_deployed"], "2025-09-15T09:00:00Z");
    assert_eq!(site.json(["job", "status", "cleanup"])["run_count"], 15);
    assert!(!site.path().join("state/scheduler.json").exists());

    // What it deployed is left alone, and later state is not overwritten.
    let daemon = site.serve();
    assert_eq!(site.piton(["job", "run", "cleanup"]).code, 0);
    assert!(site.runs("workspace/everest").is_empty(), "it was deployed once more");
    assert_eq!(site.json(["job", "status", "cleanup"])["run_count"], 16);
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn half_a_state_file_is_not_taken_for_an_empty_one() {
    let site = Site::new();
    site.write("state/scheduler.json", r#"{ "workspaces": { "everest": { "status": "dep"#);
    let said = site.piton(["serve"]);
    assert_eq!(said.code, 78, "{said}");
    assert!(said.err.contains("scheduler.json"), "{said}");
    assert!(site.path().join("state/scheduler.json").exists());
}

#[test]
fn a_state_file_that_is_not_understood_stays() {
    let site = Site::new();
    site.write("state/scheduler.json", r#"{ "machines": { "everest": { "status": "deployed" } } }"#);
    let said = site.piton(["workspace", "list"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.err.contains("scheduler.json"), "{said}");
    assert!(site.path().join("state/scheduler.json").exists());
    // What an early version wrote is taken over.
    site.workspace("everest", r#"{ "deploy_schedule": "0 9 * * *", "destroy_schedule": false }"#, CODE);
    site.write("state/scheduler.json", r#"{ "environments": { "everest": { "status": "deployed" } } }"#);
    assert_eq!(site.json(["workspace", "status", "everest"])["status"], "deployed");
    assert!(!site.path().join("state/scheduler.json").exists());
}

#[test]
fn its_directories_are_honoured() {
    let site = Site::new();
    let site = {
        let (config, state) = (site.path().join("etc"), site.path().join("lib"));
        site.write("etc/workspaces/everest/main.tf", CODE);
        site.write("etc/workspaces/everest/config.json", r#"{ "deploy_schedule": "0 9 * * 1-5", "catch_up": "skip" }"#);
        let site = site.env("PROVISIONER_CONFIG_DIR", &config.display().to_string());
        site.env("PROVISIONER_STATE_DIR", &state.display().to_string())
    };
    let said = site.named("workspacectl", ["deploy", "everest"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(fs::exists(site.path().join("lib/deployments/everest/terraform.tfstate")).unwrap(), "{said}");
    assert!(!site.data().exists(), "something was written elsewhere");
}
