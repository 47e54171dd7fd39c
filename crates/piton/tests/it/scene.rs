//! What a worker needs: blueprints, a queue of its own, a GitLab, and a control plane that is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use piton_testkit::forges::{Flavour, Forge, TOKEN};
use piton_testkit::rabbit::Rabbit;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::{Site, until};

/// A worker's surroundings.
pub struct Scene {
    pub site: Site,
    pub forge: Forge,
    pub plane: ControlPlane,
    pub queue: String,
    rabbit: Broker,
    pub root: TempDir,
    /// Where its workers report.
    told: String,
}

enum Broker {
    Shared(&'static Rabbit),
    Own(Rabbit),
}

impl Scene {
    /// With the broker that the tests share.
    pub fn new(queue: &str) -> Scene {
        Scene::at(queue, Broker::Shared(Rabbit::shared().unwrap()), None)
    }

    /// One whose worker reports to somebody else.
    pub fn reporting_to(queue: &str, url: &str) -> Scene {
        Scene::at(queue, Broker::Shared(Rabbit::shared().unwrap()), Some(url))
    }

    /// With a broker of its own, which may be killed.
    pub fn with_own_broker(queue: &str) -> Scene {
        Scene::at(queue, Broker::Own(Rabbit::start().unwrap()), None)
    }

    fn at(queue: &str, rabbit: Broker, told: Option<&str>) -> Scene {
        let root = tempfile::tempdir().unwrap();
        let forge = Forge::start(Flavour::GitLab, root.path()).unwrap();
        forge.add_group(123, "my-team");
        let plane = ControlPlane::start();
        let told = told.map_or_else(|| format!("http://{}", plane.address), str::to_owned);
        let mut scene = Scene { site: Site::new(), forge, plane, queue: queue.to_owned(), rabbit, root, told };
        scene.site = scene.another_site();
        scene
    }

    /// The directory of a further worker.
    pub fn another_site(&self) -> Site {
        let site = Site::new()
            .env("RABBITMQ_URL", &self.rabbit().url())
            .env("RABBITMQ_QUEUE", &self.queue)
            .env("RABBITMQ_RETRY_DELAY", "1s")
            .env("GITLAB_URL", &self.forge.url())
            .env("GITLAB_TOKEN", TOKEN)
            .env("CONTROL_PLANE_URL", &self.told)
            .env("CONTROL_PLANE_API_KEY", "worker-api-key");
        site.write("blueprints/go-backend/main.go.tmpl", "// {{ .Name }} on {{ .Values.port }}\n");
        site.write("blueprints/go-backend/.gitignore", "bin/\n");
        site
    }

    /// The worker's environment has this, too.
    pub fn env(mut self, name: &str, value: &str) -> Scene {
        self.site = self.site.env(name, value);
        self
    }

    pub fn rabbit(&self) -> &Rabbit {
        match &self.rabbit {
            Broker::Shared(rabbit) => rabbit,
            Broker::Own(rabbit) => rabbit,
        }
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
    pub fn lying(&self, ending: &str) -> u64 {
        let name = format!("{}{ending}", self.queue);
        self.queues().into_iter().find_map(|(queue, count)| (queue == name).then_some(count)).unwrap_or(0)
    }

    /// How many messages lie in each queue of this scene.
    fn queues(&self) -> Vec<(String, u64)> {
        let told = self.rabbit().ctl(["list_queues", "name", "messages"]).unwrap();
        let counts = told.lines().filter_map(|line| line.split_once('\t'));
        let ours = counts.filter(|(queue, _)| queue.starts_with(&self.queue));
        ours.map(|(queue, count)| (queue.to_owned(), count.trim().parse().unwrap_or(0))).collect()
    }

    /// No message of this scene is anywhere.
    pub fn until_empty(&self) {
        until("nothing is left in any queue", || {
            let queues = self.queues();
            queues.len() > 3 && queues.iter().all(|(_, count)| *count == 0)
        });
    }

    pub fn clone(&self, full_name: &str) -> PathBuf {
        let to = self.root.path().join(format!("clone-{}", full_name.replace('/', "-")));
        // It may be looked at again.
        let _ = std::fs::remove_dir_all(&to);
        git(
            self.root.path(),
            &["clone", "-q", self.forge.repository(full_name).to_str().unwrap(), to.to_str().unwrap()],
        );
        to
    }

    /// The run went well, its repository has its one commit, and the control plane heard of it once.
    pub fn assert_made_once(&self, run_id: &str, name: &str) -> Value {
        let run = self.ended(run_id);
        assert_eq!(run["outcome"], "succeeded", "{run:#}");
        self.assert_repository(run_id, name, &run);
        self.assert_told_once(run_id);
        run
    }

    /// The repository of the run is there, with its one commit.
    pub fn assert_repository(&self, run_id: &str, name: &str, run: &Value) {
        let full_name = format!("my-team/{name}");
        assert_eq!(self.forge.names().iter().filter(|found| **found == full_name).count(), 1);
        let clone = self.clone(&full_name);
        assert_eq!(git(&clone, &["rev-list", "--count", "--all"]).trim_end(), "1", "{full_name}");
        assert_eq!(git(&clone, &["rev-parse", "main"]).trim_end(), run["repository"]["commit"].as_str().unwrap());
        assert!(git(&clone, &["log", "-1", "--format=%B"]).contains(&format!("Run-Id: {run_id}")));
    }

    /// However often the success was told, it was the same.
    pub fn assert_told_once(&self, run_id: &str) {
        let mut told = Vec::new();
        until("the control plane was told", || {
            told = self.plane.successes(run_id);
            !told.is_empty()
        });
        told.dedup();
        assert_eq!(told.len(), 1, "{told:#?}");
        assert_eq!(self.plane.statuses(run_id).last().map(String::as_str), Some("succeeded"));
    }
}

pub fn git(directory: &Path, args: &[&str]) -> String {
    let done = Command::new("git").current_dir(directory).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Where whoever comes there waits for ever.
#[derive(Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn is_reached(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// It ends with the process of the tests.
    fn wait(&self) {
        self.0.store(true, Ordering::SeqCst);
        loop {
            std::thread::park();
        }
    }
}

/// What the control plane does with a status.
#[derive(Clone)]
pub enum Deaf {
    /// It has not heard it, and does not answer.
    HoldBefore(Gate),
    /// It has heard it, and does not answer.
    HoldAfter(Gate),
    /// It has not heard it, and says so.
    Answer(&'static str),
}

/// What it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub path: String,
    pub key: String,
    pub body: Value,
}

#[derive(Default)]
struct Heard {
    told: Mutex<Vec<Told>>,
    deaf: Mutex<Vec<(&'static str, Deaf)>>,
    away: Mutex<bool>,
}

/// Somebody who listens to what workers tell.
pub struct ControlPlane {
    address: SocketAddr,
    heard: Arc<Heard>,
}

impl ControlPlane {
    fn start() -> ControlPlane {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Heard::default());
        let hears = heard.clone();
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), hears) = (stream, hears.clone()) else { return };
                std::thread::spawn(move || hears.hear(stream));
            }
        });
        ControlPlane { address, heard }
    }

    /// The next status of this kind meets this.
    pub fn meets(&self, status: &'static str, deaf: Deaf) {
        self.heard.deaf.lock().unwrap().push((status, deaf));
    }

    /// Whether it answers anybody.
    pub fn set_away(&self, away: bool) {
        *self.heard.away.lock().unwrap() = away;
    }

    fn told(&self, path: &str) -> Vec<Told> {
        self.heard.told.lock().unwrap().iter().filter(|told| told.path == path).cloned().collect()
    }

    pub fn statuses(&self, run: &str) -> Vec<String> {
        let told = self.told(&format!("/api/runs/{run}/status"));
        told.iter().map(|told| told.body["status"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Every time that it was told this of a run.
    pub fn told_that(&self, run: &str, status: &str) -> Vec<Told> {
        let told = self.told(&format!("/api/runs/{run}/status"));
        told.into_iter().filter(|told| told.body["status"] == status).collect()
    }

    /// Every time that it was told of the success of a run.
    pub fn successes(&self, run: &str) -> Vec<Told> {
        self.told_that(run, "succeeded")
    }

    pub fn lines(&self, run: &str) -> Vec<String> {
        let told = self.told(&format!("/api/runs/{run}/logs"));
        let lines = told.iter().flat_map(|told| told.body["logs"].as_array().cloned().unwrap_or_default());
        lines.map(|line| line["line"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Heard {
    fn hear(&self, mut stream: TcpStream) {
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
        // A worker that is killed says nothing more.
        if head.is_empty() || reader.read_exact(&mut body).is_err() {
            return;
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        let path = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
        let told = Told { path, key: field("idempotency-key").unwrap_or_default(), body };
        let known = field("authorization").as_deref() == Some("Bearer worker-api-key");
        let status = if known { self.answer(told) } else { "401 Unauthorized" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes());
    }

    fn answer(&self, told: Told) -> &'static str {
        if *self.away.lock().unwrap() {
            return "503 Service Unavailable";
        }
        let deaf = {
            let mut deaf = self.deaf.lock().unwrap();
            let fits = deaf.iter().position(|(status, _)| told.body["status"] == *status);
            fits.map(|at| deaf.remove(at).1)
        };
        match deaf {
            Some(Deaf::Answer(status)) => return status,
            Some(Deaf::HoldBefore(gate)) => gate.wait(),
            Some(Deaf::HoldAfter(gate)) => {
                self.told.lock().unwrap().push(told);
                gate.wait();
            }
            None => self.told.lock().unwrap().push(told),
        }
        "204 No Content"
    }
}
