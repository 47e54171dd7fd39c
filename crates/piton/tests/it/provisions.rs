//! Scheduled provisions that are executed: a daemon, and an API that does what it is told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::schedule::{body, post, schedule};
use crate::site::{Site, until};
use crate::wire::{get, request};

/// A request, as the target got it.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    pub at: Instant,
}

/// Answers each call as the address says: `/202` or `/busy`; `/hold` never answers, `/hold-once` not the first time, and
/// `/slow` takes a moment.
pub struct Target {
    address: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Target {
    fn start() -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target { address: listener.local_addr().unwrap().to_string(), calls: Arc::default() };
        let calls = target.calls.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let calls = calls.clone();
                std::thread::spawn(move || serve(stream, &calls));
            }
        });
        target
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, calls: &Mutex<Vec<Call>>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let headers: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + 4 + length {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or(Value::Null);
    let seen = {
        let mut calls = calls.lock().unwrap();
        calls.push(Call { path: path.clone(), headers, body, at: Instant::now() });
        calls.iter().filter(|call| call.path == path).count()
    };
    let status = match path.as_str() {
        "/hold" | "/hold-once" if path == "/hold" || seen == 1 => {
            // Until the other side has enough.
            let _ = stream.read(&mut chunk);
            return;
        }
        "/busy-once" if seen == 1 => "503 Service Unavailable",
        "/busy" => "503 Service Unavailable",
        "/no" => "422 Unprocessable Content",
        "/200" => "200 OK",
        "/202" => "202 Accepted",
        "/204" => "204 No Content",
        "/slow" => {
            std::thread::sleep(Duration::from_millis(700));
            "201 Created"
        }
        _ => "201 Created",
    };
    let content = if path == "/204" { "" } else { "{}" };
    let length = content.len();
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}");
}

/// A site whose requests go to `path` of a target.
pub fn site(path: &str) -> (Site, Target) {
    let target = Target::start();
    let site = Site::new();
    site.write(
        "piton.toml",
        &format!("[provisioning]\napi_url = '{}'\nretry_attempts = 2\nretry_delay = 1\n", target.url(path)),
    );
    (site, target)
}

/// Something that is due now.
pub fn now() -> Value {
    let mut body = body();
    body["schedule_time"] = json!("2020-01-01T00:00:00Z");
    body["allow_past"] = json!(true);
    body
}

pub fn row(address: &str, id: &str) -> Value {
    get(address, &format!("/api/schedule/{id}")).json()
}

pub fn is(address: &str, id: &str, status: &str) -> bool {
    row(address, id)["status"] == status
}

#[test]
fn what_is_due_is_executed_once() {
    let (site, target) = site("/ok");
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(&address, &now());
    until("it is completed", || is(&address, &id, "completed"));
    let calls = target.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body["employee"], body()["employee"], "the target sees the secrets that answers mask");
    assert_eq!(calls[0].body["applications"], body()["applications"]);
    assert!(calls[0].headers.contains_key("idempotency-key"));
    let over = row(&address, &id);
    assert!(over["executed_at"].is_string() && over["run_id"].is_string() && over["error_message"].is_null(), "{over}");
    let runs = site.json(["run", "list", "--kind", "provision"]);
    assert_eq!((&runs[0]["id"], &runs[0]["outcome"]), (&over["run_id"], &json!("succeeded")));
    assert!(runs[0]["answer"].is_null(), "it is too long for lists");
    let run = over["run_id"].as_str().unwrap();
    let answer = get(&address, &format!("/api/runs/{run}")).json()["answer"].clone();
    let call = &answer["exchanges"][0];
    assert_eq!((&answer["status"], &answer["body"], answer["took_ms"].is_u64()), (&json!(201), &json!("{}"), true));
    assert_eq!(
        (&call["method"], &call["url"], &call["status"]),
        (&json!("POST"), &json!(target.url("/ok")), &json!(201))
    );
    let sent = call["request"].as_str().unwrap();
    assert!(sent.contains("John Doe") && !sent.contains("hunter2"), "{answer:#}");
    let shown = site.piton(["run", "show", run]);
    assert!(shown.out.contains(&format!("POST {}: 201 after ", target.url("/ok"))), "{shown}");
    let metrics = || get(&address, "/metrics").text();
    until("it is counted", || metrics().contains("\nprovisions_executed_total 1\n"));
    let metrics = metrics();
    for line in
        ["provisions_failed_total 0", "provision_execution_duration_seconds_count 1", "scheduled_provisions_total 1"]
    {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    site.audit();
}

#[test]
fn a_target_that_is_busy_is_asked_again() {
    let (site, target) = site("/busy-once");
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(&address, &now());
    until("it is completed", || is(&address, &id, "completed"));
    let calls = target.calls();
    assert_eq!((calls.len(), row(&address, &id)["retry_count"].as_u64()), (2, Some(1)));
    assert_eq!(calls[0].headers["idempotency-key"], calls[1].headers["idempotency-key"]);
    assert_eq!(calls[0].body, calls[1].body);
}

#[test]
fn what_fails_for_good_says_why_and_can_be_tried_again() {
    let (site, target) = site("/busy");
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(&address, &now());
    until("it has failed", || is(&address, &id, "failed"));
    let over = row(&address, &id);
    assert_eq!((target.calls().len(), &over["retry_count"]), (3, &json!(2)));
    assert!(over["error_message"].as_str().unwrap().contains("503"), "{over}");
    until("it is counted", || get(&address, "/metrics").text().contains("\nprovisions_failed_total 1\n"));
    // A try is not tried again by itself: its row would know nothing of it.
    let run = site.runs(&format!("provision/{id}")).remove(0);
    let refused = site.piton(["run", "retry", run["id"].as_str().unwrap()]);
    assert!(refused.code == 5 && refused.err.contains(&format!("piton schedule retry {id}")), "{refused}");
    let again = post(&address, &format!("/api/schedule/{id}/retry"), &json!({}));
    assert_eq!((again.status, &again.json()["retry_count"]), (202, &json!(0)), "{}", again.text());
    // A target that fails so often may be left alone for a while before the last of them.
    until("it has failed again", || target.calls().len() > 4 && is(&address, &id, "failed"));
}

#[test]
fn a_refusal_is_not_repeated() {
    let (site, target) = site("/no");
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(&address, &now());
    until("it has failed", || is(&address, &id, "failed"));
    assert_eq!(target.calls().len(), 1);
    let run = row(&address, &id)["run_id"].as_str().unwrap().to_owned();
    let hints = site.json(["run", "explain", &run])["hints"].clone();
    let hints: Vec<&str> = hints.as_array().unwrap().iter().map(|hint| hint.as_str().unwrap()).collect();
    assert!(hints.contains(&format!("piton run show {run}").as_str()), "{hints:?}");
    assert!(!hints.iter().any(|hint| hint.contains("run logs")), "there is no log: {hints:?}");
    let shown = site.piton(["run", "show", &run]);
    assert!(shown.out.contains(&format!("POST {}: 422 after ", target.url("/no"))), "{shown}");
}

#[test]
fn people_may_not_want_to_wait_or_not_want_it_at_all() {
    let (site, target) = site("/ok");
    let daemon = site.serve();
    let address = daemon.address();
    let (one, other) = (schedule(&address, &body()), schedule(&address, &body()));
    assert_eq!(request(&address, "DELETE", &format!("/api/schedule/{other}"), &[], "").status, 200);
    let hastened = post(&address, &format!("/api/schedule/{one}/execute"), &json!({}));
    assert_eq!(hastened.status, 202, "{}", hastened.text());
    until("it is completed", || is(&address, &one, "completed"));
    assert_eq!(post(&address, &format!("/api/schedule/{one}/execute"), &json!({})).status, 409);
    assert_eq!(target.calls().len(), 1);
    assert!(is(&address, &other, "cancelled"));
}

#[test]
fn a_type_may_have_a_target_of_its_own() {
    let (site, target) = site("/ok");
    let webhook = target.url("/terminate");
    let site = site.env("TERMINATION_API_URL", &webhook);
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(
        &address,
        &json!({
            "job_type": "terminate", "target_user_email": "x@company.com", "payload": {"reason": "left"},
            "schedule_time": "2020-01-01T00:00:00Z", "allow_past": true,
        }),
    );
    until("it is completed", || is(&address, &id, "completed"));
    let calls = target.calls();
    assert_eq!((calls.len(), calls[0].path.as_str()), (1, "/terminate"));
    assert_eq!(
        (&calls[0].body["job_type"], &calls[0].body["payload"]["reason"]),
        (&json!("terminate"), &json!("left"))
    );
}

#[test]
fn a_crash_loses_nothing() {
    let (site, target) = site("/ok");
    let daemon = site.serve();
    let address = daemon.address();
    let ids: Vec<String> = (0..20).map(|_| schedule(&address, &now())).collect();
    daemon.kill();
    let daemon = site.serve();
    let address = daemon.address();
    until("all are completed", || ids.iter().all(|id| is(&address, id, "completed")));
    let keys: std::collections::BTreeSet<String> =
        target.calls().iter().map(|call| call.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys.len(), 20, "whatever was called twice was called with the same key");
    site.audit();
}

#[test]
fn what_is_under_way_can_be_stopped() {
    let (site, target) = site("/hold");
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(&address, &now());
    until("the target is called", || !target.calls().is_empty());
    assert!(is(&address, &id, "executing"));
    assert_eq!(request(&address, "DELETE", &format!("/api/schedule/{id}"), &[], "").status, 200);
    until("it is cancelled", || is(&address, &id, "cancelled"));
    assert_eq!(target.calls().len(), 1);
}

#[test]
fn what_was_cancelled_while_the_daemon_was_away_is_not_called_again() {
    let database = crate::postgres::database();
    let (site, target) = site("/hold");
    let site = site.env("PITON_STORE__URL", &database);
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(&address, &now());
    until("the target is called", || !target.calls().is_empty());
    daemon.kill();
    let cancel = format!("UPDATE scheduled_provisions SET status = 'cancelled' WHERE id = '{id}'");
    crate::postgres::execute(&database, &cancel);
    let daemon = site.serve();
    let address = daemon.address();
    let runs = || site.json(["run", "list", "--kind", "provision"]);
    until("its run has ended", || runs()[0]["outcome"] == "cancelled");
    assert!(is(&address, &id, "cancelled"));
    assert_eq!((target.calls().len(), runs().as_array().unwrap().len()), (1, 1));
    site.audit();
}
