//! Several daemons on one PostgreSQL.

use std::collections::BTreeSet;

use crate::site::{Site, until};

/// A new database on a real server.
fn database() -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(piton_testkit::postgres::database()).unwrap()
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
