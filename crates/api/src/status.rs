//! The daemon on the wire.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Upcoming;

/// What kind of process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServedBy {
    /// A daemon, which executes runs and keeps processes running.
    Daemon,
    /// A command that opened the data directory itself, for as long as it takes.
    Local,
}

/// One page about everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// The program that answers.
    pub version: Version,
    /// What kind of process answers.
    pub served_by: ServedBy,
    /// The address of its HTTP API, where it listens on one.
    #[serde(default)]
    pub listen: Option<String>,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// The directory of the declarations.
    pub directory: String,
    /// The directory of what Piton writes.
    pub data_directory: String,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Workspaces by status.
    pub workspaces: BTreeMap<String, usize>,
    /// Jobs by status.
    pub jobs: BTreeMap<String, usize>,
    /// Instances of processes by where they are in their lives.
    #[serde(default)]
    pub processes: BTreeMap<String, usize>,
    /// Runs that have not ended, by state.
    pub runs: BTreeMap<String, usize>,
    /// What is due next.
    #[serde(default)]
    pub next: Vec<(String, Upcoming)>,
    /// What is wrong with the files.
    #[serde(default)]
    pub diagnostics: Vec<Diagnostic>,
    /// Position of the ledger.
    pub ledger_head: i64,
}

/// What a program is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// `0.1.0`
    pub version: String,
    /// The commit it was built from, where that is known.
    #[serde(default)]
    pub commit: Option<String>,
}

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// Line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The field, such as `jobs[2].schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// A stable word for programs.
    pub code: String,
}
