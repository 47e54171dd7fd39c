//! Deploy, destroy, plan, modes: with and without a daemon.

use crate::site::{Site, until};

pub const CODE: &str = r#"
variable "workspace_name" { default = "nobody" }
variable "size" { default = 1 }

resource "terraform_data" "box" {
  count = var.size
  input = "${var.workspace_name} ${count.index}"
}

output "boxes" { value = terraform_data.box[*].output }
"#;

const MANUAL: &str = r#"{ "deploy_schedule": "0 0 29 2 *", "destroy_schedule": false, "catch_up": "skip" }"#;

fn site() -> Site {
    let site = Site::new();
    site.workspace("everest", MANUAL, CODE);
    site
}

#[test]
fn a_workspace_is_deployed_planned_and_destroyed_without_a_daemon() {
    let site = site();
    assert_eq!(site.status("everest"), "pending");

    let said = site.piton(["workspace", "plan", "everest"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.status("everest"), "pending", "a plan changed something");

    let said = site.piton(["workspace", "deploy", "everest"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.status("everest"), "deployed");
    assert!(site.data().join("deployments/everest/terraform.tfstate").is_file());
    let outputs = site.json(["workspace", "outputs", "everest"]);
    assert_eq!(outputs["boxes"]["value"][0], "everest 0", "workspace_name did not arrive: {outputs}");

    let runs = site.runs("workspace/everest");
    let actions: Vec<_> = runs.iter().map(|run| run["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["plan", "deploy"]);
    assert_eq!(runs[1]["plan"]["add"], 1);
    assert!(site.log(runs[1]["id"].as_str().unwrap()).contains("Apply complete"));

    let said = site.piton(["workspace", "destroy", "everest", "--yes"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.status("everest"), "destroyed");
    assert_eq!(site.keeper(), None, "a command left its keeper behind");
    site.audit();
}

#[test]
fn the_same_through_the_daemon() {
    let site = site();
    let daemon = site.serve();
    let said = site.piton(["workspace", "deploy", "everest"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.out.contains("Apply complete") || said.err.contains("Apply complete"), "no log was shown: {said}");
    assert_eq!(site.status("everest"), "deployed");
    let said = site.piton(["workspace", "deploy", "everest", "--detach"]);
    let run = said.out.trim().to_owned();
    until("the detached run has ended", || site.json(["run", "show", &run])["state"] == "ended");
    assert_eq!(site.json(["run", "show", &run])["outcome"], "succeeded");
    assert_eq!(site.json(["run", "show", &run])["step"], "plan", "an empty plan was applied");
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
    assert_eq!(site.keeper(), None, "shutdown left the keeper");
}

#[test]
fn modes_reach_the_code() {
    let site = Site::new();
    let code = r#"
variable "deployment_mode" { type = string }
resource "terraform_data" "mode" { input = var.deployment_mode }
output "mode" { value = terraform_data.mode.output }
"#;
    site.write("repository/main.tf", code);
    git_repository(&site, "repository");
    let url = format!("file://{}", site.path().join("repository").display());
    assert_eq!(site.piton(["template", "add", "modal", &url]).code, 0);
    let config = r#"{ "template": "modal", "catch_up": "skip", "destroy_schedule": false,
        "mode_schedules": { "busy": "0 0 29 2 *", "hibernation": ["0 1 29 2 *"] } }"#;
    site.workspace("everest", config, "");

    let said = site.piton(["workspace", "deploy", "everest"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("busy, hibernation"), "the modes are not named: {said}");
    let said = site.piton(["workspace", "deploy", "everest", "lazy"]);
    assert_eq!(said.code, 2, "{said}");

    assert_eq!(site.piton(["workspace", "deploy", "everest", "busy"]).code, 0);
    let shown = site.json(["workspace", "status", "everest"]);
    assert_eq!((shown["status"].as_str(), shown["mode"].as_str()), (Some("deployed"), Some("busy")));
    assert_eq!(site.piton(["workspace", "mode", "everest", "hibernation"]).code, 0);
    assert_eq!(site.json(["workspace", "outputs", "everest"])["mode"]["value"], "hibernation");
}

#[test]
fn a_mode_that_failed_is_named_where_it_keeps_others_from_being_deployed() {
    let site = Site::new();
    let code = r#"
variable "deployment_mode" {
  type = string
  validation {
    condition     = var.deployment_mode != "hibernation"
    error_message = "It cannot sleep."
  }
}
"#;
    site.write("repository/main.tf", code);
    git_repository(&site, "repository");
    let url = format!("file://{}", site.path().join("repository").display());
    assert_eq!(site.piton(["template", "add", "modal", &url]).code, 0);
    let config = r#"{ "template": "modal", "catch_up": "skip",
        "mode_schedules": { "busy": "0 0 29 2 *", "hibernation": "0 1 29 2 *" } }"#;
    site.workspace("everest", config, "");
    assert_eq!(site.piton(["workspace", "deploy", "everest", "hibernation"]).code, 1);
    let said = site.piton(["workspace", "status", "everest"]);
    let waits = "Waits: the deployment in mode 'hibernation' failed, so the schedule deploys no other mode either until the \
                 configuration, code or template changes, or somebody deploys: piton workspace deploy everest hibernation\n";
    assert!(said.out.contains(waits), "{said}");
    // By hand every mode can be deployed, and then nothing waits any more.
    assert_eq!(site.piton(["workspace", "deploy", "everest", "busy"]).code, 0);
    assert!(site.json(["workspace", "status", "everest"])["waits"].is_null());
}

#[test]
fn a_schedule_deploys_and_destroys_by_itself() {
    let site = Site::new();
    // Six fields: the first are seconds.
    let config = r#"{ "deploy_schedule": "*/4 * * * * *", "destroy_schedule": "2/4 * * * * *" }"#;
    site.workspace("everest", config, CODE);
    let daemon = site.serve();
    let done = |action: &str| {
        site.runs("workspace/everest")
            .iter()
            .filter(|run| {
                run["action"] == action && run["outcome"] == "succeeded" && run["origin"]["trigger"] == "cron"
            })
            .count()
    };
    until("it was deployed and destroyed twice on schedule", || done("deploy") >= 2 && done("destroy") >= 2);
    site.audit();
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn what_fails_says_why_and_waits_for_a_change() {
    let site = Site::new();
    let config = r#"{ "deploy_schedule": "* * * * * *" }"#;
    site.workspace("everest", config, "resource \"terraform_data\" \"x\" {\n  inptu = 1\n}\n");
    let _daemon = site.serve();
    until("the deployment has failed", || site.status("everest") == "failed");
    let shown = site.json(["workspace", "status", "everest"]);
    let error = shown["last_deploy_error"].as_str().unwrap();
    assert!(error.contains("inptu"), "the error does not name the mistake: {error}");
    let before = site.runs("workspace/everest").len();
    let head = site.json(["status"])["ledger_head"].as_i64().unwrap();
    until("the schedule has fired again", || site.json(["status"])["ledger_head"].as_i64().unwrap() > head + 1);
    assert_eq!(site.runs("workspace/everest").len(), before, "it was tried again although nothing had changed");

    site.workspace("everest", config, CODE);
    until("the corrected code is deployed", || site.status("everest") == "deployed");
    site.audit();
}

#[test]
fn only_one_thing_happens_to_a_workspace_at_a_time() {
    let site = Site::new();
    let slow = r#"
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "sleep 3" }
}
"#;
    site.workspace("everest", MANUAL, slow);
    let _daemon = site.serve();
    let run = site.piton(["workspace", "deploy", "everest", "--detach"]).out.trim().to_owned();
    let said = site.piton(["workspace", "destroy", "everest", "--yes"]);
    assert_eq!(said.code, 5, "{said}");
    assert!(said.err.contains("currently deploying"), "{said}");
    until("the apply is under way", || site.log(&run).contains("Provisioning with 'local-exec'"));
    let said = site.piton(["run", "cancel", &run, "--reason", "changed my mind"]);
    assert_eq!(said.code, 0, "{said}");
    until("the run has stopped", || site.json(["run", "show", &run])["state"] == "ended");
    let shown = site.json(["run", "show", &run]);
    assert_eq!(shown["outcome"], "cancelled");
    assert!(shown["message"].as_str().unwrap().contains("changed my mind"));
    assert!(!site.data().join("deployments/everest/.terraform.tfstate.lock.info").exists(), "a lock was left behind");
    site.audit();
}

/// Makes a git repository of a directory.
pub fn git_repository(site: &Site, directory: &str) {
    let path = site.path().join(directory);
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "content"],
    ] {
        let done = site.command("git").args(args).current_dir(&path).output().unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
