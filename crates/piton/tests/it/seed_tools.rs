//! The workspace scheduler's own command lines, with and without a daemon.

use crate::site::Site;
use crate::workspaces::{CODE, git_repository};

fn site() -> Site {
    let site = Site::new();
    site.workspace(
        "my-app",
        r#"{ "enabled": true, "deploy_schedule": "0 9 * * 1-5", "destroy_schedule": "0 18 * * 1-5", "catch_up": "skip",
            "jobs": [{ "name": "backup-db", "type": "script", "script": "echo saved", "schedule": "0 2 * * *" }] }"#,
        CODE,
    );
    site.write(
        "jobs/cleanup-temp.json",
        r#"{ "name": "cleanup-temp", "type": "command", "command": "echo clean", "schedule": "0 2 * * *", "description": "Daily cleanup" }"#,
    );
    site
}

fn walk_through(site: &Site) {
    let ok = |tool: &str, args: &[&str]| {
        let said = site.named(tool, args.iter().copied());
        assert_eq!(said.code, 0, "{tool} {args:?}: {said}");
        said
    };
    assert!(ok("workspacectl", &["list"]).out.contains("0 9 * * 1-5"));
    let table = ok("workspacectl", &["status"]).out;
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["WORKSPACE", "STATUS", "LAST", "DEPLOYED", "LAST", "DESTROYED", "ERRORS"]);
    assert!(table.contains("pending") && table.contains("Never") && table.contains("None"), "{table}");
    ok("workspacectl", &["deploy", "my-app"]);
    let shown = ok("workspacectl", &["status", "my-app"]).out;
    for line in [
        "Workspace: my-app",
        "Status: deployed",
        "Enabled: true",
        "Deploy Schedule: 0 9 * * 1-5",
        "Destroy Schedule: 0 18 * * 1-5",
        "Last Deployed: 2",
        "Last Destroyed: Never",
        "Log File: /",
    ] {
        assert!(shown.lines().any(|found| found.starts_with(line)), "`{line}` is missing:\n{shown}");
    }
    let log = ok("workspacectl", &["logs", "my-app"]).out;
    assert!(log.starts_with("=== Recent logs for workspace 'my-app' ===\nLog file: /"), "{log}");
    ok("workspacectl", &["destroy", "my-app"]);

    assert!(ok("jobctl", &["list"]).out.contains("Daily cleanup"));
    assert!(ok("jobctl", &["status"]).out.starts_with("Standalone jobs:"));
    assert!(
        ok("jobctl", &["run", "cleanup-temp"]).out.contains("Standalone job 'cleanup-temp' completed successfully")
    );
    let shown = ok("jobctl", &["status", "cleanup-temp"]).out;
    for line in [
        "Job: cleanup-temp",
        "Type: standalone",
        "Status: success",
        "Run Count: 1",
        "Success Count: 1",
        "Failure Count: 0",
        "Last Run: 2",
        "Last Success: 2",
        "Last Failure: Never",
        "Next Run: 2",
    ] {
        assert!(shown.lines().any(|found| found.starts_with(line)), "`{line}` is missing:\n{shown}");
    }
    assert!(ok("jobctl", &["--workspace", "my-app", "list"]).out.contains("backup-db"));
    ok("jobctl", &["--workspace", "my-app", "run", "backup-db"]);
    assert!(ok("jobctl", &["--workspace", "my-app", "status", "backup-db"]).out.contains("Workspace: my-app"));

    site.write("repository/web/main.tf", CODE);
    if !site.path().join("repository/.git").exists() {
        git_repository(site, "repository");
    }
    let url = format!("file://{}", site.path().join("repository").display());
    ok("templatectl", &["add", "web-app", &url, "--path", "web", "--ref", "main", "--description", "Web"]);
    assert!(ok("templatectl", &["list"]).out.contains("web-app"));
    ok("templatectl", &["list", "--detailed"]);
    let shown = ok("templatectl", &["show", "web-app"]).out;
    for line in [
        "Template: web-app",
        "Source: file:",
        "Path: web",
        "Reference: main",
        "Description: Web",
        "Created: 2",
        "Updated: 2",
        "Content Hash: ",
        "Files:",
        "  - main.tf",
    ] {
        assert!(shown.lines().any(|found| found.starts_with(line)), "`{line}` is missing:\n{shown}");
    }
    ok("templatectl", &["update", "web-app"]);
    ok("templatectl", &["update", "--all"]);
    ok("templatectl", &["validate", "web-app"]);
    ok("templatectl", &["validate", "--all"]);
    ok("templatectl", &["remove", "web-app", "--force"]);
}

#[test]
fn without_a_daemon() {
    walk_through(&site());
}

#[test]
fn with_a_daemon() {
    let site = site();
    let daemon = site.serve();
    walk_through(&site);
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn mistakes_are_answered_in_the_tools_own_way() {
    let site = site();
    for (tool, args, code, word) in [
        ("workspacectl", &["deploy", "nonexistent"][..], 1, "Error: workspace 'nonexistent' not found"),
        ("jobctl", &["run", "nonexistent-job"], 1, "Error: standalone job 'nonexistent-job' not found"),
        ("templatectl", &["show", "nonexistent"], 1, "Error: template 'nonexistent' not found"),
        ("workspacectl", &["deploy"], 2, ""),
        ("jobctl", &["run"], 2, ""),
    ] {
        let said = site.named(tool, args.iter().copied());
        assert_eq!(said.code, code, "{tool} {args:?}: {said}");
        assert!(said.err.contains(word), "{tool} {args:?}: {said}");
    }
    for tool in ["provisioner", "workspacectl", "templatectl", "jobctl"] {
        for flag in ["--version", "--version-full", "--help"] {
            let said = site.named(tool, [flag]);
            assert!(said.code == 0 && !said.out.is_empty(), "{tool} {flag}: {said}");
        }
    }
}

#[test]
fn a_disabled_workspace_is_not_deployed() {
    let site = Site::new();
    site.workspace("off", r#"{ "enabled": false, "deploy_schedule": "* * * * *" }"#, CODE);
    let said = site.named("workspacectl", ["deploy", "off"]);
    assert_eq!(said.code, 1, "{said}");
    assert!(said.err.contains("Error: workspace 'off' is disabled"), "{said}");
}

#[test]
fn the_links_are_made() {
    let site = site();
    assert_eq!(site.piton(["link", "tools"]).code, 0);
    for tool in ["provisioner", "workspacectl", "templatectl", "jobctl"] {
        let done = site.command(site.path().join("tools").join(tool)).arg("--version").output().unwrap();
        assert!(done.status.success(), "{tool}");
    }
}
