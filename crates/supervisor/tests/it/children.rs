//! A directory with a keeper, and nothing left of either afterwards.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use piton_keeper::{Child, Limits, Output, Remembered, Spec};
use piton_process::Keeping;
use piton_supervisor::Surroundings;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs one test on a runtime of its own.
pub(crate) fn within(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("nothing should take this long") });
}

pub(crate) struct Children {
    dir: TempDir,
    pub(crate) keeping: Keeping,
}

impl Children {
    pub(crate) fn new() -> Children {
        let dir = tempfile::Builder::new().prefix("piton-supervisor-").tempdir().unwrap();
        let keeping = keeping(dir.path());
        Children { dir, keeping }
    }

    /// The supervisor is another one now.
    pub(crate) fn restart(&mut self) {
        self.keeping = keeping(self.dir.path());
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    pub(crate) fn env() -> BTreeMap<String, String> {
        BTreeMap::from([("OWN".to_owned(), "owner's".to_owned())])
    }

    pub(crate) fn around(&self) -> Surroundings {
        Surroundings { token_prefix: "test".to_owned(), env: Self::env(), work_dir: self.path().to_owned() }
    }

    /// Starts a shell script as a child.
    pub(crate) async fn script(&self, token: &str, script: &str) -> Child {
        let spec = Spec {
            argv: ["/bin/sh", "-c", script].map(OsString::from).into(),
            env: BTreeMap::new(),
            cwd: self.path().to_owned(),
            stdout: Output::Null,
            stderr: Output::Null,
            limits: Limits::default(),
            remembered: Remembered::default(),
        };
        self.keeping.start(&token.parse().unwrap(), &spec).await.unwrap()
    }

    /// Numbers that scripts wrote into a file, one a line, once there are so many.
    pub(crate) async fn numbers_in(&self, name: &str, count: usize) -> Vec<u32> {
        until(name, || self.text(name).matches('\n').count() >= count).await;
        self.text(name).lines().map(|line| line.trim().parse().unwrap()).collect()
    }

    /// Kills the keeper as nothing should ever do, and waits until it is gone.
    pub(crate) async fn kill_keeper(&self) {
        let pid: u32 = self.text("keeper.lock").trim().parse().unwrap();
        kill(pid);
        until("the keeper's death", || !lives(pid)).await;
    }
}

fn keeping(dir: &Path) -> Keeping {
    let argv: Vec<OsString> = vec![std::env::current_exe().unwrap().into(), "keeper".into(), dir.into()];
    Keeping::new(dir.to_owned(), argv)
}

impl Drop for Children {
    fn drop(&mut self) {
        // Whatever belongs to this directory says so in its arguments or its environment.
        let mark = self.dir.path().to_string_lossy().into_owned();
        let is_ours = |pid: u32| {
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let names = |text: Vec<u8>| String::from_utf8_lossy(&text).contains(&mark);
            pid != std::process::id() && lives(pid) && (names(read("cmdline")) || names(read("environ")))
        };
        while processes().filter(|pid| is_ours(*pid)).map(kill).count() > 0 {}
    }
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

pub(crate) fn kill(pid: u32) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
}

/// Whether the process is there and no zombie.
pub(crate) fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

/// Looks until the condition holds; the test's own deadline ends a search in vain.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let search = async {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while !condition() {
            tick.tick().await;
        }
    };
    let found = tokio::time::timeout(PATIENCE / 2, search).await;
    assert!(found.is_ok(), "waited in vain for: {what}");
}
