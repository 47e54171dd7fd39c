//! Files change under a running daemon.

use std::fs;

use crate::site::{Site, until};
use crate::workspaces::CODE;

const DEPLOYED: &str = r#"{ "deploy_schedule": "0 0 1 1 *", "destroy_schedule": false }"#;

#[test]
fn workspaces_appear_change_and_vanish() {
    let site = Site::new();
    let daemon = site.serve();
    site.workspace("everest", DEPLOYED, CODE);
    until("the new workspace is deployed", || {
        site.json(["workspace", "list"]).as_array().unwrap().iter().any(|w| w["status"] == "deployed")
    });
    let config = r#"{ "deploy_schedule": "0 0 1 1 *", "destroy_schedule": false, "vars": { "size": 3 } }"#;
    site.workspace("everest", config, "");
    until("the change is deployed", || {
        site.json(["workspace", "outputs", "everest"])["boxes"]["value"]
            .as_array()
            .is_some_and(|boxes| boxes.len() == 3)
    });
    fs::remove_dir_all(site.path().join("workspaces/everest")).unwrap();
    until("it is gone", || site.json(["workspace", "list"])[0]["declared"] == false);
    // What was deployed stays, and is still seen.
    assert!(site.data().join("deployments/everest/terraform.tfstate").is_file());
    assert_eq!(site.runs("workspace/everest").len(), 2);
    assert_eq!(site.json(["workspace", "outputs", "everest"])["boxes"]["value"].as_array().unwrap().len(), 3);
    let diagnostic = &site.json(["status"])["diagnostics"][0];
    assert_eq!(diagnostic["code"], "not_declared", "{diagnostic}");
    assert_eq!(diagnostic["message"], "workspace 'everest' is deployed, but its directory is gone");
    let said = site.piton(["workspace", "deploy", "everest"]);
    assert!(said.code == 5 && said.err.contains("piton workspace destroy everest"), "{said}");
    let said = site.piton(["workspace", "status", "everest"]);
    assert!(said.code == 0 && said.out.contains("no; make it good, or destroy what it deployed"), "{said}");

    // A daemon that never knew the directory can still destroy what was deployed from it.
    assert_eq!(daemon.terminate(), 0);
    let daemon = site.serve();
    assert_eq!(site.status("everest"), "deployed");
    let said = site.piton(["workspace", "destroy", "everest", "--yes"]);
    assert_eq!(said.code, 0, "{said}");
    let run = site.runs("workspace/everest").pop().unwrap();
    assert_eq!((&run["action"], &run["plan"]["destroy"]), (&"destroy".into(), &3.into()), "{run:#}");
    assert_eq!(site.json(["workspace", "list"]).as_array().unwrap().len(), 0);
    assert_eq!(site.piton(["workspace", "destroy", "everest", "--yes"]).code, 3);
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn what_waits_for_a_restart_is_told() {
    let site = Site::new();
    site.write("piton.toml", "[provisioning]\nretry_attempts = 3\n");
    let daemon = site.serve();
    site.write("piton.toml", "[provisioning]\nretry_attempts = 5\nrate = 7\n");
    until("the change is told", || !site.json(["status"])["diagnostics"].as_array().unwrap().is_empty());
    let told = &site.json(["status"])["diagnostics"][0];
    assert_eq!((&told["severity"], &told["file"]), (&"warning".into(), &"piton.toml".into()), "{told}");
    let words = "`provisioning.retry_attempts`, `provisioning.rate` changed, which takes effect after a restart";
    assert!(told["message"].as_str().unwrap().starts_with(words), "{told}");
    assert_eq!(site.daemon_log().matches("takes effect after a restart").count(), 1, "{}", site.daemon_log());
    assert_eq!(daemon.terminate(), 0);
    let _daemon = site.serve();
    assert_eq!(site.json(["status"])["diagnostics"], serde_json::json!([]));
}

#[test]
fn a_broken_file_keeps_its_last_good_version() {
    let site = Site::new();
    site.workspace("everest", DEPLOYED, CODE).workspace("other", r#"{ "enabled": false }"#, CODE);
    let _daemon = site.serve();
    until("it is deployed", || site.status("everest") == "deployed");
    fs::write(site.path().join("workspaces/everest/config.json"), "{ \"deploy_schedule\": \"0 0 1").unwrap();
    until("the mistake is reported", || !site.json(["status"])["diagnostics"].as_array().unwrap().is_empty());
    let diagnostic = &site.json(["status"])["diagnostics"][0];
    assert_eq!(diagnostic["severity"], "error");
    assert!(diagnostic["file"].as_str().unwrap().ends_with("workspaces/everest/config.json"), "{diagnostic}");
    assert!(diagnostic["line"].is_u64() && diagnostic["column"].is_u64(), "{diagnostic}");
    assert_eq!(site.status("everest"), "deployed");
    assert_eq!(site.json(["workspace", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(site.piton(["workspace", "deploy", "everest"]).code, 0, "the last good version cannot be used");
    site.workspace("everest", DEPLOYED, "");
    until("all is well again", || site.json(["status"])["diagnostics"].as_array().unwrap().is_empty());
}
