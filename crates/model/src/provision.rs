//! Accounts that are made, changed or removed at a time that somebody chose: rows of the table `scheduled_provisions`.
//!
//! A row is the truth while it waits: other programs may insert, change and cancel it there. When it is due, a run carries
//! out one call to the provisioning API; until that run has ended the run is the truth, and the row shows it. A call that
//! failed and may be tried again puts the row back to waiting; the next try is a run of its own.

mod alteration;
mod answer;
mod change;
mod exact;
mod words;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Action, Backoff, DedupKey, Digest, NewRun, Origin, RunId, Secret, Subject};

pub use alteration::{Alteration, NotAltered};
pub use answer::{Answer, Exchange};
pub(crate) use change::LEASE_LOST;
pub use change::{LEASE_NOT_RENEWED, RowChange, Unsent};
pub use exact::inexact;
pub use words::{ApprovalStatus, JobType, ScheduleStatus, UnknownWord};

/// Identifies a scheduled provision. Other programs insert rows too, so it is any UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScheduleId(Uuid);

impl From<RunId> for ScheduleId {
    /// An id that is as new as that of a run.
    fn from(id: RunId) -> ScheduleId {
        ScheduleId(id.into())
    }
}

impl ScheduleId {
    /// The id of the `index`-th of those that a request with this key creates: the same whenever it is asked for.
    pub fn of_request(key: &DedupKey, index: usize) -> ScheduleId {
        let digest = Digest::of(format!("{key}/{index}").as_bytes());
        let bytes = u128::from_str_radix(&digest.as_str()[..32], 16).unwrap_or_default().to_be_bytes();
        ScheduleId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.hyphenated().to_string())
    }
}

impl FromStr for ScheduleId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(ScheduleId)
    }
}

/// What somebody wants done at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProvision {
    /// Its id.
    pub id: ScheduleId,
    /// What is to be done.
    pub job_type: JobType,
    /// The person, as an object of the provisioning API.
    pub employee: Secret<Value>,
    /// The applications in which it is to be done.
    pub applications: Secret<Value>,
    /// What else the provisioning API needs to know; none for the plain kind, which has an employee and applications.
    pub payload: Option<Secret<Value>>,
    /// When.
    pub schedule_time: Timestamp,
    /// The IANA zone in which the time was meant, and is shown.
    pub timezone: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Whose account it is about.
    pub target_user_email: Option<String>,
    /// Who wants it.
    pub requested_by: Option<String>,
    /// Whether somebody has to agree.
    pub approval: ApprovalStatus,
}

/// A scheduled provision as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledProvision {
    /// What is wanted.
    pub wanted: NewProvision,
    /// Where it stands.
    pub status: ScheduleStatus,
    /// Who agreed or refused.
    pub approved_by: Option<String>,
    /// Why, in their words.
    pub approval_reason: Option<String>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When the last call was answered.
    pub executed_at: Option<Timestamp>,
    /// Why the last call failed.
    pub error_message: Option<String>,
    /// How often it was tried again.
    pub retry_count: u32,
    /// When it is tried (again), where that is not the time that was wanted.
    pub next_attempt_at: Option<Timestamp>,
    /// The run of the first of the tries it is in; the provisioning API knows all of them by this one.
    pub first_run: Option<RunId>,
    /// The run of the latest try.
    pub last_run: Option<RunId>,
}

impl ScheduledProvision {
    /// What it is to runs.
    pub fn subject(&self) -> Subject {
        Subject::Provision(self.wanted.id)
    }

    /// When it is to be executed, as far as time goes.
    pub fn due(&self) -> Timestamp {
        self.next_attempt_at.unwrap_or(self.wanted.schedule_time)
    }

    /// The run that carries it out. `retry` says how often and after how long a call that failed is made again.
    pub fn run(&self, id: RunId, retry: Backoff) -> NewRun {
        let subject = self.subject();
        NewRun {
            id,
            action: Action::Provision(Provision {
                schedule: self.wanted.id,
                job_type: self.wanted.job_type,
                request: Secret::new(self.request()),
                key: self.first_run.unwrap_or(id),
                retries: self.retry_count,
                retry,
            }),
            origin: Origin::At { due: self.due() },
            due: self.due(),
            priority: 0,
            // A further try is a further run.
            retry: Backoff::NONE,
            retry_of: self.last_run.filter(|_| self.first_run.is_some()),
            dedup_key: None,
            lock_key: Some(subject.lock_key()),
            subject,
        }
    }

    /// What is sent to the provisioning API.
    fn request(&self) -> Value {
        let NewProvision { employee, applications, payload, job_type, .. } = &self.wanted;
        let mut body = json!({ "employee": employee.expose(), "applications": applications.expose() });
        if payload.is_some() || *job_type != JobType::Provision {
            body["id"] = json!(self.wanted.id);
            body["job_type"] = json!(job_type);
            body["payload"] = payload.as_ref().map_or(Value::Null, |payload| payload.expose().clone());
            body["target_user_email"] = json!(self.wanted.target_user_email);
        }
        body
    }
}

/// Calls the provisioning API once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provision {
    /// For which row.
    pub schedule: ScheduleId,
    /// What is to be done.
    pub job_type: JobType,
    /// What is sent.
    pub request: Secret<Value>,
    /// What the provisioning API knows this and every further try by.
    pub key: RunId,
    /// How often it was tried before.
    pub retries: u32,
    /// How often, and after how long, it may be tried.
    pub retry: Backoff,
}
