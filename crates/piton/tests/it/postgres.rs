//! Several daemons on one PostgreSQL.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use piton_testkit::postgres::{Cluster, Transaction};

use crate::site::{PITON, Site, kill, until};
use crate::wire::{get, request};

/// A new database on a real server.
pub fn database() -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(piton_testkit::postgres::database()).unwrap()
}

/// Another program that uses the database.
pub fn execute(database: &str, sql: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(piton_testkit::postgres::execute(database, sql)).unwrap();
}

#[test]
fn two_daemons_share_the_work_and_fire_each_schedule_once() {
    let database = database();
    let sites = [Site::new(), Site::new()].map(|site| site.env("PITON_STORE__URL", &database));
    for site in &sites {
        // The same declarations on both nodes, as a deployment tool would put them there.
        site.write(
            "jobs/tick.json",
            r#"{ "name": "tick", "type": "command", "command": "echo tick", "schedule": "* * * * * *" }"#,
        );
    }
    let daemons = sites.each_ref().map(Site::serve);
    let runs = || sites[0].runs("job/tick");
    until("ten ticks have run", || runs().iter().filter(|run| run["outcome"] == "succeeded").count() >= 10);
    let fires: Vec<String> = runs().iter().map(|run| run["origin"]["fire"].as_str().unwrap().to_owned()).collect();
    let distinct: BTreeSet<&String> = fires.iter().collect();
    assert_eq!(distinct.len(), fires.len(), "a fire made two runs: {fires:?}");
    for site in &sites {
        site.audit();
    }
    for daemon in daemons {
        assert_eq!(daemon.shutdown(), 0);
    }
}

#[test]
fn a_dead_daemons_run_is_rescued_by_another() {
    let database = database();
    let shared = |site: Site| site.env("PITON_STORE__URL", &database).env("PITON_SCHEDULER__LEASE", "5s");
    let sites = [Site::new(), Site::new()].map(shared);
    for site in &sites {
        site.write("jobs/long.json", r#"{ "name": "long", "type": "command", "command": "sleep 100" }"#);
    }
    let first = sites[0].serve();
    let run = sites[0].piton(["job", "run", "long", "--detach"]).out.trim().to_owned();
    until("it runs", || sites[0].json(["run", "show", &run])["state"] == "running");
    let _second = sites[1].serve();
    first.kill();
    // Nobody saw how it ended: a person must look, and the job may run again.
    until("the lease was given up", || sites[1].json(["run", "show", &run])["outcome"] == "indeterminate");
    sites[1].audit();
}

#[test]
fn state_that_lies_with_another_daemon_is_not_taken_for_nothing() {
    let database = database();
    let sites = [Site::new(), Site::new()].map(|site| site.env("PITON_STORE__URL", &database));
    for site in &sites {
        site.workspace("everest", r#"{ "destroy_schedule": false }"#, crate::workspaces::CODE);
    }
    assert_eq!(sites[0].piton(["workspace", "deploy", "everest"]).code, 0);
    let said = sites[1].piton(["workspace", "destroy", "everest", "--yes"]);
    assert_eq!(said.code, 1, "{said}");
    let run = sites[1].runs("workspace/everest").pop().unwrap();
    assert_eq!(run["failure"]["code"], "state_elsewhere", "{run:#}");
    let said = sites[0].piton(["workspace", "destroy", "everest", "--yes"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(sites[1].status("everest"), "destroyed");
    sites[0].audit();
}

/// What nobody is to do in the time of a test.
fn row() -> serde_json::Value {
    serde_json::json!({
        "employee": {"fullName": "Jane", "workEmail": "jane@example.com"}, "applications": {"google": true},
        "schedule_time": "2099-01-01T00:00:00Z", "tags": ["new-hire"],
    })
}

#[test]
fn the_doctor_lists_rows_that_cannot_be_read() {
    let database = database();
    let site = Site::new().env("PITON_STORE__URL", &database);
    let (daemon, address) = site.serve_at();
    let made = request(&address, "POST", "/api/schedule", &[], &row().to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    site.audit();
    execute(&database, "UPDATE scheduled_provisions SET schedule_time = 'infinity'");
    let said = site.piton(["doctor"]);
    assert_eq!(said.code, 1, "{said}");
    let told = said.out.lines().find(|line| line.contains(&id));
    assert!(told.is_some_and(|line| line.contains("`schedule_time`")), "{said}");
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn a_row_that_cannot_be_read_says_where_and_takes_nobodys_place() {
    let database = database();
    let site = Site::new().env("PITON_STORE__URL", &database);
    let (daemon, address) = site.serve_at();
    let ids = [(); 3].map(|()| {
        let made = request(&address, "POST", "/api/schedule", &[], &row().to_string());
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    });
    let [broken, good @ ..] = &ids;
    execute(&database, &format!("UPDATE scheduled_provisions SET schedule_time = 'infinity' WHERE id = '{broken}'"));
    for (method, verb) in [("GET", ""), ("DELETE", ""), ("POST", "/execute"), ("POST", "/retry"), ("POST", "/approve")]
    {
        let told = request(&address, method, &format!("/api/schedule/{broken}{verb}"), &[], "");
        assert_eq!(
            (told.status, told.code().as_str()),
            (409, "unreadable_provision"),
            "{method} {verb}: {}",
            told.text()
        );
        assert_eq!(told.header("retry-after"), None);
        let detail = told.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("`schedule_time`") && detail.contains(broken.as_str()), "{detail}");
    }
    assert_eq!(get(&address, "/docs/errors/unreadable_provision").status, 200);
    let listed = get(&address, "/api/schedule?limit=2");
    assert_eq!((listed.status, listed.header("left-out"), listed.header("link")), (200, Some("1"), None));
    let shown = |rows: &serde_json::Value| -> BTreeSet<String> {
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let good: BTreeSet<String> = good.iter().cloned().collect();
    assert_eq!(shown(&listed.json()), good, "the page is full");
    assert_eq!(shown(&site.json(["schedule", "list", "--limit", "2"])), good);
    execute(&database, &format!("UPDATE scheduled_provisions SET schedule_time = 'tomorrow' WHERE id = '{broken}'"));
    assert_eq!(get(&address, "/api/schedule").header("left-out"), None);
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn a_table_that_another_program_locks_holds_up_only_what_needs_it() {
    let database = database();
    let site = Site::new().env("PITON_STORE__URL", &database);
    site.write("jobs/quick.json", r#"{ "name": "quick", "type": "command", "command": "echo quick" }"#);
    let (daemon, address) = site.serve_at();
    let post = || request(&address, "POST", "/api/schedule", &[], &row().to_string());
    assert_eq!(post().status, 201);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lock = Transaction::begin(&database, "LOCK TABLE scheduled_provisions IN ACCESS EXCLUSIVE MODE");
    let lock = runtime.block_on(lock).unwrap();
    let begun = Instant::now();
    for refused in [post(), post(), get(&address, "/api/schedule")] {
        assert_eq!((refused.status, &refused.json()["code"]), (503, &"store_unavailable".into()), "{}", refused.text());
        assert_eq!(refused.header("retry-after"), Some("5"));
        assert!(refused.text().contains("locked by another program"), "{}", refused.text());
    }
    let text = get(&address, "/metrics").text();
    let tells = |series: &str| text.lines().any(|line| line.starts_with(series));
    assert!(tells("piton_store_up 1") && tells("piton_runs{") && !tells("piton_provisions{"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    let said = site.piton(["job", "run", "quick"]);
    assert_eq!(said.code, 0, "{said}");
    runtime.block_on(lock.end()).unwrap();
    until("it is scheduled again", || post().status == 201);
    assert_eq!(daemon.shutdown(), 0);
    site.audit();
}

#[test]
fn requests_are_answered_soon_while_the_database_is_away() {
    let cluster = Cluster::start().unwrap();
    let site = Site::new().env("PITON_STORE__URL", cluster.url());
    let (daemon, address) = site.serve_at();
    assert_eq!(get(&address, "/api/schedule").status, 200);
    cluster.stop().unwrap();
    let begun = Instant::now();
    let told = request(&address, "POST", "/api/schedule", &[], &row().to_string());
    assert_eq!((told.status, &told.json()["code"]), (503, &"store_unavailable".into()), "{}", told.text());
    assert_eq!(told.header("retry-after"), Some("5"));
    let text = get(&address, "/metrics").text();
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    let tells = |text: &str, series: &str| text.lines().any(|line| line.starts_with(series));
    for series in ["piton_store_up 0", "piton_uptime_seconds ", "piton_http_requests_total{"] {
        assert!(tells(&text, series), "{series} is missing:\n{text}");
    }
    let of_the_database = ["piton_runs{", "piton_ledger_position ", "piton_provisions{"];
    for series in of_the_database {
        assert!(!tells(&text, series), "nobody can know {series}:\n{text}");
    }
    cluster.start_again().unwrap();
    until("it is ready", || get(&address, "/readyz").status == 200);
    let text = get(&address, "/metrics").text();
    assert!(of_the_database.iter().all(|series| tells(&text, series)), "{text}");
    assert_eq!(get(&address, "/api/schedule").json(), serde_json::json!([]), "what was refused is not there");
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn a_database_that_is_not_there_yet_is_waited_for() {
    let database = database();
    let site = Site::new();
    // Their server listens in this directory, which is not found at first.
    let (before, sockets) = database.split_once("host=").expect("the tests' own server has a unix socket");
    let link = site.path().join("sockets");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let start = || {
        let mut serve = site.command(PITON);
        serve.env("PITON_STORE__URL", format!("{before}host={}", link.display()));
        serve.args(["serve", "--listen", &address]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let lives = || std::net::TcpStream::connect(&address).is_ok() && get(&address, "/livez").status == 200;

    let mut daemon = start();
    until("it lives", lives);
    assert_eq!(get(&address, "/readyz").status, 503);
    let told = get(&address, "/api/workspaces");
    assert_eq!((told.status, &told.json()["code"]), (503, &"store_unavailable".into()), "{}", told.text());
    assert_eq!(told.header("retry-after"), Some("5"));
    kill(daemon.id(), "TERM");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));

    let mut daemon = start();
    until("it lives", lives);
    std::os::unix::fs::symlink(sockets, &link).unwrap();
    until("it is ready", || get(&address, "/readyz").status == 200);
    kill(daemon.id(), "TERM");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}
