//! The runner: deployments of code from git, as its document describes them, with real git and real tools.

use std::fs;

use piton_model::Digest;
use piton_testkit::repository::repository;
use serde_json::{Value, json};

use crate::runner::{Scene, becomes, decide, lines, post, reaches, start, status, stream};
use crate::site::until;
use crate::wire::{get, request};

const CODE: &str = r#"
variable "name" { default = "nobody" }
variable "secret" {
  default   = "none"
  sensitive = true
}
resource "terraform_data" "it" { input = var.name }
output "name" { value = terraform_data.it.output }
output "secret" {
  value     = var.secret
  sensitive = true
}
"#;

/// The request of the document, with every field, for both tools.
#[test]
fn the_document_is_followed_to_the_letter() {
    for tool in ["tofu", "terraform"] {
        let scene = Scene::of(&[("examples/basic/main.tf", CODE), ("examples/basic/prod.tfvars", "name = \"ada\"\n")]);
        let daemon = scene.site.serve();
        let address = daemon.address();
        let body = scene.body(json!({
            "tool": tool, "path": "examples/basic", "env_vars": { "TF_VAR_secret": "hunter2-hunter2" },
            "tfvars_files": ["prod.tfvars"], "init_flags": "-upgrade", "plan_flags": "-compact-warnings '-parallelism=10'",
            "timeout": 60, "auto_approve": false,
            "git_auth": { "type": "http", "username": "token", "password": "ghp_xxxxxxxxxxxx" },
        }));
        let reply = post(&address, "/deploy", &body);
        assert_eq!(reply.status, 202, "{}", reply.text());
        let started = reply.json();
        assert_eq!((&started["status"], &started["message"]), (&json!("running"), &json!("Deployment started")));
        let id = started["deployment_id"].as_str().unwrap().to_owned();
        assert_eq!(reply.header("location"), Some(format!("/deploy/{id}/status").as_str()));

        let told = becomes(&address, &id, "awaiting_approval");
        assert_eq!((&told["phase"], &told["ended_at"], &told["error"]), (&json!("plan"), &Value::Null, &json!("")));
        assert!(told["started_at"].is_string() && told["apply_log"] == "" && told["apply_output"] == "", "{told:#}");
        assert!(told["init_log"].as_str().unwrap().contains("Initializing"), "{told:#}");
        assert!(told["plan_log"].as_str().unwrap().contains("terraform_data.it"), "{told:#}");
        assert!(told["plan_output"].as_str().unwrap().contains("Plan: 1 to add, 0 to change, 0 to destroy."));
        assert!(told["approval"]["digest"].is_string(), "{told:#}");
        listed_like_its_status(&address, &told);

        assert_eq!(decide(&address, &id, "approve"), (200, "Deployment approved".to_owned()));
        let told = becomes(&address, &id, "success");
        assert_eq!(
            (&told["phase"], &told["error"], &told["tool"]["name"]),
            (&json!("completed"), &json!(""), &json!(tool))
        );
        assert!(told["ended_at"].is_string() && told["approved_by"] == "anonymous", "{told:#}");
        assert!(told["apply_log"].as_str().unwrap().contains("Apply complete! Resources: 1 added"), "{told:#}");
        let outputs: Value = serde_json::from_str(told["apply_output"].as_str().unwrap()).unwrap();
        assert_eq!((&outputs["name"]["value"], &outputs["secret"]["value"]), (&json!("ada"), &Value::Null));

        listed_like_its_status(&address, &told);

        let sent = stream(&address, &id, None);
        assert_eq!((sent.last().unwrap().event.as_str(), sent.last().unwrap().data.as_str()), ("end", "succeeded"));
        assert!(lines(&sent).iter().any(|line| line.contains("Apply complete!")), "{sent:?}");
        for (what, text) in
            [("status", told.to_string()), ("log", format!("{sent:?}")), ("daemon", scene.site.daemon_log())]
        {
            assert!(
                !text.contains("hunter2-hunter2") && !text.contains("ghp_xxxxxxxxxxxx"),
                "a secret is in the {what}"
            );
        }
        assert_eq!(decide(&address, &id, "approve"), (409, "nothing_to_approve".to_owned()));
        assert_eq!(decide(&address, &id, "reject"), (409, "nothing_to_approve".to_owned()));
        assert_eq!(decide(&address, &id, "cancel").0, 409);
        until("the metrics count it", || {
            let text = get(&address, "/metrics").text();
            assert!(text.contains("iac_runner_deployments_total{status=\"failed\"} 0"), "{text}");
            text.contains("iac_runner_deployments_total{status=\"success\"} 1")
                && text.contains("iac_runner_deployment_duration_seconds_count 1")
                && text.contains("iac_runner_active_deployments 0")
        });
        scene.site.audit();
    }
}

/// The first item of the list has all that the status has, but for logs, plan and outputs.
fn listed_like_its_status(address: &str, told: &Value) {
    let mut wanted = told.as_object().unwrap().clone();
    for only in ["init_log", "plan_log", "plan_output", "apply_log", "apply_output", "plan", "outputs"] {
        wanted.remove(only);
    }
    assert_eq!(get(address, "/deploy").json()["items"][0], Value::Object(wanted));
}

/// What is asked for in confidence is shown by no output, whatever the code says of it, and is not in the database.
#[test]
fn values_of_env_vars_are_in_no_output() {
    const SECRET: &str = "TFVARsecret77";
    let code = r#"
variable "tok" {}
variable "tiny" {}
output "tok" { value = var.tok }
output "url" { value = { at = ["https://ada:${var.tok}@h/${var.tiny}"] } }
resource "terraform_data" "it" { for_each = toset([var.tok]) }
"#;
    let scene = Scene::new(code);
    let daemon = scene.site.serve();
    let address = daemon.address();
    let env = json!({ "TF_VAR_tok": SECRET, "TF_VAR_tiny": "x1" });
    let id = start(&address, &scene.body(json!({ "auto_approve": true, "env_vars": env })));
    let told = becomes(&address, &id, "success");
    assert_eq!(
        (&told["outputs"]["tok"]["value"], &told["outputs"]["tok"]["sensitive"]),
        (&json!("***"), &json!(false))
    );
    assert_eq!(told["outputs"]["url"]["value"], json!({ "at": ["https://ada:***@h/x1"] }), "{told:#}");
    assert_eq!(told["plan"]["changes"][0]["address"], "terraform_data.it[\"***\"]");
    let run = get(&address, &format!("/api/runs/{id}")).text();
    assert!(!told.to_string().contains(SECRET) && !run.contains(SECRET), "{told:#} {run}");
    assert_eq!(daemon.terminate(), 0);
    for entry in fs::read_dir(scene.site.data()).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!found, "it is in {}", entry.path().display());
        }
    }
}

#[test]
fn a_branch_a_tag_and_a_commit_can_be_deployed_and_nothing_else() {
    let scene = Scene::new(CODE);
    let old = r#"output "version" { value = "old" }"#;
    let new = r#"output "version" { value = "new" }"#;
    let commits = repository(scene.root.path(), "open/two.git", &[&[("main.tf", old)], &[("main.tf", new)]]).unwrap();
    let daemon = scene.site.serve();
    let address = daemon.address();
    let url = scene.hosting.url("open/two.git");
    for (reference, version) in [("main", "new"), ("v0", "old"), (commits[0].as_str(), "old")] {
        let id = start(&address, &scene.body(json!({ "git_url": url, "git_ref": reference, "auto_approve": true })));
        let told = becomes(&address, &id, "success");
        assert_eq!(told["outputs"]["version"]["value"], version, "{told:#}");
        assert_eq!(told["commit"].as_str().unwrap(), if version == "new" { &commits[1] } else { &commits[0] });
    }
    let id = start(&address, &scene.body(json!({ "git_ref": "no-such-branch", "auto_approve": true })));
    let told = becomes(&address, &id, "failed");
    assert!(told["error"].as_str().unwrap().contains("no-such-branch"), "{told:#}");
    assert!(told["init_log"].as_str().unwrap().contains("no-such-branch"), "the document looks there: {told:#}");
    assert_eq!(told["error_code"], "git_ref_not_found", "{told:#}");
    listed_like_its_status(&address, &told);
}

#[test]
fn a_rejected_plan_is_not_applied() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(json!({})));
    becomes(&address, &id, "awaiting_approval");
    assert_eq!(decide(&address, &id, "reject"), (200, "Deployment rejected".to_owned()));
    let told = status(&address, &id);
    assert_eq!(
        (&told["status"], &told["outcome"], &told["apply_log"]),
        (&json!("cancelled"), &json!("rejected"), &json!(""))
    );
    assert_eq!(decide(&address, &id, "approve"), (409, "nothing_to_approve".to_owned()));
    assert_eq!(decide(&address, &id, "reject"), (409, "nothing_to_approve".to_owned()));
}

#[test]
fn a_destroy_is_planned_and_approved_like_anything_else() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("shared.tfstate");
    let backend = format!("terraform {{\n  backend \"local\" {{ path = \"{}\" }}\n}}\n", state.display());
    let scene = Scene::new(&format!("{backend}resource \"terraform_data\" \"it\" {{}}\n"));
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(json!({ "auto_approve": true })));
    becomes(&address, &id, "success");
    let id = start(&address, &scene.body(json!({ "destroy": true })));
    let told = becomes(&address, &id, "awaiting_approval");
    assert!(told["plan_output"].as_str().unwrap().contains("1 to destroy"), "{told:#}");
    assert_eq!(decide(&address, &id, "approve").0, 200);
    becomes(&address, &id, "success");
    let state: Value = serde_json::from_str(&fs::read_to_string(state).unwrap()).unwrap();
    assert_eq!(state["resources"], json!([]));
}

/// A07: everything that is approved is what was looked at, by somebody who may, in time.
#[test]
fn approvals_that_must_not_count() {
    let scene = Scene::new(CODE).env("PITON_IAC__SELF_APPROVAL", "false");
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(json!({})));
    becomes(&address, &id, "awaiting_approval");
    assert_eq!(decide(&address, &id, "approve"), (403, "self_approval".to_owned()));
    let reply = post(&address, &format!("/deploy/{id}/approve"), r#"{"digest":"xyz"}"#);
    assert_eq!((reply.status, reply.code().as_str()), (422, "invalid_digest"));
    // The command line is somebody else.
    let said = scene.site.piton(["run", "approve", &id, "--digest", &"0".repeat(64)]);
    assert_eq!(said.code, 5, "another plan was approved: {said}");
    let said = scene.site.piton(["run", "approve", &id]);
    assert_eq!(said.code, 0, "{said}");
    becomes(&address, &id, "success");
    // Nobody logs in, so there is nobody else to ask for it.
    becomes(&address, &start(&address, &scene.body(json!({ "auto_approve": true }))), "success");
    drop(daemon);

    let scene = Scene::new(CODE).env("PITON_IAC__APPROVAL_TIMEOUT", "1s");
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(json!({})));
    let told = becomes(&address, &id, "cancelled");
    assert_eq!((&told["outcome"], &told["phase"]), (&json!("expired"), &json!("completed")));
    assert_eq!(decide(&address, &id, "approve"), (409, "nothing_to_approve".to_owned()));
    scene.site.audit();
}

/// A07
#[test]
fn a_plan_that_the_state_has_overtaken_is_not_applied() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(json!({})));
    let told = becomes(&address, &id, "awaiting_approval");
    let reply = post(&address, &format!("/deploy/{id}/approve"), &json!({ "digest": "0".repeat(64) }).to_string());
    assert_eq!((reply.status, reply.code().as_str()), (412, "another_plan"));
    let state = json!({ "version": 4, "terraform_version": "1.6.2", "serial": 7,
        "lineage": "00000000-0000-4000-8000-000000000000", "outputs": {}, "resources": [] });
    let directory = scene.site.data().join("deployments").join(&id).join("code");
    fs::write(directory.join("terraform.tfstate"), state.to_string()).unwrap();
    let digest = told["approval"]["digest"].as_str().unwrap();
    let reply = post(&address, &format!("/deploy/{id}/approve"), &json!({ "digest": digest }).to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let told = becomes(&address, &id, "failed");
    assert_eq!(told["error_code"], "plan_stale", "{told:#}");
}

#[test]
fn a_log_is_resumed_without_gap_or_repeat() {
    let code = r#"resource "terraform_data" "it" {
  provisioner "local-exec" { command = "for i in $(seq 1 200); do echo line $i of 200; done" }
}"#;
    let scene = Scene::new(code);
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(json!({ "auto_approve": true })));
    // Opened while it runs, and read to its end.
    let live = stream(&address, &id, None);
    let whole = stream(&address, &id, None);
    assert_eq!(live, whole);
    assert!(
        (1..=200)
            .all(|i| lines(&whole).iter().filter(|line| line.ends_with(&format!(": line {i} of 200"))).count() == 1)
    );
    let ids: Vec<u64> = whole.iter().filter_map(|sent| sent.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    for at in [0, whole.len() / 2, whole.len() - 2] {
        assert_eq!(stream(&address, &id, whole[at].id), whole[at + 1..], "after event {at}");
    }
    let text = get(&address, &format!("/api/runs/{id}/logs")).text();
    assert_eq!(ids.last().copied(), Some(text.len() as u64), "ids are offsets of bytes");
    // A proxy or a test may ask for anything.
    assert_eq!(stream(&address, &id, Some(u64::MAX)).len(), 1);
}

#[test]
fn the_history_stays_and_is_listed_page_by_page() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    let mut ids: Vec<String> =
        (0..3).map(|_| start(&address, &scene.body(json!({ "auto_approve": true, "path": "nowhere" })))).collect();
    for id in &ids {
        becomes(&address, id, "failed");
    }
    ids.push(start(&address, &scene.body(json!({}))));
    becomes(&address, &ids[3], "awaiting_approval");
    daemon.kill();
    let daemon = scene.site.serve();
    let address = daemon.address();
    let listed = |query: &str| {
        let page = get(&address, &format!("/deploy?{query}")).json();
        let ids: Vec<String> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["deployment_id"].as_str().unwrap().to_owned())
            .collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    ids.reverse();
    assert_eq!(listed(""), (ids.clone(), None));
    let (first, next) = listed("limit=3");
    let (second, end) = listed(&format!("limit=3&cursor={}", next.unwrap()));
    assert_eq!(([first, second].concat(), end), (ids.clone(), None));
    assert_eq!(listed("status=awaiting_approval").0, ids[..1]);
    assert_eq!(listed("status=failed").0, ids[1..]);
    assert_eq!(listed("status=success").0, Vec::<String>::new());
    for (query, code) in
        [("status=Success", "invalid_query"), ("cursor=x", "invalid_cursor"), ("stauts=failed", "invalid_query")]
    {
        let reply = get(&address, &format!("/deploy?{query}"));
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{query}");
    }
    assert!(status(&address, &ids[1])["init_log"].as_str().unwrap().contains("nowhere"), "the log stayed");
    assert_eq!(decide(&address, &ids[0], "approve").0, 200);
    becomes(&address, &ids[0], "success");
}

/// A20: ids of other things, and words that no route has.
#[test]
fn only_deployments_are_found_and_only_routes_are_followed() {
    let scene = Scene::new(CODE);
    scene.site.workspace(
        "everest",
        r#"{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip" }"#,
        crate::workspaces::CODE,
    );
    let daemon = scene.site.serve();
    let address = daemon.address();
    assert_eq!(scene.site.piton(["workspace", "deploy", "everest"]).code, 0);
    let run = scene.site.runs("workspace/everest").pop().unwrap()["id"].as_str().unwrap().to_owned();
    let unknown = "00000000-0000-7000-8000-000000000000";
    for id in [run.as_str(), unknown, "x", "..", "%2e%2e", "%00", "a%2Fb", &"9".repeat(300), "'; DROP TABLE runs"] {
        let id = id.replace(' ', "%20");
        for (method, what) in
            [("GET", "status"), ("GET", "logs"), ("POST", "approve"), ("POST", "reject"), ("POST", "cancel")]
        {
            let reply = request(&address, method, &format!("/deploy/{id}/{what}"), &[], "");
            assert!(matches!(reply.status, 400 | 404), "{method} {id} {what}: {}", reply.text());
        }
    }
    assert_eq!(get(&address, "/deploy").json()["items"], json!([]), "runs of other kinds are not counted");
    let id = start(&address, &scene.body(json!({})));
    for what in ["__class__", "approve.__class__", "..%2f..%2fapi%2foverview", "Approve", "approve/x"] {
        let reply = post(&address, &format!("/deploy/{id}/{what}"), "");
        assert_eq!(reply.status, 404, "{what}: {}", reply.text());
    }
    assert_eq!(get(&address, &format!("/deploy/{id}/approve")).status, 405);
    becomes(&address, &id, "awaiting_approval");
}

#[test]
fn of_several_values_for_a_variable_the_last_counts_and_flags_come_last() {
    let scene = Scene::of(&[("main.tf", CODE), ("prod.tfvars", "name = \"ada\"\n")]);
    let daemon = scene.site.serve();
    let address = daemon.address();
    for (mut more, name) in [
        (json!({ "tfvars_files": ["prod.tfvars"], "plan_flags": "-var=name=grace" }), "grace"),
        (json!({ "plan_flags": "-var-file=prod.tfvars -var=name=grace" }), "grace"),
        (json!({ "plan_flags": ["-var=name=grace", "-var-file=prod.tfvars"] }), "ada"),
    ] {
        more["auto_approve"] = json!(true);
        let id = start(&address, &scene.body(more.clone()));
        let told = becomes(&address, &id, "success");
        assert_eq!(told["outputs"]["name"]["value"], name, "{more}: {told:#}");
    }
}

/// A21: a text that names a file is a text.
#[test]
fn nothing_of_the_host_is_read_for_a_request() {
    let scene = Scene::new(&format!("{CODE}output \"digest\" {{ value = sha256(var.name) }}\n"));
    scene.site.write("secret.txt", "name = \"hunter2-hunter2\"\n");
    let daemon = scene.site.serve();
    let address = daemon.address();
    let file = scene.site.path().join("secret.txt").display().to_string();
    let at = format!("@{file}");
    let refused = [
        json!({ "tfvars_files": [file] }),
        json!({ "tfvars_files": ["../../../../../../secret.txt"] }),
        json!({ "plan_flags": format!("-var-file={file}") }),
        json!({ "init_flags": format!("-backend-config={file}") }),
        json!({ "init_flags": ["-from-module=/etc"] }),
        json!({ "git_url": scene.site.path().display().to_string() }),
        json!({ "git_url": format!("file://{}", scene.root.path().join("open/app.git").display()) }),
        json!({ "git_url": at }),
        json!({ "env_vars": { "TF_CLI_CONFIG_FILE": file } }),
    ];
    for more in refused {
        let reply = post(&address, "/deploy", &scene.body(more.clone()));
        assert_eq!((reply.status, reply.code().as_str()), (422, "invalid_deployment"), "{more}: {}", reply.text());
        assert!(reply.json()["errors"][0]["pointer"].is_string() && reply.json()["error"].is_string());
    }
    let id = start(&address, &scene.body(json!({ "env_vars": { "TF_VAR_name": at }, "auto_approve": true })));
    let told = becomes(&address, &id, "success");
    assert_eq!(told["outputs"]["digest"]["value"], Digest::of(at.as_bytes()).as_str(), "it was sent as text");
    assert!(!told.to_string().contains("hunter2-hunter2"));
}

/// A22
#[test]
fn names_that_mean_something_else_are_refused_and_make_nothing() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    let long = "x".repeat(5000);
    let mut bodies: Vec<Value> = Vec::new();
    for path in ["..", "../x", "/etc", "a/../../b", "a\0b"] {
        bodies.push(json!({ "path": path }));
    }
    for reference in ["", "--upload-pack=touch x", "-x", "a..b", "a b", "main\n", "main\0", "@{-1}", &long] {
        bodies.push(json!({ "git_ref": reference }));
    }
    for url in [
        "",
        "ext::sh -c touch% x",
        "--upload-pack=x",
        "https://u:p@h/x.git",
        "http://169.254.169.254/x.git",
        "ssh://-oProxyCommand=x/y",
    ] {
        bodies.push(json!({ "git_url": url }));
    }
    for name in ["", "A=B", "A\0", "PATH", "LD_PRELOAD", "GIT_SSH_COMMAND", "TF_CLI_ARGS_apply"] {
        bodies.push(json!({ "env_vars": { name: "x" } }));
    }
    for flags in ["-destroy", "-out=x", "--destroy", "'unclosed", "-chdir=/"] {
        bodies.push(json!({ "plan_flags": flags }));
    }
    bodies.push(json!({ "timeout": 10_000_000 }));
    bodies.push(json!({ "timeout": -1 }));
    bodies.push(json!({ "tool": "pulumi" }));
    bodies.push(json!({ "auto_approve": "yes" }));
    for more in bodies {
        let reply = post(&address, "/deploy", &scene.body(more.clone()));
        assert_eq!(reply.status, 422, "{}: {}", more.to_string().chars().take(80).collect::<String>(), reply.text());
    }
    assert_eq!(post(&address, "/deploy", "{}").status, 422);
    assert_eq!(post(&address, "/deploy", "{").status, 400);
    assert_eq!(get(&address, "/deploy").json()["items"], json!([]));
    let made = fs::read_dir(scene.site.data().join("deployments")).map_or(0, Iterator::count);
    assert_eq!(made, 0);
}

#[test]
fn what_waits_is_limited_and_told() {
    let scene = Scene::new(CODE)
        .env("PITON_IAC__MAX_CONCURRENT_DEPLOYMENTS", "1")
        .env("PITON_IAC__MAX_QUEUED_DEPLOYMENTS", "2");
    let daemon = scene.site.serve();
    let address = daemon.address();
    let stuck = scene.body(json!({ "git_url": scene.hosting.url("stuck/x.git") }));
    let first = start(&address, &stuck);
    reaches(&address, &first, "cloning");
    let waiting = [start(&address, &stuck), start(&address, &stuck)];
    for (place, id) in waiting.iter().enumerate() {
        let told = status(&address, id);
        assert_eq!(
            (&told["status"], &told["phase"], &told["queued"]),
            (&json!("running"), &json!("initializing"), &json!(true))
        );
        assert_eq!(told["position"], place, "{told:#}");
    }
    let reply = post(&address, "/deploy", &stuck);
    assert_eq!((reply.status, reply.code().as_str()), (503, "queue_full"), "{}", reply.text());
    assert!(reply.header("retry-after").is_some());
    for id in [&waiting[1], &waiting[0], &first] {
        assert_eq!(decide(&address, id, "cancel"), (200, "Cancellation requested".to_owned()));
        becomes(&address, id, "cancelled");
    }
    drop(daemon);

    let scene = scene.env("PITON_IAC__MAX_QUEUED_DEPLOYMENTS_EACH", "1");
    let daemon = scene.site.serve();
    let address = daemon.address();
    let first = start(&address, &stuck);
    reaches(&address, &first, "cloning");
    start(&address, &stuck);
    let reply = post(&address, "/deploy", &stuck);
    assert_eq!((reply.status, reply.code().as_str()), (429, "queue_full"), "{}", reply.text());
}

#[test]
fn directories_go_and_logs_go_to_the_archive() {
    let archive = tempfile::tempdir().unwrap();
    let scene = Scene::new(CODE)
        .env("PITON_IAC__RETENTION", "1s")
        .env("PITON_ARCHIVE__URL", &format!("file://{}/logs", archive.path().display()));
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(json!({ "auto_approve": true })));
    let told = becomes(&address, &id, "success");
    let directory = scene.site.data().join("deployments").join(&id);
    until("the directory is gone", || !directory.join("code").exists());
    assert!(directory.join("terraform.tfstate").exists(), "the only state there is was thrown away");
    let day = told["submitted_at"].as_str().unwrap().split('T').next().unwrap();
    let place = archive.path().join("logs").join(day);
    until("the log is archived", || place.join(format!("{id}.json")).exists());
    let about: Value = serde_json::from_slice(&fs::read(place.join(format!("{id}.json"))).unwrap()).unwrap();
    assert_eq!((&about["run"], &about["outcome"]), (&json!(id), &json!("succeeded")));
    let kept = fs::read_to_string(place.join(format!("{id}.log"))).unwrap();
    assert_eq!(kept, get(&address, &format!("/api/runs/{id}/logs")).text());
    drop(daemon);

    // What the daemon did not come to is done by the next one.
    fs::remove_dir_all(&place).unwrap();
    fs::remove_file(scene.site.data().join("runs").join(&id).join("archived")).unwrap();
    let _daemon = scene.site.serve();
    until("the log is archived", || place.join(format!("{id}.json")).exists());
    assert_eq!(fs::read_to_string(place.join(format!("{id}.log"))).unwrap(), kept);
}
