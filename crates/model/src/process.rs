//! Programs that are kept running: what a process is, when it is started again, and how it is stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Hooks, Name, Program, Secret};

/// A program of which a number of instances is kept running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its name. With more than one instance these are called `NAME-1`, `NAME-2` and so on.
    pub name: Name,
    /// What each instance runs.
    pub program: Program,
    /// The absolute working directory; none for the directory of the declarations.
    pub work_dir: Option<PathBuf>,
    /// Environment: the global one, that of environment files and its own, with all references resolved.
    pub env: BTreeMap<String, Secret<String>>,
    /// Whether it sees the whole environment of the daemon below that, and not only what every child may see.
    pub inherit_env: bool,
    /// How many instances there are.
    pub instances: u32,
    /// Lower starts earlier and stops later.
    pub priority: i32,
    /// Whether it is started when it is declared and when the daemon starts.
    pub auto_start: bool,
    /// How a start is judged and tried again.
    pub start: StartPolicy,
    /// What happens after an end that nobody asked for.
    pub restart: RestartPolicy,
    /// How it is stopped.
    pub stop: StopPolicy,
    /// What has to be up before it is started; stopped after it.
    pub depends_on: Vec<Dependency>,
    /// How it is seen whether it is up, ready and alive.
    pub probes: Probes,
    /// Further ways to see that it is alive.
    pub detectors: Vec<Detector>,
    /// What is run around its starts and stops.
    pub hooks: Hooks,
    /// Where the process id is written to; none for `PID_DIR/INSTANCE.pid`.
    pub pid_file: Option<PathBuf>,
    /// Where its output goes.
    pub output: OutputPolicy,
    /// As whom and within which limits it runs.
    pub confinement: Confinement,
}

/// How a start is judged and tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartPolicy {
    /// It counts as started once it has run so long.
    pub duration: Duration,
    /// How often a start that failed is tried again before it counts as failed.
    pub retries: u32,
    /// The time between these tries.
    pub retry_interval: Duration,
}

/// When an instance that ended is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// After which ends.
    pub when: RestartWhen,
    /// Exit codes that are a success.
    pub success_codes: BTreeSet<i32>,
    /// The delay before the first restart.
    pub delay: Duration,
    /// By what the delay is multiplied for every further restart, in percent: 100 keeps it, 200 doubles it.
    pub growth_percent: u32,
    /// No delay is longer.
    pub delay_cap: Duration,
    /// Having run so long, it counts as healthy, and the delay begins anew.
    pub reset_after: Duration,
    /// More than so many restarts within `flap_window` are given up as fatal; none for no limit.
    pub flap_limit: Option<u32>,
    /// See `flap_limit`.
    pub flap_window: Duration,
}

/// After which ends an instance is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartWhen {
    /// After every end that nobody asked for.
    Always,
    /// After every end but a success.
    OnFailure,
    /// Never.
    Never,
}

/// How an instance is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// Run first, to ask politely; the signals follow if that did not end it.
    pub command: Option<Program>,
    /// Signals to the process group, and the time to react to each. What is left after the last is killed as a tree.
    pub stages: Vec<StopStage>,
}

/// One signal of a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStage {
    /// The signal's name, as in `SIGTERM`.
    pub signal: String,
    /// The time to react to it.
    pub wait: Duration,
}

/// Something that has to be up first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The process.
    pub name: Name,
    /// How far it has to be.
    pub condition: DependencyCondition,
}

/// How far a dependency has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    /// All instances run.
    #[default]
    Started,
    /// All instances are ready.
    Healthy,
    /// All instances have ended.
    Completed,
    /// All instances have ended with success.
    CompletedSuccessfully,
}

/// How it is seen whether an instance is up, ready and alive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// Until it succeeds, the others wait; if it fails for good, the instance is restarted.
    pub startup: Option<Probe>,
    /// Whether it is ready.
    pub readiness: Option<Probe>,
    /// If it fails, the instance is restarted.
    pub liveness: Option<Probe>,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is tried.
    pub check: ProbeCheck,
    /// The time before the first try.
    pub initial_delay: Duration,
    /// The time between two tries.
    pub period: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// So many successes in a row make it succeed.
    pub success_threshold: u32,
    /// So many failures in a row make it fail.
    pub failure_threshold: u32,
}

/// What a probe tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ProbeCheck {
    /// A command that succeeds.
    Exec {
        /// The command.
        program: Program,
    },
    /// A request that is answered with 200 to 399.
    Http {
        /// The whole URL.
        url: String,
    },
    /// A connection that is accepted.
    Tcp {
        /// Host and port.
        address: String,
    },
}

/// A further way to see that a process is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Detector {
    /// A file with the id of a living process.
    PidFile {
        /// The file.
        path: PathBuf,
    },
    /// A command that succeeds.
    Command {
        /// The command.
        program: Program,
    },
}

/// Where the output of an instance goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPolicy {
    /// The directory of `INSTANCE.stdout.log` and `INSTANCE.stderr.log`; none for Piton's own.
    pub dir: Option<PathBuf>,
    /// The file for standard output, in place of that.
    pub stdout: Option<PathBuf>,
    /// The file for standard error, in place of that.
    pub stderr: Option<PathBuf>,
    /// A file that grew so large is put aside, in bytes; 0 for never.
    pub max_size: u64,
    /// So many of those put aside are kept; 0 for all.
    pub max_backups: u32,
    /// They are removed when they are so old; zero for never.
    pub max_age: Duration,
    /// They are compressed.
    pub compress: bool,
    /// Every line begins with the time at which it was read.
    pub timestamps: bool,
}

/// As whom and within which limits a process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The user, by name or number; none for the daemon's own.
    pub user: Option<String>,
    /// The group, by name or number; none for the user's.
    pub group: Option<String>,
    /// The file mode creation mask.
    pub umask: Option<u32>,
    /// The scheduling priority, -20 to 19.
    pub nice: Option<i32>,
    /// How readily the kernel kills it when memory is short, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// It may gain no privileges by executing programs.
    pub no_new_privileges: bool,
    /// A file to read standard input from; none for `/dev/null`.
    pub stdin: Option<PathBuf>,
    /// Limits of the kernel by their lower-case names, such as `nofile`: soft and hard; none for no limit.
    pub rlimits: BTreeMap<String, Rlimit>,
    /// Memory of an instance, in bytes, where control groups are delegated.
    pub memory_max: Option<u64>,
    /// Share of the processor of an instance, in percent of one core, where control groups are delegated.
    pub cpu_percent: Option<u32>,
    /// Processes of an instance, where control groups are delegated.
    pub pids_max: Option<u32>,
}

/// A limit of the kernel; none for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// What counts.
    pub soft: Option<u64>,
    /// Up to where the process may raise it.
    pub hard: Option<u64>,
}

/// Processes that are started and stopped together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: Name,
    /// Its processes, in the order in which they are started where nothing else decides.
    pub members: Vec<Name>,
}

impl Process {
    /// A process with the defaults of everything but its name and what it runs.
    pub fn new(name: Name, program: Program) -> Process {
        Process {
            name,
            program,
            work_dir: None,
            env: BTreeMap::new(),
            inherit_env: false,
            instances: 1,
            priority: 0,
            auto_start: true,
            start: StartPolicy::default(),
            restart: RestartPolicy::default(),
            stop: StopPolicy::default(),
            depends_on: Vec::new(),
            probes: Probes::default(),
            detectors: Vec::new(),
            hooks: Hooks::default(),
            pid_file: None,
            output: OutputPolicy::default(),
            confinement: Confinement::default(),
        }
    }

    /// The name of the instance with this number, which begins at 1.
    pub fn instance_name(&self, number: u32) -> String {
        if self.instances > 1 { format!("{}-{number}", self.name) } else { self.name.to_string() }
    }
}

impl StopPolicy {
    /// The time to react to whatever is asked first.
    pub fn first_wait(&self) -> Duration {
        self.stages.first().map_or(Duration::ZERO, |stage| stage.wait)
    }
}

impl Default for StartPolicy {
    fn default() -> Self {
        StartPolicy { duration: Duration::ZERO, retries: 0, retry_interval: Duration::from_secs(1) }
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        RestartPolicy {
            when: RestartWhen::Never,
            success_codes: BTreeSet::from([0]),
            delay: Duration::from_secs(3),
            growth_percent: 100,
            delay_cap: Duration::from_secs(300),
            reset_after: Duration::from_secs(10),
            flap_limit: None,
            flap_window: Duration::from_secs(60),
        }
    }
}

impl Default for StopPolicy {
    fn default() -> Self {
        let stages = vec![StopStage { signal: "SIGTERM".to_owned(), wait: Duration::from_secs(3) }];
        StopPolicy { command: None, stages }
    }
}

impl Default for OutputPolicy {
    fn default() -> Self {
        OutputPolicy {
            dir: None,
            stdout: None,
            stderr: None,
            max_size: 10 * 1024 * 1024,
            max_backups: 3,
            max_age: Duration::from_secs(7 * 24 * 3600),
            compress: false,
            timestamps: false,
        }
    }
}
