//! Mistakes in files and on the command line: what is wrong, where, and what to do.

use crate::site::Site;
use crate::workspaces::CODE;

/// Every mistake is reported with its place, and the rest of the directory works all the same.
fn check(files: &[(&str, &str)], place: &str, words: &[&str]) {
    let site = Site::new();
    site.workspace("good", r#"{ "enabled": false }"#, CODE);
    for (path, text) in files {
        site.write(path, text);
    }
    let said = site.piton(["config", "check"]);
    assert_eq!(said.code, 78, "{files:?}: {said}");
    let all = format!("{}{}", said.out, said.err);
    assert!(all.contains(place), "`{place}` is missing: {said}");
    for word in words {
        assert!(all.contains(word), "`{word}` is missing: {said}");
    }
    let list = site.json(["workspace", "list"]);
    assert!(list.as_array().unwrap().iter().any(|workspace| workspace["name"] == "good"), "{list}");
}

const CONFIG: &str = "workspaces/bad/config.json";
const MAIN: (&str, &str) = ("workspaces/bad/main.tf", CODE);

#[test]
fn broken_json() {
    check(
        &[MAIN, (CONFIG, "{\n  \"enabled\": true,\n  \"deploy_schedule\": \"0 9 * * *\n}\n")],
        "config.json:3",
        &["error"],
    );
    check(&[MAIN, (CONFIG, "")], "config.json", &["error"]);
}

#[test]
fn a_workspace_that_was_never_valid_is_missed_with_the_reason() {
    let site = Site::new();
    site.workspace("bad", "{ \"enabled\": maybe }", CODE);
    for command in ["status", "deploy"] {
        let said = site.piton(["workspace", command, "bad"]);
        assert_ne!(said.code, 0, "{said}");
        assert!(said.err.contains("its declaration is broken") && said.err.contains("config.json:1"), "{said}");
    }
}

#[test]
fn what_every_run_would_refuse() {
    check(&[MAIN, (CONFIG, r#"{ "version": "about 1.9" }"#)], "config.json:1:14: error: version", &["about 1.9"]);
    check(&[MAIN, (CONFIG, r#"{ "env": { "PATH": "/x" } }"#)], "config.json:1:20: error: env", &["PATH"]);
    check(&[MAIN, (CONFIG, r#"{ "var_files": "/etc/x.tfvars" }"#)], "config.json:1", &["var_files"]);
    let job = r#"{ "name": "x", "type": "command", "command": "true", "environment": { "LD_PRELOAD": "x" } }"#;
    check(&[("jobs/x.json", job)], "jobs/x.json:1:85: error: x: environment", &["LD_PRELOAD"]);
    let jobs = "{\n  \"jobs\": [\n    { \"name\": \"x\", \"type\": \"command\", \"command\": \"true\",\n      \"environment\": { \"LD_PRELOAD\": \"x\" } }\n  ]\n}";
    check(&[MAIN, (CONFIG, jobs)], "config.json:4:38: error: x: environment", &["LD_PRELOAD"]);
    check(&[("piton.toml", "[iac]\nversion = 'about 1.9'\n")], "piton.toml:2: error: iac.version", &["about 1.9"]);
    let site = Site::new();
    site.workspace("good", r#"{ "version": "~> 1.9", "env": { "A": "b" }, "var_files": "x.tfvars" }"#, CODE);
    let said = site.piton(["config", "check"]);
    assert!(said.code == 0 && said.out.contains("warning: var_files: "), "{said}");
    site.write("workspaces/good/x.tfvars", "");
    let said = site.piton(["config", "check"]);
    assert!(said.code == 0 && !said.out.contains("warning"), "{said}");
}

#[test]
fn two_configurations_and_what_is_in_force() {
    let site = Site::new();
    site.write("piton.yaml", "scheduler:\n  max_concurrent_runs: 7\n").write("piton.json", "{}");
    for args in [vec!["config", "check"], vec!["config", "show", "--origin"], vec!["workspace", "list"]] {
        let said = site.piton(args.iter().copied());
        assert_eq!(said.code, 0, "{args:?}: {said}");
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains("piton.json") && all.contains("ignored"), "{args:?}: {said}");
    }
    let shown = site.json(["config", "show"]);
    assert_eq!(
        (&shown["scheduler.max_concurrent_runs"], &shown["iac.max_concurrent_deployments"]),
        (&"7".into(), &"4".into())
    );
    assert!(shown["scheduler.timezone"].is_string(), "{shown}");
}

#[test]
fn impossible_schedules() {
    check(&[MAIN, (CONFIG, "{\n  \"deploy_schedule\": \"0 0 30 2 *\"\n}")], "config.json:2", &["never"]);
    check(&[MAIN, (CONFIG, "{ \"deploy_schedule\": [\"0 9 * * *\", \"61 * * * *\"] }")], "config.json:1", &["61"]);
    check(
        &[MAIN, (CONFIG, "{ \"deploy_schedule\": \"0 9 * * *\", \"timezone\": \"Mars/Olympus\" }")],
        "config.json:1",
        &["Mars"],
    );
}

#[test]
fn modes_that_cannot_be() {
    check(&[MAIN, (CONFIG, r#"{ "mode_schedules": { "busy": "0 9 * * *" } }"#)], "config.json:1", &["template"]);
    let both = r#"{ "template": "t", "mode_schedules": { "busy": "0 9 * * *" }, "deploy_schedule": "0 9 * * *" }"#;
    check(&[(CONFIG, both)], "config.json:1", &["deploy_schedule", "mode_schedules"]);
}

#[test]
fn missing_code_and_templates() {
    check(&[(CONFIG, r#"{ "deploy_schedule": "0 9 * * *" }"#)], "config.json", &["main.tf"]);
    check(&[(CONFIG, r#"{ "deploy_schedule": "0 9 * * *", "template": "nowhere" }"#)], "config.json:1", &["nowhere"]);
}

#[test]
fn dependencies_in_a_circle() {
    let jobs = r#"{ "jobs": [
  { "name": "a", "type": "command", "command": "true", "depends_on": ["b"] },
  { "name": "b", "type": "command", "command": "true", "depends_on": ["a"] } ] }"#;
    check(&[MAIN, (CONFIG, jobs)], "config.json:", &["a", "b", "depend"]);
}

#[test]
fn names_that_leave_their_directory() {
    let site = Site::new();
    for name in ["../x", "a/b", "..", "-rf", ""] {
        let said = site.piton(["workspace", "status", "--", name]);
        assert!(said.code == 2 || said.code == 3, "{name:?}: {said}");
    }
    check(
        &[("jobs/x.json", r#"{ "name": "../x", "type": "command", "command": "true" }"#)],
        "jobs/x.json:1",
        &["../x"],
    );
}

#[test]
fn unknown_members_are_warnings_in_old_files_and_errors_in_the_configuration() {
    let site = Site::new();
    site.workspace("everest", r#"{ "enabled": false, "deploy_shedule": "0 9 * * *" }"#, CODE);
    let said = site.piton(["config", "check"]);
    assert_eq!(said.code, 0, "{said}");
    let all = format!("{}{}", said.out, said.err);
    assert!(all.contains("warning") && all.contains("deploy_schedule"), "no suggestion: {said}");
    site.write("piton.toml", "[scheduler]\nmax_concurent_runs = 3\n");
    let said = site.piton(["serve"]);
    assert_eq!(said.code, 78, "{said}");
    assert!(said.err.contains("piton.toml:2") && said.err.contains("max_concurrent_runs"), "{said}");
}

/// Programs read one document, whatever is wrong.
#[test]
fn a_wrong_configuration_is_told_in_the_document_of_the_check() {
    let site = Site::new();
    site.write("piton.toml", "[servr]\n");
    let said = site.piton(["config", "check", "-o", "json"]);
    assert_eq!(said.code, 78, "{said}");
    let check: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(check["valid"], false, "{said}");
    let found = &check["diagnostics"][0];
    assert_eq!((found["code"].as_str(), found["line"].as_u64()), (Some("unknown_key"), Some(1)), "{said}");
    let said = site.piton(["config", "check"]);
    assert!(said.code == 78 && said.out.starts_with("piton.toml:1:2: error: "), "{said}");
}

/// What keeps a daemon from starting is found by `config check`, in the same words.
#[test]
fn what_serve_refuses_is_found_before() {
    let google = "[provisioning.providers.google]\nadmin = 'a@example.org'\ncredentials = 'key.json'\n";
    let key = r#"{"type": "service_account", "client_email": "x@y", "private_key": "hunter22!"}"#;
    let headers =
        |name: &str| format!("[provisioning]\napi_url = 'https://h/'\nheaders = {{ '{name}' = 'hunter22' }}\n");
    for (config, files, words) in [
        (
            headers("Idempotency-Key"),
            vec![],
            ["piton.toml:3: error: provisioning.headers: ", "`Idempotency-Key` is set by Piton"],
        ),
        (headers("no name"), vec![], ["piton.toml:3: error: provisioning.headers: ", "is not the name of a header"]),
        (
            "[provisioning]\napi_url = 'http://169.254.169.254/x'\n".to_owned(),
            vec![],
            ["piton.toml:2: error: provisioning.api_url: ", "metadata"],
        ),
        (
            "[provisioning.webhooks]\nsuspend = 'ftp://h/'\n".to_owned(),
            vec![],
            ["piton.toml:2:11: error: provisioning.webhooks.suspend: ", "begins with `ftp:`"],
        ),
        (
            google.to_owned(),
            vec![],
            ["piton.toml:3: error: provisioning.providers.google.credentials: cannot read ", "key.json"],
        ),
        (
            google.to_owned(),
            vec![("key.json", key)],
            ["piton.toml:3: error: provisioning.providers.google.credentials: ", "it is not PEM"],
        ),
        (
            "[logging]\noutput = 'notes.txt/piton.log'\n".to_owned(),
            vec![("notes.txt", "")],
            ["piton.toml:2: error: logging.output: cannot write ", "notes.txt/piton.log"],
        ),
        (
            "[logging]\noutput = 'logs'\n".to_owned(),
            vec![("logs/x", "")],
            ["piton.toml:2: error: logging.output: cannot write ", "logs: "],
        ),
    ] {
        let site = Site::new();
        site.write("piton.toml", &config);
        for (path, text) in files {
            site.write(path, text);
        }
        for command in [["config", "check"].as_slice(), &["serve", "--listen", "127.0.0.1:0"]] {
            let said = site.piton(command.iter().copied());
            assert_eq!(said.code, 78, "{config}: {said}");
            let told = format!("{}{}", said.out, said.err);
            assert!(words.iter().all(|word| told.contains(word)) && told.contains("hint: "), "{config}: {said}");
            assert!(!told.contains("hunter22"), "{said}");
        }
    }
    let site = Site::new();
    site.write("piton.toml", "[logging]\noutput = 'new/piton.log'\n");
    assert_eq!(site.piton(["config", "check"]).code, 0);
    assert!(!site.path().join("new").exists(), "a check makes nothing");
}

#[test]
fn usage() {
    let site = Site::new();
    assert_eq!(site.piton(["workspace", "deplyo", "x"]).code, 2);
    assert_eq!(site.piton(["run", "show", "no-such-run"]).code, 3);
    let said = site.piton(["cron", "explain", "0 0 30 2 *"]);
    assert_eq!(said.code, 2, "{said}");
    let explained = site.json([
        "cron",
        "explain",
        "0 9 * * 1-5",
        "--tz",
        "Europe/Berlin",
        "--from",
        "2026-03-27T00:00:00Z",
        "-n",
        "2",
    ]);
    assert_eq!(explained["time_zone"], "Europe/Berlin");
    assert_eq!(explained["next"].as_array().unwrap().len(), 2);
    assert!(explained["description"].as_str().unwrap().contains("Monday"), "{explained}");
}

#[test]
fn listening_for_everyone_without_authentication_is_refused() {
    let site = Site::new();
    let said = site.piton(["serve", "--listen", "0.0.0.0:18080"]);
    assert_eq!(said.code, 78, "{said}");
    assert!(said.err.contains("insecure"), "{said}");
}
