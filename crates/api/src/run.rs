//! Runs on the wire.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// One durable execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// What it is about: `workspace/NAME`, `job/NAME`, `job/WORKSPACE/NAME`.
    pub subject: String,
    /// `workspace` or `job`.
    pub kind: String,
    /// `deploy`, `destroy`, `plan`, `run` or `scaffold`.
    pub action: String,
    /// The mode of a deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `pending`, `running`, `gated` or `ended`.
    pub state: String,
    /// How it ended: `succeeded`, `failed`, `timed_out`, `cancelled`, `rejected`, `expired`, `superseded`,
    /// `indeterminate`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// How it ended, in a sentence.
    #[serde(default)]
    pub message: Option<String>,
    /// The step it is in, or the furthest that it reached.
    #[serde(default)]
    pub step: Option<String>,
    /// Whether somebody asked it to stop.
    #[serde(default)]
    pub cancelling: bool,
    /// Attempts that were begun.
    pub attempts: u32,
    /// The worker that holds it, or elsewhere carries it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Why it exists.
    pub origin: Origin,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// From when on it may begin.
    #[serde(default)]
    pub due_at: Option<Timestamp>,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// The decision that is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What the plan would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Outputs after the apply; sensitive values are null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, Output>>,
    /// The tool that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
    /// Exit code of the program that a job ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why the log is not complete, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<String>,
    /// The repository that it made of a blueprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<ScaffoldedRepository>,
    /// What provisioning APIs were asked and answered, of one run that is asked for by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<ProvisionAnswer>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The run that this one tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
}

/// Why a run exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    /// `cron`, `event`, `boot`, `at`, `message`, `report`, `change` or `call`.
    pub trigger: String,
    /// In words.
    pub text: String,
    /// When the line of a schedule was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fire: Option<Timestamp>,
    /// Who asked for it: the name of a user, or the id of a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A decision that is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gate {
    /// Digest of the plan.
    pub digest: String,
    /// What is asked.
    pub question: String,
    /// When the question lapses.
    pub expires_at: Timestamp,
}

/// What a plan would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Digest of the changes.
    pub digest: String,
    /// Resources to create.
    pub add: u32,
    /// Resources to change in place.
    pub change: u32,
    /// Resources to destroy and create anew.
    pub replace: u32,
    /// Resources to destroy.
    pub destroy: u32,
    /// Outputs that change.
    pub output_changes: u32,
    /// One by one, destroys first.
    #[serde(default)]
    pub changes: Vec<PlanChange>,
}

/// One resource that a plan would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanChange {
    /// Its address.
    pub address: String,
    /// `create`, `update`, `replace`, `delete`, `read` or `forget`.
    pub action: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// Its value; null where it is sensitive.
    pub value: serde_json::Value,
    /// Whether the code marks it sensitive.
    pub sensitive: bool,
}

/// The tool that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tool {
    /// `tofu` or `terraform`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The program, on the host of the daemon.
    pub path: String,
}

/// A repository that was made of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScaffoldedRepository {
    /// Where people find it.
    pub url: String,
    /// Its name with its group.
    pub name: String,
    /// The branch that was pushed.
    pub branch: String,
    /// The first commit.
    pub commit: String,
    /// How many files that has.
    pub files: u64,
}

/// What provisioning APIs were asked and answered. Secrets are masked, and long texts cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvisionAnswer {
    /// The status of the HTTP target's answer, or of the last one of a provider; none where nothing was answered.
    #[serde(default)]
    pub status: Option<u16>,
    /// The body of that answer.
    pub body: String,
    /// Its headers that help to find it again on the other side.
    pub headers: BTreeMap<String, String>,
    /// How long all of it took, waiting included.
    pub took_ms: u64,
    /// What was called, in that order: the first fifty.
    pub exchanges: Vec<ProvisionExchange>,
}

/// One call and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvisionExchange {
    /// The method.
    pub method: String,
    /// The address, without its query.
    pub url: String,
    /// The body that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The status of the answer, where there was one.
    #[serde(default)]
    pub status: Option<u16>,
    /// The body of the answer, or what went wrong.
    pub response: String,
    /// How long it took.
    pub took_ms: u64,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// A stable word for programs.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A run was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// Its id.
    pub run: String,
    /// What it is about.
    pub subject: String,
}

/// Approves a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// Digest of the plan that was looked at; whatever is asked now, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The longest reason that somebody may give for a decision, in characters. It is shown in lists and logs.
const LONGEST_REASON: usize = 1024;

/// Whether a text can be the reason of a decision, or what is wrong with it. PostgreSQL keeps no text with a zero in it.
pub fn check_reason(reason: &str) -> Result<(), String> {
    if reason.chars().count() > LONGEST_REASON || reason.contains('\0') {
        return Err(format!("`reason` must have at most {LONGEST_REASON} characters, and no NUL among them"));
    }
    Ok(())
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let reason = Option::<String>::deserialize(deserializer)?;
    reason.as_deref().map_or(Ok(()), check_reason).map_err(D::Error::custom)?;
    Ok(reason)
}

/// Cancels a run or rejects its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Why.
    #[serde(default, deserialize_with = "reason", skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub reason: Option<String>,
}

/// Why a run stands where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// One sentence.
    pub summary: String,
    /// What led to it or what it waits for.
    pub reasons: Vec<String>,
    /// What can be done.
    pub hints: Vec<String>,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn a_reason_is_short() {
        let read = |reason: &str| serde_json::from_value::<CancelRequest>(serde_json::json!({ "reason": reason }));
        let longest = "ä".repeat(LONGEST_REASON);
        assert_eq!(read(&longest).unwrap().reason, Some(longest.clone()));
        for bad in [format!("{longest}ä"), "a\0b".to_owned()] {
            assert!(read(&bad).unwrap_err().to_string().contains("at most 1024 characters"), "{bad}");
        }
        for nothing in ["{}", r#"{"reason":null}"#] {
            assert_eq!(serde_json::from_str::<CancelRequest>(nothing).unwrap(), CancelRequest::default());
        }
        for schema in [CancelRequest::schema(), crate::ApprovalRequest::schema()] {
            let schema = serde_json::to_value(schema).unwrap();
            assert_eq!(schema["properties"]["reason"]["maxLength"], LONGEST_REASON, "{schema}");
        }
    }
}
