//! Jobs: in workspaces and standalone, on schedules and events.

use std::fs;

use crate::site::{Site, until};
use crate::wire::get;
use crate::workspaces::CODE;

fn job(site: &Site, name: &str, body: &str) {
    site.write(format!("jobs/{name}.json"), &format!("{{ \"name\": \"{name}\", {body} }}"));
}

#[test]
fn scripts_commands_and_their_environment() {
    let site = Site::new();
    job(
        &site,
        "script",
        r##""type": "script", "script": "#!/bin/bash\necho \"$WORKSPACE_ID/$JOB_NAME/$EXTRA\"; pwd", "environment": { "EXTRA": "more" }"##,
    );
    job(&site, "command", r#""type": "command", "command": "echo one && echo two >&2; exit 3""#);
    let said = site.piton(["job", "run", "script"]);
    assert_eq!(said.code, 0, "{said}");
    let run = site.json(["job", "status", "script"])["last_run_id"].as_str().unwrap().to_owned();
    let log = site.log(&run);
    assert!(log.contains("_standalone_/script/more"), "{log}");
    assert!(log.contains(&site.data().join("deployments/_standalone_").display().to_string()), "{log}");

    let said = site.piton(["job", "run", "command"]);
    assert_eq!(said.code, 1, "{said}");
    let shown = site.json(["job", "status", "command"]);
    assert_eq!(shown["status"], "failed");
    assert_eq!(shown["last_error"], "Command failed: exit status 3");
    assert_eq!((shown["run_count"].as_u64(), shown["failure_count"].as_u64()), (Some(1), Some(1)));
    site.audit();
}

#[test]
fn dots_in_names_do_not_lead_to_another_job() {
    let site = Site::new();
    for (workspace, name) in [("a", "b.c"), ("a.b", "c")] {
        let job = format!(r#"{{ "name": "{name}", "type": "command", "command": "true", "schedule": "0 0 29 2 *" }}"#);
        site.workspace(workspace, &format!(r#"{{ "jobs": [{job}] }}"#), CODE);
    }
    let (daemon, address) = site.serve_at();
    let refused = get(&address, "/api/cronjobs/a.b.c");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("ambiguous_name")));
    let detail = "'a.b.c' may mean job 'b.c' of workspace 'a' or job 'c' of workspace 'a.b'";
    assert_eq!(
        (refused.json()["detail"].as_str(), refused.json()["hint"].as_str()),
        (Some(detail), Some("say which: a~b.c, a.b~c"))
    );
    for (path, workspace) in [("a~b.c", "a"), ("a.b~c", "a.b")] {
        assert_eq!(get(&address, &format!("/api/cronjobs/{path}")).json()["workspace"], workspace);
    }
    assert_eq!(site.piton(["job", "run", "a.b.c"]).code, 5);
    assert_eq!(site.piton(["job", "--workspace", "a.b", "run", "c"]).code, 0);
    assert_eq!(site.json(["job", "--workspace", "a.b", "status", "c"])["run_count"], 1);
    assert_eq!(site.json(["job", "--workspace", "a", "status", "b.c"])["run_count"], 0);
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn a_job_is_killed_with_all_it_started() {
    let site = Site::new();
    job(
        &site,
        "long",
        r#""type": "command", "command": "setsid sleep 300 & trap '' TERM; echo started; sleep 300; sleep 300""#,
    );
    let _daemon = site.serve();
    let run = site.piton(["job", "run", "long", "--detach"]).out.trim().to_owned();
    until("it runs", || site.log(&run).contains("started\n"));
    let said = site.piton(["job", "kill", "long"]);
    assert_eq!(said.code, 0, "{said}");
    until("it has ended", || site.json(["run", "show", &run])["state"] == "ended");
    assert_eq!(site.json(["run", "show", &run])["outcome"], "cancelled");
    let alive = fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
        fs::read(entry.path().join("environ")).is_ok_and(|environ| String::from_utf8_lossy(&environ).contains(&run))
    });
    assert!(!alive, "something of the job is still alive");
    assert_eq!(site.piton(["job", "kill", "long"]).code, 5, "there was nothing to kill");
    site.audit();
}

#[test]
fn a_job_whose_file_is_gone_can_be_killed() {
    let site = Site::new();
    job(&site, "long", r#""type": "command", "command": "echo started; sleep 300""#);
    let _daemon = site.serve();
    let run = site.piton(["job", "run", "long", "--detach"]).out.trim().to_owned();
    until("it runs", || site.log(&run).contains("started\n"));
    fs::remove_file(site.path().join("jobs/long.json")).unwrap();
    until("it is declared no more", || site.piton(["job", "status", "long"]).code == 3);
    let said = site.piton(["job", "kill", "long"]);
    assert_eq!(said.code, 0, "{said}");
    until("it has ended", || site.json(["run", "show", &run])["state"] == "ended");
    assert_eq!(site.json(["run", "show", &run])["outcome"], "cancelled");
    assert_eq!(site.piton(["job", "kill", "long"]).code, 3, "there is nothing left of it");
    site.audit();
}

#[test]
fn a_job_that_takes_too_long_is_stopped() {
    let site = Site::new();
    job(&site, "slow", r#""type": "command", "command": "sleep 60", "timeout": "1s""#);
    let said = site.piton(["job", "run", "slow"]);
    assert_eq!(said.code, 6, "{said}");
    assert_eq!(site.json(["job", "status", "slow"])["status"], "timeout");

    // It heeds the signal and says that all is well, which it is not: it was cut short.
    let polite = r#""type": "command", "command": "trap 'exit 0' TERM; while :; do sleep 0.1; done", "timeout": "1s""#;
    job(&site, "polite", polite);
    let said = site.piton(["job", "run", "polite"]);
    assert_eq!(said.code, 6, "{said}");
    let status = site.json(["job", "status", "polite"]);
    assert_eq!(status["status"], "timeout");
    assert_eq!(status["success_count"], 0);
}

#[test]
fn schedules_run_jobs_and_suspension_stops_them() {
    let site = Site::new();
    job(&site, "tick", r#""type": "command", "command": "echo tick", "schedule": ["* * * * * *", "0 0 1 1 *"]"#);
    let _daemon = site.serve();
    let count = || site.json(["job", "status", "tick"])["success_count"].as_u64().unwrap();
    until("it ran twice", || count() >= 2);
    assert_eq!(site.piton(["job", "suspend", "tick"]).code, 0);
    until("nothing is under way", || {
        site.json(["run", "list", "--subject", "job/tick"])
            .as_array()
            .unwrap()
            .iter()
            .all(|run| run["state"] == "ended")
    });
    let (before, head) = (count(), site.json(["status"])["ledger_head"].as_i64().unwrap());
    until("it was skipped twice", || site.json(["status"])["ledger_head"].as_i64().unwrap() >= head + 2);
    assert!(count() <= before + 1, "a suspended job ran");
    assert_eq!(site.piton(["job", "resume", "tick"]).code, 0);
    let before = count();
    until("it runs again", || count() > before);
    site.audit();
}

#[test]
fn jobs_follow_deployments_in_the_order_of_their_dependencies() {
    let site = Site::new();
    let order = site.path().join("order").display().to_string();
    let config = format!(
        r#"{{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip", "jobs": [
        {{ "name": "second", "type": "command", "schedule": "@deployment", "depends_on": ["first"], "command": "echo second >> {order}" }},
        {{ "name": "first", "type": "command", "schedule": ["@deployment"], "command": "test -f terraform.tfstate && sleep 0.3 && echo first >> {order}" }},
        {{ "name": "after", "type": "command", "schedule": "@destroy", "command": "echo destroyed >> {order}" }}
    ] }}"#
    );
    site.workspace("everest", &config, CODE);
    let _daemon = site.serve();
    assert_eq!(site.piton(["workspace", "deploy", "everest"]).code, 0);
    let lines = || fs::read_to_string(site.path().join("order")).unwrap_or_default();
    until("both jobs have run", || lines().lines().count() == 2);
    assert_eq!(site.piton(["workspace", "destroy", "everest", "--yes"]).code, 0);
    until("the job after the destroy has run", || lines().lines().count() == 3);
    assert_eq!(lines(), "first\nsecond\ndestroyed\n");
    site.audit();
}

#[test]
fn jobs_are_created_and_deleted() {
    let site = Site::new();
    site.write("new.json", r#"{ "name": "new", "type": "command", "command": "true" }"#);
    site.write("bad.json", r#"{ "name": "bad", "type": "comand", "command": "true" }"#);
    let _daemon = site.serve();
    let said = site.piton(["job", "create", "--file", "new.json"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.piton(["job", "run", "new"]).code, 0);
    assert_eq!(site.piton(["job", "create", "--file", "new.json"]).code, 5);
    let said = site.piton(["job", "create", "--file", "bad.json"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("comand"), "{said}");
    assert!(!site.path().join("jobs/bad.json").exists(), "a refused job was left behind");
    assert_eq!(site.piton(["job", "delete", "new"]).code, 0);
    assert_eq!(site.piton(["job", "status", "new"]).code, 3);
}

#[test]
fn a_template_job_deploys_its_template() {
    let site = Site::new();
    site.write("repository/main.tf", CODE);
    crate::workspaces::git_repository(&site, "repository");
    let url = format!("file://{}", site.path().join("repository").display());
    assert_eq!(site.piton(["template", "add", "boxes", &url]).code, 0);
    job(&site, "boxes", r#""type": "template", "template": "boxes", "environment": { "TF_VAR_size": "2" }"#);
    let said = site.piton(["job", "run", "boxes"]);
    assert_eq!(said.code, 0, "{said}");
    let run = site.runs("job/boxes").pop().unwrap();
    assert_eq!(run["plan"]["add"], 2, "{run:#}");
}

#[test]
fn every_due_time_is_accounted_for() {
    let site = Site::new();
    job(&site, "tick", r#""type": "command", "command": "true", "schedule": "* * * * * *""#);
    site.workspace("k2", r#"{ "deploy_schedule": "* * * * * *" }"#, CODE);
    let daemon = site.serve();
    until("it is deployed", || site.status("k2") == "deployed");
    let listed = |subject: &str| {
        site.json(["run", "list", "--skipped", "--subject", subject, "--limit", "1000"]).as_array().unwrap().clone()
    };
    until("deployments are skipped", || listed("workspace/k2").iter().any(|it| it["reason"] == "already_deployed"));
    assert_eq!(site.piton(["job", "suspend", "tick"]).code, 0);
    until("the job is skipped", || listed("job/tick").iter().filter(|it| it["reason"] == "suspended").count() > 1);

    let said = site.piton(["job", "status", "tick"]);
    assert!(said.out.contains("Latest due times without a run:\n  2"), "{said}");
    assert!(said.out.contains("skipped: suspended (`* * * * * *`)"), "{said}");
    let said = site.piton(["workspace", "status", "k2"]);
    assert!(said.out.contains("skipped: already deployed, nothing changed (`* * * * * *`)"), "{said}");
    let said = site.piton(["run", "list", "--skipped"]);
    assert!(said.out.starts_with("DUE ") && said.out.contains("job/tick"), "{said}");
    // What the workspace scheduler's tools print stays as it was.
    let said = site.named("jobctl", ["status", "tick"]);
    assert!(said.code == 0 && !said.out.contains("without a run"), "{said}");
    assert_eq!(daemon.terminate(), 0);

    // Started, skipped or missed: no second is unaccounted for.
    let mut seconds: Vec<i64> = vec![];
    for skip in listed("job/tick") {
        let due: jiff::Timestamp = skip["due"].as_str().unwrap().parse().unwrap();
        seconds.extend((0..skip["count"].as_i64().unwrap()).map(|before| due.as_second() - before));
    }
    for run in site.runs("job/tick") {
        let fire: jiff::Timestamp = run["origin"]["fire"].as_str().unwrap().parse().unwrap();
        seconds.push(fire.as_second());
    }
    seconds.sort_unstable();
    let gap = seconds.windows(2).find(|pair| pair[1] - pair[0] != 1);
    assert_eq!(gap, None, "{seconds:?}");
    site.audit();
}
