//! Jobs and CronJobs on the wire: the shapes of provisr, and what Piton knows beside.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{Job, JobDraft, Run};

/// A job to be made, with the members that provisr has for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobSpec {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Everything else: `command` or `args`, `env`, `parallelism`, `completions`, `backoff_limit` and so on.
    #[serde(flatten)]
    pub members: BTreeMap<String, Value>,
}

/// A job that runs tasks until enough of them have succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchJob {
    /// Its name; for a job of a schedule followed by when it was due, in seconds since 1970.
    pub name: String,
    /// How it is doing.
    pub status: JobStatus,
    /// The id of its run; absent while it was not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Whether it is held back.
    #[serde(default)]
    pub suspended: bool,
    /// Whether a schedule made it.
    #[serde(default)]
    pub scheduled: bool,
    /// Whether it is declared in the configuration file, so that it cannot be changed over the API.
    #[serde(default)]
    pub provisioned: bool,
    /// Everything else as it is declared: `command` or `args`, `parallelism`, `completions` and so on.
    #[serde(flatten)]
    pub members: BTreeMap<String, Value>,
}

/// How a job is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobStatus {
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub phase: String,
    /// When it began, or last went on after it was held back; absent while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Timestamp>,
    /// Tasks that run.
    pub active: u64,
    /// Tasks that have succeeded.
    pub succeeded: u64,
    /// Tasks that have failed.
    pub failed: u64,
    /// The indexes that have succeeded, as in `0-2,5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_indexes: Option<String>,
    /// The indexes that are given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_indexes: Option<String>,
    /// What is so with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<JobCondition>,
}

/// Something that is so with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobCondition {
    /// `Complete`, `Failed`, `Suspended`, `SuccessCriteriaMet` or `FailureTarget`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, or `False`: what is `Suspended` and not so any more. Whatever else is not so is not there.
    pub status: String,
    /// Why, in one word: `JobCompleted`, `BackoffLimitExceeded`, `DeadlineExceeded`, `JobStopped` and so on.
    pub reason: String,
    /// Why, in words.
    pub message: String,
    /// When that was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Timestamp>,
    /// Since when it is so, or not so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
}

/// One text, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// A CronJob to be declared, with the members that provisr has for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CronJobSpec {
    /// Its name.
    pub name: String,
    /// When it is due.
    pub schedule: OneOrMany,
    /// The job that is made then.
    pub job_template: BTreeMap<String, Value>,
    /// Everything else: `concurrency_policy`, `suspend`, `time_zone` and so on.
    #[serde(flatten)]
    pub members: BTreeMap<String, Value>,
}

/// A scheduled job to be declared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ScheduledDraft {
    /// By the text of its file.
    File(JobDraft),
    /// As provisr has it.
    CronJob(CronJobSpec),
}

/// A CronJob: as it is declared, how it is doing, and all that is told of other scheduled jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CronJob {
    /// Its name.
    pub name: String,
    /// When it is due.
    pub schedule: OneOrMany,
    /// How it is doing.
    pub status: CronJobStatus,
    /// When it is due next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule: Option<Timestamp>,
    /// Whether it is declared in the configuration file, so that it cannot be changed over the API.
    pub provisioned: bool,
    /// Everything else: `job_template`, `concurrency_policy` and so on, and the members of other scheduled jobs.
    #[serde(flatten)]
    pub members: BTreeMap<String, Value>,
}

/// How a CronJob is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CronJobStatus {
    /// What is the `status` of other scheduled jobs: `pending`, `running`, `success`, `failed`, `timeout`, `disabled`.
    pub state: String,
    /// Its jobs that have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<ActiveJob>,
    /// When the latest of its jobs was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Timestamp>,
    /// When one of them last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Timestamp>,
}

/// A job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActiveJob {
    /// Its name.
    pub name: String,
    /// The id of its run.
    pub uid: String,
}

/// A scheduled job, or a CronJob, whose `status` is an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Scheduled {
    /// A CronJob.
    CronJob(Box<CronJob>),
    /// Another scheduled job.
    Job(Box<Job>),
}

/// A run of a scheduled job, also in the words of provisr.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CronJobRun {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// What it is called as a job.
    #[serde(rename = "Name")]
    pub job: String,
    /// When it began.
    #[serde(rename = "StartTime")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(rename = "CompletionTime")]
    pub completion_time: Option<Timestamp>,
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    #[serde(rename = "Status")]
    pub status: String,
    /// Why it ended as it did; empty while it did not.
    #[serde(rename = "Reason")]
    pub reason: String,
}
