//! Requests and output that were made to hurt: refused or shown harmless, at once, and the daemon lives on.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::site::Site;
use crate::wire::{Reply, get, request};

/// Far more than any of these takes, even where everything else is busy.
const AT_ONCE: Duration = Duration::from_secs(5);

fn in_no_time<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let answer = work();
    assert!(start.elapsed() < AT_ONCE, "{what} took {:?}", start.elapsed());
    answer
}

fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn create_job(address: &str, file: &str, text: &str) -> Reply {
    request(address, "POST", "/api/cronjobs", &[], &json!({ "file": file, "text": text }).to_string())
}

/// A29
#[test]
fn bodies_that_blow_up_are_refused_in_little_memory() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let before = peak_memory(daemon.pid());
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (one, two) in ('a'..'j').zip('b'..='j') {
        let eight = vec![format!("*{one}"); 8].join(", ");
        writeln!(bomb, "{two}: &{two} [{eight}]").unwrap();
    }
    let deep = "[".repeat(100_000);
    let twice = r#"{ "type": "command", "type": "script" }"#;
    let huge = r#"{ "type": "command", "command": "true", "timeout": 1e400 }"#;
    for (file, text, says) in [
        ("a.yaml", bomb.as_str(), "more values than a declaration may"),
        ("a.yaml", &deep, "nested more than 64 deep"),
        ("a.json", &deep, "nested more than 64 deep"),
        ("a.json", twice, "the key `type` is there twice"),
        ("a.json", huge, "the number `1e400` is too large"),
    ] {
        let reply = in_no_time(says, || create_job(&address, file, text));
        assert_eq!((reply.status, reply.code().as_str()), (422, "invalid_job"), "{says}: {}", reply.text());
        let fault = &reply.json()["errors"][0];
        assert!(fault["pointer"] == "/text" && fault["detail"].as_str().unwrap().contains(says), "{fault}");
    }
    // The same as bodies themselves.
    for (body, status, code) in [
        (deep.clone(), 422, "invalid_body"),
        (format!(r#"{{"file": {deep}"#), 422, "invalid_body"),
        (r#"{"file": "a.json", "text": "#.to_owned(), 400, "malformed_json"),
        (r#"{"file": "a.json", "file": "b.json", "text": ""}"#.to_owned(), 422, "invalid_body"),
        (format!(r#"{{"file": "a.json", "text": "{}"}}"#, "x".repeat(20 << 20)), 413, "body_too_large"),
    ] {
        let reply = in_no_time(code, || request(&address, "POST", "/api/cronjobs", &[], &body));
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
    }
    let grown = peak_memory(daemon.pid()).saturating_sub(before);
    assert!(grown < 50 << 20, "the daemon grew by {grown} bytes");
    assert_eq!(site.json(["job", "list"]).as_array().unwrap().len(), 0);
    assert_eq!(
        std::fs::read_dir(site.path().join("jobs")).unwrap().count(),
        0,
        "something was left of what was refused"
    );
    assert_eq!(daemon.shutdown(), 0);
}

/// A31
#[test]
fn patterns_in_filters_are_only_text() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let long = "a".repeat(1 << 20);
    for filter in ["(a%2B)%2B$", "*a*a*a*a*b", "job/*a*a*a*a*b", "job/(a%2B)%2B$", "%00", "job/..%2f..%2fx", &long] {
        for route in ["/api/runs?subject=", "/api/skips?subject=", "/api/runs?state=", "/api/cronjobs?workspace="] {
            let reply = in_no_time(route, || get(&address, &format!("{route}{filter}")));
            let refused = matches!(reply.status, 400 | 404 | 414 | 422 | 431);
            assert!(refused, "{route}{}: {}", &filter[..filter.len().min(40)], reply.text());
        }
    }
    // What can be a name is compared with names, and with nothing else.
    site.write("jobs/aaaa.json", r#"{ "name": "aaaa", "type": "command", "command": "true" }"#);
    let said = site.piton(["job", "run", "aaaa"]);
    assert_eq!(said.code, 0, "{said}");
    let runs = |subject: &str| get(&address, &format!("/api/runs?subject={subject}")).json()["items"].clone();
    assert_eq!(runs("job/aaaa").as_array().unwrap().len(), 1);
    for other in ["job/aaa", "job/a.a", "job/AAAA"] {
        assert_eq!(runs(other), json!([]), "{other}");
    }
    assert_eq!(daemon.shutdown(), 0);
}

/// A32
#[test]
fn schedules_that_cannot_be_are_refused_at_once() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let text = |schedule: &str| json!({ "type": "command", "command": "true", "schedule": schedule }).to_string();
    for (schedule, code, says) in [
        ("0 0 30 2 *", "schedule_never_fires", "schedule"),
        ("0 0 31 4,6,9,11 *", "schedule_never_fires", "schedule"),
        ("*/0 * * * *", "invalid_job", "minute"),
        ("60 * * * *", "invalid_job", "minute"),
        ("@every 0s", "invalid_job", "0s"),
        ("@every 1ns", "invalid_job", "1ns"),
        ("CRON_TZ=Mars/Olympus 0 0 * * *", "invalid_job", "Mars/Olympus"),
        ("0 0 1 1 * 9999", "invalid_job", "schedule"),
    ] {
        let reply = in_no_time(schedule, || create_job(&address, "a.json", &text(schedule)));
        assert_eq!((reply.status, reply.code().as_str()), (422, code), "{schedule}: {}", reply.text());
        let detail = reply.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("a.json:1:") && detail.contains("schedule") && detail.contains(says), "{detail}");
    }
    let reply = create_job(&address, "a.json", &text("0 0 29 2 *"));
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert!(reply.json()["next_run"].as_str().unwrap().contains("-02-2"), "{}", reply.text());
    let explained = in_no_time("a leap day", || {
        site.json(["cron", "explain", "0 0 29 2 *", "--tz", "UTC", "--from", "2026-01-01T00:00:00Z", "-n", "5"])
    });
    let years: Vec<&str> = explained["next"].as_array().unwrap().iter().map(|at| &at.as_str().unwrap()[..4]).collect();
    assert_eq!(years, ["2028", "2032", "2036", "2040", "2044"], "{explained}");
    assert_eq!(daemon.shutdown(), 0);
}

/// A38
#[test]
fn output_and_words_cannot_drive_a_terminal() {
    let site = Site::new();
    let nasty = r"\033]52;c;aGk=\007\033]0;title\007\033[2J\033[31mred\033[0m <img onerror=x> =cmd() \342\200\256evil";
    let words = "\u{1b}]52;c;aGk=\u{7}\u{1b}[1Aup \u{202e}evil =cmd()";
    let job = json!({ "name": "loud", "type": "command", "command": format!("printf '{nasty}\\nend\\n'"), "description": words });
    site.write("jobs/loud.json", &job.to_string());
    site.workspace("web", &json!({ "enabled": false, "description": words }).to_string(), crate::workspaces::CODE);
    let daemon = site.serve();
    let said = site.piton(["job", "run", "loud"]);
    assert_eq!(said.code, 0, "{said}");
    let run = site.runs("job/loud").pop().unwrap()["id"].as_str().unwrap().to_owned();
    for args in [
        &["run", "logs", &run][..],
        &["run", "logs", &run, "-f"],
        &["job", "list"],
        &["job", "status", "loud"],
        &["workspace", "list"],
        &["workspace", "status", "web"],
        &["workspace", "status"],
        &["status"],
    ] {
        for format in [&[][..], &["-o", "json"], &["-o", "yaml"]] {
            let said = site.piton(args.iter().chain(format).copied());
            assert_eq!(said.code, 0, "{args:?}: {said}");
            let all = format!("{}{}", said.out, said.err);
            assert!(!all.contains(['\u{1b}', '\u{9b}', '\u{9d}', '\u{7}']), "{args:?} {format:?}: {all:?}");
        }
    }
    // The text itself is there, and the log is kept to the byte.
    let said = site.piton(["run", "logs", &run]);
    assert!(said.out.contains("red <img onerror=x> =cmd()") && said.out.contains("end"), "{said}");
    let kept = get(&daemon.address(), &format!("/api/runs/{run}/logs"));
    assert!(kept.text().contains("\u{1b}]52;c;aGk=\u{7}"), "{}", kept.text());
    assert_eq!(kept.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(daemon.shutdown(), 0);
}
