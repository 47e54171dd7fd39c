//! Processes on the wire: the shapes of provisr, and what Piton knows beside.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What is known of one instance of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessStatus {
    /// The instance: the name of its process, or `NAME-1`, `NAME-2` and so on where it has several.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// Its process id; 0 while it has none.
    pub pid: u32,
    /// When it was last started; `0001-01-01T00:00:00Z` where it never was.
    #[serde(with = "unset")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it last ended; `0001-01-01T00:00:00Z` where it never did, and while it is there.
    #[serde(with = "unset")]
    #[schema(value_type = String, format = DateTime)]
    pub stopped_at: Option<Timestamp>,
    /// How it last ended, where that was no success: `exit status 3`, `signal: killed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_error: Option<String>,
    /// By what it was last seen: `exec:pid`, `pidfile:PATH`, `cmd:COMMAND`, `exit-detected`, `no-pid` or `not-found`.
    pub detected_by: String,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// `stopped`, `starting`, `running` or `stopping`.
    pub state: String,
    /// Whether it is declared in the configuration file, so that it cannot be changed over the API.
    pub provisioned: bool,
    /// The state more exactly: beside those four `waiting` (for what it depends on), `backoff` (before it is started
    /// again), `exited` (by itself, and done) and `fatal` (given up).
    #[serde(default)]
    pub phase: String,
    /// The process that it is an instance of.
    #[serde(default)]
    pub process: String,
    /// Whether it answers as its readiness probe wants; the same as running where it has none.
    #[serde(default)]
    pub ready: bool,
    /// The code it last exited with; absent while it is there, as is all about its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that last ended it, such as `SIGKILL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Why it is where it is, where that is not obvious; or why what it prints is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it will be started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start: Option<Timestamp>,
    /// What it uses, where that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ProcessMetrics>,
}

/// What an instance and all that it started use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessMetrics {
    /// Its process id; 0 where it has none any more.
    pub pid: u32,
    /// The instance.
    pub name: String,
    /// Share of the processor since the measurement before, in percent of one core.
    pub cpu_percent: f64,
    /// Resident memory in MiB.
    pub memory_mb: f64,
    /// Resident memory in bytes.
    pub memory_rss: u64,
    /// Virtual memory in bytes.
    pub memory_vms: u64,
    /// Swapped memory in bytes; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<u64>,
    /// When it was measured.
    pub timestamp: Timestamp,
    /// Threads.
    pub num_threads: u32,
    /// Open file descriptors; absent where they may not be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_fds: Option<u32>,
    /// Bytes read from storage since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Bytes written to storage since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
}

/// The measurements of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessMetricsHistory {
    /// The instance.
    pub process: String,
    /// The oldest first.
    pub history: Vec<ProcessMetrics>,
}

/// What the instances of a process use together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessMetricsGroup {
    /// The name of the process.
    pub base: String,
    /// How many instances were measured.
    pub process_count: usize,
    /// Percent of one core.
    pub total_cpu: f64,
    /// MiB.
    pub total_memory: f64,
    /// Percent of one core.
    pub avg_cpu: f64,
    /// MiB.
    pub avg_memory: f64,
    /// Each of them.
    pub processes: BTreeMap<String, ProcessMetrics>,
}

/// A group of processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessGroup {
    /// Its name.
    pub name: String,
    /// Its processes, in its own order.
    pub members: Vec<GroupMember>,
    /// `running` (all), `degraded` (some) or `stopped` (none).
    pub state: String,
    /// How many instances run.
    pub running: usize,
    /// How many instances there are.
    pub total: usize,
}

/// A process of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupMember {
    /// The process.
    pub name: String,
    /// How many instances it has.
    pub instances: usize,
}

/// A process as it is declared, with the members that provisr has for it.
///
/// Durations are whole nanoseconds, as in `"start_duration": 1000000000`, or texts such as `"1s"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessSpec {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Everything else: `command` or `args`, `work_dir`, `env`, `instances`, `auto_restart` and so on.
    #[serde(flatten)]
    pub members: BTreeMap<String, Value>,
}

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessHistoryRow {
    /// When.
    pub timestamp: Timestamp,
    /// Its process id; 0 where it had none.
    pub pid: u32,
    /// The instance.
    pub name: String,
    /// The state that it went to.
    pub status: String,
    /// How it ended, or why it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A part of what an instance printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessLog {
    /// The lines, in the order in which they were read.
    pub lines: Vec<ProcessLogLine>,
    /// What to pass as `since` to go on.
    pub next: u64,
    /// Lines that were asked for are gone: they were rotated away.
    #[serde(default)]
    pub gap: bool,
}

/// A line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessLogLine {
    /// Its place: rises with every line.
    pub offset: u64,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Without its end.
    pub text: String,
}

/// What `GET {base}/status` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StatusAnswer {
    /// The one instance of that name.
    One(Box<ProcessStatus>),
    /// Several instances, by name.
    Several(Vec<ProcessStatus>),
    /// Nothing was asked for: Piton is well.
    Well(crate::Done),
}

/// What `GET {base}/metrics` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MetricsAnswer {
    /// Of one instance.
    One(Box<ProcessMetrics>),
    /// Of all instances that are measured.
    All(BTreeMap<String, ProcessMetrics>),
}

/// What was done, and to which instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessesDone {
    /// Always true.
    pub ok: bool,
    /// The instances that were meant, as they are now.
    #[serde(default)]
    pub processes: Vec<ProcessStatus>,
}

/// A process as a debugger wants to see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessDebug {
    /// What everybody sees.
    pub status: ProcessStatus,
    /// The state more exactly.
    pub internal_state: String,
    /// `not_running`, `no_pid`, `transitioning` or `healthy`.
    pub health_check: String,
}

/// How many instances a process shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// How many.
    #[schema(minimum = 0, maximum = 10_000)]
    pub instances: u32,
}

/// What is switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingsStatus {
    /// Requests over TCP need credentials.
    pub auth_enabled: bool,
    /// What processes use is measured.
    pub metrics_enabled: bool,
    /// What happens to processes is written down.
    pub history_enabled: bool,
    /// Schedules are in force.
    pub cron_scheduler_enabled: bool,
    /// Processes that are registered are kept in files.
    pub program_persistence: bool,
    /// How many groups are declared.
    pub configured_group_count: usize,
}

/// A time that may be unset, which is the first moment of year 1.
mod unset {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const UNSET: Timestamp = Timestamp::constant(-62_135_596_800, 0);

    #[expect(clippy::ref_option, reason = "what a field is written with is given the field")]
    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.unwrap_or(UNSET).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Some(Timestamp::deserialize(deserializer)?).filter(|at| *at != UNSET))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> Value {
        json!({
            "name": "web", "running": false, "pid": 0, "started_at": "0001-01-01T00:00:00Z",
            "stopped_at": "2026-01-02T03:04:05Z", "detected_by": "not-found", "restarts": 0, "state": "stopped",
            "provisioned": false,
        })
    }

    #[test]
    fn a_time_that_is_unset_is_the_first_one() {
        let read: ProcessStatus = serde_json::from_value(status()).unwrap();
        assert_eq!((read.started_at, read.stopped_at.is_some()), (None, true));
        let written = serde_json::to_value(&read).unwrap();
        for (member, value) in status().as_object().unwrap() {
            assert_eq!(&written[member], value, "{member}");
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let read = |value: Value| serde_json::from_value::<StatusAnswer>(value).unwrap();
        assert!(matches!(read(json!({ "ok": true })), StatusAnswer::Well(_)));
        assert!(matches!(read(json!([])), StatusAnswer::Several(_)));
        assert!(matches!(read(status()), StatusAnswer::One(_)));
    }

    #[test]
    fn a_spec_keeps_what_it_was_given() {
        let given = json!({ "name": "web", "command": "sleep 1", "instances": 2, "log": { "file": { "dir": "/x" } } });
        let spec: ProcessSpec = serde_json::from_value(given.clone()).unwrap();
        assert_eq!(serde_json::to_value(spec).unwrap(), given);
    }
}
