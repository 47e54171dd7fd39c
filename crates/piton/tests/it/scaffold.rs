//! Blueprints: rendered by commands, and made into repositories by workers of a real RabbitMQ.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use piton_testkit::forges::{Act, Fault, Flavour, Forge, TOKEN};
use piton_testkit::rabbit::Rabbit;
use serde_json::{Value, json};
use tempfile::TempDir;

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

/// What a worker needs: a blueprint, a queue of its own, a GitLab, and somebody who is told.
pub struct Scene {
    pub site: Site,
    pub forge: Forge,
    plane: ControlPlane,
    rabbit: &'static Rabbit,
    queue: String,
    pub root: TempDir,
}

impl Scene {
    pub fn new(queue: &str) -> Scene {
        let plane = ControlPlane::start();
        let url = format!("http://{}", plane.address);
        Scene::told_to(queue, plane, &url)
    }

    /// One whose worker reports elsewhere.
    pub fn reporting_to(queue: &str, url: &str) -> Scene {
        Scene::told_to(queue, ControlPlane::start(), url)
    }

    fn told_to(queue: &str, plane: ControlPlane, url: &str) -> Scene {
        let (root, rabbit) = (tempfile::tempdir().unwrap(), Rabbit::shared().unwrap());
        let forge = Forge::start(Flavour::GitLab, root.path()).unwrap();
        forge.add_group(123, "my-team");
        let site = Site::new()
            .env("RABBITMQ_URL", &rabbit.url())
            .env("RABBITMQ_QUEUE", queue)
            .env("RABBITMQ_RETRY_DELAY", "1s")
            .env("GITLAB_URL", &forge.url())
            .env("GITLAB_TOKEN", TOKEN)
            .env("CONTROL_PLANE_URL", url)
            .env("WORKER_ID", "worker-001")
            .env("CONTROL_PLANE_API_KEY", "worker-api-key");
        site.write("blueprints/go-backend/main.go.tmpl", "// {{ .Name }} on {{ .Values.port }}\n");
        site.write("blueprints/go-backend/.gitignore", "bin/\n");
        Scene { site, forge, plane, rabbit, queue: queue.to_owned(), root }
    }

    pub fn message(run_id: &str, name: &str) -> Value {
        json!({
            "run_id": run_id,
            "type": "component",
            "blueprint": {
                "template": "go-backend", "name": name, "namespace": "my-team",
                "values": { "port": 8080, "db_password": "hunter2" },
            },
            "git_config": { "provider": "gitlab", "group_id": "123", "visibility": "private" },
        })
    }

    pub fn enqueue(&self, message: &Value) {
        self.site.write("job.json", &message.to_string());
        let said = self.site.piton(["scaffold", "enqueue", "job.json"]);
        assert_eq!(said.code, 0, "{said}");
        assert_eq!(said.out.trim_end(), message["run_id"].as_str().unwrap());
    }

    /// The only run of that name, once it has ended.
    pub fn ended(&self, run_id: &str) -> Value {
        let mut found = Value::Null;
        until("the run has ended", || {
            let runs = self.site.runs(&format!("scaffold/{run_id}"));
            assert!(runs.len() <= 1, "{runs:#?}");
            found = runs.first().cloned().unwrap_or_default();
            found["state"] == "ended"
        });
        found
    }

    /// How many messages lie in a queue of this scene.
    fn lying(&self, ending: &str) -> u64 {
        let told = self.rabbit.ctl(["list_queues", "name", "messages"]).unwrap();
        let name = format!("{}{ending}", self.queue);
        let line = told.lines().find(|line| line.split('\t').next() == Some(&name));
        line.and_then(|line| line.split('\t').nth(1)?.parse().ok()).unwrap_or(0)
    }

    pub fn clone(&self, full_name: &str) -> std::path::PathBuf {
        let to = self.root.path().join(format!("clone-{}", full_name.replace('/', "-")));
        git(
            self.root.path(),
            &["clone", "-q", self.forge.repository(full_name).to_str().unwrap(), to.to_str().unwrap()],
        );
        to
    }
}

pub fn git(directory: &Path, args: &[&str]) -> String {
    let done = Command::new("git").current_dir(directory).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
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

/// Somebody who listens to what workers tell.
struct ControlPlane {
    address: SocketAddr,
    told: Arc<Mutex<Vec<(String, Value)>>>,
}

impl ControlPlane {
    fn start() -> ControlPlane {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(mut stream), heard) = (stream, heard.clone()) else { return };
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let (mut head, mut line) = (Vec::new(), String::new());
                    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && !line.trim().is_empty() {
                        head.push(std::mem::take(&mut line).trim_end().to_owned());
                    }
                    let field = |name: &str| {
                        head.iter().find_map(|line| {
                            let (given, value) = line.split_once(':')?;
                            given.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
                        })
                    };
                    let length: usize = field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    let known = field("authorization").as_deref() == Some("Bearer worker-api-key");
                    let status = if known { "204 No Content" } else { "401 Unauthorized" };
                    if known {
                        let path = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
                        heard.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap()));
                    }
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes());
                });
            }
        });
        ControlPlane { address, told }
    }

    fn told(&self, path: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|(at, _)| at == path).map(|(_, body)| body.clone()).collect()
    }

    fn statuses(&self, run: &str) -> Vec<String> {
        let told = self.told(&format!("/api/runs/{run}/status"));
        told.iter().map(|body| body["status"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn lines(&self, run: &str) -> Vec<String> {
        let told = self.told(&format!("/api/runs/{run}/logs"));
        let lines = told.iter().flat_map(|body| body["logs"].as_array().cloned().unwrap_or_default());
        lines.map(|line| line["line"].as_str().unwrap_or_default().to_owned()).collect()
    }
}
