//! Piton's own server as the control plane of workers.

use serde_json::{Value, json};

use crate::auth::{Door, guarded};
use crate::scaffold::send;
use crate::scene::Scene;
use crate::site::{Daemon, Site, until};
use crate::wire::{Reply, get};

const KEY: &str = "worker-api-key";

/// A directory whose API asks for credentials, and takes reports of workers.
fn plane() -> Site {
    guarded().env("CONTROL_PLANE_API_KEY", KEY)
}

/// A worker's way to it.
fn worker(daemon: &Daemon<'_>) -> Door {
    Door::anonymous(daemon).bearer(KEY)
}

fn tell(door: &Door, run: &str, what: &str, body: &Value) -> Reply {
    door.send("POST", &format!("/api/runs/{run}/{what}"), &body.to_string())
}

/// Tells a status of a second, which must be heard.
fn say(door: &Door, run: &str, status: &str, second: u32) -> Value {
    let body = json!({
        "run_id": run, "status": status, "type": "component", "worker_id": "worker-001", "attempt": 1,
        "timestamp": format!("2026-01-01T00:00:{second:02}Z"), "duration_seconds": 1.5,
        "error": "no such template", "code": "blueprint_not_found",
    });
    let reply = tell(door, run, "status", &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn lines(door: &Door, run: &str, said: &[(u32, &str)]) {
    let said = said.iter().map(|(second, message)| {
        json!({ "timestamp": format!("2026-01-01T00:00:{second:02}Z"), "level": "INFO", "message": message })
    });
    let reply = tell(door, run, "logs", &json!({ "run_id": run, "logs": said.collect::<Vec<_>>() }));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn a_real_worker_reports_to_a_real_server() {
    let plane = plane();
    let server = plane.serve();
    let scene =
        Scene::reporting_to("scaffold-plane", &format!("http://{}", server.address())).env("WORKER_ID", "worker-001");
    let worker = scene.site.work();
    scene.enqueue(&Scene::message("abc-123", "my-service"));
    let mut bad = Scene::message("bad-1", "bad");
    bad["blueprint"]["template"] = json!("no-such-template");
    scene.enqueue(&bad);

    let done = scene.ended("abc-123");
    let seen = |run: &str| plane.runs(&format!("scaffold/{run}"));
    until("the server knows the end", || seen("abc-123").first().is_some_and(|run| run["state"] == "ended"));
    let run = seen("abc-123").remove(0);
    assert_eq!(
        (&run["outcome"], &run["kind"], &run["action"]),
        (&json!("succeeded"), &json!("scaffold"), &json!("scaffold"))
    );
    assert_eq!(run["repository"], done["repository"]);
    assert_eq!((&run["worker"], &run["attempts"]), (&json!("worker-001"), &json!(1)), "{run:#}");
    assert_eq!(run["origin"]["trigger"], "report");
    // By its own name too, and with the very log of the worker.
    assert_eq!(plane.json(["run", "show", "abc-123"])["id"], run["id"]);
    until("the logs are the same", || plane.log("abc-123") == scene.site.log("abc-123"));
    assert!(plane.log("abc-123").contains("[SUCCESS] Provisioning completed in "), "{}", plane.log("abc-123"));

    assert_eq!(scene.ended("bad-1")["outcome"], "failed");
    until("the server knows of the failure", || seen("bad-1").first().is_some_and(|run| run["outcome"] == "failed"));
    let run = seen("bad-1").remove(0);
    assert_eq!(run["failure"]["code"], "blueprint_not_found", "{run:#}");
    // Whoever hears of the end has the whole log.
    assert!(plane.log("bad-1").contains("[ERROR] Provisioning failed: "), "{}", plane.log("bad-1"));
    assert_eq!(worker.terminate(), 0);
    assert_eq!(server.terminate(), 0);
    plane.audit();
}

#[test]
fn a_server_that_was_killed_learns_how_runs_ended_meanwhile() {
    let plane = plane();
    let (server, address) = plane.serve_at();
    let scene = Scene::reporting_to("scaffold-plane-away", &format!("http://{address}"));
    let worker = scene.site.work();
    scene.enqueue(&Scene::message("before", "before"));
    let seen = |run: &str| plane.runs(&format!("scaffold/{run}")).pop().unwrap_or_default();
    until("the server knows the end", || seen("before")["outcome"] == "succeeded");
    server.kill();

    scene.enqueue(&Scene::message("during", "during"));
    let mut bad = Scene::message("bad", "bad");
    bad["blueprint"]["template"] = json!("no-such-template");
    scene.enqueue(&bad);
    send(&scene, r#"{ "run_id": "odd", "type": "planet" }"#);
    let done = scene.ended("during");
    for run in ["bad", "odd"] {
        assert_eq!(scene.ended(run)["outcome"], "failed");
    }
    // The worker does not live to tell it either.
    worker.kill();
    let worker = scene.site.work();
    let server = plane.serve_with(&["--listen", &address]);
    until("the server knows all ends", || ["during", "bad", "odd"].iter().all(|run| seen(run)["state"] == "ended"));
    let during = seen("during");
    assert_eq!((&during["outcome"], &during["repository"]), (&json!("succeeded"), &done["repository"]), "{during:#}");
    assert_eq!(seen("bad")["failure"]["code"], "blueprint_not_found");
    let odd = seen("odd");
    assert_eq!(odd["failure"]["code"], "invalid_message", "{odd:#}");
    assert!(odd["failure"]["message"].as_str().unwrap().contains("`type`"), "{odd:#}");
    for run in ["before", "during", "bad", "odd"] {
        assert_eq!(plane.runs(&format!("scaffold/{run}")).len(), 1, "{run}");
    }
    assert_eq!(worker.terminate(), 0);
    assert_eq!(server.terminate(), 0);
    plane.audit();
    scene.site.audit();
}

/// The sample of the worker's document names the address on which a server listens unless told otherwise: its own, where
/// it takes jobs itself.
#[test]
fn a_server_that_reports_to_itself_hears_nothing_new() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let scene = Scene::reporting_to("scaffold-plane-own", &format!("http://{address}"));
    let daemon = scene.site.serve_with(&["--listen", &address, "--worker"]);
    scene.enqueue(&Scene::message("good", "good"));
    let mut bad = Scene::message("bad", "bad");
    bad["blueprint"]["template"] = json!("no-such-template");
    scene.enqueue(&bad);
    send(&scene, r#"{ "run_id": "odd", "type": "planet" }"#);
    let ends = ["good", "bad", "odd"].map(|run| scene.ended(run)["outcome"].clone());
    assert_eq!(ends, [json!("succeeded"), json!("failed"), json!("failed")]);
    let answered = || {
        let metrics = get(&address, "/metrics").text();
        let told = |line: &&str| line.starts_with("piton_http_requests_total{") && line.contains("/runs/{id}/status");
        let counts = metrics.lines().filter(told).filter(|line| line.contains("status=\"200\""));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    // Two were begun, and three ended.
    until("all of it was told", || answered() >= 5);
    for run in ["good", "bad", "odd"] {
        assert_eq!(scene.site.runs(&format!("scaffold/{run}")).len(), 1, "{run}");
    }
    assert!(scene.site.log("good").contains("[SUCCESS] Provisioning completed in "), "{}", scene.site.log("good"));
    assert_eq!(scene.site.log("good").matches("Starting provisioning").count(), 1, "its log is written here anyway");
    assert_eq!(daemon.terminate(), 0);
    scene.site.audit();
}

#[test]
fn reports_come_twice_and_in_any_order_and_what_is_over_stays_so() {
    let plane = plane();
    let daemon = plane.serve();
    let door = worker(&daemon);
    // Lines first, and all of it twice.
    for _ in 0..2 {
        lines(&door, "r-1", &[(1, "one"), (1, "one"), (2, "two")]);
        assert_eq!(say(&door, "r-1", "running", 1)["state"], "running");
    }
    lines(&door, "r-1", &[(2, "two"), (3, "three")]);
    assert_eq!(say(&door, "r-1", "succeeded", 5)["outcome"], "succeeded");
    for (status, second) in [("running", 1), ("running", 9), ("failed", 4), ("failed", 9), ("succeeded", 5)] {
        assert_eq!(say(&door, "r-1", status, second)["outcome"], "succeeded", "{status} {second}");
    }
    lines(&door, "r-1", &[(3, "three"), (4, "late")]);
    assert_eq!(plane.runs("scaffold/r-1").len(), 1);
    assert_eq!(plane.log("r-1"), "[INFO] one\n[INFO] one\n[INFO] two\n[INFO] three\n[INFO] late\n");

    // A further try of what has failed is a run of its own, and what comes late of the first does not touch it.
    let first = say(&door, "r-2", "failed", 2);
    assert_eq!(say(&door, "r-2", "running", 1), first);
    let second = say(&door, "r-2", "running", 7);
    assert_ne!(second["run"], first["run"]);
    assert_eq!(say(&door, "r-2", "failed", 2)["state"], "running");
    say(&door, "r-2", "succeeded", 8);
    let runs = plane.runs("scaffold/r-2");
    assert_eq!((runs.len(), &runs[0]["outcome"], &runs[1]["outcome"]), (2, &json!("failed"), &json!("succeeded")));
    assert_eq!(runs[1]["retry_of"], runs[0]["id"]);
    assert_eq!(say(&door, "r-3", "cancelled", 3)["outcome"], "cancelled");

    // All of it is still so after the server was killed.
    daemon.kill();
    let daemon = plane.serve();
    assert_eq!(say(&worker(&daemon), "r-1", "running", 9)["outcome"], "succeeded");
    assert_eq!(plane.runs("scaffold/r-2").len(), 2);
    assert_eq!(daemon.terminate(), 0);
    plane.audit();
}

#[test]
fn what_is_carried_out_elsewhere_is_neither_executed_nor_decided_here() {
    let plane = plane();
    let daemon = plane.serve();
    say(&worker(&daemon), "r-1", "running", 1);
    let run = plane.runs("scaffold/r-1").remove(0);
    assert_eq!((&run["state"], &run["step"]), (&json!("running"), &json!("elsewhere")), "{run:#}");
    let cancelled = plane.piton(["run", "cancel", "r-1"]);
    assert!(cancelled.code == 5 && cancelled.err.contains("by a worker elsewhere"), "{cancelled}");
    say(&worker(&daemon), "r-1", "failed", 2);
    let again = plane.piton(["run", "retry", "r-1"]);
    assert!(again.code == 5 && again.err.contains("piton scaffold enqueue"), "{again}");
    assert_eq!(plane.runs("scaffold/r-1").len(), 1);
}

#[test]
fn a_report_needs_the_key_and_sense() {
    let plane = plane();
    let daemon = plane.serve();
    let running = json!({ "status": "running" });
    let anonymous = Door::anonymous(&daemon);
    for door in [&anonymous, &anonymous.bearer("another-key")] {
        assert_eq!(tell(door, "r-1", "status", &running).status, 401);
        assert_eq!(tell(door, "r-1", "logs", &json!({ "logs": [] })).status, 401);
    }
    let door = worker(&daemon);
    for (run, body, code) in [
        ("r-1", json!({ "status": "exploded" }), "invalid_body"),
        ("r-1", json!({}), "invalid_body"),
        ("r-1", json!({ "status": "running", "run_id": "r-2" }), "invalid_body"),
        ("a%2Fb", running.clone(), "invalid_name"),
    ] {
        let reply = tell(&door, run, "status", &body);
        assert_eq!((reply.status, reply.code().as_str()), (422, code), "{run} {body}");
    }
    assert_eq!(plane.json(["run", "list"]).as_array().map(Vec::len), Some(0), "nothing came of it");
    // An operator may report as well.
    let admin = anonymous.basic("admin", crate::auth::PASSWORD);
    assert_eq!(tell(&admin, "r-1", "status", &running).status, 200);
}

#[test]
fn where_nobody_logs_in_workers_still_show_their_key() {
    let site = Site::new().env("CONTROL_PLANE_API_KEY", KEY);
    let daemon = site.serve();
    let (running, anonymous) = (json!({ "status": "running" }), Door::anonymous(&daemon));
    assert_eq!(tell(&anonymous, "r-1", "status", &running).code(), "authentication_failed");
    assert_eq!(tell(&anonymous.bearer("another"), "r-1", "status", &running).status, 401);
    assert_eq!(tell(&anonymous.bearer(KEY), "r-1", "status", &running).status, 200);
    drop(daemon);
    // Where no key is set, none is asked for. Workers report to `/api`, wherever the rest is.
    let open = Site::new().env("PITON_SERVER__BASE_PATH", "/piton/v1");
    let daemon = open.serve();
    let door = Door::anonymous(&daemon);
    assert_eq!(tell(&door, "r-1", "status", &running).status, 200);
    assert_eq!(door.send("POST", "/piton/v1/runs/r-1/status", &running.to_string()).status, 200);
    assert_eq!(open.runs("scaffold/r-1").len(), 1);
}

#[test]
fn a_key_that_stands_in_documentation_is_not_for_others_to_reach() {
    let site = plane().env("PITON_SERVER__LISTEN", "0.0.0.0:0");
    let said = site.piton(["serve"]);
    assert_eq!(said.code, 78, "{said}");
    assert!(said.err.contains("control_plane.api_key") && said.err.contains("openssl rand -hex 32"), "{said}");
}
