//! What the Go scheduler does wrong whose place Piton takes, as it was found when that was run; each is shown to be right here.

use std::time::Duration;

use serde_json::{Value, json};

use crate::auth::guarded;
use crate::provisions::{is, now, row, site};
use crate::schedule::{body, post, schedule};
use crate::site::{Site, until};
use crate::wire::{get, request};

#[test]
fn the_configuration_that_was_shipped_with_it_starts() {
    // It refused its own file: an expression for cron with five fields.
    let site = Site::new();
    let log = site.path().join("scheduler.log");
    let shipped = format!(
        "scheduler:\n  check_interval: \"*/1 * * * *\"  # Check every minute\n  timezone: \"America/Los_Angeles\"\n\
         provisioning:\n  api_url: \"http://n8n.example.com/api/provision-n8n\"\n  timeout: 300  # 5 minutes\n  \
         retry_attempts: 3\n  retry_delay: 60  # seconds\nlogging:\n  level: info\n  format: json\n  output: {}\n",
        log.display()
    );
    site.write("config.yaml", &shipped);
    let daemon = site.serve_with(&["--config", "config.yaml"]);
    assert_eq!(get(&daemon.address(), "/health").status, 200);
    assert_eq!(daemon.shutdown(), 0);
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && !said.is_empty(), "{said}");
}

#[test]
fn the_documented_request_and_that_of_newer_clients_are_both_taken() {
    // The documented one was refused with 400, and the newer one failed with 500.
    let (site, target) = site("/200");
    let daemon = site.serve();
    let address = daemon.address();
    let newer = json!({
        "job_type": "provision", "schedule_time": "2020-01-01T00:00:00Z", "allow_past": true, "tags": ["new-hire"],
        "target_user_email": "jdoe@company.com", "requested_by": "hr",
        "payload": {"employee": body()["employee"], "applications": {"google": true}},
    });
    for request in [now(), newer] {
        let id = schedule(&address, &request);
        until("it is completed", || is(&address, &id, "completed"));
    }
    assert_eq!(target.calls().len(), 2);
}

#[test]
fn every_2xx_is_a_success() {
    // Only 200 was: what a target had created with 201 was asked for again, and ended as failed.
    for path in ["/200", "/201", "/202", "/204"] {
        let (site, target) = site(path);
        let daemon = site.serve();
        let address = daemon.address();
        let id = schedule(&address, &now());
        until("it is completed", || is(&address, &id, "completed"));
        assert_eq!(target.calls().len(), 1, "{path}");
    }
}

#[test]
fn the_delay_before_the_next_try_is_kept() {
    // It was ignored: the next tick of the scheduler was the next try.
    let (site, target) = site("/busy-once");
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(&address, &now());
    until("it is completed", || is(&address, &id, "completed"));
    let calls = target.calls();
    let waited = calls[1].at - calls[0].at;
    // `retry_delay` is a second, of which the second half is left to chance.
    assert!(waited >= Duration::from_millis(500), "{waited:?}");
}

#[test]
fn two_instances_execute_each_row_once() {
    // They took the same rows: fourteen calls for twelve, and more tries than were allowed.
    let database = crate::postgres::database();
    let (one, target) = site("/slow");
    let (two, _) = site("/slow");
    let sites = [one, two].map(|site| site.env("PITON_STORE__URL", &database));
    sites[1].write("piton.toml", &std::fs::read_to_string(sites[0].path().join("piton.toml")).unwrap());
    let daemons = sites.each_ref().map(Site::serve);
    let address = daemons[0].address();
    let ids: Vec<String> = (0..12).map(|_| schedule(&address, &now())).collect();
    until("all are completed", || ids.iter().all(|id| is(&address, id, "completed")));
    assert_eq!(target.calls().len(), 12);
    assert!(ids.iter().all(|id| row(&address, id)["retry_count"] == 0));
}

#[test]
fn a_tag_is_found_however_it_is_written() {
    // `to-be-created` did not find `to be created`.
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let id = schedule(&address, &body());
    for tag in ["to-be-created", "to%20be%20created", "To_Be_Created"] {
        let found = get(&address, &format!("/api/schedule?tag={tag}")).json();
        assert_eq!((found.as_array().unwrap().len(), &found[0]["id"]), (1, &json!(id)), "{tag}");
    }
}

#[test]
fn what_is_unknown_is_not_found_and_an_empty_list_is_a_list() {
    // An id that nobody had was an error of the server, and an empty list was null.
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    assert_eq!(get(&address, "/api/schedule").json(), json!([]));
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/execute")] {
        let path = format!("/api/schedule/00000000-0000-4000-8000-000000000000{path}");
        let reply = request(&address, method, &path, &[], "");
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{method} {path}");
        assert!(reply.json()["error"].is_string(), "for its clients");
    }
}

#[test]
fn nothing_stays_executing_after_a_crash() {
    // It did, for ever.
    let (site, target) = site("/hold-once");
    let daemon = site.serve();
    let id = schedule(&daemon.address(), &now());
    until("the target is called", || !target.calls().is_empty());
    assert!(is(&daemon.address(), &id, "executing"));
    daemon.kill();
    let daemon = site.serve();
    until("it is completed", || is(&daemon.address(), &id, "completed"));
    let calls = target.calls();
    assert_eq!((calls.len(), row(&daemon.address(), &id)["retry_count"].as_u64()), (2, Some(0)));
    assert_eq!(calls[0].headers["idempotency-key"], calls[1].headers["idempotency-key"]);
    site.audit();
}

#[test]
fn a_stop_waits_for_the_calls_that_are_under_way() {
    // It did not, and their rows stayed as they were.
    let (site, target) = site("/slow");
    let daemon = site.serve();
    let id = schedule(&daemon.address(), &now());
    until("the target is called", || !target.calls().is_empty());
    assert_eq!(daemon.shutdown(), 0);
    let daemon = site.serve();
    assert_eq!((row(&daemon.address(), &id)["status"].as_str(), target.calls().len()), (Some("completed"), 1));
}

#[test]
fn the_time_zone_of_the_configuration_counts() {
    // It was never looked at.
    let site = Site::new();
    site.write("piton.toml", "[scheduler]\ntimezone = 'America/Los_Angeles'\n");
    let daemon = site.serve();
    let mut local = body();
    local["schedule_time"] = json!("2099-12-01T09:00:00");
    let id = schedule(&daemon.address(), &local);
    assert_eq!(row(&daemon.address(), &id)["schedule_time"], "2099-12-01T17:00:00Z");
}

#[test]
fn the_documented_metrics_are_there() {
    // The page was not found.
    let site = Site::new();
    let daemon = site.serve();
    schedule(&daemon.address(), &body());
    let metrics = get(&daemon.address(), "/metrics").text();
    for name in [
        "scheduled_provisions_total",
        "provisions_executed_total",
        "provisions_failed_total",
        "provision_execution_duration_seconds_count",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} is not in\n{metrics}");
    }
}

#[test]
fn nobody_schedules_without_credentials_and_no_page_of_the_web_does() {
    // Everybody could, and every page of the web: the answers allowed any origin.
    let site = guarded();
    let daemon = site.serve();
    let refused = post(&daemon.address(), "/api/schedule", &body());
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, None));
    drop(daemon);
    let site = Site::new();
    let daemon = site.serve();
    let origin = [("Origin", "https://elsewhere.example")];
    let refused = request(&daemon.address(), "POST", "/api/schedule", &origin, &body().to_string());
    assert_eq!((refused.status, refused.code().as_str()), (403, "foreign_origin"));
    assert_eq!(refused.header("access-control-allow-origin"), None);
    assert_eq!(get(&daemon.address(), "/api/schedule").json(), json!([]));
}

#[test]
fn an_approval_is_not_what_the_client_says() {
    // Whoever asked could say that it was approved.
    let site = Site::new().env("PITON_PROVISIONING__APPROVAL_REQUIRED", "provision");
    let daemon = site.serve();
    let mut forged = body();
    forged["approval_status"] = json!("approved");
    let id = schedule(&daemon.address(), &forged);
    assert_eq!(row(&daemon.address(), &id)["approval_status"], "pending_approval");
}
