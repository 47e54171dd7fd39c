//! A real browser, whose `EventSource` follows a log through the death of the daemon.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::runner::{Scene, lines, start, stream};
use crate::site::Site;
use crate::wire::{get, request};

const CONFIG: &str = r#"{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip" }"#;

/// Lines with what a careless server would break: markup, quotes, fields of events, a return, letters of others.
const CODE: &str = r#"
resource "terraform_data" "this" {
  provisioner "local-exec" {
    command = <<-EOT
      for i in 1 2 3 4 5 6 7 8; do
        printf 'line %d: <b>"&\\ data: x grün 試\n' $i
        while [ $i = 4 ] && [ ! -e "$GO" ]; do sleep 0.05; done
      done
    EOT
    environment = { GO = "@GO@" }
  }
}
"#;

/// What the page does: it follows the log and tells what it got, whenever it got something.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>log</title><script>
const got = [], source = new EventSource("@URL@");
let opened = 0;
const tell = end => fetch("/told", { method: "POST", body: JSON.stringify({ got, opened, end }) });
source.onopen = () => opened++;
source.addEventListener("log", event => { got.push(event.data); tell(null); });
source.addEventListener("end", event => { source.close(); tell(event.data); });
</script>"#;

/// A page at an origin of its own.
struct Page {
    listener: TcpListener,
}

impl Page {
    fn new() -> Page {
        Page { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Serves the page; what it tells comes out. Ends when nobody listens to that any more.
    fn serve(self, page: String) -> mpsc::Receiver<Value> {
        let (told, telling) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in self.listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut line) = (String::new(), String::new());
                while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    head.push_str(&std::mem::take(&mut line));
                }
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                if reader.read_exact(&mut body).is_err() {
                    continue;
                }
                if head.starts_with("POST /told ") && told.send(serde_json::from_slice(&body).unwrap()).is_err() {
                    return;
                }
                let page = if head.starts_with("GET / ") { page.as_str() } else { "" };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{page}",
                    page.len()
                );
                // The browser may have gone away.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        telling
    }
}

/// A browser, which ends with the test.
struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn open(url: &str) -> Browser {
        let program =
            std::env::var("PITON_TEST_CHROMIUM").expect("PITON_TEST_CHROMIUM is not set: run scripts/setup-tests");
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        // Its own sandbox needs rights that build machines have not, and it opens our page only.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("--remote-debugging-port=0").arg(url);
        // It is many processes, and they go together.
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().unwrap();
        Browser { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// The same, for a page that does not close what has ended: the browser asks again, and has to be told to stop.
const CARELESS: &str = r#"<!doctype html><meta charset="utf-8"><title>log</title><script>
const got = [], source = new EventSource("@URL@");
let opened = 0, end = null;
const tell = closed => fetch("/told", { method: "POST", body: JSON.stringify({ got, opened, end, closed }) });
source.onopen = () => opened++;
source.addEventListener("log", event => got.push(event.data));
source.addEventListener("end", event => { end = event.data; tell(false); });
source.onerror = () => { if (source.readyState === EventSource.CLOSED) tell(true); };
</script>"#;

#[test]
fn a_browser_stops_to_ask_when_a_deployment_is_over() {
    let page = Page::new();
    let origin = page.origin();
    let scene = Scene::new(r#"resource "terraform_data" "this" {}"#).env("PITON_SERVER__ALLOWED_ORIGINS", &origin);
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(serde_json::json!({ "auto_approve": true })));
    let told = page.serve(CARELESS.replace("@URL@", &format!("http://{address}/deploy/{id}/logs")));
    let _browser = Browser::open(&origin);
    let mut last = Value::Null;
    while last["closed"] != true {
        last = told.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|error| panic!("{error} after {last:#}"));
    }
    assert_eq!(last["end"], "succeeded");
    assert_eq!(last["opened"], 1, "the second time there was nothing to open");
    let got: Vec<&str> = last["got"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(got.len(), lines(&stream(&address, &id, None)).len(), "nothing came twice: {got:#?}");
    let again = request(&address, "GET", &format!("/deploy/{id}/logs"), &[("Last-Event-ID", "end")], "");
    assert_eq!((again.status, again.text().as_str()), (204, ""));
}

#[test]
fn an_event_source_follows_a_log_through_the_death_of_the_daemon() {
    let page = Page::new();
    let origin = page.origin();
    let site = Site::new().env("PITON_SERVER__ALLOWED_ORIGINS", &origin);
    let go = site.path().join("go");
    site.workspace("everest", CONFIG, &CODE.replace("@GO@", &go.display().to_string()));
    let daemon = site.serve();
    let address = daemon.address();
    let run = site.piton(["workspace", "deploy", "everest", "--detach"]).out.trim().to_owned();
    let url = format!("http://{address}/api/runs/{run}/logs");
    let told = page.serve(PAGE.replace("@URL@", &url));
    let _browser = Browser::open(&origin);

    let patience = Duration::from_secs(60);
    let lines = |told: &Value| -> Vec<String> {
        let got = told["got"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
        got.collect()
    };
    let mut last = Value::Null;
    while !(last.is_object() && lines(&last).iter().any(|line| line.contains("line 4:"))) {
        last = told.recv_timeout(patience).unwrap_or_else(|error| panic!("{error} after {last:#}"));
    }
    daemon.kill();
    let _daemon = site.serve_with(&["--listen", &address]);
    std::fs::write(go, "").unwrap();
    while last["end"].is_null() {
        last = told.recv_timeout(patience).unwrap_or_else(|error| panic!("{error} after {last:#}"));
    }
    assert_eq!(last["end"], "succeeded");
    assert_eq!(last["opened"], 2, "it connected again once");
    let got = lines(&last);
    let whole = get(&address, &format!("/api/runs/{run}/logs")).text();
    assert_eq!(got.join("\n"), whole.trim_end_matches('\n'), "nothing is missing, nothing is there twice");
    let marked: Vec<&String> = got.iter().filter(|line| line.contains("grün") && !line.contains("printf")).collect();
    assert_eq!(marked.len(), 8, "{got:#?}");
    assert!(marked[0].contains(r#"line 1: <b>"&\ data: x grün 試"#), "{}", marked[0]);
}
