//! What people see of instances and groups.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use piton_keeper::ExitStatus;
use serde::{Deserialize, Serialize};

/// Why what an instance prints is nowhere to be found.
pub(crate) const UNREAD: &str = "its output is lost until it is started again, because the keeper that read it is gone";

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Not wanted, and not there.
    Stopped,
    /// Wanted, and waiting for what it depends on.
    Waiting,
    /// On its way: hooks run, or it has not run for long enough yet.
    Starting,
    /// Up.
    Running,
    /// On its way out.
    Stopping,
    /// Ended, and waiting to be started again.
    Backoff,
    /// Ended by itself, and not to be started again.
    Exited,
    /// Given up after too many failures; started again by hand only.
    Fatal,
}

/// How an instance last ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastExit {
    /// The exit code or signal.
    pub status: ExitStatus,
    /// When.
    pub at: Timestamp,
    /// Whether nobody had asked for it.
    pub unexpected: bool,
}

/// What people see of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceStatus {
    /// The instance.
    pub name: String,
    /// The process that it is an instance of.
    pub process: String,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Its process id, while it has one.
    pub pid: Option<u32>,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended; none while something of it is there.
    pub stopped_at: Option<Timestamp>,
    /// How it last ended.
    pub last_exit: Option<LastExit>,
    /// How often it was started again by itself since it was last started by hand or by its declaration.
    pub restarts: u32,
    /// When it will be started again.
    pub next_start: Option<Timestamp>,
    /// Whether its readiness probe succeeds; the same as running where it has none.
    pub ready: bool,
    /// Why it is where it is, where that is not obvious: a failed start, hook or probe, a missing dependency. Or why
    /// what it prints is lost.
    pub reason: Option<String>,
    /// By what it was last seen: `exec:pid`, `pidfile:PATH`, `cmd:COMMAND`, `exit-detected`, `no-pid` or `not-found`.
    pub detected_by: String,
    /// What it uses, where that is measured.
    pub usage: Option<Usage>,
}

/// An instance as it was a moment ago, shared with whoever else looks at it: thousands of copies take their time, and
/// megabytes.
#[derive(Debug, Clone)]
pub struct Observed {
    /// All but what it uses.
    pub status: Arc<InstanceStatus>,
    /// What it uses, where that is measured.
    pub usage: Option<Usage>,
}

/// What a process and its descendants use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// When it was measured.
    pub at: Timestamp,
    /// The process; of a sum, none.
    pub pid: u32,
    /// Share of the processor since the measurement before, in percent of one core.
    pub cpu_percent: f64,
    /// Resident memory in bytes.
    pub rss: u64,
    /// Virtual memory in bytes.
    pub vms: u64,
    /// Swapped memory in bytes.
    pub swap: u64,
    /// Threads.
    pub threads: u32,
    /// Open file descriptors; none where they may not be counted.
    pub fds: Option<u32>,
    /// Bytes read from storage since the start; none where that may not be read.
    pub read_bytes: Option<u64>,
    /// Bytes written to storage since the start; none where that may not be read.
    pub written_bytes: Option<u64>,
}

/// What people see of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupStatus {
    /// The group.
    pub name: String,
    /// How many of its instances run.
    pub state: GroupState,
    /// Its processes in its own order, each with its instances.
    pub members: Vec<(String, Vec<InstanceStatus>)>,
}

/// How many of a group's instances run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupState {
    /// All.
    Running,
    /// Some.
    Degraded,
    /// None.
    Stopped,
}

/// An instance went from one state to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Counts all changes of this supervisor.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Where it was before.
    pub from: InstanceState,
    /// The instance as it is now.
    pub now: Arc<InstanceStatus>,
}

impl From<InstanceStatus> for Observed {
    fn from(mut status: InstanceStatus) -> Observed {
        let usage = status.usage.take();
        Observed { status: Arc::new(status), usage }
    }
}

impl From<Observed> for InstanceStatus {
    fn from(Observed { status, usage }: Observed) -> InstanceStatus {
        InstanceStatus { usage, ..InstanceStatus::clone(&status) }
    }
}

impl InstanceStatus {
    /// An instance that was never started.
    pub fn at_rest(name: &str, process: &str) -> InstanceStatus {
        InstanceStatus {
            name: name.to_owned(),
            process: process.to_owned(),
            state: InstanceState::Stopped,
            pid: None,
            started_at: None,
            stopped_at: None,
            last_exit: None,
            restarts: 0,
            next_start: None,
            ready: false,
            reason: None,
            detected_by: "not-found".to_owned(),
            usage: None,
        }
    }
}

impl GroupState {
    /// The state's word.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupState::Running => "running",
            GroupState::Degraded => "degraded",
            GroupState::Stopped => "stopped",
        }
    }
}

impl InstanceState {
    /// All states.
    pub const ALL: [InstanceState; 8] = [
        InstanceState::Stopped,
        InstanceState::Waiting,
        InstanceState::Starting,
        InstanceState::Running,
        InstanceState::Stopping,
        InstanceState::Backoff,
        InstanceState::Exited,
        InstanceState::Fatal,
    ];

    /// Whether it came up, and is not gone yet.
    pub fn is_up(self) -> bool {
        match self {
            InstanceState::Running | InstanceState::Stopping => true,
            InstanceState::Starting
            | InstanceState::Stopped
            | InstanceState::Waiting
            | InstanceState::Backoff
            | InstanceState::Exited
            | InstanceState::Fatal => false,
        }
    }

    /// The state's word.
    pub fn as_str(self) -> &'static str {
        match self {
            InstanceState::Stopped => "stopped",
            InstanceState::Waiting => "waiting",
            InstanceState::Starting => "starting",
            InstanceState::Running => "running",
            InstanceState::Stopping => "stopping",
            InstanceState::Backoff => "backoff",
            InstanceState::Exited => "exited",
            InstanceState::Fatal => "fatal",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
