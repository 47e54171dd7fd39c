//! A program with jobs of its own, run, killed and run again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where cargo puts examples: beside the directory of this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples/jobs")
}

/// The directory; no process of it is left afterwards.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::Builder::new().prefix("piton-jobs-").tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(example());
        command.arg(self.path()).stdin(Stdio::null());
        command
    }

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    fn ledger(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path().join("ledger")).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let mark = self.path().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let names = |file: &str| {
                let text = fs::read(entry.path().join(file)).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(&mark)
            };
            if pid != std::process::id() && (names("cmdline") || names("environ")) {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
            }
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_example_does_what_it_says() {
    let home = Home::new();
    let said = text(&home.run());
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..3], ["import was made", "import Succeeded: 3 tasks succeeded", "each said so: true"], "{said}");
    assert!(lines[3].starts_with("failing Failed: "), "{said}");
    assert_eq!(lines[4..], ["a tick: true"], "{said}");
    assert_eq!(home.ledger(), ["begun 0", "begun 1", "begun 2"]);
    // What was made stays made.
    let said = text(&home.run());
    assert!(said.starts_with("import was made before\nimport Succeeded: 3 tasks succeeded\n"), "{said}");
    assert_eq!(home.ledger().len(), 3);
}

#[test]
fn a_killed_program_takes_its_jobs_back() {
    let home = Home::new();
    fs::write(home.path().join("wait"), "").unwrap();
    let mut program: Child = home.command().stdout(Stdio::null()).spawn().unwrap();
    until("two tasks run", || home.ledger() == ["begun 0", "begun 1"]);
    program.kill().unwrap();
    program.wait().unwrap();
    fs::remove_file(home.path().join("wait")).unwrap();
    let said = text(&home.run());
    assert!(said.starts_with("import was made before\nimport Succeeded: 3 tasks succeeded\n"), "{said}");
    assert_eq!(home.ledger(), ["begun 0", "begun 1", "begun 2"], "each ran once");
}

#[test]
fn a_second_program_is_refused() {
    let home = Home::new();
    fs::write(home.path().join("wait"), "").unwrap();
    let mut program: Child = home.command().stdout(Stdio::null()).spawn().unwrap();
    until("two tasks run", || home.ledger().len() == 2);
    let refused = home.run();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("InUse"), "{said}");
    program.kill().unwrap();
    program.wait().unwrap();
}
