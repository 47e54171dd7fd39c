//! Scheduled jobs on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{OneOrMany, Skip};

/// A scheduled job: what is declared, and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The workspace it belongs to; absent for a standalone job.
    #[serde(default)]
    pub workspace: Option<String>,
    /// `script`, `command` or `template`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether its schedule is in force.
    pub enabled: bool,
    /// Whether its schedule was suspended.
    #[serde(default)]
    pub suspended: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its triggers as they were written.
    #[serde(default, deserialize_with = "one_or_many")]
    pub schedule: Vec<String>,
    /// Jobs that must have succeeded.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// `pending`, `running`, `success`, `failed`, `timeout`; `disabled` where it is disabled and never ran.
    #[serde(deserialize_with = "word")]
    pub status: String,
    /// Runs that were begun.
    pub run_count: u64,
    /// Runs that succeeded.
    pub success_count: u64,
    /// Runs that did not.
    pub failure_count: u64,
    /// When a run last began.
    #[serde(default)]
    pub last_run: Option<Timestamp>,
    /// When a run last succeeded.
    #[serde(default)]
    pub last_success: Option<Timestamp>,
    /// When a run last failed.
    #[serde(default)]
    pub last_failure: Option<Timestamp>,
    /// Why it failed.
    #[serde(default)]
    pub last_error: Option<String>,
    /// Exit code of the last run.
    #[serde(default)]
    pub last_exit_code: Option<i32>,
    /// The latest run's id.
    #[serde(default)]
    pub last_run_id: Option<String>,
    /// When it is due next.
    #[serde(default)]
    pub next_run: Option<Timestamp>,
    /// Its latest due times that made no run; only where one job is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skip>,
}

/// A standalone job to be created: the text of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobDraft {
    /// Name of the file, such as `backup.json`; `.toml` and `.yaml` are understood too.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// A CronJob has one schedule.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Word(String),
    CronJob { state: String },
}

/// The status of a CronJob is an object with this in it.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let (Status::Word(word) | Status::CronJob { state: word }) = Status::deserialize(deserializer)?;
    Ok(word)
}
