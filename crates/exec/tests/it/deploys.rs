//! What a deploy, a destroy and a plan do.

use std::fs;
use std::os::unix::fs::symlink;

use piton_model::{CustomCommands, Operation, Outcome, OutputValue, Source};
use serde_json::{Value, json};

use crate::scene::{Scene, deploy, env, failure, iac, mode, name};
use crate::tool::Tool;

const SIMPLE: &str = r#"
variable "workspace_name" { type = string }
resource "terraform_data" "one" { input = var.workspace_name }
output "name" { value = terraform_data.one.output }
"#;

pub(crate) async fn the_second_deploy_finds_nothing_to_do(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let source = scene.code(&[("main.tf", SIMPLE), ("config.json", "{}")]);
    let first = scene.succeed(deploy(source.clone())).await;
    let report = &first.report;
    assert_eq!(report.plan.as_ref().unwrap().sentence(), "1 to add, 0 to change, 0 to replace, 0 to destroy");
    let expected = OutputValue { value: "everest".into(), sensitive: false };
    assert_eq!(report.outputs.as_ref().unwrap()["name"], expected);
    assert_eq!(report.tool.as_ref().unwrap().name, tool.program);
    let log = scene.log(&first);
    for line in ["init -input=false", "plan -input=false", "apply -input=false", "Apply complete!", "\u{1b}["] {
        assert!(log.contains(line), "no {line:?} in:\n{log}");
    }
    assert!(!log.contains("terraformrc"), "{log}");
    assert!(!scene.deployment().join("config.json").exists());

    let second = scene.succeed(deploy(source)).await;
    assert!(second.report.plan.as_ref().unwrap().is_empty());
    assert_eq!(second.report.outputs, report.outputs);
    assert!(!scene.log(&second).contains(" apply "), "{}", scene.log(&second));

    let source = scene.code(&[("main.tf", SIMPLE)]);
    let gone = scene.succeed(iac(source.clone(), Operation::Destroy)).await;
    assert_eq!(gone.report.plan.as_ref().unwrap().destroy, 1);
    assert_eq!(scene.resources(), Vec::<String>::new());
    let again = scene.succeed(iac(source, Operation::Destroy)).await;
    assert!(again.report.plan.as_ref().unwrap().is_empty());
}

pub(crate) async fn modes_reach_the_code_and_the_destroy(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let code = r#"
variable "deployment_mode" {}
locals { counts = { hibernation = 0, busy = 2 } }
resource "terraform_data" "node" { count = local.counts[var.deployment_mode] }
output "mode" { value = var.deployment_mode }
"#;
    let source = scene.code(&[("main.tf", code)]);
    let in_mode = |word| iac(source.clone(), Operation::Deploy { mode: Some(mode(word)) });
    let busy = scene.succeed(in_mode("busy")).await;
    assert_eq!(busy.report.plan.as_ref().unwrap().add, 2);
    assert_eq!(busy.report.outputs.as_ref().unwrap()["mode"].value, "busy");
    let asleep = scene.succeed(in_mode("hibernation")).await;
    assert_eq!(asleep.report.plan.as_ref().unwrap().destroy, 2);
    scene.succeed(in_mode("busy")).await;
    // The code insists on a mode, and a destroy has none of its own.
    scene.succeed(iac(source.clone(), Operation::Destroy)).await;
    assert_eq!(scene.resources(), Vec::<String>::new());

    let source = scene.code(&[("main.tf", "resource \"terraform_data\" \"x\" {}\n")]);
    let run = scene.drive(scene.run(iac(source, Operation::Deploy { mode: Some(mode("busy")) }))).await;
    let failure = failure(&run);
    assert_eq!(failure.code, "plan_failed");
    assert!(failure.hint.unwrap().contains("deployment_mode"));
}

pub(crate) async fn every_kind_of_change_is_counted(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let before = r#"
resource "terraform_data" "kept" { input = 1 }
resource "terraform_data" "updated" { input = 1 }
resource "terraform_data" "replaced" { triggers_replace = 1 }
resource "terraform_data" "deleted" {}
"#;
    let after = r#"
resource "terraform_data" "kept" { input = 1 }
resource "terraform_data" "updated" { input = 2 }
resource "terraform_data" "replaced" { triggers_replace = 2 }
resource "terraform_data" "created" {}
output "o" { value = 1 }
"#;
    scene.succeed(deploy(scene.code(&[("main.tf", before)]))).await;
    let run = scene.succeed(deploy(scene.code(&[("main.tf", after)]))).await;
    let plan = run.report.plan.unwrap();
    assert_eq!((plan.add, plan.change, plan.replace, plan.destroy, plan.output_changes), (1, 1, 1, 1, 1));
    let listed: Vec<_> = plan.changes.iter().map(|c| (c.address.as_str(), c.action.as_str())).collect();
    assert_eq!(
        listed,
        [
            ("terraform_data.deleted", "delete"),
            ("terraform_data.replaced", "replace"),
            ("terraform_data.updated", "update"),
            ("terraform_data.created", "create"),
        ]
    );
    assert_eq!(plan.changes[1].reason.as_deref(), Some("replace_because_cannot_update"));
}

pub(crate) async fn secrets_stay_secret(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let code = r#"
variable "password" {
  type      = string
  sensitive = true
}
variable "token" { type = string }
locals { derived = sensitive("derived-${"s3cret"}") }
resource "terraform_data" "x" {
  input = { password = var.password, derived = local.derived }
  provisioner "local-exec" { command = "echo leaked: $LEAK and $API_TOKEN and ${nonsensitive(local.derived)}" }
  provisioner "local-exec" {
    command = "echo nothing of $LEAK"
    environment = { LEAK = nonsensitive(var.password) }
  }
}
output "password" {
  value     = var.password
  sensitive = true
}
output "plain" { value = "visible" }
"#;
    let mut action = deploy(scene.code(&[("main.tf", code)]));
    action.vars.insert("password".to_owned(), "pass-w0rd-in-vars".into());
    action.env = env(&[("TF_VAR_token", "t0ken-in-env"), ("API_TOKEN", "t0ken-in-env"), ("LEAK", "l3aked-env")]);
    let run = scene.succeed(action).await;
    let log = scene.log(&run);
    assert!(log.contains("leaked: *** and *** and ***"), "{log}");
    let report = serde_json::to_string(&run.report).unwrap();
    for secret in ["pass-w0rd-in-vars", "t0ken-in-env", "l3aked-env", "derived-s3cret"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        assert!(!report.contains(secret), "{secret} is in the report: {report}");
    }
    let outputs = run.report.outputs.as_ref().unwrap();
    assert_eq!(outputs["password"], OutputValue { value: Value::Null, sensitive: true });
    assert_eq!(outputs["plain"].value, "visible");

    scene.exec.cleanup(&run).await;
    let dir = scene.logs.run_dir(run.id);
    for entry in walkdir::WalkDir::new(&dir).into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file()) {
        let bytes = fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("pass-w0rd-in-vars"), "left in {}", entry.path().display());
        assert!(entry.path().extension().is_none_or(|e| e != "tfplan"), "{} is left", entry.path().display());
    }
    assert!(dir.join("log").exists());
}

pub(crate) async fn variables_come_from_files_and_values(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let code = r#"
variable "a" {}
variable "b" {}
variable "c" { type = list(number) }
variable "workspace_name" {}
output "all" { value = [var.a, var.b, var.c, var.workspace_name] }
"#;
    let source = scene.code(&[("main.tf", code), ("env/prod.tfvars", "a = \"file\"\nb = \"file\"\n")]);
    let mut action = deploy(source);
    action.var_files = vec!["env/prod.tfvars".into()];
    action.vars.insert("b".to_owned(), "value".into());
    action.vars.insert("c".to_owned(), json!([1, 2]));
    let run = scene.succeed(action.clone()).await;
    let expected = json!(["file", "value", [1, 2], "everest"]);
    assert_eq!(run.report.outputs.unwrap()["all"].value, expected);

    // Whoever names it in the environment means that; what it says is masked.
    action.env = env(&[("TF_VAR_workspace_name", "kangchenjunga")]);
    let run = scene.succeed(action).await;
    let all = run.report.outputs.unwrap()["all"].value.clone();
    assert_eq!(all[0], "file");
    assert_ne!(all[3], "everest");
}

pub(crate) async fn a_plan_changes_nothing(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let source = scene.code(&[("main.tf", SIMPLE)]);
    let run = scene.succeed(iac(source, Operation::Plan { mode: None })).await;
    assert_eq!(run.report.plan.as_ref().unwrap().add, 1);
    assert_eq!(run.report.outputs, None);
    assert!(!scene.deployment().join("terraform.tfstate").exists());
}

pub(crate) async fn commands_take_the_tools_place(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let mut action = iac(scene.code(&[("main.tf", SIMPLE)]), Operation::Deploy { mode: Some(mode("busy")) });
    let t = tool.program;
    action.commands = CustomCommands {
        init: Some(format!("echo my init && {t} init -no-color")),
        plan: Some(format!(
            "{t} plan -var workspace_name=\"$WORKSPACE_NAME-$DEPLOYMENT_MODE\" -out=\"$PITON_PLAN_FILE\""
        )),
        apply: Some(format!("echo run $PITON_RUN_ID && {t} apply \"$PITON_PLAN_FILE\"")),
    };
    let run = scene.succeed(action.clone()).await;
    let log = scene.log(&run);
    assert!(log.contains("my init") && log.contains(&format!("run {}", run.id)), "{log}");
    assert_eq!(run.report.plan.as_ref().unwrap().add, 1);
    assert_eq!(run.report.outputs.as_ref().unwrap()["name"].value, "everest-busy");

    action.commands =
        CustomCommands { init: None, plan: Some("echo planned by hand".to_owned()), apply: Some("exit 7".to_owned()) };
    let failed = scene.drive(scene.run(action)).await;
    assert_eq!((failure(&failed).code.as_str(), failure(&failed).exit_code), ("apply_failed", Some(7)));
    assert!(scene.log(&failed).contains("planned by hand"));
}

pub(crate) async fn a_template_with_an_overlay(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let repository = crate::templates::repository(&scene);
    repository.commit(&[
        ("web/main.tf", "variable \"size\" { default = \"small\" }\noutput \"size\" { value = var.size }\n"),
        ("web/files/motd", "template"),
    ]);
    let at = jiff::Timestamp::from_second(1).unwrap();
    let origin = repository.origin(Some("web"), None);
    scene.exec.templates().add(&name("web"), &origin, "", at).await.unwrap();

    let overlay = scene.path("workspaces/everest");
    fs::create_dir_all(overlay.join("files")).unwrap();
    fs::write(overlay.join("config.json"), "{}").unwrap();
    fs::write(overlay.join("terraform.tfvars"), "size = \"large\"\n").unwrap();
    fs::write(overlay.join("files/motd"), "workspace").unwrap();
    let source = Source::Template { name: name("web"), overlay: Some(overlay.clone()) };
    let run = scene.succeed(deploy(source.clone())).await;
    assert_eq!(run.report.outputs.as_ref().unwrap()["size"].value, "large");
    assert_eq!(fs::read_to_string(scene.deployment().join("files/motd")).unwrap(), "workspace");
    let metadata = fs::read_to_string(scene.deployment().join(".provisioner-metadata.json")).unwrap();
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!((&metadata["workspace_name"], &metadata["template_name"]), (&json!("everest"), &json!("web")));
    assert_eq!(metadata["template_hash"].as_str().unwrap().len(), 64);

    // The workspace's own code takes the template's place, all of it; state and caches stay.
    fs::write(overlay.join("main.tf"), "output \"own\" { value = 1 }\n").unwrap();
    let run = scene.succeed(deploy(source)).await;
    assert_eq!(run.report.outputs.as_ref().unwrap().keys().collect::<Vec<_>>(), ["own"]);
    assert!(scene.deployment().join("terraform.tfstate").exists());

    let missing = Source::Template { name: name("wbe"), overlay: None };
    let run = scene.drive(scene.run(deploy(missing))).await;
    let failure = failure(&run);
    assert_eq!(failure.code, "template_not_found");
    assert_eq!(failure.hint.as_deref(), Some("did you mean `web`?"));
}

/// What is read from the state is what the tool says, and where the state is elsewhere nothing else is believed.
pub(crate) async fn outputs_are_those_of_the_state(tool: Tool) {
    let code = r#"
variable "rounds" { type = number }
output "list" { value = [1, 2.5, true, null, "\u00e9 \"quoted\""] }
output "nested" { value = { a = { b = ["c"] }, empty = {}, none = [] } }
output "large" { value = 9007199254740993 }
output "rounds" { value = var.rounds }
output "secret" {
  value     = { token = "hunter2" }
  sensitive = true
}
resource "terraform_data" "one" { input = var.rounds }
"#;
    let scene = Scene::new(Some(&tool));
    let outputs = async |source: &Source, rounds: u8| {
        let mut iac = deploy(source.clone());
        iac.vars.insert("rounds".to_owned(), json!(rounds));
        scene.succeed(iac).await.report.outputs.unwrap()
    };
    let ours = outputs(&scene.code(&[("main.tf", code)]), 1).await;
    #[expect(clippy::disallowed_methods, reason = "what the tool itself says is asked of it by hand")]
    let told = std::process::Command::new(&tool.path)
        .args(["output", "-json"])
        .current_dir(scene.deployment())
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(ours.len(), told.as_object().unwrap().len());
    for (name, output) in &ours {
        let sensitive = told[name]["sensitive"] == true;
        let value = if sensitive { Value::Null } else { told[name]["value"].clone() };
        assert_eq!(*output, OutputValue { value, sensitive }, "{name}");
    }

    let scene = Scene::new(Some(&tool));
    let elsewhere = format!("terraform {{\n  backend \"local\" {{\n    path = \"elsewhere.tfstate\"\n  }}\n}}\n{code}");
    let source = scene.code(&[("main.tf", &elsewhere)]);
    let in_round = async |rounds: u8| {
        let mut iac = deploy(source.clone());
        iac.vars.insert("rounds".to_owned(), json!(rounds));
        scene.succeed(iac).await.report.outputs.unwrap()["rounds"].value.clone()
    };
    assert_eq!(in_round(1).await, 1);
    let decoy = json!({ "version": 4, "outputs": { "rounds": { "value": 7, "type": "number" } } });
    fs::write(scene.deployment().join("terraform.tfstate"), decoy.to_string()).unwrap();
    assert_eq!(in_round(2).await, 2, "a state that is not in use was believed");
}

/// The directory of a workspace may be gone before what was deployed from it.
pub(crate) async fn what_is_deployed_outlives_its_source(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let source = scene.code(&[("main.tf", SIMPLE)]);
    scene.succeed(deploy(source.clone())).await;
    fs::remove_dir_all(scene.path("source")).unwrap();
    let run = scene.drive(scene.run(deploy(source.clone()))).await;
    assert_eq!(failure(&run).code, "source_missing");
    let gone = scene.succeed(iac(source.clone(), Operation::Destroy)).await;
    assert_eq!(gone.report.plan.as_ref().unwrap().destroy, 1);
    assert_eq!(scene.resources(), Vec::<String>::new());
    // What was never laid out cannot be destroyed either.
    let scene = Scene::new(Some(&tool));
    let run = scene.drive(scene.run(iac(source, Operation::Destroy))).await;
    assert_eq!(failure(&run).code, "source_missing");
}

pub(crate) async fn a_source_without_code_or_with_a_way_out_is_refused(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let refused = async |source| {
        let run = scene.drive(scene.run(deploy(source))).await;
        assert!(matches!(run.outcome(), Some(Outcome::Failed { .. })));
        failure(&run)
    };
    assert_eq!(refused(scene.code(&[("README.md", "")])).await.code, "no_code");
    assert_eq!(refused(Source::Directory { path: scene.path("nowhere") }).await.code, "source_missing");
    let source = scene.code(&[("main.tf", SIMPLE)]);
    symlink("/etc/passwd", scene.path("source/passwd")).unwrap();
    let failure = refused(source).await;
    assert_eq!(failure.code, "template_unsafe_entry");
    assert!(failure.message.contains("passwd"), "{}", failure.message);
    assert!(!scene.deployment().join("passwd").exists());
}
