//! `kill -9` at any moment: nothing is lost, nothing is done twice.

use std::fs;
use std::time::Duration;

use crate::site::{Site, kill, until};

const CONFIG: &str = r#"{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip" }"#;

/// Every deployment replaces one resource, which writes two lines to a file outside and takes a moment.
fn code(site: &Site) -> String {
    format!(
        r#"
variable "round" {{}}
resource "terraform_data" "effect" {{
  triggers_replace = var.round
  provisioner "local-exec" {{
    command = "echo begin ${{var.round}} >> {0}; for i in 1 2 3 4 5; do echo line $i of ${{var.round}}; sleep 0.1; done; echo end ${{var.round}} >> {0}"
  }}
}}
"#,
        site.path().join("effects").display()
    )
}

fn round_config(round: usize) -> String {
    format!(r#"{{ "vars": {{ "round": "{round}" }} }}"#)
}

/// More rounds find rarer moments: `PITON_CHAOS_ROUNDS=100`.
fn rounds() -> usize {
    std::env::var("PITON_CHAOS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

#[test]
fn killing_the_daemon_loses_and_repeats_nothing() {
    let site = Site::new();
    let seed = std::process::id() as usize;
    println!("seed {seed}");
    site.workspace("everest", &round_config(0), &code(&site));
    let mut daemon = site.serve();
    for round in 1..=rounds() {
        site.workspace("everest", &round_config(round), &code(&site));
        let digest = site.path().join("effects");
        let said = site.piton(["workspace", "deploy", "everest", "--detach"]);
        assert_eq!(said.code, 0, "{said}");
        let run = said.out.trim().to_owned();
        // From the first milliseconds to well after the apply began.
        let moment = (seed.wrapping_mul(2_654_435_761).wrapping_add(round * 977)) % 1200;
        std::thread::sleep(Duration::from_millis(moment as u64));
        daemon.kill();
        daemon = site.serve();
        until("the run has ended", || site.json(["run", "show", &run])["state"] == "ended");
        let shown = site.json(["run", "show", &run]);
        assert_eq!(shown["outcome"], "succeeded", "round {round}, killed after {moment} ms: {shown:#}");
        check_log(&site, &run, round, moment);
        let effects = fs::read_to_string(&digest).unwrap_or_default();
        let begun = effects.lines().filter(|line| line.starts_with("begin")).count();
        let ended = effects.lines().filter(|line| line.starts_with("end")).count();
        assert_eq!(begun, ended, "round {round}, killed after {moment} ms: {effects}");
    }
    let effects = fs::read_to_string(site.path().join("effects")).unwrap();
    let mut lines: Vec<&str> = effects.lines().collect();
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), all, "an effect was repeated:\n{effects}");
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
}

/// The provisioner's lines are there once each, in order, and the log says that the apply is complete.
fn check_log(site: &Site, run: &str, round: usize, moment: usize) {
    let log = site.log(run);
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("(local-exec): line ")).collect();
    let wanted: Vec<String> = (1..=5).map(|i| format!("line {i} of ")).collect();
    assert_eq!(lines.len(), wanted.len(), "round {round}, killed after {moment} ms:\n{log}");
    for (line, wanted) in lines.iter().zip(&wanted) {
        assert!(line.contains(wanted.as_str()), "round {round}, killed after {moment} ms: {line}\n{log}");
    }
    assert_eq!(log.matches("Apply complete").count(), 1, "round {round}, killed after {moment} ms:\n{log}");
}

#[test]
fn a_terminated_daemon_lets_go_and_the_next_one_takes_over() {
    let site = Site::new();
    let slow = r#"
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "sleep 2; echo slept" }
}
"#;
    site.workspace("everest", CONFIG, slow);
    let daemon = site.serve();
    let run = site.piton(["workspace", "deploy", "everest", "--detach"]).out.trim().to_owned();
    until("the apply has begun", || site.json(["run", "show", &run])["step"] == "apply");
    assert_eq!(daemon.terminate(), 0);
    let daemon = site.serve();
    until("the run has ended", || site.json(["run", "show", &run])["state"] == "ended");
    let shown = site.json(["run", "show", &run]);
    assert_eq!((shown["outcome"].as_str(), shown["attempts"].as_u64()), (Some("succeeded"), Some(1)), "{shown:#}");
    assert_eq!(site.log(&run).matches("(local-exec): slept").count(), 1);
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn what_ends_while_no_daemon_runs_ends_then() {
    let site = Site::new();
    let dir = site.path().display();
    let line = format!("touch {dir}/begun; until [ -e {dir}/go ]; do sleep 0.05; done; echo $$ > {dir}/pid; exit 3");
    let job = serde_json::json!({ "name": "slow", "type": "command", "schedule": "0 0 29 2 *", "command": line });
    site.write("jobs/slow.json", &job.to_string());
    let daemon = site.serve();
    let run = site.piton(["job", "run", "slow", "--detach"]).out.trim().to_owned();
    until("the job has begun", || site.path().join("begun").exists());
    daemon.kill();
    site.write("go", "");
    let pid = || fs::read_to_string(site.path().join("pid")).ok().filter(|text| text.ends_with('\n'));
    until("the job has ended", || pid().is_some_and(|pid| !std::path::Path::new("/proc").join(pid.trim()).exists()));
    let gone = jiff::Timestamp::now();
    let daemon = site.serve();
    until("the run has ended", || site.json(["run", "show", &run])["state"] == "ended");
    let shown = site.json(["run", "show", &run]);
    let time = |member: &str| shown[member].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!((shown["outcome"].as_str(), shown["exit_code"].as_i64()), (Some("failed"), Some(3)), "{shown:#}");
    assert!(time("started_at") <= time("ended_at") && time("ended_at") <= gone, "gone at {gone}: {shown:#}");
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn an_apply_survives_the_keeper() {
    let site = Site::new();
    let slow = r#"
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "sleep 2" }
}
"#;
    site.workspace("everest", CONFIG, slow);
    let _daemon = site.serve();
    let run = site.piton(["workspace", "deploy", "everest", "--detach"]).out.trim().to_owned();
    until("the apply is under way", || site.log(&run).contains("Provisioning with 'local-exec'"));
    kill(site.keeper().unwrap(), "KILL");
    until("the run has ended", || site.json(["run", "show", &run])["state"] == "ended");
    let shown = site.json(["run", "show", &run]);
    assert_eq!(shown["outcome"], "indeterminate", "{shown:#}");
    let state = fs::read_to_string(site.data().join("deployments/everest/terraform.tfstate")).unwrap();
    assert!(state.contains("terraform_data"), "the apply did not complete its state: {state}");
    // A person looks, and deploys again: nothing is left to do.
    let said = site.piton(["workspace", "deploy", "everest"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.status("everest"), "deployed");
    site.audit();
}

#[test]
fn a_tool_that_is_killed_leaves_an_indeterminate_run() {
    let site = Site::new();
    let slow = r#"
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "echo $PPID > tool.pid; sleep 20" }
}
"#;
    site.workspace("everest", CONFIG, slow);
    let _daemon = site.serve();
    let run = site.piton(["workspace", "deploy", "everest", "--detach"]).out.trim().to_owned();
    let pid_file = site.data().join("deployments/everest/tool.pid");
    until("the provisioner runs", || fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n')));
    let tool: u32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    kill(tool, "KILL");
    until("the run has ended", || site.json(["run", "show", &run])["state"] == "ended");
    let shown = site.json(["run", "show", &run]);
    assert_eq!(shown["outcome"], "indeterminate", "{shown:#}");
    assert_eq!(site.status("everest"), "failed");
    let sleeping = fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
        fs::read(entry.path().join("environ")).is_ok_and(|environ| String::from_utf8_lossy(&environ).contains(&run))
    });
    assert!(!sleeping, "the provisioner outlived its tool");
    site.audit();
}

#[test]
fn a_second_daemon_is_refused_and_named() {
    let site = Site::new();
    let daemon = site.serve();
    let said = site.piton(["serve"]);
    assert_eq!(said.code, 75, "{said}");
    assert!(said.err.contains(&daemon.pid().to_string()), "the holder is not named: {said}");
}

#[test]
fn a_damaged_or_newer_database_is_refused_and_kept() {
    let site = Site::new();
    site.workspace("everest", CONFIG, crate::workspaces::CODE);
    assert_eq!(site.piton(["workspace", "deploy", "everest"]).code, 0);
    let database = site.data().join("piton.db");
    let mut bytes = fs::read(&database).unwrap();
    let good = bytes.clone();
    bytes[..4096].fill(0xAA);
    fs::write(&database, &bytes).unwrap();
    let said = site.piton(["serve"]);
    assert_eq!(said.code, 78, "{said}");
    assert!(said.err.contains("piton.db"), "the file is not named: {said}");
    assert_eq!(fs::read(&database).unwrap(), bytes, "the damaged database was touched");
    fs::write(&database, good).unwrap();
    assert_eq!(site.status("everest"), "deployed");
}
