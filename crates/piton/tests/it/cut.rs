//! Daemons that are cut off from their database, or stopped for a while: what they do ends before another one may take it
//! for lost, and nothing that they say afterwards counts.

use std::fs;

use piton_testkit::relay::{Passes, Relay};
use serde_json::Value;

use crate::site::{Daemon, Site, kill, until};

/// An apply that goes on for longer than anybody waits here.
const CODE: &str = r#"
resource "terraform_data" "effect" {
  provisioner "local-exec" { command = "echo begin >> effects; sleep 300; echo end >> effects" }
}
"#;
const CONFIG: &str = r#"{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip" }"#;

fn database() -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(piton_testkit::postgres::database()).unwrap()
}

/// A node of a cluster whose leases are short.
fn node(database: &str, lease: &str) -> Site {
    let site = Site::new().env("PITON_STORE__URL", database).env("PITON_SCHEDULER__LEASE", lease);
    site.workspace("everest", CONFIG, CODE);
    site.write("jobs/quick.json", r#"{ "name": "quick", "type": "command", "command": "echo quick" }"#);
    site
}

/// Begins a deployment, and waits until its apply is under way.
fn applying(site: &Site) -> String {
    let said = site.piton(["workspace", "deploy", "everest", "--detach"]);
    assert_eq!(said.code, 0, "{said}");
    until("the apply is under way", || effects(site) == "begin\n");
    said.out.trim().to_owned()
}

fn effects(site: &Site) -> String {
    fs::read_to_string(site.data().join("deployments/everest/effects")).unwrap_or_default()
}

fn show(site: &Site, run: &str) -> Value {
    site.json(["run", "show", run])
}

/// Whether any process works for the run.
fn is_alive(run: &str) -> bool {
    fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
        let of_run = |environ: Vec<u8>| String::from_utf8_lossy(&environ).contains(run);
        entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok())
            && fs::read(entry.path().join("environ")).is_ok_and(of_run)
    })
}

/// What was cut off works again, and the ledger has no fault.
fn goes_on(site: &Site, daemon: Daemon<'_>) {
    let mut said = site.piton(["job", "run", "quick"]);
    until("it works again", || {
        if said.code != 0 {
            said = site.piton(["job", "run", "quick"]);
        }
        said.code == 0
    });
    assert_eq!(effects(site), "begin\n", "the apply went on");
    site.audit();
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn a_holder_that_was_stopped_stops_its_children_and_what_it_says_does_not_count() {
    let database = database();
    let sites = [(); 2].map(|()| node(&database, "3s"));
    let holder = sites[0].serve();
    let run = applying(&sites[0]);
    let other = sites[1].serve();
    until("it knows of the other one", || sites[0].daemon_log().contains("another daemon"));
    kill(holder.pid(), "STOP");
    until("the lease was given up", || show(&sites[1], &run)["outcome"] == "indeterminate");
    assert!(is_alive(&run), "a child is not stopped with its daemon");
    let told = || show(&sites[1], &run);
    let said = |shown: &Value| ["outcome", "failure", "ended_at", "attempts"].map(|member| shown[member].clone());
    let lost = said(&told());
    kill(holder.pid(), "CONT");
    until("its children are gone", || !is_alive(&run));
    until("it knows", || sites[0].daemon_log().contains("run lost to another worker"));
    let log = sites[0].daemon_log();
    let (stopped, knows) = (log.find("could not be renewed in time"), log.find("run lost to another worker"));
    assert!(stopped.is_some() && stopped < knows, "it stops before it asks:\n{log}");
    assert_eq!(said(&told()), lost, "it wrote although it had lost the run");
    goes_on(&sites[0], holder);
    assert_eq!(other.terminate(), 0);
}

#[test]
fn a_worker_that_is_cut_off_stops_before_another_one_gives_it_up() {
    let database = database();
    let (relay, through) = Relay::to(&database).unwrap();
    let sites = [node(&through, "9s"), node(&database, "9s")];
    let holder = sites[0].serve();
    let run = applying(&sites[0]);
    let other = sites[1].serve();
    until("it knows of the other one", || sites[0].daemon_log().contains("another daemon"));
    // Both ends believe that they are connected.
    relay.set(Passes::Nothing);
    let mut outcome = Value::Null;
    until("it has stopped", || {
        outcome = show(&sites[1], &run)["outcome"].clone();
        outcome != Value::Null || !is_alive(&run)
    });
    assert_eq!(outcome, Value::Null, "it was given up while it still worked");
    until("the lease was given up", || show(&sites[1], &run)["outcome"] == "indeterminate");
    assert_eq!(show(&sites[1], &run)["attempts"], 1, "nobody repeats an apply");
    relay.set(Passes::All);
    until("it knows", || sites[0].daemon_log().contains("run lost to another worker"));
    assert_eq!(show(&sites[1], &run)["outcome"], "indeterminate");
    goes_on(&sites[0], holder);
    assert_eq!(other.terminate(), 0);
}

#[test]
fn a_worker_that_hears_no_answer_stops_and_says_why_when_it_is_heard_again() {
    let database = database();
    let (relay, through) = Relay::to(&database).unwrap();
    let [site, neighbour] = [node(&through, "6s"), node(&database, "6s")];
    let daemon = site.serve();
    let run = applying(&site);
    let other = neighbour.serve();
    until("it knows of the other one", || site.daemon_log().contains("another daemon"));
    relay.set(Passes::ToServer);
    until("it has stopped", || !is_alive(&run));
    relay.set(Passes::All);
    until("the run has ended", || show(&site, &run)["state"] == "ended");
    let shown = show(&site, &run);
    assert_eq!(shown["outcome"], "failed", "{shown:#}");
    assert_eq!(shown["failure"]["code"], "lease_not_renewed", "{shown:#}");
    goes_on(&site, daemon);
    assert_eq!(other.terminate(), 0);
}

#[test]
fn a_worker_that_is_alone_goes_on_while_the_database_is_away() {
    let (relay, through) = Relay::to(&database()).unwrap();
    let site = Site::new().env("PITON_STORE__URL", &through).env("PITON_SCHEDULER__LEASE", "1s");
    let code = CODE.replace("sleep 300", "sleep 6");
    site.workspace("everest", CONFIG, &code);
    let daemon = site.serve();
    let run = applying(&site);
    relay.set(Passes::Nothing);
    until("the apply is done", || effects(&site) == "begin\nend\n");
    relay.set(Passes::All);
    until("the run has ended", || show(&site, &run)["state"] == "ended");
    assert_eq!(show(&site, &run)["outcome"], "succeeded");
    site.audit();
    assert_eq!(daemon.terminate(), 0);
}
