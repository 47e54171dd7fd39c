//! Workspaces on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Skip;

/// A workspace: what is declared, and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    /// Its name.
    pub name: String,
    /// Whether its schedule is in force.
    pub enabled: bool,
    /// Whether it is declared; not where it is still deployed although its directory is gone, or holds nothing valid.
    #[serde(default = "declared")]
    pub declared: bool,
    /// `pending`, `deploying`, `deployed`, `destroying`, `destroyed` or `failed`.
    pub status: String,
    /// The mode it is deployed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The template it is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Its schedule.
    #[serde(default)]
    pub schedule: Vec<ScheduleLine>,
    /// Time zone of the schedule.
    pub time_zone: String,
    /// The modes it can be deployed in.
    #[serde(default)]
    pub modes: Vec<String>,
    /// Names of its jobs.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When a deployment last succeeded.
    #[serde(default)]
    pub last_deployed: Option<Timestamp>,
    /// When it was last destroyed.
    #[serde(default)]
    pub last_destroyed: Option<Timestamp>,
    /// Why the last deployment failed.
    #[serde(default)]
    pub last_deploy_error: Option<String>,
    /// Why the last destroy failed.
    #[serde(default)]
    pub last_destroy_error: Option<String>,
    /// Why its schedule deploys nothing at present, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// The run that is under way.
    #[serde(default)]
    pub active_run: Option<String>,
    /// The latest run.
    #[serde(default)]
    pub last_run: Option<String>,
    /// What is due next.
    #[serde(default)]
    pub next: Option<Upcoming>,
    /// Path of the latest run's log, on the host of the daemon.
    #[serde(default)]
    pub log_file: Option<String>,
    /// Its latest due times that made no run; only where one workspace is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skip>,
    /// Its directory, on the host of the daemon.
    pub directory: String,
}

/// Whoever does not say so tells of what is declared.
fn declared() -> bool {
    true
}

/// A line of a workspace's schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleLine {
    /// The expression as it was written.
    pub line: String,
    /// `deploy` or `destroy`.
    pub effect: String,
    /// The mode it deploys in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// When a line is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upcoming {
    /// When.
    pub at: Timestamp,
    /// `deploy`, `destroy` or `run`.
    pub effect: String,
    /// The mode it deploys in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The expression as it was written.
    pub line: String,
}

/// Asks for a deployment or a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The mode, for a workspace with modes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// Asks for another mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    /// The mode.
    pub mode: String,
}
