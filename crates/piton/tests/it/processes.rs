//! Processes that are kept running: the routes that provisr has, and what becomes of processes when the daemon goes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::auth::{Door, PASSWORD, guarded};
use crate::site::{Site, kill, until};
use crate::wire::{self, Reply, connect, get, request, send};

fn post(address: &str, path: &str) -> Reply {
    request(address, "POST", path, &[], "")
}

/// The answer to something that must work.
fn done(reply: &Reply) -> Value {
    let answer = wire::done(reply);
    assert_eq!(answer["ok"], true, "{answer}");
    answer
}

/// The status of one instance.
fn status(address: &str, name: &str) -> Value {
    wire::done(&get(address, &format!("/api/status?name={name}")))
}

fn pid(address: &str, name: &str) -> u64 {
    status(address, name)["pid"].as_u64().unwrap()
}

/// What must be the same of an instance that nobody touched.
fn marks(site: &Site) -> BTreeMap<String, (u64, String, u64)> {
    let instances = site.json(["process", "list"]);
    let marks = instances.as_array().unwrap().iter().map(|instance| {
        let text = |member: &str| instance[member].as_str().unwrap().to_owned();
        let number = |member: &str| instance[member].as_u64().unwrap();
        (text("name"), (number("pid"), text("started_at"), number("restarts")))
    });
    marks.collect()
}

fn all_run(site: &Site, count: usize) -> bool {
    let instances = site.json(["process", "list"]);
    let instances = instances.as_array().unwrap();
    instances.len() == count && instances.iter().all(|instance| instance["phase"] == "running")
}

/// The three lines of curl in provisr's document.
#[test]
fn the_documented_requests_are_answered_as_documented() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let demo = json!({ "name": "demo", "command": "sleep 60", "instances": 2 });
    done(&send(&address, "/api/start", &demo));

    let reply = get(&address, "/api/status?base=demo");
    let instances = reply.json();
    let instances = instances.as_array().unwrap();
    assert_eq!(instances.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), ["demo-1", "demo-2"]);
    for instance in instances {
        assert_eq!(instance["running"], true, "{instance}");
        assert_eq!(instance["state"], "running", "{instance}");
        assert_eq!(instance["detected_by"], "exec:pid", "{instance}");
        assert_eq!(instance["restarts"], 0, "{instance}");
        assert_eq!(instance["provisioned"], false, "{instance}");
        assert_eq!(instance["stopped_at"], "0001-01-01T00:00:00Z", "{instance}");
        assert!(instance["started_at"].as_str().unwrap().starts_with("20"), "{instance}");
        assert!(instance["pid"].as_u64().unwrap() > 1, "{instance}");
    }

    done(&post(&address, "/api/stop?wildcard=demo-*"));
    for name in ["demo-1", "demo-2"] {
        let stopped = status(&address, name);
        assert_eq!((&stopped["running"], &stopped["state"]), (&json!(false), &json!("stopped")), "{stopped}");
        assert_eq!((&stopped["pid"], &stopped["exit_error"]), (&json!(0), &json!("signal: terminated")), "{stopped}");
        assert!(stopped["stopped_at"].as_str().unwrap().starts_with("20"), "{stopped}");
    }

    // A program that ends at once was started all the same, and once only.
    let hello = json!({ "name": "hello", "command": format!("echo hello >> {}", site.path().join("hello").display()) });
    done(&send(&address, "/api/start", &hello));
    until("it has ended", || status(&address, "hello")["running"] == false);
    assert_eq!(fs::read_to_string(site.path().join("hello")).unwrap(), "hello\n");
}

#[test]
fn registering_writes_a_file_and_unregistering_removes_it() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let web = json!({ "name": "web", "command": "sleep 60", "auto_restart": true, "restart_interval": 1_000_000_000 });
    done(&send(&address, "/api/register", &web));
    let file = site.path().join("programs/web.json");
    let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, json!({ "type": "process", "spec": web }));
    assert_eq!(status(&address, "web")["running"], true);

    let again = send(&address, "/api/register", &web);
    assert_eq!((again.status, again.code().as_str()), (400, "process_exists"), "{}", again.text());
    assert_eq!(again.json()["error"], again.json()["detail"], "older clients read it there");

    let spec = get(&address, "/api/processes/web/spec").json();
    assert_eq!(
        (&spec["name"], &spec["auto_restart"], &spec["provisioned"]),
        (&json!("web"), &json!(true), &json!(false))
    );
    assert_eq!(spec["restart_interval"], 1_000_000_000_u64, "{spec}");
    // What was answered can be sent back, changed or not.
    let mut same = spec.clone();
    same["wait"] = json!("5s");
    let before = pid(&address, "web");
    done(&send(&address, "/api/update", &same));
    assert_eq!(pid(&address, "web"), before, "it is the same");
    let kept = get(&address, "/api/processes/web/spec").json();
    assert_eq!(kept, spec);
    same["wait"] = json!(5);
    assert_eq!(send(&address, "/api/update", &same).code(), "invalid_selector");

    let before = pid(&address, "web");
    let changed = json!({ "name": "web", "command": "sleep 61", "auto_restart": true });
    done(&send(&address, "/api/update?wait=5s", &changed));
    assert_ne!(pid(&address, "web"), before);
    let refused = send(&address, "/api/update", &json!({ "name": "web", "command": "/no/such/program" }));
    assert_eq!((refused.status, refused.code().as_str()), (400, "process_start_failed"), "{}", refused.text());
    let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(written["spec"], changed, "it is as it was");
    until("it runs again", || status(&address, "web")["running"] == true);

    let last = pid(&address, "web");
    done(&post(&address, "/api/unregister?name=web&wait=2s"));
    assert!(!file.exists());
    let gone = get(&address, "/api/status?name=web");
    assert_eq!((gone.status, gone.code().as_str()), (400, "process_not_found"));
    assert!(!fs::exists(format!("/proc/{last}")).unwrap(), "its process is gone");
    done(&send(&address, "/api/register", &web));
    assert_eq!(status(&address, "web")["running"], true, "nothing is remembered of the one before");
}

#[test]
fn what_was_stopped_is_changed_and_stays_stopped() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    done(&send(&address, "/api/register", &json!({ "name": "one", "command": "sleep 60" })));
    done(&post(&address, "/api/stop?name=one"));
    done(&send(&address, "/api/update", &json!({ "name": "one", "command": "sleep 61" })));
    assert_eq!(status(&address, "one")["phase"], "stopped");
    assert_eq!(get(&address, "/api/processes/one/spec").json()["command"], "sleep 61");

    done(&send(&address, "/api/register", &json!({ "name": "set", "command": "sleep 60", "instances": 3 })));
    done(&post(&address, "/api/stop?name=set-2"));
    let before = pid(&address, "set-1");
    done(&send(&address, "/api/update", &json!({ "name": "set", "command": "sleep 61", "instances": 3 })));
    assert_ne!(pid(&address, "set-1"), before, "it is the new one");
    let phases = ["set-1", "set-2", "set-3"].map(|name| status(&address, name)["phase"].clone());
    assert_eq!(phases, ["running", "stopped", "running"]);
    let refused =
        send(&address, "/api/update", &json!({ "name": "set", "command": "/no/such/program", "instances": 3 }));
    assert_eq!((refused.status, refused.code().as_str()), (400, "process_start_failed"), "{}", refused.text());
    assert_eq!(get(&address, "/api/processes/set/spec").json()["command"], "sleep 61");
}

/// Nothing of it runs, so nothing but its declaration is there to be selected.
#[test]
fn a_process_without_instances_is_unregistered() {
    let site = Site::new();
    let (daemon, address) = site.serve_at();
    for name in ["web", "web-old", "webber", "idle"] {
        done(&send(&address, "/api/register", &json!({ "name": name, "command": "sleep 60" })));
        done(&post(&address, &format!("/api/scale?name={name}&instances=0")));
    }
    let declared = |name: &str| site.path().join(format!("programs/{name}.json")).exists();
    done(&post(&address, "/api/unregister?name=web"));
    assert!(!declared("web") && declared("web-old") && declared("webber"));
    done(&post(&address, "/api/unregister?base=web"));
    assert!(!declared("web-old") && declared("webber"), "a base is no prefix");
    done(&post(&address, "/api/unregister?wildcard=*ber"));
    assert!(!declared("webber") && declared("idle"));
    assert_eq!(post(&address, "/api/unregister?name=web").code(), "process_not_found");
    site.write(
        "programs/none.json",
        r#"{"type": "process", "spec": {"name": "none", "command": "x", "instances": "0"}}"#,
    );
    assert_eq!(daemon.terminate(), 0);
    for name in ["idle", "none"] {
        let said = site.piton(["process", "unregister", name]);
        assert_eq!(said.code, 0, "{said}");
        assert!(!declared(name), "{name}");
    }
}

#[test]
fn what_cannot_be_started_is_not_kept() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    for (what, spec) in [
        ("an unknown program", json!({ "name": "bad", "command": "/no/such/program --now" })),
        ("an unknown directory", json!({ "name": "bad", "command": "sleep 60", "work_dir": "/no/such/directory" })),
    ] {
        for route in ["/api/register", "/api/start"] {
            let reply = send(&address, route, &spec);
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (400, "process_start_failed"),
                "{what}: {}",
                reply.text()
            );
            assert!(!site.path().join("programs/bad.json").exists(), "{what}");
            assert_eq!(get(&address, "/api/status?name=bad").status, 400, "{what}");
        }
    }
}

/// A change that has begun comes to its end, which may be that it is undone.
#[test]
fn who_hangs_up_leaves_nothing_half_done() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let go = site.path().join("go");
    let command = format!("sh -c 'while [ ! -e {} ]; do sleep 0.1; done; exit 1'", go.display());
    let bad = json!({ "name": "bad", "command": command, "start_duration": "20s" }).to_string();
    let mut stream = connect(&address);
    let head = format!("POST /api/register HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{bad}", bad.len()).as_bytes()).unwrap();
    until("it is on its way", || get(&address, "/api/status?name=bad").json()["state"] == "starting");
    drop(stream);
    // The next change waits until it is known what becomes of this one.
    fs::write(&go, "").unwrap();
    done(&send(&address, "/api/register", &json!({ "name": "good", "command": "sleep 60" })));
    assert!(!site.path().join("programs/bad.json").exists());
    assert_eq!(get(&address, "/api/status?name=bad").code(), "process_not_found");
    assert_eq!(status(&address, "good")["running"], true);
}

#[test]
fn nonsense_is_refused_with_its_place() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    for (spec, pointer) in [
        (json!({ "name": "a", "command": "x", "work_dir": "relative" }), "/work_dir"),
        (json!({ "name": "a", "command": "x", "work_dir": "/a/../b" }), "/work_dir"),
        (json!({ "name": "a", "command": "x", "pid_file": "a.pid" }), "/pid_file"),
        (json!({ "name": "a", "command": "x", "autorestrat": true }), "/autorestrat"),
        (json!({ "name": "a", "command": "x", "instances": -1 }), "/instances"),
        (json!({ "name": "a", "command": "x", "depends_on": ["none"] }), "/depends_on/0"),
        (json!({ "name": "../a", "command": "x" }), "/name"),
        (json!({ "name": 5, "command": "x" }), "/name"),
        (json!({ "command": "x" }), "/name"),
    ] {
        let reply = send(&address, "/api/register", &spec);
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_process"), "{spec}: {}", reply.text());
        let errors = reply.json()["errors"].clone();
        assert!(errors.as_array().unwrap().iter().any(|fault| fault["pointer"] == pointer), "{spec}: {errors}");
    }
    assert_eq!(fs::read_dir(site.path().join("programs")).map_or(0, Iterator::count), 0);
    for (method, path) in [
        ("GET", "/api/status?name=a&base=a"),
        ("GET", "/api/status?name=..%2Fetc"),
        ("GET", "/api/status?name=unknown"),
        ("POST", "/api/start"),
        ("POST", "/api/start?name=unknown"),
        ("POST", "/api/stop"),
        ("POST", "/api/stop?name=unknown"),
        ("POST", "/api/stop?base=a&wait=soon"),
        ("POST", "/api/restart?name=unknown"),
        ("POST", "/api/scale?name=unknown&instances=2"),
        ("POST", "/api/unregister"),
        ("POST", "/api/unregister?name=unknown"),
        ("POST", "/api/group/start"),
        ("POST", "/api/group/start?group=unknown"),
        ("POST", "/api/group/stop?group=unknown"),
        ("GET", "/api/group/status"),
        ("GET", "/api/metrics/history"),
        ("GET", "/api/metrics/group"),
        ("GET", "/api/processes/a%2Fb/logs"),
    ] {
        let reply = request(&address, method, path, &[], "");
        assert_eq!(reply.status, 400, "{method} {path}: {}", reply.text());
        assert!(reply.json()["error"].is_string(), "{method} {path}");
    }
    for path in [
        "/api/group/status?group=unknown",
        "/api/processes/unknown",
        "/api/processes/unknown/logs",
        "/api/processes/unknown/spec",
        "/api/metrics?name=unknown",
        "/api/metrics/history?name=unknown",
        "/api/metrics/group?base=unknown",
        "/api/process-kinds/unknown",
        "/api/templates/unknown",
    ] {
        assert_eq!(get(&address, path).status, 404, "{path}");
    }
    done(&post(&address, "/api/stop?base=nothing"));
    done(&post(&address, "/api/stop?wildcard=nothing-*"));
    assert_eq!(get(&address, "/api/status").json(), json!({ "ok": true }));
}

#[test]
fn groups_are_started_and_stopped_together() {
    let site = Site::new();
    site.write(
        "piton.toml",
        "[[groups]]\nname = \"webstack\"\nmembers = [\"web\", \"api\"]\n\
         [[processes]]\ntype = \"process\"\n[processes.spec]\nname = \"web\"\ncommand = \"sleep 60\"\ninstances = 2\n",
    );
    site.write("programs/api.toml", "type = \"process\"\n[spec]\nname = \"api\"\ncommand = \"sleep 60\"\n");
    let (_daemon, address) = site.serve_at();
    until("all run", || all_run(&site, 3));
    let group = |state: &str, running: usize| {
        json!([{
            "name": "webstack", "state": state, "running": running, "total": 3,
            "members": [{ "name": "web", "instances": 2 }, { "name": "api", "instances": 1 }],
        }])
    };
    assert_eq!(get(&address, "/api/groups").json(), group("running", 3));
    let members = get(&address, "/api/group/status?group=webstack").json();
    assert_eq!(members["web"].as_array().unwrap().len(), 2);
    assert_eq!(members["web"][0]["provisioned"], true, "{members}");
    assert_eq!(members["api"][0]["provisioned"], false, "{members}");
    done(&post(&address, "/api/stop?name=api"));
    assert_eq!(get(&address, "/api/groups").json(), group("degraded", 2));
    done(&post(&address, "/api/group/stop?group=webstack&wait=3s"));
    assert_eq!(get(&address, "/api/groups").json(), group("stopped", 0));
    done(&post(&address, "/api/group/start?group=webstack"));
    assert_eq!(get(&address, "/api/groups").json(), group("running", 3));
    done(&post(&address, "/api/group/restart?group=webstack"));
    assert_eq!(get(&address, "/api/groups").json(), group("running", 3));

    // What stands in the configuration is changed there.
    for (method, path, body) in [
        ("POST", "/api/unregister?name=web", ""),
        ("POST", "/api/unregister?name=web-1", ""),
        ("POST", "/api/update", r#"{"name": "web", "command": "sleep 1"}"#),
    ] {
        let reply = request(&address, method, path, &[], body);
        assert_eq!((reply.status, reply.code().as_str()), (409, "declared_in_configuration"), "{}", reply.text());
    }
    let settings = get(&address, "/api/settings/status").json();
    assert_eq!(settings["configured_group_count"], 1, "{settings}");
    assert_eq!((&settings["auth_enabled"], &settings["program_persistence"]), (&json!(false), &json!(true)));
}

#[test]
fn scaling_is_remembered_and_leaves_the_others_alone() {
    let site = Site::new();
    site.write(
        "programs/web.json",
        r#"{"type": "process", "spec": {"name": "web", "command": "sleep 60", "instances": 2}}"#,
    );
    let (daemon, address) = site.serve_at();
    until("both run", || all_run(&site, 2));
    let before = marks(&site);
    let misplaced = send(&address, "/api/scale", &json!({ "name": "web", "instances": 4 }));
    assert_eq!(misplaced.status, 400, "{}", misplaced.text());
    assert!(misplaced.json()["hint"].as_str().unwrap().contains("?name=NAME&instances=NUMBER"), "{}", misplaced.text());
    done(&post(&address, "/api/scale?name=web&instances=4"));
    until("four run", || all_run(&site, 4));
    let after = marks(&site);
    assert!(before.iter().all(|(name, marks)| after[name] == *marks), "{before:?} {after:?}");
    assert_eq!(daemon.terminate(), 0);
    let (_daemon, address) = site.serve_at();
    until("four run", || all_run(&site, 4));
    assert_eq!(marks(&site), after);
    let reply = send(&address, "/api/processes/web/scale", &json!({ "instances": 1 }));
    assert_eq!(done(&reply)["processes"].as_array().unwrap().len(), 1);
    until("one runs", || all_run(&site, 1));
}

#[test]
fn another_declared_number_ends_what_was_scaled() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let spec = |instances: u32, command: &str| json!({ "name": "web", "command": command, "instances": instances });
    done(&send(&address, "/api/register", &spec(3, "sleep 60")));
    done(&post(&address, "/api/scale?name=web&instances=5"));
    let refused = send(&address, "/api/update", &spec(2, "/no/such/program"));
    assert_eq!((refused.status, refused.code().as_str()), (400, "process_start_failed"), "{}", refused.text());
    until("it is as it was", || all_run(&site, 5));
    done(&send(&address, "/api/update", &spec(2, "sleep 60")));
    until("two run", || all_run(&site, 2));
}

#[test]
fn what_is_printed_is_read_by_page_and_followed() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    let command = "sh -c 'for i in 1 2 3 4 5; do echo out $i; done; echo err >&2; sleep 60'";
    done(&send(&address, "/api/register", &json!({ "name": "talker", "command": command })));
    let page = |query: &str| get(&address, &format!("/api/processes/talker/logs?{query}")).json();
    let texts = |page: &Value| -> Vec<String> {
        page["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    until("all lines are there", || page("since=0&limit=1000")["lines"].as_array().unwrap().len() == 6);
    assert_eq!(texts(&page("stream=stdout&tail=2")), ["out 4", "out 5"]);
    // What one is called does not mix its lines with those of another.
    let other = json!({ "name": "talker.stdout", "command": "sh -c 'echo other; sleep 60'" });
    done(&send(&address, "/api/register", &other));
    let others = || texts(&get(&address, "/api/processes/talker.stdout/logs").json());
    until("it has printed", || others() == ["other"]);
    assert_eq!(texts(&page("stream=stdout&tail=2")), ["out 4", "out 5"]);
    let errors = page("stream=stderr");
    assert_eq!((texts(&errors), &errors["lines"][0]["stream"]), (vec!["err".to_owned()], &json!("stderr")));
    assert_eq!(errors["gap"], json!(false));
    assert_eq!(page("since=1000000")["gap"], json!(true));
    let mut found = vec![];
    let mut since = 0;
    loop {
        let part = page(&format!("since={since}&limit=2"));
        if part["lines"].as_array().unwrap().is_empty() {
            break;
        }
        found.extend(texts(&part));
        since = part["next"].as_u64().unwrap();
    }
    found.sort();
    assert_eq!(found, ["err", "out 1", "out 2", "out 3", "out 4", "out 5"]);

    let mut stream = connect(&address);
    let head = format!(
        "GET /api/processes/talker/logs?tail=1&stream=stdout HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    let mut chunk = [0; 1024];
    while !text.contains("data: out 5") {
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&chunk[..count]));
    }
    assert!(text.contains("event: log\nid: ") && !text.contains("out 4"), "{text}");
}

#[test]
fn what_happens_is_measured_and_written_down() {
    let site = Site::new();
    site.write("piton.toml", "[metrics.process_metrics]\nenabled = true\ninterval = \"1s\"\nmax_history = 5\n");
    let (_daemon, address) = site.serve_at();
    done(&send(&address, "/api/register", &json!({ "name": "web", "command": "sleep 60", "instances": 2 })));
    until("it is measured", || get(&address, "/api/metrics?name=web-2").status == 200);
    let metrics = get(&address, "/api/metrics?name=web-1").json();
    assert_eq!((metrics["name"].as_str(), metrics["pid"].as_u64()), (Some("web-1"), Some(pid(&address, "web-1"))));
    for member in ["cpu_percent", "memory_mb", "memory_rss", "memory_vms", "num_threads"] {
        assert!(metrics[member].is_number(), "{member}: {metrics}");
    }
    let all = get(&address, "/api/metrics").json();
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["web-1", "web-2"]);
    let history = get(&address, "/api/metrics/history?name=web-1").json();
    assert!(history["process"] == "web-1" && !history["history"].as_array().unwrap().is_empty(), "{history}");
    let group = get(&address, "/api/metrics/group?base=web").json();
    assert_eq!((&group["base"], &group["process_count"]), (&json!("web"), &json!(2)));

    kill(u32::try_from(pid(&address, "web-1")).unwrap(), "KILL");
    until("its end is seen", || status(&address, "web-1")["signal"] == "SIGKILL");
    done(&post(&address, "/api/start?name=web-1"));
    done(&post(&address, "/api/stop?name=web-2"));
    // Of a process that has just been started nothing is measured yet.
    let measured = r#"provisr_process_cpu_percent{process_name="web",instance_id="web-1"}"#;
    until("the new process is measured", || get(&address, "/metrics").text().contains(measured));
    let series = get(&address, "/metrics").text();
    for line in [
        r#"provisr_process_starts_total{name="web-1"} 2"#,
        r#"provisr_process_stops_total{name="web-2"} 1"#,
        r#"provisr_process_running_instances{base="web"} 1"#,
        r#"provisr_process_current_state{name="web-2",state="stopped"} 1"#,
    ] {
        assert!(series.lines().any(|found| found == line), "{line} is missing:\n{series}");
    }
    for name in [
        "provisr_process_start_duration_seconds_count{name=\"web-1\"}",
        "provisr_process_state_transitions_total{name=\"web-1\",",
        "provisr_process_cpu_percent{process_name=\"web\",instance_id=\"web-1\"}",
        "provisr_process_memory_mb{process_name=\"web\",instance_id=\"web-1\"}",
        "provisr_process_num_threads{process_name=\"web\",instance_id=\"web-1\"}",
        "provisr_process_num_fds{process_name=\"web\",instance_id=\"web-1\"}",
    ] {
        assert!(series.contains(name), "{name} is missing:\n{series}");
    }
    let rows = || get(&address, "/api/history?name=web-1").json()["items"].as_array().unwrap().clone();
    until("it is written down", || rows().iter().any(|row| row["error"].as_str().is_some_and(|e| e.contains('9'))));
    for row in rows() {
        assert!(row["timestamp"].is_string() && row["pid"].is_u64() && row["status"].is_string(), "{row}");
        assert_eq!(row["name"], "web-1");
    }
    let debug = get(&address, "/api/debug/processes?pattern=web-*").json();
    assert_eq!(debug[0]["health_check"], "healthy", "{debug}");
    assert_eq!((&debug[1]["health_check"], &debug[1]["internal_state"]), (&json!("not_running"), &json!("stopped")));
}

#[test]
fn samples_are_given_beside_the_templates_of_workspaces() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    assert_eq!(get(&address, "/api/templates").json()["items"], json!([]));
    assert_eq!(get(&address, "/api/process-kinds").json().as_array().unwrap().len(), 6);
    for path in ["/api/process-kinds/simple?name=mine", "/api/templates/basic?name=mine"] {
        let sample = get(&address, path).json();
        assert_eq!(sample["name"], "mine", "{path}");
        assert!(sample["command"].is_string(), "{path}");
    }
}

/// Ten crashes of the daemon: nothing is restarted, nothing is started twice, and no line is lost.
#[test]
fn a_daemon_that_is_killed_finds_its_processes_as_they_were() {
    let site = Site::new();
    let counter = "sh -c 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done'";
    site.write(
        "programs/counter.json",
        &json!({ "type": "process", "spec": { "name": "counter", "command": counter, "auto_restart": true } })
            .to_string(),
    );
    site.write(
        "programs/sleeper.toml",
        "type = \"process\"\n[spec]\nname = \"sleeper\"\ncommand = \"sleep 300\"\ninstances = 3\nauto_restart = true\n",
    );
    let mut daemon = site.serve();
    until("all run", || all_run(&site, 4));
    let before = marks(&site);
    for _ in 0..10 {
        daemon.kill();
        daemon = site.serve();
        until("all are found", || all_run(&site, 4));
        assert_eq!(marks(&site), before);
    }
    assert!(before.values().all(|(_, _, restarts)| *restarts == 0), "{before:?}");
    let log = site.json(["process", "logs", "counter", "--tail", "1000"]);
    let lines: Vec<&str> = log["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
    let wanted: Vec<String> = (1..=lines.len()).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, wanted);
    assert!(lines.len() > 5, "{}", lines.len());
    let strays = fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        let marker = format!("PITON_KEEPER={}", site.data().display());
        line.starts_with(b"sleep\x00300") && environ.split(|byte| *byte == 0).any(|part| part == marker.as_bytes())
    });
    assert_eq!(strays.count(), 3, "nothing was started twice");
    // The end that is asked for takes them along.
    let pids: Vec<u64> = before.values().map(|(pid, ..)| *pid).collect();
    assert_eq!(daemon.shutdown(), 0);
    assert!(pids.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap()), "they are stopped");
    assert_eq!(site.keeper(), None);
}

#[test]
fn only_what_changed_in_the_files_is_touched() {
    let site = Site::new();
    let program = |name: &str, seconds: u32| {
        format!("type = \"process\"\n[spec]\nname = \"{name}\"\ncommand = \"sleep {seconds}\"\n")
    };
    for name in ["stays", "changes", "goes"] {
        site.write(format!("programs/{name}.toml"), &program(name, 300));
    }
    let _daemon = site.serve();
    until("all run", || all_run(&site, 3));
    let before = marks(&site);
    site.write("programs/changes.toml", &program("changes", 301));
    site.write("programs/comes.toml", &program("comes", 300));
    fs::remove_file(site.path().join("programs/goes.toml")).unwrap();
    until("the files are in force", || {
        let now = marks(&site);
        now.contains_key("comes") && !now.contains_key("goes") && now["changes"].0 != before["changes"].0
    });
    until("all run", || all_run(&site, 3));
    let after = marks(&site);
    assert_eq!(after["stays"], before["stays"]);
    assert!(!fs::exists(format!("/proc/{}", before["goes"].0)).unwrap());
    // A mistake leaves everything as it is.
    site.write("programs/stays.toml", "type = \"process\"\n[spec]\nname = \"stays\"\ncommnd = \"sleep 1\"\n");
    until("it is told", || !site.json(["status"])["diagnostics"].as_array().unwrap().is_empty());
    assert_eq!(marks(&site), after);
}

#[test]
fn who_may_do_what() {
    let site = guarded();
    let daemon = site.serve();
    let anonymous = Door::anonymous(&daemon);
    let admin = anonymous.basic("admin", PASSWORD);
    let (viewer, operator) = (admin.for_client("viewer"), admin.for_client("operator"));
    let spec = r#"{"name": "web", "command": "sleep 60", "env": ["TOKEN=hush"]}"#;
    for (who, door) in [("viewer", &viewer), ("operator", &operator)] {
        assert_eq!(door.send("POST", "/api/register", spec).status, 403, "{who}");
        assert_eq!(door.send("POST", "/api/start", spec).status, 403, "{who}");
    }
    assert_eq!(admin.send("POST", "/api/register", spec).status, 200);
    for path in
        ["/api/stop?name=web", "/api/start?name=web", "/api/restart?name=web", "/api/scale?name=web&instances=1"]
    {
        assert_eq!(viewer.send("POST", path, "").status, 403, "{path}");
        assert_eq!(operator.send("POST", path, "").status, 200, "{path}");
    }
    assert_eq!(viewer.send("GET", "/api/status?name=web", "").status, 200);
    assert_eq!(anonymous.send("GET", "/api/status?name=web", "").status, 401);
    // What is secret in a declaration is for those who may change it.
    let shown = |door: &Door| door.send("GET", "/api/processes/web/spec", "").text();
    assert!(shown(&admin).contains("hush"));
    assert!(!shown(&viewer).contains("hush") && !shown(&operator).contains("hush"));
    assert_eq!(operator.send("POST", "/api/unregister?name=web", "").status, 403);
    assert_eq!(admin.send("POST", "/api/unregister?name=web", "").status, 200);
    let trail = admin.send("GET", "/api/audit?limit=100", "").text();
    for act in [
        "process_registered",
        "process_started",
        "process_stopped",
        "process_restarted",
        "process_scaled",
        "process_unregistered",
    ] {
        assert!(trail.contains(act), "{act}: {trail}");
    }
}

#[test]
fn lists_are_read_in_parts() {
    let site = Site::new();
    site.write(
        "piton.toml",
        "[[groups]]\nname = \"first\"\nmembers = [\"web\"]\n[[groups]]\nname = \"second\"\nmembers = [\"web\"]\n",
    );
    site.write(
        "programs/web.toml",
        "type = \"process\"\n[spec]\nname = \"web\"\ncommand = \"sleep 60\"\ninstances = 3\n",
    );
    let (_daemon, address) = site.serve_at();
    until("all run", || all_run(&site, 3));
    let list = |path: &str| wire::done(&get(&address, path));
    let names = |items: &Value| -> Vec<String> {
        items.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = list("/api/processes?limit=2");
    assert_eq!(names(&first["items"]), ["web-1", "web-2"]);
    let second = list(&format!("/api/processes?limit=2&cursor={}", first["next"].as_str().unwrap()));
    assert_eq!((names(&second["items"]), &second["next"]), (vec!["web-3".to_owned()], &Value::Null));
    assert_eq!(names(&list("/api/groups?offset=1")), ["second"]);
    assert_eq!(names(&list("/api/groups?limit=1")), ["first"]);
    assert_eq!(list("/api/jobs?limit=1&offset=0"), json!([]));

    done(&post(&address, "/api/stop?name=web-1"));
    let rows = |query: &str| list(&format!("/api/history?name=web-1{query}"))["items"].as_array().unwrap().clone();
    until("it is written down", || rows("").first().is_some_and(|row| row["status"] == "stopped"));
    let all = rows("");
    assert!(all.len() > 2, "{all:?}");
    assert_eq!(rows("&offset=1"), all[1..]);
    assert_eq!(rows("&limit=1&offset=2"), all[2..3]);
    assert!(rows("&offset=1000").is_empty());
}

#[test]
fn what_a_route_does_not_read_is_refused_by_its_name() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    done(&send(&address, "/api/register", &json!({ "name": "web", "command": "sleep 60" })));
    for (method, path, parameter) in [
        ("GET", "/api/processes?limit=abc", "limit"),
        ("GET", "/api/processes?limt=1", "limt"),
        ("GET", "/api/processes/web?verbose=1", "verbose"),
        ("GET", "/api/processes/web/logs?tail=1&colour=no", "colour"),
        ("GET", "/api/status?name=web&limit=1", "limit"),
        ("GET", "/api/history?offset=-1", "offset"),
        ("GET", "/api/history?page=1", "page"),
        ("GET", "/api/groups?limit=abc", "limit"),
        ("GET", "/api/group/status?group=a&name=b", "name"),
        ("GET", "/api/jobs?limit=abc", "limit"),
        ("GET", "/api/jobs?state=failed", "state"),
        ("GET", "/api/cronjobs?limit=abc", "limit"),
        ("GET", "/api/cronjobs?name=a", "name"),
        ("POST", "/api/start?name=web&wait=1s", "wait"),
        ("POST", "/api/stop?name=web&force=true", "force"),
        ("POST", "/api/processes/web/stop?name=api", "name"),
        ("POST", "/api/group/stop?group=a&force=true", "force"),
        ("POST", "/api/jobs/none?force=true", "force"),
        ("DELETE", "/api/jobs/none?force=true", "force"),
        ("POST", "/api/cronjobs/none/trigger?now=true", "now"),
    ] {
        let reply = request(&address, method, path, &[], "");
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_query"), "{path}: {}", reply.text());
        let problem = reply.json();
        assert_eq!(problem["errors"][0]["pointer"], format!("/{parameter}"), "{path}: {problem}");
        assert!(problem["hint"].is_string(), "{path}: {problem}");
    }
    assert_eq!(status(&address, "web")["running"], true, "nothing was done");
    let hint = get(&address, "/api/processes?limt=1").json()["hint"].clone();
    assert_eq!(hint, "the parameters are name, base, wildcard, limit, cursor");
}
