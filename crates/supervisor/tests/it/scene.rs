//! A directory with a keeper, a supervisor that may come back, and nothing left of either afterwards.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use piton_model::{Group, Name, Process, Program, RestartWhen};
use piton_process::Keeping;
use piton_supervisor::{Declared, FileMemory, InstanceState, InstanceStatus, Selector, Settings, Supervisor};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Scene {
    // Dropped first, so that it starts nothing again of what the home ends.
    pub(crate) supervisor: Supervisor,
    home: Home,
}

/// The directory, and all processes that belong to it.
struct Home(TempDir);

impl Scene {
    pub(crate) async fn new() -> Scene {
        let home = Home::new();
        let supervisor = open(&home.0).await;
        Scene { supervisor, home }
    }

    /// A scene in which nobody but the keeper touches the logs.
    pub(crate) async fn without_upkeep() -> Scene {
        let home = Home::new();
        let supervisor = open_as(Settings { keep_logs_every: None, ..settings(home.0.path()) }).await;
        Scene { supervisor, home }
    }

    /// A scene in which this is declared.
    pub(crate) async fn with(processes: impl IntoIterator<Item = Process>) -> Scene {
        let scene = Scene::new().await;
        scene.apply(processes).await;
        scene
    }

    /// The supervisor goes, and another one comes.
    pub(crate) async fn come_back(self) -> Scene {
        let Scene { supervisor, home } = self;
        drop(supervisor);
        let supervisor = open(&home.0).await;
        Scene { supervisor, home }
    }

    /// The supervisor goes, something happens, and only then another one comes.
    pub(crate) async fn go_and_come_back_when<F: FnMut() -> bool>(self, meanwhile: impl FnOnce(&Path) -> F) -> Scene {
        let Scene { supervisor, home } = self;
        drop(supervisor);
        until("what happens meanwhile", meanwhile(home.0.path())).await;
        let supervisor = open(&home.0).await;
        Scene { supervisor, home }
    }

    pub(crate) async fn apply(&self, processes: impl IntoIterator<Item = Process>) {
        self.supervisor.apply(declared(processes)).await.unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.file(name), "").unwrap();
    }

    pub(crate) fn status(&self, name: &str) -> InstanceStatus {
        let found = self.supervisor.status(&name_of(name)).unwrap();
        found.into_iter().find(|status| status.name == name).unwrap()
    }

    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.status(name).pid.unwrap()
    }

    pub(crate) async fn until_state(&self, name: &str, state: InstanceState) -> InstanceStatus {
        self.until_status(name, state.as_str(), |status| status.state == state).await
    }

    pub(crate) async fn until_status(
        &self,
        name: &str,
        what: &str,
        is_it: impl Fn(&InstanceStatus) -> bool,
    ) -> InstanceStatus {
        let find = || self.supervisor.status(&name_of(name)).ok()?.into_iter().find(|status| status.name == name);
        until(&format!("{name} {what}"), || find().is_some_and(|status| is_it(&status))).await;
        find().unwrap()
    }

    /// A pid that a script wrote into a file, once it has.
    pub(crate) async fn pid_in(&self, name: &str) -> u32 {
        until(name, || self.read(name).ends_with('\n')).await;
        self.read(name).trim().parse().unwrap()
    }

    /// What the keeper holds.
    pub(crate) async fn held(&self) -> Vec<piton_keeper::Child> {
        let Settings { keeper_dir, keeper_argv, .. } = settings(self.home.0.path());
        Keeping::new(keeper_dir, keeper_argv).held().await.unwrap()
    }

    pub(crate) async fn until_no_hook_is_held(&self) {
        let search = async {
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            while self.held().await.iter().any(|child| child.token.as_str().starts_with("hook/")) {
                tick.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("the keeper may forget all hooks");
    }

    /// Kills the keeper as nothing should ever do, and waits until it is gone.
    pub(crate) async fn kill_keeper(&self) {
        let pid: u32 = self.read("keeper.lock").trim().parse().unwrap();
        kill(pid);
        until("the keeper's death", || !lives(pid)).await;
    }
}

pub(crate) fn settings(dir: &Path) -> Settings {
    let keeper_argv: Vec<OsString> = vec![std::env::current_exe().unwrap().into(), "keeper".into(), dir.into()];
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    Settings {
        keeper_dir: dir.to_owned(),
        keeper_argv,
        work_dir: dir.to_owned(),
        log_dir: dir.join("logs"),
        pid_dir: dir.join("pids"),
        environment: BTreeMap::from([("PATH".to_owned(), path)]),
        measure_every: Some(Duration::from_millis(50)),
        measurements: 5,
        keep_logs_every: Some(Duration::from_millis(20)),
    }
}

async fn open(dir: &TempDir) -> Supervisor {
    open_as(settings(dir.path())).await
}

async fn open_as(settings: Settings) -> Supervisor {
    let memory = FileMemory::new(settings.keeper_dir.join("wishes.json"));
    Supervisor::open(settings, Arc::new(memory)).await.unwrap()
}

pub(crate) fn declared(processes: impl IntoIterator<Item = Process>) -> Declared {
    let processes = processes.into_iter().map(|process| (process.name.clone(), Arc::new(process))).collect();
    Declared { processes, groups: BTreeMap::new() }
}

pub(crate) fn group(name: &str, members: &[&str]) -> (Name, Arc<Group>) {
    let members = members.iter().map(|member| Name::parse(member).unwrap()).collect();
    let name = Name::parse(name).unwrap();
    (name.clone(), Arc::new(Group { name, members }))
}

/// A shell script that is kept running.
pub(crate) fn process(name: &str, line: &str) -> Process {
    let mut process = Process::new(Name::parse(name).unwrap(), Program::Shell { line: line.to_owned() });
    process.restart.when = RestartWhen::Always;
    process.restart.delay = Duration::ZERO;
    process
}

/// One that does nothing until it is stopped.
pub(crate) fn idle(name: &str) -> Process {
    process(name, "exec sleep 100000")
}

pub(crate) fn name_of(name: &str) -> Selector {
    Selector::name(name).unwrap()
}

impl Home {
    fn new() -> Home {
        Home(tempfile::Builder::new().prefix("piton-supervisor-").tempdir().unwrap())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Whatever belongs to this directory says so in its arguments or its environment.
        let mark = self.0.path().to_string_lossy().into_owned();
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
    send(pid, Signal::KILL);
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
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
    let found = tokio::time::timeout(PATIENCE, search).await;
    assert!(found.is_ok(), "waited in vain for: {what}");
}
