//! Faults of the place that Piton runs in.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use crate::site::{PITON, Site, kill, until};

const NEVER: &str = r#"{"deploy_schedule": "0 0 1 1 *", "catch_up": "skip"}"#;
const CODE: &str = r#"resource "terraform_data" "this" {}"#;

#[test]
fn a_mistyped_directory_is_not_made() {
    let site = Site::new();
    for command in ["serve", "status"] {
        let said = site.piton(["--dir", "nowhere", command]);
        assert_eq!(said.code, 78, "{said}");
        assert!(said.err.contains("there is no directory"), "{said}");
    }
    assert!(!site.path().join("nowhere").exists());
}

#[test]
fn a_file_where_the_data_directory_should_be_is_called_so() {
    let site = Site::new();
    fs::write(site.data(), "").unwrap();
    let said = site.piton(["status"]);
    assert_eq!(said.code, 1, "{said}");
    assert!(said.err.contains("not a directory"), "{said}");
}

#[test]
fn whoever_only_looks_leaves_no_directory_and_no_database() {
    let site = Site::new();
    site.workspace("k2", NEVER, CODE);
    let data = site.data().display().to_string();
    for args in [
        &["status"][..],
        &["doctor"],
        &["workspace", "list"],
        &["workspace", "status", "k2"],
        &["job", "list"],
        &["template", "list"],
        &["run", "list"],
        &["tool", "list"],
    ] {
        let said = site.piton(args.iter().copied());
        assert_eq!(said.code, 0, "{args:?}: {said}");
        assert!(!site.data().exists(), "{args:?} made something");
        if args == ["status"] {
            assert!(said.err.contains(&format!("there is no {data} yet")), "{said}");
        }
    }
    for args in [
        &["run", "logs", "-f", "0199d6a2-7c00-7000-8000-000000000000"][..],
        &["workspace", "logs", "-f", "k2"],
        &["job", "logs", "-f", "none"],
    ] {
        let said = site.piton(args.iter().copied());
        assert!(said.code == 3 && !site.data().exists(), "{args:?}: {said}");
    }
    let said = site.named("workspacectl", ["list"]);
    assert!(said.code == 0 && !site.data().exists(), "{said}");
    let said = site.piton(["shutdown"]);
    assert!(said.code == 7 && said.err.contains(&data) && !site.data().exists(), "{said}");
    // What is changed stays.
    let declared = site.piton(["process", "register", "--name", "web", "--command", "sleep 60"]);
    assert!(declared.code == 0 && site.data().is_dir(), "{declared}");
}

#[test]
fn a_daemon_is_found_after_its_data_directory_was_changed_in_the_configuration() {
    let site = Site::new();
    site.workspace("k2", NEVER, CODE);
    let daemon = site.serve();
    let elsewhere = site.path().join("elsewhere");
    site.write("piton.toml", "[data]\ndir = 'elsewhere'\n");
    let said = site.piton(["status"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.out.contains(&format!("running as process {}", daemon.pid())), "{said}");
    let told = format!("piton.toml:2: warning: data.dir: the daemon of this directory, process {}", daemon.pid());
    assert!(said.err.contains(&told) && said.err.contains(&site.data().display().to_string()), "{said}");
    // Whoever names a data directory means that one.
    let named = site.command(PITON).env("PITON_DATA__DIR", "elsewhere").arg("status").output().unwrap();
    let named = String::from_utf8(named.stdout).unwrap();
    assert!(named.contains("not running") && named.contains(&elsewhere.display().to_string()), "{named}");
    assert!(!elsewhere.exists(), "something was made to look");
    assert_eq!(daemon.shutdown(), 0, "it can be ended, too");
    let said = site.piton(["status"]);
    assert!(said.code == 0 && said.out.contains("not running"), "{said}");
    assert!(!elsewhere.exists(), "something was made to look");
}

#[test]
fn a_daemon_whose_data_directory_is_gone_ends_and_says_so() {
    let site = Site::new();
    site.workspace("k2", NEVER, CODE);
    let daemon = site.serve();
    let away = site.path().join("away");
    fs::rename(site.data(), &away).unwrap();
    until("the daemon notices", || site.daemon_log().contains("is gone"));
    assert_eq!(daemon.terminate(), 1);
    fs::rename(&away, site.data()).unwrap();
    site.audit();
}

#[test]
fn a_stopped_daemon_does_not_hang_its_commands() {
    let site = Site::new();
    let daemon = site.serve();
    kill(daemon.pid(), "STOP");
    let said = site.piton(["status"]);
    kill(daemon.pid(), "CONT");
    assert_eq!(said.code, 7, "{said}");
    assert!(said.err.contains(&format!("process {}, which does not answer", daemon.pid())), "{said}");
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn a_long_log_is_printed_as_it_comes() {
    let site = Site::new();
    let script =
        r#"{"name": "long", "type": "command", "schedule": "0 0 1 1 *", "command": "yes piton | head -c 4000000"}"#;
    site.write("jobs/long.json", script);
    let said = site.piton(["job", "run", "long", "--detach"]);
    assert_eq!(said.code, 0, "{said}");
    let run = said.out.trim();
    let whole = site.log(run);
    assert!(whole.starts_with("$ yes piton | head -c 4000000\npiton\n"), "{}", &whole[..100]);
    assert_eq!(whole.lines().filter(|line| *line == "piton").count(), 4_000_000 / 6);

    let mut command = site.command(PITON);
    let mut reader = command.args(["run", "logs", run]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    reader.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"$ yes pito");
    let ended = reader.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(141), vec![]));
}

#[test]
fn what_is_over_cannot_be_cancelled() {
    let site = Site::new();
    site.write("jobs/once.json", r#"{"name": "once", "type": "command", "schedule": "0 0 1 1 *", "command": "true"}"#);
    assert_eq!(site.piton(["job", "run", "once"]).code, 0);
    let run = site.runs("job/once")[0]["id"].as_str().unwrap().to_owned();
    let said = site.piton(["run", "cancel", &run]);
    assert_eq!(said.code, 5, "{said}");
    assert_eq!(said.err, "error: this cannot be done to a run that is ended: it is over\n");
}
