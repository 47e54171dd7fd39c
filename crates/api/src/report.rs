//! What workers tell the control plane.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ScaffoldedRepository;

/// How a run stands. Members that are not listed mean nothing, and do no harm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusReport {
    /// The run, as the message that asked for it calls it: what the path says, where it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// `running`, `succeeded`, `failed` or `cancelled`.
    pub status: String,
    /// `system` or `component`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// What the worker calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    /// How often it has begun; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When this was so, by the worker's clock; the time of the request unless given. It tells what is news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Since it first began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// What it made, if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<ScaffoldedRepository>,
    /// What went wrong, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A stable word for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Lines of a run's log, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogReport {
    /// The run, as the message that asked for it calls it: what the path says, where it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// What the worker calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    /// The lines.
    pub logs: Vec<LogReportLine>,
}

/// One line of a run's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogReportLine {
    /// When it was said. The same line of the same time is kept once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// `INFO`, `WARN`, `ERROR` or `SUCCESS`; `INFO` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// What was said.
    pub message: String,
    /// As it stands in the log; `[LEVEL] message` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

impl LogReportLine {
    /// As it stands in the log.
    pub fn text(&self) -> String {
        match &self.line {
            Some(line) => line.clone(),
            None => format!("[{}] {}", self.level.as_deref().unwrap_or("INFO"), self.message),
        }
    }
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reported {
    /// The run that it is about, here.
    pub run: String,
    /// How that stands now: `pending`, `running` or `ended`.
    pub state: String,
    /// How it ended.
    #[serde(default)]
    pub outcome: Option<String>,
}
