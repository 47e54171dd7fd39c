//! A data directory on a disk that is full.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::site::{Said, Site, until};

/// So many jobs can be asked for before the room in the database's log is used up.
const JOBS: usize = 200;

/// Mounts need a namespace of their own: one that vanishes with the test, and that needs no rights where the host lets
/// everybody have one.
#[test]
fn a_full_disk_refuses_precisely_and_is_got_over() {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    command.args(if root { ["--mount"].as_slice() } else { &["--mount", "--map-root-user"] });
    command.arg(std::env::current_exe().unwrap()).args(["--ignored", "--exact", "full_disk::on_a_disk_of_its_own"]);
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "the second half of a test: started in a namespace by a_full_disk_refuses_precisely_and_is_got_over"]
fn on_a_disk_of_its_own() {
    let site = Site::new();
    for job in 0..JOBS {
        let text = format!(r#"{{"name": "job-{job}", "type": "command", "schedule": "0 0 1 1 *", "command": "true"}}"#);
        site.write(format!("jobs/job-{job}.json"), &text);
    }
    fs::create_dir(site.data()).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=700", "piton"]).arg(site.data()).status();
    assert!(mounted.unwrap().success(), "the disk could not be mounted");
    let daemon = site.serve();
    let before = site.piton(["job", "run", "job-0"]);
    assert_eq!(before.code, 0, "{before}");

    let filler = site.data().join("filler");
    fill(&filler);
    let mut accepted = 0;
    let refused: Option<Said> = (1..JOBS).find_map(|job| {
        let said = site.piton(["job", "run", &format!("job-{job}"), "--detach", "-o", "json"]);
        accepted += usize::from(said.code == 0);
        (said.code != 0).then_some(said)
    });
    let refused = refused.expect("a full disk was not noticed");
    assert_eq!(refused.code, 1, "{refused}");
    let problem: Value = serde_json::from_str(&refused.err).unwrap_or_else(|error| panic!("{error}: {refused}"));
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("disk_full"), Some(507)), "{problem:#}");
    assert!(problem["detail"].as_str().unwrap().contains("nothing was recorded"), "{problem:#}");
    assert!(problem["hint"].as_str().unwrap().contains("free some space"), "{problem:#}");
    // What can be read still is, and the daemon lives.
    assert_eq!(site.piton(["run", "list"]).code, 0);

    fs::remove_file(filler).unwrap();
    until("there is room again", || site.piton(["job", "run", "job-0"]).code == 0);
    until("everything has ended", || {
        site.json(["run", "list", "--limit", "1000"]).as_array().unwrap().iter().all(|run| run["state"] == "ended")
    });
    let runs = site.json(["run", "list", "--limit", "1000"]).as_array().unwrap().len();
    assert_eq!(runs, accepted + 2, "what was refused is not there, and what was accepted is");
    site.audit();
    assert_eq!(daemon.shutdown(), 0);
}

/// Writes until nothing more fits, not even a byte.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}
