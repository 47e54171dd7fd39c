//! What the tests of deployments share: a daemon, a place that hosts code, and doors that hold a phase open.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use piton_testkit::hosting::Hosting;
use piton_testkit::repository::repository;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::{Site, until};
use crate::wire::{Reply, connect, request};

/// A place that hosts code, and a directory for a daemon.
pub struct Scene {
    pub site: Site,
    pub hosting: Hosting,
    pub root: TempDir,
}

impl Scene {
    /// With one repository, `open/app.git`, of this code.
    pub fn new(code: &str) -> Scene {
        Scene::of(&[("main.tf", code)])
    }

    pub fn of(files: &[(&str, &str)]) -> Scene {
        let root = tempfile::tempdir().unwrap();
        repository(root.path(), "open/app.git", &[files]).unwrap();
        Scene { site: Site::new(), hosting: Hosting::start(root.path()).unwrap(), root }
    }

    pub fn env(self, name: &str, value: &str) -> Scene {
        Scene { site: self.site.env(name, value), ..self }
    }

    /// A request for the repository, with these members instead of or beside the least.
    pub fn body(&self, more: Value) -> String {
        let mut body = json!({ "tool": "tofu", "git_url": self.hosting.url("open/app.git"), "git_ref": "main" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    }
}

pub fn post(address: &str, path: &str, body: &str) -> Reply {
    request(address, "POST", path, &[], body)
}

/// Starts a deployment; its id.
pub fn start(address: &str, body: &str) -> String {
    let reply = post(address, "/deploy", body);
    assert_eq!(reply.status, 202, "{}", reply.text());
    reply.json()["deployment_id"].as_str().unwrap().to_owned()
}

pub fn status(address: &str, id: &str) -> Value {
    let reply = request(address, "GET", &format!("/deploy/{id}/status"), &[], "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Does what is decided about a deployment; the status code, and the code of the problem or the message.
pub fn decide(address: &str, id: &str, what: &str) -> (u16, String) {
    let reply = post(address, &format!("/deploy/{id}/{what}"), "");
    let told = reply.json();
    let word = if reply.status == 200 { &told["message"] } else { &told["code"] };
    assert!(reply.status == 200 || told["error"].is_string(), "older clients read `error`: {told}");
    (reply.status, word.as_str().unwrap().to_owned())
}

/// Waits for a status word; what is told then.
pub fn becomes(address: &str, id: &str, word: &str) -> Value {
    let mut told = Value::Null;
    until(&format!("the deployment is {word}"), || {
        told = status(address, id);
        let over = told["phase"] == "completed";
        assert!(told["status"] == word || !over, "it ended otherwise: {told:#}");
        told["status"] == word
    });
    told
}

/// Waits until a phase is under way.
pub fn reaches(address: &str, id: &str, phase: &str) {
    until(&format!("the deployment is in {phase}"), || {
        let told = status(address, id);
        assert_ne!(told["phase"], "completed", "it ended before: {told:#}");
        told["phase"] == phase && told["queued"] == false
    });
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub event: String,
    /// The offset after a line; the end has none.
    pub id: Option<u64>,
    pub data: String,
}

/// All events of a log, to the end of the stream.
pub fn stream(address: &str, id: &str, last: Option<u64>) -> Vec<Sent> {
    let last = last.map(|last| last.to_string());
    let headers: Vec<(&str, &str)> = last.iter().map(|last| ("Last-Event-ID", last.as_str())).collect();
    let reply = request(address, "GET", &format!("/deploy/{id}/logs"), &headers, "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"), "{}", reply.head);
    events(&reply.text())
}

pub fn events(text: &str) -> Vec<Sent> {
    // Heartbeats are none, nor is what only tells where the log begins: browsers dispatch neither.
    let blocks = text.split("\n\n").filter(|block| block.lines().any(|line| line.starts_with("data:")));
    let of = |block: &str| {
        let field = |name: &str| {
            let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        Sent {
            event: field("event").join(""),
            id: field("id").first().filter(|id| *id != "end").map(|id| id.parse().unwrap()),
            data: field("data").join("\n"),
        }
    };
    blocks.map(of).collect()
}

/// The lines of a log that its events carry, without their colours.
pub fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().filter(|sent| sent.event == "log").map(|sent| plain(&sent.data)).collect()
}

fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    first + &pieces.filter_map(|piece| Some(piece.split_once('m')?.1)).collect::<String>()
}

/// A server that lets nobody through until it is opened.
pub struct Door {
    address: SocketAddr,
    open: Arc<AtomicBool>,
}

/// What is behind a door.
#[derive(Clone)]
pub enum Behind {
    /// Another server.
    Server(SocketAddr),
    /// The same answer to everything.
    Answer(&'static str),
}

impl Door {
    pub fn shut(behind: Behind) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(false));
        let seen = open.clone();
        // Ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, behind) = (seen.clone(), behind.clone());
                std::thread::spawn(move || pass(stream, &seen, &behind));
            }
        });
        Door { address, open }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

fn pass(mut stream: TcpStream, open: &AtomicBool, behind: &Behind) {
    while !open.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
    match behind {
        Behind::Server(address) => {
            let mut other = connect(&address.to_string());
            let (mut from, mut to) = (stream.try_clone().unwrap(), other.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            let _ = std::io::copy(&mut other, &mut stream);
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        Behind::Answer(text) => {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
        }
    }
}
