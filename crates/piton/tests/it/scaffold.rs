//! Blueprints: rendered by commands, and made into repositories by workers of a real RabbitMQ.

use std::fs;
use std::time::Duration;

use piton_broker::{Address, Ladder, Outgoing, Outlet, Topology};
use piton_model::Secret;
use piton_testkit::forges::{Act, Fault};
use serde_json::{Value, json};

use crate::scene::{Scene, git};
use crate::site::{Site, until};
use crate::wire::request;

#[test]
fn a_blueprint_is_rendered_into_a_new_directory() {
    let site = Site::new();
    site.write(
        "blueprints/web/cmd/{{ .Name }}/main.go.tmpl",
        "// {{ .Name }} of {{ .Namespace }} on {{ .Values.port }}\n",
    );
    site.write("blueprints/web/README.md.j2", "# {{ name }} {{ values.port + 1 }}\n");
    site.write("blueprints/web/logo.txt", "{{ as it is }}\n");
    site.write("values.json", r#"{ "name": "shop", "namespace": "team", "values": { "port": 8080 } }"#);
    let rendered = site.json(["scaffold", "render", "web", "--file", "values.json", "--out", "out"]);
    assert_eq!(rendered["files"].as_array().unwrap().len(), 3, "{rendered}");
    let read = |path: &str| fs::read_to_string(site.path().join("out").join(path)).unwrap();
    assert_eq!(read("cmd/shop/main.go"), "// shop of team on 8080\n");
    assert_eq!(read("README.md"), "# shop 8081\n");
    assert_eq!(read("logo.txt"), "{{ as it is }}\n");

    let again = site.piton(["scaffold", "render", "web", "--file", "values.json", "--out", "out"]);
    assert_eq!(again.code, 1, "{again}");
    assert!(again.err.contains("not empty"), "{again}");
    let unknown = site.piton(["scaffold", "render", "nope", "--file", "values.json", "--out", "out2"]);
    assert_eq!(unknown.code, 3, "{unknown}");
    // A whole job message, and YAML.
    site.write("job.yaml", "run_id: r1\ntype: system\nblueprint:\n  name: pub\n  values: { port: 1 }\n");
    let by_path = site.piton(["scaffold", "render", "./blueprints/web", "--file", "job.yaml", "--out", "out3"]);
    assert_eq!(by_path.code, 0, "{by_path}");
    assert!(by_path.out.contains("cmd/pub/main.go\n"), "{by_path}");
}

#[test]
fn one_template_goes_to_standard_output_and_nothing_else_does() {
    let site = Site::new();
    site.write("data.json", r#"{ "a": 1, "f": 1.5, "items": ["x", "y"] }"#);
    site.write("go.tmpl", r"{{ .a }}|{{ .f }}|{{ .none }}|{{ range .items }}{{ . | upper }}{{ end }}");
    let go = site.piton(["scaffold", "eval", "--engine", "go", "--template", "go.tmpl", "--data", "data.json"]);
    assert_eq!((go.code, go.out.as_str()), (0, "1|1.5|<no value>|XY"), "{go}");
    let strict = ["scaffold", "eval", "--template", "go.tmpl", "--data", "data.json", "--missing", "error"];
    let strict = site.piton(strict);
    assert_eq!((strict.code, strict.out.as_str()), (1, ""), "{strict}");
    site.write("jinja.j2", "{% for item in items %}{{ item | upper }}{{ a }}{% endfor %}\n");
    let jinja = site.piton(["scaffold", "eval", "--engine", "jinja", "--template", "jinja.j2", "--data", "data.json"]);
    assert_eq!((jinja.code, jinja.out.as_str()), (0, "X1Y1\n"), "{jinja}");
    site.write("bad.tmpl", "one\n{{ if }}");
    let bad = site.piton(["scaffold", "eval", "--engine", "go", "--template", "bad.tmpl"]);
    assert_eq!((bad.code, bad.out.as_str()), (1, ""), "{bad}");
    assert!(bad.err.contains(":2"), "{bad}");
}

#[test]
fn a_message_becomes_a_repository_once_however_often_it_comes() {
    let scene = Scene::new("scaffold-once");
    let worker = scene.site.work();
    for _ in 0..3 {
        scene.enqueue(&Scene::message("abc-123", "my-service"));
    }
    let run = scene.ended("abc-123");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!((&run["kind"], &run["action"]), (&json!("scaffold"), &json!("scaffold")));
    assert_eq!(run["repository"]["name"], "my-team/my-service", "{run:#}");
    assert_eq!(run["repository"]["files"], 2);
    assert_eq!(scene.forge.names(), ["my-team/my-service"]);

    let clone = scene.clone("my-team/my-service");
    assert_eq!(fs::read_to_string(clone.join("main.go")).unwrap(), "// my-service on 8080\n");
    assert_eq!(git(&clone, &["rev-parse", "main"]).trim_end(), run["repository"]["commit"].as_str().unwrap());
    assert!(git(&clone, &["log", "-1", "--format=%B"]).contains("Run-Id: abc-123"));

    let log = scene.site.log(run["id"].as_str().unwrap());
    let expected = [
        "[INFO] Starting provisioning for run: abc-123",
        "[INFO] Rendering template: go-backend",
        "[INFO] Creating repository: my-team/my-service",
        "[INFO] Committing files (2 files)",
        "[INFO] Pushing to GitLab",
        "[SUCCESS] Provisioning completed in ",
    ];
    let mut lines = log.lines().skip_while(|line| !line.starts_with('['));
    for start in expected {
        let line = lines.next().unwrap_or_default();
        assert!(line.starts_with(start), "expected {start:?} in:\n{log}");
    }
    until("the control plane was told", || scene.plane.statuses("abc-123").last() == Some(&"succeeded".to_owned()));
    assert_eq!(scene.plane.statuses("abc-123"), ["running", "succeeded"]);
    let told = scene.plane.lines("abc-123");
    assert!(told.len() == expected.len() && told[4] == "[INFO] Pushing to GitLab", "{told:#?}");
    until("nothing is left in the queue", || scene.lying("") == 0);
    assert_eq!(scene.lying(".dead"), 0);
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

#[test]
fn the_worker_shows_its_health_and_counts() {
    let scene = Scene::new("scaffold-health");
    let worker = scene.site.work();
    let address = worker.address();
    scene.enqueue(&Scene::message("good", "good"));
    let mut bad = Scene::message("bad", "bad");
    bad["blueprint"]["template"] = json!("no-such-template");
    scene.enqueue(&bad);
    assert_eq!(scene.ended("good")["outcome"], "succeeded");
    let failed = scene.ended("bad");
    assert_eq!((&failed["outcome"], &failed["attempts"]), (&json!("failed"), &json!(1)), "{failed:#}");
    assert_eq!(failed["failure"]["code"], "blueprint_not_found");
    until("it was told to the control plane", || scene.plane.statuses("bad").last() == Some(&"failed".to_owned()));

    until("it is with the dead letters", || scene.lying(".dead") == 1);
    let health = request(&address, "GET", "/health", &[], "");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")), "{}", health.text());
    until("both are counted", || {
        let metrics = request(&address, "GET", "/metrics", &[], "").text();
        metrics.contains("\njobs_processed_total 2\n")
            && metrics.contains("\njobs_failed_total 1\n")
            && metrics.contains("\njob_duration_seconds_count 2\n")
            && metrics.contains("\nqueue_depth 0\n")
    });
    // Nothing else is shown there.
    assert_eq!(request(&address, "GET", "/api/runs", &[], "").status, 404);
    assert_eq!(worker.terminate(), 0);
}

#[test]
fn a_worker_without_its_broker_says_so_and_stays_alive() {
    let scene = Scene::with_own_broker("scaffold-degraded");
    let worker = scene.site.work();
    let address = worker.address();
    let ask = |path: &str| request(&address, "GET", path, &[], "");
    until("it is ready", || ask("/readyz").status == 200);
    let health = ask("/health").json();
    assert_eq!((&health["status"], &health["reason"]), (&json!("healthy"), &Value::Null), "{health:#}");

    scene.rabbit().kill().unwrap();
    until("it is not ready", || ask("/readyz").status == 503);
    let verbose = ask("/readyz?verbose").text();
    assert!(verbose.contains("[-]queue failed: ") && verbose.ends_with("not ready\n"), "{verbose}");
    let (health, live) = (ask("/health"), ask("/livez"));
    let told = health.json();
    // Whoever restarts what is dead leaves it alone.
    assert_eq!((health.status, live.status), (200, 200));
    assert_eq!((&told["status"], &told["queue"]), (&json!("degraded"), &json!("connecting")), "{told:#}");
    assert!(told["reason"].as_str().unwrap().starts_with("queue: it is not connected to the broker: "), "{told:#}");

    scene.rabbit().start_again().unwrap();
    until("it is ready again", || ask("/readyz").status == 200);
    assert_eq!(ask("/health").json()["status"], "healthy");
    scene.enqueue(&Scene::message("after", "after"));
    assert_eq!(scene.ended("after")["outcome"], "succeeded");
    assert_eq!(worker.terminate(), 0);
}

#[test]
fn what_cannot_be_a_job_lies_with_the_dead_letters() {
    let scene = Scene::new("scaffold-dead");
    let worker = scene.site.work();
    scene.enqueue(&Scene::message("one", "first"));
    assert_eq!(scene.ended("one")["outcome"], "succeeded");
    // The same name for something else.
    scene.enqueue(&Scene::message("one", "second"));
    until("it is dead", || scene.lying(".dead") == 1);
    assert_eq!(scene.forge.names(), ["my-team/first"]);
    // What is wrong is said before anything is sent.
    scene.site.write("wrong.json", r#"{ "run_id": "x", "type": "planet" }"#);
    let said = scene.site.piton(["scaffold", "enqueue", "wrong.json"]);
    assert!(said.code == 2 && said.err.contains("`type` must be one of system, component"), "{said}");
    assert_eq!(worker.terminate(), 0);
}

/// A message that is no job, from somebody who does not look at it first.
pub fn send(scene: &Scene, text: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let address = Address::parse(&Secret::new(scene.rabbit().url())).unwrap();
        let topology =
            Topology::new(&scene.queue, Ladder { first: Duration::from_secs(1), ..Ladder::default() }).unwrap();
        let (outlet, _postman) = Outlet::start(address, topology, "test".to_owned());
        let message = Outgoing::job(&"message".parse().unwrap(), text.as_bytes().to_vec());
        outlet.enqueue(message).await.unwrap();
    });
}

#[test]
fn what_cannot_be_a_job_is_told_and_counted() {
    let scene = Scene::new("scaffold-refused");
    let worker = scene.site.work();
    let address = worker.address();
    send(&scene, r#"{ "run_id": "odd", "type": "planet" }"#);
    send(&scene, "nonsense");
    until("the control plane was told", || scene.plane.statuses("odd") == ["failed"]);
    until("they are dead", || scene.lying(".dead") == 2);
    until("they are counted", || {
        let metrics = request(&address, "GET", "/metrics", &[], "").text();
        metrics.contains("\njobs_processed_total 2\n") && metrics.contains("\njobs_failed_total 2\n")
    });
    assert_eq!(worker.terminate(), 0);
    // An end that is wanted is no error.
    let log = scene.site.daemon_log();
    assert!(!log.contains("ERROR") && !log.contains("Connection error"), "{log}");
}

#[test]
fn that_a_message_was_refused_is_told_after_all_that_may_happen() {
    let scene = Scene::new("scaffold-untold");
    let worker = scene.site.work();
    scene.plane.set_away(true);
    send(&scene, r#"{ "run_id": "odd", "type": "component" }"#);
    until("it is dead", || scene.lying(".dead") == 1);
    let run = scene.ended("odd");
    assert_eq!((&run["outcome"], &run["failure"]["code"]), (&json!("failed"), &json!("invalid_message")), "{run:#}");
    assert_eq!((&run["attempts"], &run["origin"]["trigger"]), (&json!(0), &json!("message")), "{run:#}");
    let again = scene.site.piton(["run", "retry", "odd"]);
    assert!(again.code == 5 && again.err.contains("piton scaffold enqueue"), "{again}");
    worker.kill();
    let worker = scene.site.work();
    assert_eq!(scene.plane.statuses("odd"), Vec::<String>::new());
    scene.plane.set_away(false);
    until("the control plane was told", || !scene.plane.statuses("odd").is_empty());
    // The same message again is no news; whoever has mended it gets a repository.
    send(&scene, r#"{ "run_id": "odd", "type": "component" }"#);
    until("it is dead again", || scene.lying(".dead") == 2);
    scene.enqueue(&Scene::message("odd", "mended"));
    until("it was made", || scene.plane.statuses("odd").last().is_some_and(|last| last == "succeeded"));
    let told = scene.plane.told_that("odd", "failed");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((&told[0].body["type"], &told[0].body["code"]), (&json!("component"), &json!("invalid_message")));
    assert_eq!(told[0].body["error"], run["failure"]["message"]);
    assert_eq!(scene.forge.names(), ["my-team/mended"]);
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

#[test]
fn what_has_failed_can_be_sent_again() {
    let scene = Scene::new("scaffold-again");
    let worker = scene.site.work();
    let mut message = Scene::message("late", "late");
    message["blueprint"]["template"] = json!("late-template");
    scene.enqueue(&message);
    let failed = scene.ended("late");
    assert_eq!(failed["outcome"], "failed", "{failed:#}");
    until("it is with the dead letters", || scene.lying(".dead") == 1);
    scene.site.write("blueprints/late-template/README.md.tmpl", "# {{ .Name }}\n");
    scene.enqueue(&message);
    let mut runs = Vec::new();
    until("it went well", || {
        runs = scene.site.runs("scaffold/late");
        runs.len() == 2 && runs[1]["outcome"] == "succeeded"
    });
    assert_eq!(runs[1]["retry_of"], failed["id"]);
    assert_eq!(scene.forge.names(), ["my-team/late"]);
    assert_eq!(worker.terminate(), 0);
}

#[test]
fn a_worker_that_is_killed_in_between_leaves_one_repository_and_no_job_undone() {
    let scene = Scene::new("scaffold-killed");
    let worker = scene.site.work();
    for number in 0..6 {
        scene.enqueue(&Scene::message(&format!("run-{number}"), &format!("service-{number}")));
    }
    until("something was made", || !scene.forge.names().is_empty());
    worker.kill();
    let worker = scene.site.work();
    for number in 0..6 {
        let run = scene.ended(&format!("run-{number}"));
        assert_eq!(run["outcome"], "succeeded", "{run:#}");
        let clone = scene.clone(&format!("my-team/service-{number}"));
        assert_eq!(git(&clone, &["rev-list", "--count", "main"]).trim_end(), "1");
        assert_eq!(git(&clone, &["rev-parse", "main"]).trim_end(), run["repository"]["commit"].as_str().unwrap());
    }
    assert_eq!(scene.forge.names().len(), 6);
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

#[test]
fn the_daemon_takes_jobs_too_and_tries_again_what_may_pass() {
    let scene = Scene::new("scaffold-daemon");
    scene.forge.fail(Fault {
        method: "POST",
        path: "/projects",
        act: Act::Answer(503, Vec::new(), "down for a moment".to_owned()),
    });
    let daemon = scene.site.serve_with(&["--listen", "127.0.0.1:0", "--worker"]);
    scene.enqueue(&Scene::message("again", "again"));
    let run = scene.ended("again");
    assert_eq!((&run["outcome"], &run["attempts"]), (&json!("succeeded"), &json!(2)), "{run:#}");
    let log = scene.site.log(run["id"].as_str().unwrap());
    assert!(log.contains("[WARN] ") && log.contains("trying again in 1s"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    let shown = scene.site.json(["run", "show", run["id"].as_str().unwrap()]).to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(daemon.terminate(), 0);
}
