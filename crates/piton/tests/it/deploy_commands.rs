//! `piton deploy …`, from elsewhere and without a daemon.

use std::fs::{self, File};

use crate::runner::Scene;
use crate::site::{PITON, Site, until};

const CODE: &str = r#"
variable "word" {}
resource "terraform_data" "it" {
  input = var.word
  provisioner "local-exec" { command = "echo the word has come" }
}
output "word" { value = terraform_data.it.output }
"#;

#[test]
fn a_deployment_is_approved_and_followed_from_elsewhere() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let away = Site::new().env("PITON_SERVER", &format!("http://{}", daemon.address())).env("TF_VAR_word", "quince");
    let url = scene.hosting.url("open/app.git");
    let order = ["deploy", "run", "--tool", "tofu", "--git-url", &url, "--git-ref", "main", "--env", "TF_VAR_word"];

    let said = away.piton(order);
    assert_eq!(said.code, 0, "{said}");
    let approve = said.out.lines().find_map(|line| line.strip_prefix("To approve: piton ")).unwrap();
    assert!(approve.starts_with("deploy approve "), "{said}");
    let said = away.piton(approve.split(' '));
    assert_eq!(
        (said.code, said.out.matches("the word has come").count()),
        (0, 2),
        "the command and its output: {said}"
    );
    assert!(!said.out.contains("tofu init"), "what was seen before is not shown again: {said}");

    let listed = away.json(["deploy", "list", "--status", "success"]);
    let id = listed[0]["deployment_id"].as_str().unwrap().to_owned();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["git_url"]), (1, &url.as_str().into()));
    let status = away.json(["deploy", "status", &id[24..]]);
    assert_eq!((&status["status"], &status["outputs"]["word"]["value"]), (&"success".into(), &"quince".into()));
    assert!(away.piton(["deploy", "logs", &id]).out.contains("Apply complete"));
    assert_eq!(away.piton(["deploy", "logs", "-f", &id, "--tail", "1"]).out.lines().count(), 1);
    assert_eq!(away.piton(["deploy", "cancel", &id]).code, 5, "it has ended");
    assert_eq!(away.piton(["deploy", "status", "00000000-0000-7000-8000-000000000000"]).code, 3);

    let mut detached = order.to_vec();
    detached.extend(["--detach"]);
    let id = away.piton(detached).out.trim().to_owned();
    assert_eq!(away.piton(["deploy", "logs", "-f", &id]).code, 0, "it waits for somebody");
    let said = away.piton(["deploy", "approve", &id, "--digest", &"0".repeat(64)]);
    assert_eq!(said.code, 5, "{said}");
    assert_eq!(away.piton(["deploy", "reject", &id, "--reason", "no"]).code, 0);
    assert_eq!(away.json(["deploy", "status", &id])["outcome"], "rejected");
}

/// The daemon is killed while a deployment is followed from elsewhere, and comes back.
#[test]
fn a_followed_deployment_goes_on_after_the_daemon_died() {
    let code = r#"
resource "terraform_data" "it" {
  provisioner "local-exec" {
    command     = "echo before; until [ -e $GO ]; do sleep 0.05; done; echo after"
    environment = { GO = "@GO@" }
  }
}
"#;
    let root = tempfile::tempdir().unwrap();
    let go = root.path().join("go");
    let scene = Scene::new(&code.replace("@GO@", &go.display().to_string()));
    let daemon = scene.site.serve();
    let address = daemon.address();
    let away = Site::new().env("PITON_SERVER", &format!("http://{address}"));
    let url = scene.hosting.url("open/app.git");
    let said = away.piton([
        "deploy",
        "run",
        "--tool",
        "tofu",
        "--git-url",
        &url,
        "--git-ref",
        "main",
        "--auto-approve",
        "--detach",
    ]);
    let id = said.out.trim().to_owned();
    let file = |kind: &str| File::create(away.path().join(kind)).unwrap();
    let mut following = away.command(PITON);
    let following = following.args(["deploy", "logs", "-f", &id]).stdout(file("out")).stderr(file("err"));
    let mut following = following.spawn().unwrap();
    let printed = |kind: &str| fs::read_to_string(away.path().join(kind)).unwrap_or_default();
    until("the first line is shown", || printed("out").contains("): before\n"));
    daemon.kill();
    until("it is noticed", || printed("err").contains("trying again"));
    fs::write(&go, "").unwrap();
    let _daemon = scene.site.serve_with(&["--listen", &address]);
    assert_eq!(following.wait().unwrap().code(), Some(0), "{}", printed("err"));
    let whole = away.piton(["deploy", "logs", &id]).out;
    assert!(whole.contains("): after\n") && whole.contains("Apply complete"), "{whole}");
    assert_eq!(printed("out"), whole, "nothing is missing, nothing is there twice");
}

#[test]
fn what_cannot_be_deployed_is_told() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let away = Site::new().env("PITON_SERVER", &format!("http://{}", daemon.address()));
    let url = scene.hosting.url("open/app.git");
    let run = |url: &str, more: &[&str]| {
        let mut words = vec!["deploy", "run", "--tool", "tofu", "--git-url", url, "--git-ref", "main"];
        words.extend(more);
        away.piton(words)
    };
    let said = run("https://ada:hush@git.example.org/x", &[]);
    assert!(said.code == 2 && !said.err.contains("hush") && said.err.contains("PITON_GIT_PASSWORD"), "{said}");
    assert_eq!(run(&url, &["--path", "../up"]).code, 2);
    assert_eq!(run(&url, &["--auto-approve", "--path", "nowhere"]).code, 1);
    let said = run(&url, &["--auto-approve", "--env", "TF_VAR_word=x", "-o", "json"]);
    assert_eq!(said.code, 0, "{said}");
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(document["status"], "success");
}

#[test]
fn without_a_daemon_the_command_does_it_itself() {
    let scene = Scene::new(CODE);
    let url = scene.hosting.url("open/app.git");
    let order = ["deploy", "run", "--tool", "tofu", "--git-url", &url, "--git-ref", "main", "--auto-approve"];
    let said = scene.site.piton(order.into_iter().chain(["--env", "TF_VAR_word=x"]));
    assert_eq!((said.code, said.out.contains("Apply complete")), (0, true), "{said}");
    assert_eq!(scene.site.json(["deploy", "list"])[0]["status"], "success");
    scene.site.audit();
}
