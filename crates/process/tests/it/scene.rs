//! A data directory with a keeper and one run, and nothing left of either afterwards.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use piton_logs::{LogStore, Redactor, RunLog};
use piton_model::RunId;
use piton_process::{Error, Exit, Invocation, Runner, StopSequence};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const SECRET: &str = "hunter2/hunter2";
/// Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs one test on a runtime of its own.
pub(crate) fn within(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("nothing should take this long") });
}

struct Home {
    path: PathBuf,
    owned: Option<TempDir>,
}

pub(crate) struct Scene {
    dir: Home,
    pub(crate) runner: Runner,
    pub(crate) logs: LogStore,
    pub(crate) run: RunId,
    pub(crate) stop: CancellationToken,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let dir = tempfile::Builder::new().prefix("piton-process-").tempdir().unwrap();
        Scene::of(Home { path: dir.path().to_owned(), owned: Some(dir) })
    }

    /// The same for a process that is only one of several daemons in this directory.
    pub(crate) fn join(path: PathBuf) -> Scene {
        Scene::of(Home { path, owned: None })
    }

    fn of(dir: Home) -> Scene {
        let (runner, logs) = daemon(&dir.path);
        let run = "0193a5c0-0000-7000-8000-000000000001".parse().unwrap();
        Scene { dir, runner, logs, run, stop: CancellationToken::new() }
    }

    /// The daemon is another one now; of the old one nothing is left but files.
    pub(crate) fn restart_daemon(&mut self) {
        (self.runner, self.logs) = daemon(&self.dir.path);
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path.join(name)
    }

    pub(crate) fn token(&self, what: &str) -> String {
        format!("{}/1/execute/{what}", self.run)
    }

    /// A shell script in the data directory.
    pub(crate) fn script(&self, what: &str, script: &str) -> Invocation {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
        Invocation {
            token: self.token(what),
            argv: vec!["sh".into(), "-c".into(), script.into()],
            env: BTreeMap::from([("PATH".into(), path), ("SECRET".into(), SECRET.into())]),
            cwd: self.dir.path.clone(),
            header: format!("$ {what}"),
            stop: StopSequence::job(),
            limits: piton_process::Limits::default(),
        }
    }

    pub(crate) async fn open(&self) -> RunLog {
        self.logs.open(self.run, Redactor::new([SECRET.to_owned()])).await.unwrap()
    }

    pub(crate) async fn run(&self, invocation: &Invocation) -> Result<Exit, Error> {
        let attended = self.runner.run(invocation, self.run, &self.open().await, &self.stop).await?;
        assert!(attended.unwritten.is_none(), "{attended:?}");
        Ok(attended.exit)
    }

    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.logs.run_dir(self.run).join("log")).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) async fn until_log_holds(&self, text: &str) {
        let log = self.logs.run_dir(self.run).join("log");
        until(text, || fs::read_to_string(&log).is_ok_and(|log| log.contains(text))).await;
    }

    /// A pid that a script wrote into a file, once it has.
    pub(crate) async fn pid_in(&self, name: &str) -> u32 {
        let text = || fs::read_to_string(self.file(name)).unwrap_or_default();
        until(name, || text().ends_with('\n')).await;
        text().trim().parse().unwrap()
    }

    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.file(name), "").unwrap();
    }

    /// Kills the keeper as nothing should ever do, and waits until it is gone.
    pub(crate) async fn kill_keeper(&self) {
        let pid: u32 = fs::read_to_string(self.file("keeper.lock")).unwrap().trim().parse().unwrap();
        kill(pid);
        until("the keeper's death", || !lives(pid)).await;
    }
}

fn daemon(dir: &Path) -> (Runner, LogStore) {
    let logs = LogStore::new(dir.join("runs"));
    let argv: Vec<OsString> = vec![std::env::current_exe().unwrap().into(), "keeper".into(), dir.into()];
    (Runner::new(dir.to_owned(), argv, logs.clone()), logs)
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.dir.owned.is_none() {
            return;
        }
        // Whatever belongs to this directory says so in its arguments or its environment.
        let mark = self.dir.path.to_string_lossy().into_owned();
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

/// What a script prints that counts.
pub(crate) fn count(up_to: usize, line: impl Fn(usize) -> String) -> String {
    (0..up_to).map(line).collect::<Vec<_>>().concat()
}
