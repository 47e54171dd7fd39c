//! What creates something, asked for again with the same `Idempotency-Key`.

use std::io::Write;

use serde_json::json;

use super::site::{Site, until};
use super::wire::{Reply, connect, get, read_reply, request};

const JOB: &str = r#"{ "name": "once", "type": "command", "command": "true" }"#;

fn trigger(address: &str, key: &str, body: &str) -> Reply {
    request(address, "POST", "/api/cronjobs/once/trigger", &[("Idempotency-Key", key)], body)
}

#[test]
fn the_same_request_is_done_once_and_answered_each_time() {
    let site = Site::new();
    site.write("jobs/once.json", JOB);
    let daemon = site.serve();
    let address = daemon.address();
    let first = trigger(&address, "key-1", r#"{"a": 1, "b": 2}"#);
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, None), "{}", first.text());
    let run = first.json()["run"].as_str().unwrap().to_owned();
    until("the run has ended", || site.json(["run", "show", &run])["state"] == "ended");
    for key in ["key-1", "\"key-1\""] {
        let again = trigger(&address, key, r#"{"b": 2, "a": 1}"#);
        assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
        assert_eq!(again.json(), first.json());
        assert_eq!(again.header("content-type"), first.header("content-type"));
    }
    let other = trigger(&address, "key-1", r#"{"a": 3}"#);
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_conflict"));
    for bad in ["", "\"\"", &"x".repeat(256)] {
        let reply = trigger(&address, bad, "");
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_idempotency_key"), "{bad}");
    }
    assert_eq!(trigger(&address, "key-2", "").status, 202, "another key is another request");
    until("it has ended too", || site.runs("job/once").iter().all(|run| run["state"] == "ended"));
    assert_eq!(site.runs("job/once").len(), 2);
    drop(daemon);

    let daemon = site.serve();
    let again = trigger(&daemon.address(), "key-1", r#"{"a": 1, "b": 2}"#);
    assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), first.json()), "after a restart");
    let other = trigger(&daemon.address(), "key-1", "");
    assert_eq!(other.code(), "idempotency_conflict");
}

/// What was refused has done nothing, so it may be asked again.
#[test]
fn a_refusal_uses_up_no_key() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    assert_eq!(trigger(&address, "key", "").code(), "not_found");
    site.write("jobs/once.json", JOB);
    until("the job is known", || get(&address, "/api/cronjobs/once").status == 200);
    let reply = trigger(&address, "key", r#"{"now": true}"#);
    assert_eq!((reply.status, reply.header("idempotency-replayed")), (202, None), "{}", reply.text());
}

/// Many at once, as of a client that loses patience: one run, and no answer but its own.
#[test]
fn requests_at_the_same_time_make_one_run() {
    let site = Site::new();
    site.write("jobs/once.json", JOB);
    let daemon = site.serve();
    let address = daemon.address();
    let ask = || trigger(&address, "key", "");
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let runs: std::collections::BTreeSet<String> =
        replies.iter().filter(|reply| reply.status == 202).map(|reply| reply.json()["run"].to_string()).collect();
    assert_eq!(runs.len(), 1, "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 202) {
        assert_eq!((reply.status, reply.code().as_str()), (409, "idempotency_in_flight"));
    }
    assert_eq!(site.runs("job/once").len(), 1);
}

/// A client whose connection breaks asks again, and finds what it asked for done.
#[test]
fn a_request_goes_on_without_its_client() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let spec = json!({ "name": "slow", "command": "sleep 60", "start_duration": "2s" }).to_string();
    let head = format!(
        "POST /api/register HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: key\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        spec.len()
    );
    let mut stream = connect(&address);
    stream.write_all(format!("{head}{spec}").as_bytes()).unwrap();
    until("it is on its way", || get(&address, "/api/status?name=slow").json()["state"] == "starting");
    drop(stream);
    until("it is answered", || {
        let reply = request(&address, "POST", "/api/register", &[("Idempotency-Key", "key")], &spec);
        assert!(reply.status == 200 || reply.code() == "idempotency_in_flight", "{}", reply.text());
        reply.header("idempotency-replayed") == Some("true")
    });
    assert_eq!(get(&address, "/api/status?name=slow").json()["state"], "running");
}

/// The daemon is killed while it works on keyed requests, wherever that catches it: sent again, each has made one run.
#[test]
fn a_crash_makes_nothing_twice() {
    let site = Site::new();
    for number in 0..8 {
        let job = format!(r#"{{ "name": "once{number}", "type": "command", "command": "true" }}"#);
        site.write(format!("jobs/once{number}.json"), &job);
    }
    for round in 1..=4 {
        let key = |number| format!("round-{round}-{number}");
        let daemon = site.serve();
        let address = daemon.address();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (address, key) = (&address, key(number));
                scope.spawn(move || send_and_forget(address, number, &key));
            }
            daemon.kill();
        });
        let daemon = site.serve();
        let address = daemon.address();
        for number in 0..8 {
            let path = format!("/api/cronjobs/once{number}/trigger");
            let key = key(number);
            let ask = || request(&address, "POST", &path, &[("Idempotency-Key", &key)], "");
            let (reply, again) = (ask(), ask());
            assert_eq!((reply.status, again.status), (202, 202), "{}", reply.text());
            assert_eq!(again.json(), reply.json());
            let subject = format!("job/once{number}");
            until("the run has ended", || site.runs(&subject).iter().all(|run| run["state"] == "ended"));
            assert_eq!(site.runs(&subject).len(), round, "round {round} of {subject}");
        }
    }
    site.audit();
}

fn send_and_forget(address: &str, number: u32, key: &str) {
    let text = format!(
        "POST /api/cronjobs/once{number}/trigger HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: {key}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return };
    if stream.write_all(text.as_bytes()).is_ok() {
        let _ = read_reply(&mut stream);
    }
}

/// A change under `If-Match` makes the object another one; that its client asks again is no new change.
#[test]
fn a_condition_is_judged_the_first_time() {
    let site = Site::new();
    site.workspace("everest", r#"{ "enabled": true }"#, "output \"x\" { value = 1 }\n");
    let daemon = site.serve();
    let address = daemon.address();
    let tag = get(&address, "/api/workspaces/everest").header("etag").unwrap().to_owned();
    let deploy = || {
        let headers = [("If-Match", tag.as_str()), ("Idempotency-Key", "key")];
        request(&address, "POST", "/api/workspaces/everest/deploy", &headers, "{}")
    };
    let first = deploy();
    assert_eq!(first.status, 202, "{}", first.text());
    until("the workspace has changed", || get(&address, "/api/workspaces/everest").header("etag") != Some(&tag));
    let again = deploy();
    assert_eq!((again.status, again.json()), (202, first.json()));
    assert_eq!(again.json(), json!({ "run": first.json()["run"], "subject": "workspace/everest" }));
    let place = format!("/api/runs/{}", first.json()["run"].as_str().unwrap());
    assert_eq!((first.header("location"), again.header("location")), (Some(place.as_str()), Some(place.as_str())));
    assert_eq!(get(&address, &place).status, 200);
}
