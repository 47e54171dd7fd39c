//! A data directory with a keeper, and whoever holds the runs in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use piton_exec::{Config, Exec, Git, Passed, StepInput, Templates};
use piton_logs::LogStore;
use piton_model::{
    Action, ApprovalPolicy, Backoff, By, Command, CustomCommands, Decision, Event, Iac, Mode, Name, NewRun, Operation,
    Origin, Outcome, Program, Report, Run, RunId, RunState, Secret, Source, Subject, ToolChoice, WorkerId,
};
use piton_process::{Environment, Runner};
use piton_tools::Manager;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::tool::Tool;

/// Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs one test on a runtime of its own.
pub(crate) fn within(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("nothing should take this long") });
}

pub(crate) struct Scene {
    dir: TempDir,
    pub(crate) exec: Exec,
    pub(crate) runner: Runner,
    pub(crate) logs: LogStore,
    pub(crate) stop: CancellationToken,
    pub(crate) progress: watch::Sender<Option<Report>>,
    pub(crate) suspended: watch::Sender<bool>,
    ids: std::cell::Cell<u8>,
}

impl Scene {
    pub(crate) fn new(tool: Option<&Tool>) -> Scene {
        Scene::with(tool, |config| config)
    }

    /// An installation that is set up in some way of its own.
    pub(crate) fn with(tool: Option<&Tool>, set_up: impl FnOnce(Config) -> Config) -> Scene {
        let dir = tempfile::Builder::new().prefix("piton-exec-").tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        if let Some(tool) = tool {
            symlink(&tool.path, bin.join(tool.program)).unwrap();
        }
        let (exec, runner, logs) = daemon(dir.path(), set_up);
        Scene {
            dir,
            exec,
            runner,
            logs,
            stop: CancellationToken::new(),
            progress: watch::Sender::new(None),
            suspended: watch::Sender::new(false),
            ids: 0.into(),
        }
    }

    /// The daemon is another one now; of the old one nothing is left but files.
    pub(crate) fn restart_daemon(&mut self) {
        self.restart_with(|config| config);
    }

    /// The same, set up in some way of its own.
    pub(crate) fn restart_with(&mut self, set_up: impl FnOnce(Config) -> Config) {
        (self.exec, self.runner, self.logs) = daemon(self.dir.path(), set_up);
    }

    /// The keeper dies, and nothing else.
    pub(crate) fn kill_keeper(&self) {
        let data = self.path("data").display().to_string();
        let is_keeper = |pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<String> =
                words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
            matches!(words.as_slice(), [_, word, dir, ..] if word == "keeper" && *dir == data)
        };
        assert_eq!(processes().filter(is_keeper).map(kill).count(), 1);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the code of a workspace, in place of what it was.
    pub(crate) fn code(&self, files: &[(&str, &str)]) -> Source {
        let root = self.path("source");
        let _ = fs::remove_dir_all(&root);
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Source::Directory { path: root }
    }

    pub(crate) fn deployment(&self) -> PathBuf {
        self.path("data/deployments/everest")
    }

    pub(crate) fn run(&self, iac: Iac) -> Run {
        self.run_of(Subject::Workspace(name("everest")), Action::Iac(iac))
    }

    pub(crate) fn run_of(&self, subject: Subject, action: Action) -> Run {
        self.ids.set(self.ids.get() + 1);
        let new = NewRun {
            id: RunId::new(now(0), [self.ids.get(); 10]),
            subject,
            action,
            origin: Origin::call(By::System),
            due: now(0),
            priority: 0,
            retry: Backoff::NONE,
            retry_of: None,
            dedup_key: None,
            lock_key: None,
        };
        claimed(&Run::submitted(new, now(0)))
    }

    /// Does the step the run is in, and takes the run on.
    pub(crate) async fn step(&self, run: &Run, resumed: bool) -> Run {
        let lease = run.lease().unwrap();
        let step = run.step().unwrap();
        let input = StepInput {
            run,
            step,
            attempt: lease.attempt,
            stop: self.stop.clone(),
            resumed,
            progress: self.progress.clone(),
            suspended: self.suspended.subscribe(),
        };
        let event = match self.exec.step(input).await {
            Ok(Passed::Next(report)) => Event::StepPassed { step, report },
            Ok(Passed::Done(report)) => Event::Done { report },
            Ok(Passed::Gate { gate, expires_in, report }) => {
                let expires = now(2).checked_add(SignedDuration::try_from(expires_in).unwrap()).unwrap();
                Event::GateReached { gate, expires, report }
            }
            Err(failure) => Event::Failed { failure },
        };
        run.apply(&event, now(2)).unwrap()
    }

    /// Does all steps until the run ends or waits for somebody.
    pub(crate) async fn drive(&self, mut run: Run) -> Run {
        while matches!(run.state, RunState::Running { .. }) {
            run = self.step(&run, false).await;
        }
        run
    }

    pub(crate) async fn drive_to(&self, mut run: Run, word: &str) -> Run {
        while run.step().expect("the run ended before that step").as_str() != word {
            run = self.step(&run, false).await;
        }
        run
    }

    /// Drives a new run to its end, which has to be a good one.
    pub(crate) async fn succeed(&self, iac: Iac) -> Run {
        let run = self.drive(self.run(iac)).await;
        assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{}", self.log(&run));
        run
    }

    pub(crate) fn log(&self, run: &Run) -> String {
        String::from_utf8_lossy(&fs::read(self.logs.run_dir(run.id).join("log")).unwrap_or_default()).into_owned()
    }

    /// The state file of the deployment.
    pub(crate) fn state(&self) -> serde_json::Value {
        let text = fs::read(self.deployment().join("terraform.tfstate")).expect("there should be a state");
        serde_json::from_slice(&text).unwrap()
    }

    pub(crate) fn resources(&self) -> Vec<String> {
        let state = self.state();
        let named = state["resources"].as_array().unwrap().iter();
        named.map(|resource| resource["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn git(&self) -> Git {
        Git::new(environment(self.dir.path()))
    }

    pub(crate) async fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let search = async {
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            while !condition() {
                tick.tick().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE / 2, search).await;
        assert!(found.is_ok(), "waited in vain for: {what}");
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn mode(text: &str) -> Mode {
    Mode(name(text))
}

pub(crate) fn deploy(source: Source) -> Iac {
    iac(source, Operation::Deploy { mode: None })
}

pub(crate) fn iac(source: Source, operation: Operation) -> Iac {
    Iac {
        operation,
        source,
        deployment: name("everest"),
        workspace_name: Some(name("everest")),
        tool: ToolChoice::Auto,
        version: None,
        vars: BTreeMap::new(),
        var_files: Vec::new(),
        env: BTreeMap::new(),
        approval: ApprovalPolicy::None,
        timeout: Duration::from_secs(3600),
        commands: CustomCommands::default(),
        init_flags: vec![],
        plan_flags: vec![],
        source_digest: None,
        declaration_digest: None,
        state_at: None,
    }
}

pub(crate) fn command(program: Program) -> Command {
    let timeout = Duration::from_secs(60);
    Command { program, env: BTreeMap::new(), deployment: name("everest"), working_dir: None, timeout }
}

pub(crate) fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret<String>> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect()
}

/// A worker takes the run.
pub(crate) fn claimed(run: &Run) -> Run {
    let event = Event::Claimed {
        worker: WorkerId::new("test"),
        attempt: piton_model::AttemptNo::after(run.attempts),
        lease_until: now(1_000),
        uptime: None,
    };
    run.apply(&event, now(1)).unwrap()
}

/// Somebody approves what was shown, and a worker takes the run.
pub(crate) fn approved(run: &Run) -> Run {
    let RunState::Gated { gate, .. } = &run.state else { panic!("it waits for nobody: {:?}", run.state) };
    let decision = Decision::Approve { digest: gate.digest.clone() };
    let run = run.apply(&Event::Decided { decision, by: By::User("carol".to_owned()) }, now(3)).unwrap();
    claimed(&run)
}

pub(crate) fn failure(run: &Run) -> piton_model::Failure {
    run.outcome().and_then(Outcome::failure).unwrap_or_else(|| panic!("no failure: {:?}", run.state)).clone()
}

fn now(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).unwrap()
}

fn environment(root: &Path) -> Environment {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    Environment::default().set("PATH", path).set("HOME", root.display().to_string())
}

fn daemon(root: &Path, set_up: impl FnOnce(Config) -> Config) -> (Exec, Runner, LogStore) {
    let data = root.join("data");
    fs::create_dir_all(&data).unwrap();
    let logs = LogStore::new(data.join("runs"));
    let argv: Vec<OsString> = vec![std::env::current_exe().unwrap().into(), "keeper".into(), data.clone().into()];
    let runner = Runner::new(data.clone(), argv, logs.clone());
    let tools = Manager::new(piton_tools::Config {
        path_env: root.join("bin").into(),
        ..piton_tools::Config::new(data.join("tools"))
    });
    let config = set_up(Config { lock_timeout: Duration::ZERO, ..Config::new(&data, environment(root)) });
    let known_hosts = Some(root.join("known_hosts")).filter(|file| file.exists());
    let git = Git::new(environment(root)).guarded(config.guard.clone()).knowing_hosts_of(known_hosts);
    let templates = Templates::new(data.join("templates"), git);
    (Exec::new(config, runner.clone(), logs.clone(), tools, templates), runner, logs)
}

impl Drop for Scene {
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

fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}
