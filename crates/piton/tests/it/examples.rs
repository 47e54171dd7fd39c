//! The examples do what their pages say.

use std::fs;
use std::path::Path;

use crate::site::{Site, until};

#[test]
fn quickstart() {
    let site = Site::example("quickstart");
    let daemon = site.serve();
    until("everest is deployed", || site.status("everest") == "deployed");
    until("the job has run", || {
        site.json(["job", "list"]).as_array().unwrap().iter().any(|job| job["run_count"].as_u64() > Some(0))
    });
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn every_example_is_valid() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        let name = entry.file_name().into_string().unwrap();
        let site = Site::example(&name);
        add_templates(&site);
        let said = site.piton(["config", "check"]);
        assert_eq!(said.code, 0, "{name}: {said}");
        assert!(!said.out.contains("warning") && !said.err.contains("warning"), "{name}: {said}");
    }
}

#[test]
fn modes_and_templates_are_deployed() {
    for name in ["modes", "templates"] {
        let site = Site::example(name);
        add_templates(&site);
        let workspaces = site.json(["workspace", "list"]);
        assert!(!workspaces.as_array().unwrap().is_empty());
        for workspace in workspaces.as_array().unwrap() {
            let workspace_name = workspace["name"].as_str().unwrap();
            let mut args = vec!["workspace", "deploy", workspace_name];
            args.extend(workspace["modes"].as_array().unwrap().first().and_then(|mode| mode.as_str()));
            let said = site.piton(args);
            assert_eq!(said.code, 0, "{name}/{workspace_name}: {said}");
            assert_eq!(site.status(workspace_name), "deployed");
        }
        site.audit();
    }
}

/// Registers the templates that the workspaces and jobs of an example are made from, as its page says.
fn add_templates(site: &Site) {
    let repository = site.path().join("repository");
    if !repository.is_dir() {
        return;
    }
    crate::workspaces::git_repository(site, "repository");
    let url = format!("file://{}", repository.display());
    for entry in fs::read_dir(&repository).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() && name != ".git" {
            let said = site.piton(["template", "add", &name, &url, "--path", &name, "--ref", "main"]);
            assert_eq!(said.code, 0, "{said}");
        }
    }
}
