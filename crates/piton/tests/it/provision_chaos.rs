//! Scheduled provisions while everything breaks that can: the database, the target, the daemons. Every row ends once, and
//! what was done at the target, by its idempotency keys, are the rows.
//!
//! More of it with `PITON_PROVISIONS_WAITING=100000 PITON_PROVISIONS_DUE=10000`, due within a minute, and with
//! `PITON_CHAOS_ROUNDS=50` deaths of the database.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use piton_testkit::postgres::Cluster;
use serde_json::{Value, json};

use crate::chaos::{Dice, number};
use crate::fickle::{Api, Mood};
use crate::site::{Site, kill, until};
use crate::wire::{get, request};

/// Within this time the rows of a dead or hanging daemon are executed by another one, also on a machine that is busy with other
/// tests. How soon it is on an idle one, `bench/run provisions` measures.
const TAKEN_OVER: Duration = Duration::from_secs(30);

fn site(database: &str, api: &Api) -> Site {
    let site = Site::new().env("PITON_STORE__URL", database);
    let keys = "timeout = 2\nretry_attempts = 30\nretry_delay = 1\nretry_max_delay = 2\n";
    site.write("piton.toml", &format!("[provisioning]\napi_url = '{}'\n{keys}", api.url()));
    site
}

/// Rows that are due one after the other, as many a second, the first at once; their ids.
fn schedule(address: &str, count: usize, a_second: u32, first: Timestamp) -> BTreeSet<String> {
    let mut lines = String::new();
    for number in 0..u32::try_from(count).unwrap() {
        let due = first + Duration::from_secs(1) * number / a_second;
        let row = json!({
            "employee": {"fullName": format!("Person {number}"), "workEmail": format!("p{number}@example.com")},
            "applications": {"google": true}, "schedule_time": due.to_string(), "allow_past": true, "tags": ["chaos"],
        });
        writeln!(lines, "{row}").unwrap();
    }
    let kind = [("Content-Type", "application/x-ndjson")];
    let reply = request(address, "POST", "/api/schedule/bulk?atomic=true", &kind, &lines);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let results = reply.json()["results"].as_array().unwrap().clone();
    results.iter().map(|result| result["id"].as_str().unwrap().to_owned()).collect()
}

/// How many rows are in this status, as far as the database answers.
fn count(address: &str, status: &str) -> Option<usize> {
    metric(address, &format!("piton_provisions{{status=\"{status}\"}} "))
}

fn metric(address: &str, name: &str) -> Option<usize> {
    let text = get(address, "/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
}

fn until_completed(address: &str, rows: usize) {
    until("all rows are completed", || count(address, "completed") == Some(rows));
}

/// All rows in this status, by their id.
fn rows(address: &str, status: &str) -> BTreeMap<String, Value> {
    let mut rows = BTreeMap::new();
    loop {
        let path = format!("/api/schedule?status={status}&limit=1000&offset={}", rows.len());
        let page = get(address, &path).json().as_array().unwrap().clone();
        let is_last = page.len() < 1000;
        rows.extend(page.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)));
        if is_last {
            return rows;
        }
    }
}

/// Each of these rows is completed, by one run; the target did it once, and the ledger is sound.
fn check(site: &Site, address: &str, api: &Api, scheduled: &BTreeSet<String>) {
    let completed: BTreeSet<String> = rows(address, "completed").into_keys().collect();
    assert_eq!(completed, *scheduled);
    api.has_done_once(scheduled);
    let runs = site.json(["run", "list", "--kind", "provision", "--limit", "100000"]);
    let succeeded = runs.as_array().unwrap().iter().filter(|run| run["outcome"] == "succeeded");
    let mut once = BTreeSet::new();
    for run in succeeded {
        assert!(once.insert(run["subject"].as_str().unwrap().to_owned()), "two runs completed one row: {run}");
    }
    assert_eq!(once.len(), scheduled.len());
    site.audit();
}

#[test]
fn the_database_may_be_restarted_and_killed() {
    let seed = number("PITON_CHAOS_SEED", std::process::id() as usize);
    println!("PITON_CHAOS_SEED={seed}");
    let (mut dice, rounds) = (Dice(seed as u64), number("PITON_CHAOS_ROUNDS", 4));
    let cluster = Cluster::start().unwrap();
    let api = Api::start(Mood::Slow(Duration::from_millis(30)));
    let site = site(cluster.url(), &api);
    let (daemon, address) = site.serve_at();
    let scheduled = schedule(&address, 60 * rounds, 40, Timestamp::now());
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(300 + dice.below(1_200)));
        if round % 2 == 0 { cluster.kill() } else { cluster.stop() }.unwrap();
        // At times it is away for longer than a call takes, and than a commit is tried again at once.
        std::thread::sleep(Duration::from_millis(dice.below(1_500)));
        cluster.start_again().unwrap();
    }
    until_completed(&address, scheduled.len());
    check(&site, &address, &api, &scheduled);
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn a_target_may_fail_in_every_way() {
    let database = crate::postgres::database();
    let api = Api::start(Mood::Capricious);
    let site = site(&database, &api);
    let (_daemon, address) = site.serve_at();
    let scheduled = schedule(&address, 300, 100, Timestamp::now());
    until_completed(&address, scheduled.len());
    let calls = api.calls().len();
    assert!(calls > scheduled.len(), "nothing was called twice: {calls} calls");
    check(&site, &address, &api, &scheduled);
}

#[test]
fn a_target_that_was_down_gets_all_of_it_afterwards() {
    let database = crate::postgres::database();
    let api = Api::start(Mood::Down);
    let site = site(&database, &api);
    let (_daemon, address) = site.serve_at();
    let scheduled = schedule(&address, 100, 50, Timestamp::now());
    until("the target is left alone", || rows(&address, "pending").values().any(|row| row["retry_count"] != 0));
    api.be(Mood::Well);
    // When it is tried again and is well, nobody has to wait for another pause.
    until_completed(&address, scheduled.len());
    let failed = api.calls().len() - scheduled.len();
    assert!(failed < 50, "it was not left alone: {failed} calls in vain");
    check(&site, &address, &api, &scheduled);
}

/// When the last of the calls began, after `since`.
fn last_call(api: &Api, since: Instant) -> Duration {
    api.calls().iter().map(|call| call.at).max().unwrap().saturating_duration_since(since)
}

fn until_under_way(api: &Api, before: usize) {
    until("calls are under way", || api.calls().len() >= before + 20);
}

#[test]
fn a_daemon_that_dies_or_hangs_is_replaced_and_changes_nothing_when_it_wakes() {
    let database = crate::postgres::database();
    let api = Api::start(Mood::Slow(Duration::from_millis(300)));
    let sites = [site(&database, &api), site(&database, &api)];
    let [(first, one), (second, two)] = sites.each_ref().map(Site::serve_at);
    let mut scheduled = schedule(&one, 150, 1_000, Timestamp::now());
    until_under_way(&api, 0);
    first.kill();
    let died = Instant::now();
    until_completed(&two, scheduled.len());
    let took = last_call(&api, died);
    assert!(took <= TAKEN_OVER, "the rows of the one that was killed were executed after {took:?}");
    check(&sites[1], &two, &api, &scheduled);

    // The other way round, and it only sleeps.
    let (first, one) = sites[0].serve_at();
    let before = api.calls().len();
    scheduled.extend(schedule(&one, 150, 1_000, Timestamp::now()));
    until_under_way(&api, before);
    kill(second.pid(), "STOP");
    let stopped = Instant::now();
    until_completed(&one, scheduled.len());
    let took = last_call(&api, stopped);
    assert!(took <= TAKEN_OVER, "the rows of the one that hangs were executed after {took:?}");
    let completed = rows(&one, "completed");
    // Longer than a lease lasts.
    until("its leases are over", || stopped.elapsed() > Duration::from_secs(17));
    let woken = Instant::now();
    kill(second.pid(), "CONT");
    until("the sleeper is awake", || count(&two, "completed") == Some(scheduled.len()));
    // Whatever it held it has tried to record, and was refused.
    until("it drives nothing any more", || metric(&two, "piton_runs_driven ") == Some(0));
    assert_eq!(rows(&one, "completed"), completed, "the one that was replaced has written");
    let late = api.calls().iter().filter(|call| call.at > woken).count();
    assert_eq!(late, 0, "what waited for its turn was called although somebody else had done it");
    check(&sites[0], &one, &api, &scheduled);
    assert_eq!((first.shutdown(), second.shutdown()), (0, 0));
}

#[test]
fn a_daemon_that_ends_lets_its_calls_come_to_their_end_and_begins_no_others() {
    let api = Api::start(Mood::Slow(Duration::from_secs(1)));
    let site = Site::new();
    site.write("piton.toml", &format!("[provisioning]\napi_url = '{}'\n", api.url()));
    let (daemon, address) = site.serve_at();
    let scheduled = schedule(&address, 40, 1_000, Timestamp::now());
    until("as many calls as may be are under way", || api.calls().len() == 16);
    assert_eq!(daemon.terminate(), 0);
    let called = api.calls().len();
    assert!(called <= 32, "{called} of 40 were called before it ended");
    let (daemon, address) = site.serve_at();
    until_completed(&address, scheduled.len());
    assert_eq!(api.calls().len(), scheduled.len(), "some were called twice");
    check(&site, &address, &api, &scheduled);
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn many_are_due_within_a_minute() {
    let (waiting, due) = (number("PITON_PROVISIONS_WAITING", 5_000), number("PITON_PROVISIONS_DUE", 2_000));
    // Ten thousand in a minute, and fewer in the share of it that they get.
    let a_second = 167;
    let database = crate::postgres::database();
    let api = Api::start(Mood::Well);
    let site = site(&database, &api);
    let (daemon, address) = site.serve_at();
    let another_day = Timestamp::now() + Duration::from_secs(24 * 3600);
    for _ in 0..waiting / 5_000 {
        schedule(&address, 5_000, 1_000_000, another_day);
    }
    let (begun, first) = (Instant::now(), Timestamp::now() + Duration::from_secs(2));
    let scheduled = schedule(&address, due, a_second, first);
    let span = Duration::from_secs(2) + Duration::from_secs(1) * u32::try_from(due).unwrap() / a_second;
    while begun.elapsed() < span {
        std::thread::sleep(Duration::from_millis(100));
    }
    until_completed(&address, due);
    // Whatever else the machine does.
    let late = last_call(&api, begun).saturating_sub(span);
    assert!(late < Duration::from_secs(20), "the last one began {late:?} late");
    println!("{due} rows, the last one began {late:?} late");
    assert_eq!(count(&address, "pending"), Some(waiting / 5_000 * 5_000));
    check(&site, &address, &api, &scheduled);
    assert_eq!(daemon.shutdown(), 0);
}
