//! Logs on a disk that is full.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use piton_keeper::{ExitStatus, LogFile, Output, Spec};

use crate::nest::{Nest, lives, token, until, within};

/// Mounts need a namespace of their own: one that vanishes with the test, and that needs no rights where the host lets
/// everybody have one.
#[test]
fn a_full_disk_blocks_then_drops_and_says_so() {
    let root = rustix::process::geteuid().is_root();
    #[expect(clippy::disallowed_methods, reason = "the test is its own child here")]
    let mut command = Command::new("unshare");
    command.args(if root { ["--mount"].as_slice() } else { &["--mount", "--map-root-user"] });
    command.arg(std::env::current_exe().unwrap()).args(["--ignored", "--exact", "full_disk::on_a_disk_of_its_own"]);
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "the second half of a test: started in a namespace by a_full_disk_blocks_then_drops_and_says_so"]
async fn on_a_disk_of_its_own() {
    let nest = Nest::new();
    let disk = nest.file("disk");
    fs::create_dir(&disk).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test mounts by itself")]
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m,mode=700", "piton"]).arg(&disk).status();
    assert!(mounted.unwrap().success(), "the disk could not be mounted");
    let client = nest.client().await;
    fill(&disk.join("filler"));

    // More than a pipe holds, so that the child has to wait, and then does not have to any more.
    let long = "seq 1 100000; echo done > finished; while [ ! -e go ]; do sleep 0.01; done; echo after";
    for (name, timestamps) in [("plain", false), ("stamped", true)] {
        let log = LogFile { path: disk.join(format!("{name}.log")), max_size: 100_000, max_backups: 2, timestamps };
        let spec = Spec { stdout: Output::Log(log), stderr: Output::Null, ..nest.script(long) };
        let spec = Spec { cwd: nest.file(name), ..spec };
        fs::create_dir(&spec.cwd).unwrap();
        client.spawn(&token(name), &spec).await.unwrap();
    }
    // One that ends while nothing can be written: its output waits for the disk, its end does not.
    let log = LogFile { path: disk.join("brief.log"), max_size: 0, max_backups: 0, timestamps: false };
    let brief = Spec { stdout: Output::Log(log), ..nest.script("echo brief; exit 5") };
    client.spawn(&token("brief"), &brief).await.unwrap();
    assert_eq!(within(client.wait(&token("brief"))).await.unwrap(), ExitStatus::Code(5));
    let keeper = client.keeper().keeper_pid;
    for name in ["plain", "stamped"] {
        assert!(!nest.file(name).join("finished").exists(), "{name} should wait for the disk at first");
    }
    for name in ["plain", "stamped"] {
        until("the child to be let go", || nest.file(name).join("finished").exists()).await;
    }
    // The keeper lives, and answers.
    assert!(lives(keeper));
    assert_eq!(client.list().await.unwrap().len(), 3);

    fs::remove_file(disk.join("filler")).unwrap();
    for name in ["plain", "stamped"] {
        // Told without being asked by more output.
        let path = disk.join(format!("{name}.log"));
        let told = || fs::read_to_string(&path).is_ok_and(|text| text.contains("bytes of output were lost"));
        until("the loss to be told", told).await;
        fs::write(nest.file(name).join("go"), "").unwrap();
        assert_eq!(within(client.wait(&token(name))).await.unwrap(), ExitStatus::Code(0));
        let text = fs::read_to_string(&path).unwrap();
        let lost: Vec<u64> = text.lines().filter_map(lost_in).collect();
        let [lost] = lost.as_slice() else { panic!("{text}") };
        assert!(text.ends_with("after\n"), "{text}");
        let line = text.lines().find(|line| lost_in(line).is_some()).unwrap();
        assert!(line.ends_with("bytes of output were lost: no space left on device"), "{line}");
        assert!(line.starts_with("piton: ") != (name == "stamped"), "{line}");
        if name == "plain" {
            // Every byte is in the log or counted.
            let written: u64 = (1..=100_000).map(|number: u64| number.to_string().len() as u64 + 1).sum();
            let kept = text.len() as u64 - line.len() as u64 - 1 - "after\n".len() as u64;
            let newline = u64::from(kept + lost == written + 1);
            assert_eq!(kept - newline + lost, written, "{line}");
        }
    }
    let brief = || fs::read_to_string(disk.join("brief.log")).is_ok_and(|text| text.contains("piton: 6 bytes"));
    until("the brief one's loss", brief).await;
    within(async { while client.stop(true).await.is_err() {} }).await;
    until("the keeper to end", || !lives(keeper)).await;
}

fn lost_in(line: &str) -> Option<u64> {
    line.split_once("piton: ")?.1.split_once(" bytes of output were lost")?.0.parse().ok()
}

/// Writes until nothing more fits, not even a byte.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}
