//! One request that came due.

use jiff::Timestamp;
use serde_json::Value;

use piton_model::JobType;

/// One delayed request that came due, at one of its attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The schedule's id, a UUID.
    pub id: String,
    /// The idempotency key: the same over all attempts, another one for another execution.
    pub key: String,
    /// What is asked for.
    pub job_type: JobType,
    /// What is sent: `employee` and `applications`, and for other types than `provision`, or with a payload, also
    /// `job_type`, `id`, `payload` and `target_user_email`.
    pub body: Value,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When it was due.
    pub due: Timestamp,
}
