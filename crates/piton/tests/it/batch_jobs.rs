//! Jobs of several tasks and CronJobs, over HTTP as provisr has them, and on the command line.

use std::fs;

use serde_json::{Value, json};

use crate::auth::{Door, PASSWORD, guarded};
use crate::site::{Site, until};
use crate::wire::{done, get, request, send};
use crate::workspaces::CODE;

fn job(address: &str, name: &str) -> Value {
    done(&get(address, &format!("/api/jobs/{name}")))
}

fn phase(address: &str, name: &str) -> String {
    job(address, name)["status"]["phase"].as_str().unwrap().to_owned()
}

/// How a job ended: its phase, and the condition that tells why.
fn end(address: &str, name: &str) -> (String, String, String) {
    until("the job has ended", || matches!(phase(address, name).as_str(), "Succeeded" | "Failed"));
    let status = job(address, name)["status"].clone();
    let conditions = status["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 1, "{status}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert_eq!(conditions[0]["status"], "True", "{status}");
    assert!(status["start_time"].is_string() && status["completion_time"].is_string(), "{status}");
    assert_eq!(conditions[0]["last_transition_time"], status["completion_time"], "{status}");
    (text(&status["phase"]), text(&conditions[0]["type"]), text(&conditions[0]["reason"]))
}

fn ended(phase: &str, kind: &str, reason: &str) -> (String, String, String) {
    (phase.to_owned(), kind.to_owned(), reason.to_owned())
}

/// A command that adds a line to a file.
fn noting(site: &Site, file: &str, line: &str) -> Value {
    json!(format!("sh -c 'echo {line} >> {}'", site.path().join(file).display()))
}

fn lines(site: &Site, file: &str) -> Vec<String> {
    let text = fs::read_to_string(site.path().join(file)).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_job_of_numbered_tasks_is_made_watched_and_removed() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    assert_eq!(get(&address, "/api/jobs").json(), json!([]));
    let spec = json!({
        "name": "import", "command": noting(&site, "out", "$JOB_NAME $JOB_COMPLETION_INDEX"),
        "parallelism": 3, "completions": 4, "completion_mode": "Indexed",
    });
    let made = done(&send(&address, "/api/jobs", &spec));
    for member in ["name", "parallelism", "completions", "completion_mode"] {
        assert_eq!(made[member], spec[member], "{made}");
    }
    assert_eq!(end(&address, "import"), ended("Succeeded", "Complete", "JobCompleted"));
    let status = &job(&address, "import")["status"];
    for (member, wanted) in [("active", 0), ("succeeded", 4), ("failed", 0)] {
        assert_eq!(status[member], wanted, "{status}");
    }
    assert_eq!(status["completed_indexes"], "0-3", "{status}");
    assert_eq!(lines(&site, "out"), ["import 0", "import 1", "import 2", "import 3"]);
    let all = get(&address, "/api/jobs").json();
    assert_eq!((all.as_array().unwrap().len(), &all[0]["name"]), (1, &json!("import")));

    let again = send(&address, "/api/jobs", &spec);
    assert_eq!((again.status, again.code().as_str()), (400, "job_exists"), "{}", again.text());
    // What was answered can be sent back, changed.
    let mut other = job(&address, "import");
    other["completions"] = json!(1);
    let renamed = send(&address, "/api/jobs/other", &other);
    assert_eq!((renamed.status, renamed.code().as_str()), (400, "not_found"), "{}", renamed.text());
    other["name"] = json!("other");
    let renamed = send(&address, "/api/jobs/import", &other);
    assert_eq!((renamed.status, renamed.code().as_str()), (400, "invalid_job"), "{}", renamed.text());
    other["name"] = json!("import");
    let new = done(&send(&address, "/api/jobs/import", &other));
    assert_ne!(new["run"], made["run"]);
    assert_eq!(end(&address, "import"), ended("Succeeded", "Complete", "JobCompleted"));
    assert_eq!(lines(&site, "out").len(), 5);

    done(&request(&address, "DELETE", "/api/jobs/import", &[], ""));
    assert_eq!(get(&address, "/api/jobs/import").status, 404);
    assert_eq!(request(&address, "DELETE", "/api/jobs/import", &[], "").status, 400);
    assert_eq!(get(&address, "/api/jobs").json(), json!([]));
    site.audit();
}

#[test]
fn a_job_that_fails_takes_too_long_or_is_stopped_says_why() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let make = |spec: Value| done(&send(&address, "/api/jobs", &spec));
    make(json!({ "name": "broken", "command": "sh -c 'exit 3'", "backoff_limit": 0 }));
    make(json!({ "name": "slow", "command": "sleep 300", "active_deadline_seconds": 1 }));
    make(json!({ "name": "long", "command": "sleep 300", "parallelism": 2, "completions": 2 }));
    make(json!({ "name": "held", "command": "sleep 300", "suspend": true }));
    assert_eq!(end(&address, "broken"), ended("Failed", "Failed", "BackoffLimitExceeded"));
    assert_eq!(job(&address, "broken")["status"]["failed"], 1);
    assert_eq!(end(&address, "slow"), ended("Failed", "Failed", "DeadlineExceeded"));
    until("both tasks run", || job(&address, "long")["status"]["active"] == 2);
    let series = get(&address, "/metrics").text();
    assert!(series.lines().any(|line| line == r#"provisr_job_active{job_name="long"} 1"#), "{series}");
    assert!(!series.contains("cronjob_name"), "there is no schedule: {series}");
    let run = job(&address, "long")["run"].clone();
    assert_eq!(done(&request(&address, "POST", "/api/jobs/long/kill", &[], "")), json!([run]));
    assert_eq!(end(&address, "long"), ended("Failed", "Failed", "JobStopped"));
    // One that is active is stopped before it is gone.
    make(json!({ "name": "gone", "command": "sleep 300" }));
    until("it runs", || job(&address, "gone")["status"]["active"] == 1);
    done(&request(&address, "DELETE", "/api/jobs/gone", &[], ""));
    assert_eq!(get(&address, "/api/jobs/gone").status, 404);

    let held = job(&address, "held");
    assert_eq!((&held["suspended"], &held["status"]["active"]), (&json!(true), &json!(0)), "{held}");
    let resumed = done(&request(&address, "POST", "/api/jobs/held/resume", &[], ""));
    assert_eq!(resumed["suspended"], false, "{resumed}");
    until("it runs", || job(&address, "held")["status"]["active"] == 1);
    done(&request(&address, "POST", "/api/jobs/held/suspend", &[], ""));
    until("nothing runs", || job(&address, "held")["status"]["active"] == 0);
    let held = job(&address, "held")["status"].clone();
    let condition = &held["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Suspended"), &json!("True")), "{held}");
    assert!(condition["last_transition_time"].is_string() && held["start_time"].is_null(), "{held}");
    done(&request(&address, "POST", "/api/jobs/held/resume", &[], ""));
    until("it runs again", || job(&address, "held")["status"]["active"] == 1);
    let released = job(&address, "held")["status"].clone();
    let condition = &released["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Suspended"), &json!("False")), "{released}");
    assert!(released["start_time"].is_string(), "{released}");
    assert_eq!(condition["last_transition_time"], released["start_time"], "{released}");
    done(&request(&address, "DELETE", "/api/jobs/held", &[], ""));
    site.audit();
}

/// As it does in Kubernetes, and without running it a second time.
#[test]
fn a_file_that_suspends_a_job_holds_it_back_while_it_runs() {
    let site = Site::new();
    let declare = |suspend: bool| {
        let spec = json!({ "name": "long", "command": "sleep 300", "suspend": suspend });
        site.write("programs/long.json", &json!({ "type": "job", "spec": spec }).to_string());
    };
    declare(false);
    let (_daemon, address) = site.serve_at();
    let active = |wanted: u64| job(&address, "long")["status"]["active"] == wanted;
    until("it runs", || get(&address, "/api/jobs/long").status == 200 && active(1));
    declare(true);
    until("nothing of it runs", || active(0));
    let held = job(&address, "long");
    assert_eq!((&held["suspended"], &held["status"]["phase"]), (&json!(true), &json!("Running")), "{held}");
    assert_eq!(held["status"]["conditions"][0]["type"], "Suspended", "{held}");
    declare(false);
    until("it runs again", || active(1));
    assert_eq!(job(&address, "long")["suspended"], false);

    // Who resumes it changes the file.
    declare(true);
    until("nothing of it runs", || active(0));
    let resumed = done(&request(&address, "POST", "/api/jobs/long/resume", &[], ""));
    assert_eq!(resumed["suspended"], false, "{resumed}");
    until("it runs again", || active(1));
    let file: Value = serde_json::from_slice(&fs::read(site.path().join("programs/long.json")).unwrap()).unwrap();
    assert_eq!(file["spec"]["suspend"], false, "{file}");
    assert_eq!(site.runs("job/long").len(), 1, "it is one run all the time");
    done(&request(&address, "POST", "/api/jobs/long/kill", &[], ""));
    site.audit();
}

/// Nothing of it would end before somebody resumes it.
#[test]
fn a_suspended_job_is_left_to_the_next_daemon() {
    let site = Site::new();
    let (daemon, address) = site.serve_at();
    done(&send(&address, "/api/jobs", &json!({ "name": "held", "command": "sleep 300", "suspend": true })));
    let run = job(&address, "held")["run"].clone();
    until("it is held back", || job(&address, "held")["status"]["phase"] == "Running");
    // What runs of one is stopped first.
    let out = site.path().join("out").display().to_string();
    let script = "trap \"sleep 0.3; echo stopped >> OUT; exit\" TERM; echo ready >> OUT; while :; do sleep 0.1; done";
    let command = format!("sh -c '{}'", script.replace("OUT", &out));
    done(&send(&address, "/api/jobs", &json!({ "name": "slow", "command": command })));
    until("it can be stopped", || lines(&site, "out") == ["ready"]);
    done(&request(&address, "POST", "/api/jobs/slow/suspend", &[], ""));
    assert_eq!(daemon.shutdown(), 0);
    assert_eq!(lines(&site, "out"), ["ready", "stopped"]);
    let (_daemon, address) = site.serve_at();
    let slow = job(&address, "slow");
    assert_eq!((&slow["status"]["active"], &slow["suspended"]), (&json!(0), &json!(true)), "{slow}");
    done(&request(&address, "POST", "/api/jobs/slow/kill", &[], ""));
    until("it is known again", || get(&address, "/api/jobs/held").status == 200);
    assert_eq!((&job(&address, "held")["run"], &job(&address, "held")["suspended"]), (&run, &json!(true)));
    done(&request(&address, "POST", "/api/jobs/held/resume", &[], ""));
    until("it runs", || job(&address, "held")["status"]["active"] == 1);
    assert_eq!(job(&address, "held")["run"], run);
    done(&request(&address, "POST", "/api/jobs/held/kill", &[], ""));
    site.audit();
}

#[test]
fn what_is_wrong_with_a_body_is_pointed_at() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let template = json!({ "command": "true" });
    let table = [
        ("/api/jobs", json!({ "name": "x", "command": "true", "paralelism": 2 }), "/paralelism"),
        ("/api/jobs", json!({ "name": "x", "command": "true", "completions": 0 }), "/completions"),
        ("/api/jobs", json!({ "name": "../x", "command": "true" }), "/name"),
        ("/api/jobs", json!({ "name": "x", "command": "true", "completion_mode": "Numbered" }), "/completion_mode"),
        ("/api/cronjobs", json!({ "name": "x", "schedule": "0 2 * *", "job_template": template }), "/schedule"),
        (
            "/api/cronjobs",
            json!({ "name": "x", "schedule": "0 2 * * *", "job_template": { "command": "true", "completions": "all" } }),
            "/job_template/completions",
        ),
        (
            "/api/cronjobs",
            json!({ "name": "x", "schedule": "0 2 * * *", "job_template": { "command": "true", "comletions": 1 } }),
            "/job_template/comletions",
        ),
        (
            "/api/cronjobs",
            json!({ "name": "x", "schedule": "0 2 * * *", "concurrency_policy": "Sometimes", "job_template": template }),
            "/concurrency_policy",
        ),
    ];
    for (path, body, pointer) in table {
        let reply = send(&address, path, &body);
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_job"), "{body}: {}", reply.text());
        let answer = reply.json();
        let places = answer["errors"].as_array().unwrap();
        assert!(places.iter().any(|place| place["pointer"] == pointer), "{pointer}: {answer}");
    }
    assert_eq!(send(&address, "/api/jobs", &json!({ "command": "true" })).status, 400);
    assert_eq!(send(&address, "/api/jobs", &json!([])).status, 400);
    assert_eq!(get(&address, "/api/jobs").json(), json!([]));
    assert_eq!(get(&address, "/api/cronjobs").json()["items"], json!([]));
    assert!(!site.path().join("programs").exists() || fs::read_dir(site.path().join("programs")).unwrap().count() == 0);
}

#[test]
fn a_cronjob_is_declared_triggered_suspended_and_removed() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let spec = json!({
        "name": "tick", "schedule": "@every 1s", "successful_jobs_history_limit": 2, "concurrency_policy": "Forbid",
        "job_template": { "name": "tick-job", "command": noting(&site, "out", "$JOB_NAME"), "env": ["TOKEN=hush"] },
    });
    let made = done(&send(&address, "/api/cronjobs", &spec));
    let file = site.path().join("programs/tick.cronjob.json");
    let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, json!({ "type": "cronjob", "spec": spec }));
    for member in ["name", "schedule", "concurrency_policy", "successful_jobs_history_limit"] {
        assert_eq!(made[member], spec[member], "{made}");
    }
    assert!(made["job_template"]["command"].as_str().unwrap().contains("$JOB_NAME"), "{made}");
    assert_eq!((&made["provisioned"], &made["suspend"]), (&json!(false), &json!(false)), "{made}");
    assert!(made["status"].is_object() && made["next_schedule"].is_string(), "{made}");
    let again = send(&address, "/api/cronjobs", &spec);
    assert_eq!((again.status, again.code().as_str()), (400, "job_exists"), "{}", again.text());
    // A job that runs has its name.
    done(&send(&address, "/api/jobs", &json!({ "name": "busy", "command": "sleep 100" })));
    let busy = json!({ "name": "busy", "schedule": "@hourly", "job_template": { "command": "true" } });
    let taken = send(&address, "/api/cronjobs", &busy);
    assert_eq!((taken.status, taken.code().as_str()), (400, "job_exists"), "{}", taken.text());
    assert_eq!(job(&address, "busy")["name"], "busy");
    done(&request(&address, "DELETE", "/api/jobs/busy", &[], ""));

    let shown = || done(&get(&address, "/api/cronjobs/tick"));
    until("it ran three times", || shown()["success_count"].as_u64().unwrap() >= 3);
    let told = shown();
    assert!(told["status"]["last_schedule_time"].is_string(), "{told}");
    assert!(told["status"]["last_successful_time"].is_string(), "{told}");
    let history = || get(&address, "/api/cronjobs/tick/history").json()["items"].as_array().unwrap().clone();
    let kept = || history().iter().filter(|row| row["Status"] == "Succeeded").count();
    until("no more are kept than shall be", || kept() == 2);
    let row = history().into_iter().find(|row| row["Status"] == "Succeeded").unwrap();
    assert_eq!(row["Reason"], "JobCompleted", "{row}");
    let name = row["Name"].as_str().unwrap().to_owned();
    assert!(name.strip_prefix("tick-").is_some_and(|seconds| seconds.parse::<i64>().is_ok()), "{row}");
    assert!(row["StartTime"].is_string() && row["CompletionTime"].is_string() && row["id"].is_string(), "{row}");

    let suspended = done(&request(&address, "POST", "/api/cronjobs/tick/suspend", &[], ""));
    assert_eq!((&suspended["suspend"], &suspended["next_schedule"]), (&json!(true), &Value::Null), "{suspended}");
    until("nothing is under way", || shown()["status"]["active"].is_null());
    let before = lines(&site, "out").len();
    let triggered = request(&address, "POST", "/api/cronjobs/tick/trigger", &[], "");
    assert_eq!(triggered.status, 202, "{}", triggered.text());
    let run = triggered.json()["run"].as_str().unwrap().to_owned();
    until("it has ended", || site.json(["run", "show", &run])["state"] == "ended");
    assert_eq!(lines(&site, "out").len(), before + 1, "only what was asked for");
    let scheduled = get(&address, "/api/jobs").json();
    assert!(scheduled.as_array().unwrap().iter().any(|job| job["run"] == run.as_str()), "{scheduled}");
    done(&request(&address, "POST", "/api/cronjobs/tick/resume", &[], ""));
    until("it goes on", || lines(&site, "out").len() > before + 1);

    // Changed, it is another file, and its name stays.
    let mut other = shown();
    other["schedule"] = json!("0 0 29 2 *");
    let changed = done(&send(&address, "/api/cronjobs/tick", &other));
    assert_eq!(changed["schedule"], "0 0 29 2 *", "{changed}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("0 0 29 2 *") && written.contains("TOKEN=hush"), "{written}");
    other["name"] = json!("tack");
    assert_eq!(send(&address, "/api/cronjobs/tick", &other).status, 400);
    done(&request(&address, "DELETE", "/api/cronjobs/tick", &[], ""));
    assert!(!file.exists());
    assert_eq!(get(&address, "/api/cronjobs/tick").status, 404);
    site.audit();
}

/// A job of a workspace may be called the same, and then only one of its names means it.
#[test]
fn a_cronjob_is_changed_and_removed_by_the_name_that_means_it_alone() {
    let site = Site::new();
    let job = r#"{ "name": "b", "type": "command", "command": "true", "schedule": "0 0 29 2 *" }"#;
    site.workspace("a", &format!(r#"{{ "jobs": [{job}] }}"#), CODE);
    let (_daemon, address) = site.serve_at();
    let cron_job = |name: &str, schedule: &str| json!({ "name": name, "schedule": schedule, "job_template": { "command": "true" } });
    done(&send(&address, "/api/cronjobs", &cron_job("a.b", "0 0 29 2 *")));
    let other = cron_job("a.b", "0 1 29 2 *");
    let refused = send(&address, "/api/cronjobs/a.b", &other);
    assert_eq!((refused.status, refused.code().as_str()), (409, "ambiguous_name"), "{}", refused.text());
    let changed = done(&send(&address, "/api/cronjobs/~a.b", &other));
    assert_eq!((&changed["name"], &changed["schedule"]), (&json!("a.b"), &json!("0 1 29 2 *")), "{changed}");
    let renamed = send(&address, "/api/cronjobs/~a.b", &cron_job("~a.b", "0 1 29 2 *"));
    assert_eq!((renamed.status, renamed.json()["errors"][0]["pointer"].as_str()), (400, Some("/name")));
    let of_workspace = send(&address, "/api/cronjobs/a~b", &cron_job("b", "0 1 29 2 *"));
    assert_eq!((of_workspace.status, of_workspace.code().as_str()), (409, "declared_in_workspace"));
    done(&request(&address, "DELETE", "/api/cronjobs/~a.b", &[], ""));
    assert_eq!(get(&address, "/api/cronjobs/a.b").json()["workspace"], "a");
    site.audit();
}

/// The daemon need not have noticed yet what became of a file.
#[test]
fn a_file_that_declares_something_else_by_now_is_not_removed() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let delete = |path: &str| request(&address, "DELETE", path, &[], "");
    let cron_job =
        |name: &str| json!({ "name": name, "schedule": "0 0 29 2 *", "job_template": { "command": "true" } });
    done(&send(&address, "/api/cronjobs", &cron_job("tick")));
    let file = site.path().join("programs/tick.cronjob.json");
    let write = |kind: &str, spec: &Value| fs::write(&file, json!({ "type": kind, "spec": spec }).to_string()).unwrap();
    write("cronjob", &cron_job("tack"));
    assert_eq!(delete("/api/cronjobs/tick").status, 404);
    assert_eq!(done(&get(&address, "/api/cronjobs/tack"))["name"], "tack");

    write("job", &json!({ "name": "load", "command": "true" }));
    until("it has ended", || get(&address, "/api/jobs/load").json()["status"]["phase"] == "Succeeded");
    write("process", &json!({ "name": "web", "command": "sleep 100000" }));
    assert_eq!(delete("/api/jobs/load").status, 200, "what it did is there, and goes");
    assert!(file.exists());
    until("the process runs", || get(&address, "/api/processes/web/spec").status == 200);
    write("process", &json!({ "name": "api", "command": "sleep 100000" }));
    assert_eq!(request(&address, "POST", "/api/unregister?name=web", &[], "").status, 400);
    assert!(file.exists());
    assert_eq!(get(&address, "/api/processes/api/spec").status, 200);

    write("cronjob", &cron_job("tack"));
    until("it is declared", || get(&address, "/api/cronjobs/tack").status == 200);
    fs::remove_file(&file).unwrap();
    assert_eq!(delete("/api/cronjobs/tack").status, 404, "it is gone already");
    site.audit();
}

#[test]
fn what_the_configuration_declares_is_changed_there() {
    let site = Site::new();
    site.write(
        "piton.toml",
        "[[cronjobs]]\nname = \"nightly\"\nschedule = \"0 2 * * *\"\n[cronjobs.job_template]\ncommand = \"true\"\n",
    );
    let (_daemon, address) = site.serve_at();
    let shown = done(&get(&address, "/api/cronjobs/nightly"));
    assert_eq!(shown["provisioned"], true, "{shown}");
    for (method, path, body) in [
        ("POST", "/api/cronjobs/nightly", shown.to_string()),
        ("DELETE", "/api/cronjobs/nightly", String::new()),
        ("POST", "/api/cronjobs/nightly/suspend", String::new()),
        ("POST", "/api/cronjobs/nightly/resume", String::new()),
    ] {
        let reply = request(&address, method, path, &[], &body);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (409, "declared_in_configuration"),
            "{path}: {}",
            reply.text()
        );
    }
    assert_eq!(request(&address, "POST", "/api/cronjobs/nightly/trigger", &[], "").status, 202);
}

#[test]
fn a_declared_job_runs_once() {
    let site = Site::new();
    let text = |line: &str| {
        let command = noting(&site, "out", line);
        json!({ "type": "job", "spec": { "name": "load", "command": command } }).to_string()
    };
    site.write("programs/load.json", &text("first"));
    let (daemon, address) = site.serve_at();
    assert_eq!(end(&address, "load"), ended("Succeeded", "Complete", "JobCompleted"));
    assert_eq!(daemon.terminate(), 0);
    let (_daemon, address) = site.serve_at();
    assert_eq!(end(&address, "load"), ended("Succeeded", "Complete", "JobCompleted"));
    assert_eq!(lines(&site, "out"), ["first"]);
    site.write("programs/load.json", &text("second"));
    until("the new one ran", || lines(&site, "out").len() == 2);
    until("it has ended", || phase(&address, "load") == "Succeeded");
    done(&request(&address, "DELETE", "/api/jobs/load", &[], ""));
    assert!(!site.path().join("programs/load.json").exists());
    assert_eq!(get(&address, "/api/jobs/load").status, 404);
    assert_eq!(lines(&site, "out"), ["first", "second"]);
    site.audit();
}

#[test]
fn a_daemon_that_is_killed_disturbs_no_job() {
    let site = Site::new();
    let (daemon, address) = site.serve_at();
    let out = site.path().join("out");
    let command = format!(
        "sh -c 'echo begin $JOB_COMPLETION_INDEX >> {0}; sleep 3; echo end $JOB_COMPLETION_INDEX >> {0}'",
        out.display()
    );
    let spec = json!({ "name": "import", "command": command, "parallelism": 2, "completions": 4, "completion_mode": "Indexed" });
    done(&send(&address, "/api/jobs", &spec));
    until("two tasks run", || lines(&site, "out").len() >= 2);
    daemon.kill();
    let (_daemon, address) = site.serve_at();
    assert_eq!(end(&address, "import"), ended("Succeeded", "Complete", "JobCompleted"));
    let wanted: Vec<String> =
        ["begin", "end"].iter().flat_map(|word| (0..4).map(move |index| format!("{word} {index}"))).collect();
    assert_eq!(lines(&site, "out"), wanted, "every task ran once");
    assert_eq!(job(&address, "import")["status"]["failed"], 0);
    site.audit();
}

#[test]
fn operators_run_jobs_and_administrators_say_what_they_do() {
    let site = guarded();
    site.write("programs/load.json", r#"{"type": "job", "spec": {"name": "load", "command": "true"}}"#);
    let daemon = site.serve();
    let anonymous = Door::anonymous(&daemon);
    let admin = anonymous.basic("admin", PASSWORD);
    let (viewer, operator) = (admin.for_client("viewer"), admin.for_client("operator"));
    let spec = r#"{"name": "once", "command": "true", "env": ["TOKEN=hush"]}"#;
    let cron = r#"{"name": "tick", "schedule": "@daily", "job_template": {"command": "true"}}"#;
    assert_eq!(viewer.send("POST", "/api/jobs", spec).status, 403);
    assert_eq!(operator.send("POST", "/api/jobs", spec).status, 403);
    assert_eq!(admin.send("POST", "/api/jobs", spec).status, 200);
    let shown = |door: &Door| door.send("GET", "/api/jobs/once", "").text();
    assert!(shown(&admin).contains("hush"));
    assert!(!shown(&viewer).contains("hush") && shown(&viewer).contains("TOKEN=***"));
    // An operator runs it again as it is, with what they were not told, and nothing else in its name.
    let seen: Value = serde_json::from_str(&shown(&operator)).unwrap();
    for (member, value) in [
        ("command", json!("sh -c 'echo $TOKEN'")),
        ("env", json!(["TOKEN=***", "LD_PRELOAD=/tmp/x.so"])),
        ("env", json!(["OTHER=***"])),
        ("completions", json!(3)),
        ("lifecycle", json!({ "post_start": [{ "name": "x", "command": "env" }] })),
    ] {
        let mut other = seen.clone();
        other[member] = value;
        let refused = operator.send("POST", "/api/jobs/once", &other.to_string());
        assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"), "{member}: {}", refused.text());
    }
    let again = operator.send("POST", "/api/jobs/once", &seen.to_string());
    assert_eq!(again.status, 200, "{}", again.text());
    assert_ne!(again.json()["run"], seen["run"]);
    assert!(shown(&admin).contains("hush") && !again.text().contains("hush"));
    assert_eq!(viewer.send("POST", "/api/jobs/once", &seen.to_string()).status, 403);
    assert_eq!(operator.send("POST", "/api/cronjobs", cron).status, 403);
    assert_eq!(admin.send("POST", "/api/cronjobs", cron).status, 200);
    assert_eq!(operator.send("POST", "/api/cronjobs/tick/trigger", "").status, 202);
    assert_eq!(operator.send("POST", "/api/cronjobs/tick", cron).status, 403);
    // What a schedule made is changed with it, whoever asks.
    let jobs = operator.send("GET", "/api/jobs", "").json();
    let made = jobs.as_array().unwrap().iter().find(|job| job["scheduled"] == true).unwrap();
    for door in [&operator, &admin] {
        let refused = door.send("POST", &format!("/api/jobs/{}", made["name"].as_str().unwrap()), &made.to_string());
        assert_eq!((refused.status, refused.code().as_str()), (409, "job_exists"), "{}", refused.text());
    }
    // To suspend it is no change of its file, and neither is to resume it unless that file suspends it.
    for verb in ["suspend", "resume"] {
        assert_eq!(operator.send("POST", &format!("/api/cronjobs/tick/{verb}"), "").status, 200, "{verb}");
    }
    let mut held: Value = serde_json::from_str(cron).unwrap();
    held["suspend"] = json!(true);
    assert_eq!(admin.send("POST", "/api/cronjobs/tick", &held.to_string()).status, 200);
    assert_eq!(operator.send("POST", "/api/cronjobs/tick/resume", "").status, 403);
    assert_eq!(admin.send("GET", "/api/cronjobs/tick", "").json()["suspend"], true);
    assert_eq!(admin.send("POST", "/api/cronjobs/tick/resume", "").json()["suspend"], false);
    // What a file declares is no matter of operators.
    let refused = operator.send("DELETE", "/api/jobs/load", "");
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(admin.send("DELETE", "/api/jobs/load", "").status, 200);
    assert_eq!(operator.send("DELETE", "/api/jobs/once", "").status, 200);
    let trail = admin.send("GET", "/api/audit?limit=100", "").json();
    let about = |job: &str| -> Vec<String> {
        let entries = trail["items"].as_array().unwrap().iter().rev();
        let of_job = entries.filter(|entry| entry["target"] == job);
        of_job.map(|entry| entry["act"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(about("job/once"), ["job_created", "job_updated", "job_deleted"]);
    assert_eq!(about("job/load"), ["job_deleted"]);
    let tick = ["job_created", "job_suspended", "job_resumed", "job_updated", "job_resumed"];
    assert_eq!(about("job/tick"), tick);
}

#[test]
fn jobs_and_cronjobs_are_kept_from_the_command_line() {
    let site = Site::new();
    let command = "echo hello $JOB_COMPLETION_INDEX";
    site.write(
        "import.toml",
        &format!("type = \"job\"\n[spec]\nname = \"import\"\ncommand = \"{command}\"\ncompletions = 2\ncompletion_mode = \"Indexed\"\n"),
    );
    site.write("bare.json", &json!({ "name": "bare", "command": "exit 3", "backoff_limit": 0 }).to_string());
    site.write("tick.yaml", "name: tick\nschedule: 0 0 29 2 *\njob_template:\n  command: echo tick\n");
    site.write("bad.json", r#"{"type": "job", "spec": {"name": "bad", "command": "true", "completions": 0}}"#);
    let _daemon = site.serve();
    for file in ["import.toml", "bare.json", "tick.yaml"] {
        let said = site.piton(["job", "create", "--file", file]);
        assert_eq!(said.code, 0, "{said}");
    }
    assert!(site.path().join("programs/tick.cronjob.json").exists());
    let said = site.piton(["job", "create", "--file", "bad.json"]);
    assert!(said.code == 2 && said.err.contains("completions"), "{said}");
    for file in ["import.toml", "tick.yaml"] {
        let said = site.piton(["job", "create", "--file", file]);
        assert_eq!(said.code, 5, "{said}");
    }
    let phase = |name: &str| site.json(["job", "status", name])["status"]["phase"].as_str().unwrap().to_owned();
    until("both have ended", || phase("import") == "Succeeded" && phase("bare") == "Failed");
    let shown = site.piton(["job", "status", "bare"]);
    assert!(shown.out.contains("BackoffLimitExceeded"), "{shown}");
    let jobs = site.json(["job", "list"]);
    let names: Vec<&str> = jobs.as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tick", "bare", "import"]);
    let log = site.piton(["job", "logs", "import"]);
    assert!(log.out.contains("hello 0\n") && log.out.contains("hello 1\n"), "{log}");
    let before = site.json(["job", "status", "import"])["run"].clone();
    assert_eq!(site.piton(["job", "run", "import"]).code, 0);
    assert_ne!(site.json(["job", "status", "import"])["run"], before);
    assert_eq!(site.json(["job", "history", "import"]).as_array().unwrap().len(), 1, "the one before is gone");

    let said = site.piton(["job", "run", "tick"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.json(["job", "status", "tick"])["status"], "success");
    let history = site.json(["job", "history", "tick"]);
    assert_eq!((history.as_array().unwrap().len(), &history[0]["outcome"]), (1, &json!("succeeded")), "{history}");
    assert_eq!(site.piton(["job", "suspend", "tick"]).code, 0);
    assert_eq!(site.json(["job", "status", "tick"])["suspended"], true);
    assert_eq!(site.piton(["job", "resume", "tick"]).code, 0);
    for name in ["import", "bare", "tick"] {
        assert_eq!(site.piton(["job", "delete", name]).code, 0, "{name}");
        assert_eq!(site.piton(["job", "status", name]).code, 3, "{name}");
    }
    assert!(!site.path().join("programs/tick.cronjob.json").exists());
    site.audit();
}
