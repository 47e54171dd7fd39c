//! Between plan and apply somebody decides.

use std::fs;
use std::path::Path;
use std::time::Duration;

use piton_exec::Config;
use piton_model::{ApprovalPolicy, CustomCommands, Iac, IacStep, Outcome, Run, RunState, Source, Step};
use piton_vault::{Key, Vault};

use crate::scene::{Scene, approved, deploy, failure};
use crate::tool::Tool;

const CODE: &str = "resource \"terraform_data\" \"x\" { input = 1 }\n";
const OTHER: &str = "resource \"terraform_data\" \"x\" { input = 2 }\n";

fn gated(source: Source) -> Iac {
    Iac { approval: ApprovalPolicy::Manual { timeout: Duration::from_secs(60) }, ..deploy(source) }
}

fn digest(run: &Run) -> String {
    let RunState::Gated { gate, .. } = &run.state else { panic!("it waits for nobody: {:?}", run.state) };
    gate.digest.to_string()
}

pub(crate) async fn an_approved_plan_is_applied(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let run = scene.drive(scene.run(gated(scene.code(&[("main.tf", CODE)])))).await;
    let RunState::Gated { gate, .. } = &run.state else { panic!("{:?} {}", run.state, scene.log(&run)) };
    assert_eq!(gate.question, "deploy everest? 1 to add, 0 to change, 0 to replace, 0 to destroy");
    assert_eq!(gate.digest, run.report.plan.as_ref().unwrap().digest);
    assert!(!scene.deployment().join("terraform.tfstate").exists());
    // The source changes while somebody thinks about the plan.
    scene.code(&[("main.tf", OTHER)]);
    let run = scene.drive(approved(&run)).await;
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(&run));
    assert_eq!(scene.state()["resources"][0]["instances"][0]["attributes"]["input"]["value"], 1);
}

pub(crate) async fn an_empty_plan_needs_no_approval(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let source = scene.code(&[("main.tf", CODE)]);
    scene.succeed(deploy(source.clone())).await;
    scene.succeed(gated(source)).await;
}

pub(crate) async fn another_plan_file_is_refused(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let run = scene.drive(scene.run(gated(scene.code(&[("main.tf", CODE)])))).await;
    let other = scene.run(gated(scene.code(&[("main.tf", OTHER)])));
    let other = scene.drive(other).await;
    assert_ne!(digest(&run), digest(&other));
    let file = |run: &Run| scene.logs.run_dir(run.id).join("work/plan.tfplan");
    fs::copy(file(&other), file(&run)).unwrap();
    let run = scene.drive(approved(&run)).await;
    assert_eq!(failure(&run).code, "plan_changed");

    // The run's record was tampered with after the approval.
    let mut other = approved(&other);
    other.report.plan.as_mut().unwrap().digest = piton_model::Digest::of(b"another plan");
    let other = scene.drive(other).await;
    assert_eq!(failure(&other).code, "approval_mismatch");
    assert!(!scene.deployment().join("terraform.tfstate").exists());
}

pub(crate) async fn a_lost_plan_is_made_again_if_it_is_the_same(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let run = scene.drive(scene.run(gated(scene.code(&[("main.tf", CODE)])))).await;
    // As on another node, that has the source and nothing else.
    fs::remove_file(scene.logs.run_dir(run.id).join("work/plan.tfplan")).unwrap();
    fs::remove_dir_all(scene.deployment()).unwrap();
    let run = scene.drive(approved(&run)).await;
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(&run));
    assert_eq!(scene.resources(), ["x"]);
}

pub(crate) async fn a_lost_plan_that_differs_is_asked_for_again(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let run = scene.drive(scene.run(gated(scene.code(&[("main.tf", CODE)])))).await;
    let first = digest(&run);
    fs::remove_file(scene.logs.run_dir(run.id).join("work/plan.tfplan")).unwrap();
    fs::remove_dir_all(scene.deployment()).unwrap();
    scene.code(&[("main.tf", OTHER)]);
    let run = scene.drive(approved(&run)).await;
    assert_ne!(digest(&run), first);
    let run = scene.drive(approved(&run)).await;
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(&run));
    assert_eq!(scene.state()["resources"][0]["instances"][0]["attributes"]["input"]["value"], 2);
}

pub(crate) async fn a_custom_plan_is_approved_by_what_it_printed(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let mut action = gated(scene.code(&[("main.tf", CODE)]));
    action.commands = CustomCommands {
        init: None,
        plan: Some("cat ../../../wish".to_owned()),
        apply: Some("touch applied".to_owned()),
    };
    fs::write(scene.path("wish"), "one\n").unwrap();
    let run = scene.drive(scene.run(action)).await;
    let first = digest(&run);
    assert!(scene.log(&run).contains("one\n"));
    let run = scene.drive(approved(&run)).await;
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(&run));
    assert!(scene.deployment().join("applied").exists());
    assert_eq!(first.len(), 64);
}

/// The files below a directory.
fn files(dir: &Path) -> Vec<String> {
    let below = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    below.map(|entry| entry.path().strip_prefix(dir).unwrap().display().to_string()).collect()
}

fn holds(dir: &Path, secret: &str) -> Vec<String> {
    let mut found = files(dir);
    found.retain(|file| String::from_utf8_lossy(&fs::read(dir.join(file)).unwrap()).contains(secret));
    found
}

const SECRET: &str = "hunter2-of-the-plan";

const SECRETIVE: &str = r#"
variable "word" { sensitive = true }
resource "terraform_data" "x" {
  input = var.word
  provisioner "local-exec" { command = "echo it is ${nonsensitive(var.word)}" }
}
"#;

pub(crate) async fn what_waits_does_not_lie_there_in_clear(tool: Tool) {
    let vault = Vault::new([Key::generate().unwrap()]);
    let mut scene = Scene::with(Some(&tool), |config| Config { vault: vault.clone(), ..config });
    let mut action = gated(scene.code(&[("main.tf", SECRETIVE)]));
    action.vars.insert("word".to_owned(), SECRET.into());
    let mut run = scene.run(action);
    while run.step() != Some(Step::Iac(IacStep::Plan)) {
        run = scene.step(&run, false).await;
    }
    let waiting = scene.step(&run, false).await;
    assert_eq!(digest(&waiting), waiting.report.plan.as_ref().unwrap().digest.to_string());
    let dir = scene.logs.run_dir(run.id);
    assert_eq!(holds(&dir, SECRET), [""; 0]);
    for clear in ["work/plan.tfplan", "work/vars.auto.tfvars.json", "secrets.json", "raw"] {
        assert!(!dir.join(clear).exists(), "{clear} is there: {:?}", files(&dir));
    }

    // The daemon was killed before the gate was on record: it comes to the same.
    scene.restart_with(|config| Config { vault: vault.clone(), ..config });
    let again = scene.step(&run, true).await;
    assert_eq!((&again.state, &again.report), (&waiting.state, &waiting.report));

    // Whoever has only a copy cannot go on with it.
    let copy = fs::read(dir.join("plan.sealed")).unwrap();
    scene.restart_with(|config| Config { vault: Vault::new([Key::generate().unwrap()]), ..config });
    let stolen = scene.drive(approved(&again)).await;
    assert_eq!(failure(&stolen).code, "file_sealed");

    scene.restart_with(|config| Config { vault: vault.clone(), ..config });
    fs::write(dir.join("plan.sealed"), copy).unwrap();
    let done = scene.drive(approved(&again)).await;
    assert_eq!(done.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(&done));
    let log = scene.log(&done);
    assert!(log.contains("it is ***") && !log.contains(SECRET), "{log}");
    assert_eq!(log.matches("1 to add").count(), 1, "what was told of the plan is told once: {log}");
    scene.exec.cleanup(&done).await;
    assert_eq!(files(&dir).into_iter().filter(|file| !["log", "index"].contains(&file.as_str())).count(), 0);
}

pub(crate) async fn what_an_earlier_version_left_in_clear_is_sealed(tool: Tool) {
    let mut scene = Scene::new(Some(&tool));
    let mut action = gated(scene.code(&[("main.tf", SECRETIVE)]));
    action.vars.insert("word".to_owned(), SECRET.into());
    let run = scene.drive(scene.run(action)).await;
    let dir = scene.logs.run_dir(run.id);
    assert!(fs::read_to_string(dir.join("secrets.json")).unwrap().contains(SECRET));
    let vault = Vault::new([Key::generate().unwrap()]);
    scene.restart_with(|config| Config { vault, ..config });
    scene.exec.seal_what_lies_open().await;
    assert!(dir.join("secrets.sealed").exists() && !dir.join("secrets.json").exists(), "{:?}", files(&dir));
    let done = scene.drive(approved(&run)).await;
    assert_eq!(done.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(&done));
    assert!(!scene.log(&done).contains(SECRET), "{}", scene.log(&done));
}
