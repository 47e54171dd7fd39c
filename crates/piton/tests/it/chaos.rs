//! `kill -9` of the daemon again and again while many deployments are in every phase: none is lost, none is applied
//! twice, approvals stay valid, logs have no gap.
//!
//! `PITON_CHAOS_ROUNDS=200 PITON_CHAOS_DEPLOYMENTS=20` is the full measure; what `make test` does is small.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use piton_testkit::hosting::{Hosting, PASSWORD, USER};
use piton_testkit::repository::repository;
use serde_json::{Value, json};

use crate::site::{Site, until};
use crate::wire::{get, read_reply};

/// Tells outside when it begins and ends, and prints numbered lines in between.
const CODE: &str = r#"
variable "number" {}
variable "effects" {}
resource "terraform_data" "effect" {
  provisioner "local-exec" {
    command = "echo begin ${var.number} >> ${var.effects}; for i in 1 2 3 4 5; do echo line $i of ${var.number}; sleep 0.1; done; echo end ${var.number} >> ${var.effects}"
  }
}
output "number" { value = var.number }
"#;

pub fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Small numbers that nobody can foresee, and everybody can repeat.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// One request to a server that may die over it: then there is no answer.
fn attempt(address: &str, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let reply = read_reply(&mut stream)?;
    Some((reply.status, serde_json::from_slice(&reply.body).ok()?))
}

/// What is known of the deployments, from outside.
#[derive(Default)]
struct Known {
    /// How many were asked for; each has a number.
    asked: usize,
    /// Those that were acknowledged, with their numbers.
    acknowledged: BTreeMap<String, usize>,
    /// Those whose approval was acknowledged.
    approved: BTreeSet<String>,
    /// Those that were seen to wait for an approval before the daemon died.
    waited: BTreeSet<String>,
    /// How often the daemon was killed with a deployment in this phase.
    killed_in: BTreeMap<String, usize>,
}

struct Chaos<'a> {
    site: &'a Site,
    address: String,
    repository: String,
    in_flight: usize,
}

impl Chaos<'_> {
    fn effects(&self) -> String {
        self.site.path().join("effects").display().to_string()
    }

    /// Every deployment there is.
    fn all(&self) -> Vec<Value> {
        let mut found = vec![];
        let mut cursor = String::new();
        loop {
            let page = get(&self.address, &format!("/deploy?limit=1000{cursor}")).json();
            found.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    }

    /// Asks for as many deployments as are missing, every other one to be approved, and approves what waited through a
    /// death of the daemon. Stops at the first request that is not answered.
    fn act(&self, known: &mut Known) -> Option<()> {
        let (_, page) = attempt(&self.address, "GET", "/deploy?limit=1000", &Value::Null)?;
        let items = page["items"].as_array()?;
        for waiting in items.iter().filter(|item| item["status"] == "awaiting_approval") {
            let id = waiting["deployment_id"].as_str()?.to_owned();
            if known.waited.contains(&id) {
                let (status, said) = attempt(&self.address, "POST", &format!("/deploy/{id}/approve"), &Value::Null)?;
                assert_eq!(status, 200, "an approval is not valid any more: {said:#}");
                assert!(known.approved.insert(id), "an approval was forgotten: {said:#}");
            }
        }
        for _ in items.iter().filter(|item| item["ended_at"].is_null()).count()..self.in_flight {
            known.asked += 1;
            let new = json!({
                "tool": "tofu", "git_url": self.repository, "git_ref": "main", "auto_approve": known.asked.is_multiple_of(2),
                "env_vars": { "TF_VAR_number": known.asked.to_string(), "TF_VAR_effects": self.effects() },
                "git_auth": { "type": "http", "username": USER, "password": PASSWORD },
            });
            let (status, said) = attempt(&self.address, "POST", "/deploy", &new)?;
            assert_eq!(status, 202, "{said:#}");
            known.acknowledged.insert(said["deployment_id"].as_str()?.to_owned(), known.asked);
        }
        Some(())
    }

    /// What must hold whenever the daemon is back.
    fn look_after(&self, known: &mut Known) {
        let all = self.all();
        let ids: BTreeSet<&str> = all.iter().filter_map(|item| item["deployment_id"].as_str()).collect();
        let lost: Vec<&String> = known.acknowledged.keys().filter(|id| !ids.contains(id.as_str())).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        for item in &all {
            let id = item["deployment_id"].as_str().unwrap();
            let status = item["status"].as_str().unwrap();
            assert!(["running", "awaiting_approval", "success"].contains(&status), "{item:#}");
            if status == "awaiting_approval" {
                assert!(!known.approved.contains(id), "the approval of {id} is forgotten");
                known.waited.insert(id.to_owned());
            }
        }
    }

    /// Everything has ended well, once, and told all about it.
    fn check(&self, known: &Known) {
        let effects = fs::read_to_string(self.effects()).unwrap();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        effects.lines().for_each(|line| *counts.entry(line).or_default() += 1);
        let repeated: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(repeated.is_empty(), "applied twice: {repeated:?}");
        for (id, number) in &known.acknowledged {
            for word in ["begin", "end"] {
                assert!(counts.contains_key(format!("{word} {number}").as_str()), "{id}, number {number}: no {word}");
            }
            let log = self.site.log(id);
            let lines: Vec<&str> =
                log.lines().filter_map(|line| line.split_once("(local-exec): line ")).map(|(_, rest)| rest).collect();
            let wanted: Vec<String> = (1..=5).map(|i| format!("{i} of {number}")).collect();
            assert_eq!(lines, wanted, "{id}:\n{log}");
            assert_eq!(log.matches("Apply complete").count(), 1, "{id}:\n{log}");
            assert!(!log.contains(PASSWORD));
        }
        // Also those whose acknowledgement got lost.
        for item in self.all() {
            assert_eq!(item["status"], "success", "{item:#}");
        }
    }
}

#[test]
fn deployments_survive_any_number_of_deaths_of_the_daemon() {
    let (rounds, in_flight) = (number("PITON_CHAOS_ROUNDS", 5), number("PITON_CHAOS_DEPLOYMENTS", 6));
    let seed = number("PITON_CHAOS_SEED", std::process::id() as usize);
    println!("PITON_CHAOS_SEED={seed}");
    let mut dice = Dice(seed as u64);
    let site = Site::new().env("PITON_IAC__MAX_CONCURRENT_DEPLOYMENTS", &in_flight.to_string());
    let root = tempfile::tempdir().unwrap();
    repository(root.path(), "closed/code.git", &[&[("main.tf", CODE)]]).unwrap();
    let hosting = Hosting::start(root.path()).unwrap();
    let mut daemon = site.serve();
    let chaos = Chaos { site: &site, address: daemon.address(), repository: hosting.url("closed/code.git"), in_flight };
    let mut known = Known::default();
    for round in 1..=rounds {
        // From the first milliseconds to well into the applies.
        let moment = Duration::from_millis(dice.below(2_000));
        let seen = std::thread::scope(|scope| {
            let acting = scope.spawn(|| chaos.act(&mut known));
            std::thread::sleep(moment);
            let seen = attempt(&chaos.address, "GET", "/deploy?limit=1000", &Value::Null);
            daemon.kill();
            // It stops where there is no answer any more.
            acting.join().unwrap();
            seen
        });
        for item in seen.iter().filter_map(|(_, page)| page["items"].as_array()).flatten() {
            if item["ended_at"].is_null() {
                // What waits for a person is still in the phase of its plan.
                let waits = item["status"] == "awaiting_approval";
                let phase = item[if waits { "status" } else { "phase" }].as_str().unwrap_or("?");
                *known.killed_in.entry(phase.to_owned()).or_default() += 1;
            }
        }
        daemon = site.serve_with(&["--listen", &chaos.address]);
        chaos.look_after(&mut known);
        println!("round {round}, killed after {moment:?}: {} deployments", known.acknowledged.len());
    }
    until("all have ended", || {
        chaos.look_after(&mut known);
        // Approves what waits; asks for no more.
        let rest = Chaos { in_flight: 0, address: chaos.address.clone(), repository: String::new(), ..chaos };
        rest.act(&mut known).expect("the daemon answers");
        chaos.all().iter().all(|item| !item["ended_at"].is_null())
    });
    chaos.check(&known);
    println!("killed while deployments were in: {:?}", known.killed_in);
    if rounds >= 50 {
        for phase in ["cloning", "init", "plan", "awaiting_approval", "apply"] {
            assert!(known.killed_in.contains_key(phase), "never killed in {phase}: {:?}", known.killed_in);
        }
    }
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
}
