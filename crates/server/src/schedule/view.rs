//! Scheduled provisions as they travel. Pure.

use piton_api as api;
use piton_model::{ScheduledProvision, Secret};
use serde_json::Value;

use super::moment;

/// Parts of names, without case, `_` and `-`, whose values nobody shall read.
const SECRET_NAMES: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "apikey",
    "privatekey",
    "credential",
    "cookie",
];

pub(crate) fn schedule(row: &ScheduledProvision) -> api::Schedule {
    let wanted = &row.wanted;
    let shown = |value: &Secret<Value>| masked(value.expose());
    let employee = shown(&wanted.employee);
    api::Schedule {
        id: wanted.id.to_string(),
        job_type: wanted.job_type.to_string(),
        employee_data: employee.clone(),
        employee,
        applications: shown(&wanted.applications),
        payload: wanted.payload.as_ref().map(shown),
        schedule_time: wanted.schedule_time,
        schedule_time_local: wanted.timezone.as_deref().and_then(|zone| moment::local(wanted.schedule_time, zone)),
        timezone: wanted.timezone.clone(),
        status: row.status.to_string(),
        tags: wanted.tags.clone(),
        target_user_email: wanted.target_user_email.clone(),
        requested_by: wanted.requested_by.clone(),
        approved_by: row.approved_by.clone(),
        approval_reason: row.approval_reason.clone(),
        approval_status: wanted.approval.to_string(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        executed_at: row.executed_at,
        error_message: row.error_message.clone(),
        retry_count: row.retry_count,
        next_attempt_at: row.next_attempt_at,
        run_id: row.last_run.map(|run| run.to_string()),
    }
}

/// The value without what is secret in it.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let one = |(name, value): (&String, &Value)| {
                let hidden = is_secret(name) && !matches!(value, Value::Null | Value::Bool(_));
                (name.clone(), if hidden { "***".into() } else { masked(value) })
            };
            Value::Object(members.iter().map(one).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect();
    SECRET_NAMES.iter().any(|secret| plain.contains(secret))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_at_any_depth() {
        let value = json!({
            "fullName": "Ada", "initialPassword": "hunter2", "password_reset_required": true,
            "google": {"api-key": "k", "list": [{"clientSecret": {"a": 1}}]}, "token": null,
        });
        let shown = json!({
            "fullName": "Ada", "initialPassword": "***", "password_reset_required": true,
            "google": {"api-key": "***", "list": [{"clientSecret": "***"}]}, "token": null,
        });
        assert_eq!(masked(&value), shown);
        assert_eq!(masked(&shown), shown);
    }
}
