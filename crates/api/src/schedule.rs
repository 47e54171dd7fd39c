//! Scheduled provisions on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Something that is done to an account at a time that somebody chose.
///
/// Values under names of secrets, such as `password` and `token`, are masked in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its id.
    pub id: String,
    /// `provision`, `terminate`, `suspend`, `reactivate`, `modify_groups`, `modify_license`, `modify_role`,
    /// `password_reset` or `transfer_ownership`.
    pub job_type: String,
    /// The person.
    #[schema(value_type = Object)]
    pub employee: Value,
    /// The same, for older clients.
    #[schema(value_type = Object)]
    #[serde(default)]
    pub employee_data: Value,
    /// The applications in which it is done.
    #[schema(value_type = Object)]
    pub applications: Value,
    /// What else the target is told.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    pub payload: Option<Value>,
    /// When it is done.
    pub schedule_time: Timestamp,
    /// The zone in which that time was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// That time in its zone, with its offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_time_local: Option<String>,
    /// `pending`, `executing`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Whose account it is about.
    #[serde(default)]
    pub target_user_email: Option<String>,
    /// Who asked for it.
    #[serde(default)]
    pub requested_by: Option<String>,
    /// Who agreed to it, or refused it.
    #[serde(default)]
    pub approved_by: Option<String>,
    /// Why, in their words.
    #[serde(default)]
    pub approval_reason: Option<String>,
    /// `auto_approved`, `pending_approval`, `approved` or `rejected`.
    pub approval_status: String,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When the last call was answered.
    #[serde(default)]
    pub executed_at: Option<Timestamp>,
    /// Why the last call failed.
    #[serde(default)]
    pub error_message: Option<String>,
    /// How often it was tried again.
    pub retry_count: u32,
    /// When it is tried (again), where that is not at `schedule_time`.
    #[serde(default)]
    pub next_attempt_at: Option<Timestamp>,
    /// The run of the latest try.
    #[serde(default)]
    pub run_id: Option<String>,
}

/// Asks for something to be done to an account at some time.
///
/// Members that are not named here mean nothing and are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewSchedule {
    /// What is to be done; `provision` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// The person; may stand in `payload` too.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employee: Option<Value>,
    /// The applications in which it is to be done, each with `true` or its options; may stand in `payload` too.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Value>,
    /// What else the target is told.
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// When: RFC 3339, or without an offset a time in `timezone`.
    #[schema(required)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_time: Option<String>,
    /// The IANA zone in which the time is meant; that of the scheduler where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Whose account it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_user_email: Option<String>,
    /// Who asks for it; the caller where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// Take a time that has passed, and execute it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_past: Option<bool>,
}

/// Asks for another time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reschedule {
    /// When: RFC 3339, or without an offset a time in `timezone`.
    pub schedule_time: String,
    /// The IANA zone in which the time is meant; the one that it has, else that of the scheduler, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Take a time that has passed, and execute it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_past: Option<bool>,
}

/// Agrees, or refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub reason: Option<String>,
}

/// What became of many requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkAnswer {
    /// How many were scheduled.
    pub created: u64,
    /// How many were refused.
    pub failed: u64,
    /// One by one, in their order.
    pub results: Vec<BulkResult>,
}

/// What became of one of many requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkResult {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its id, if it was scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<BulkError>,
}

/// What is wrong with one of many requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkError {
    /// A stable word for programs.
    pub code: String,
    /// What is wrong.
    pub detail: String,
    /// With which field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl NewSchedule {
    /// The request as an object of JSON.
    pub fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }
}
