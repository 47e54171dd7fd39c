//! Rows of scheduled provisions to values and back.

use jiff::Timestamp;
use piton_model::{
    ApprovalStatus, JobType, NewProvision, RowChange, Run, RunId, RunState, ScheduleId, ScheduleStatus,
    ScheduledProvision, Secret,
};
use serde_json::Value;

use super::ProvisionPlace;
use crate::Error;
use crate::db::{Param, Row, params};
use crate::dialect::Dialect;
use crate::row::{micros, timestamp};

/// The end of the moments at which something may be due.
pub(super) const LAST: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// The id of a row, which can always be read.
pub(super) fn id(row: &Row) -> Result<ScheduleId, Error> {
    let text = row.text(0)?;
    text.parse().map_err(|error| unreadable(&text, "id", &error))
}

/// Where a row stands in lists that begin with the latest: at the end of all moments where its time never comes, and none
/// where there is nothing to be read after it.
pub(super) fn place(row: &Row) -> Result<Option<ProvisionPlace>, Error> {
    let (id, micros) = (id(row)?, row.int(5)?);
    Ok(match Timestamp::from_microsecond(micros) {
        Ok(time) => Some((time.min(LAST), id)),
        Err(_) if micros > 0 => Some((LAST, id)),
        Err(_) => None,
    })
}

/// Reads a row. Other programs write them too, so a value may be one that nobody expects.
pub(super) fn provision(row: &Row) -> Result<ScheduledProvision, Error> {
    let id = id(row)?;
    let name = id.to_string();
    let word = |index, otherwise: &str| -> Result<String, Error> {
        Ok(row.maybe_text(index)?.unwrap_or_else(|| otherwise.to_owned()))
    };
    let json = |index: usize, column| -> Result<Value, Error> {
        let text = row.maybe_text(index)?;
        text.map_or(Ok(Value::Null), |text| {
            serde_json::from_str(&text).map_err(|error| unreadable(&name, column, &error))
        })
    };
    let time = |index| -> Result<Option<Timestamp>, Error> { row.maybe_int(index)?.map(timestamp).transpose() };
    let run = |index| -> Result<Option<RunId>, Error> { Ok(row.maybe_text(index)?.and_then(|text| text.parse().ok())) };
    let job_type: JobType =
        word(1, JobType::Provision.as_str())?.parse().map_err(|error| unreadable(&name, "job_type", &error))?;
    let approval: ApprovalStatus = word(10, ApprovalStatus::AutoApproved.as_str())?
        .parse()
        .map_err(|error| unreadable(&name, "approval_status", &error))?;
    let status: ScheduleStatus = row.text(11)?.parse().map_err(|error| unreadable(&name, "status", &error))?;
    let schedule_time = timestamp(row.int(5)?)
        .map_err(|_| unreadable(&name, "schedule_time", &"it is no moment between the years 1 and 9999"))?;
    let payload = json(4, "payload")?;
    let tags = serde_json::from_str(&row.text(7)?).map_err(|error| unreadable(&name, "tags", &error))?;
    let wanted = NewProvision {
        id,
        job_type,
        employee: Secret::new(json(2, "employee_data")?),
        applications: Secret::new(json(3, "applications")?),
        payload: (!payload.is_null()).then(|| Secret::new(payload)),
        schedule_time,
        timezone: row.maybe_text(6)?,
        tags,
        target_user_email: row.maybe_text(8)?,
        requested_by: row.maybe_text(9)?,
        approval,
    };
    let created_at = time(13)?.unwrap_or(schedule_time);
    Ok(ScheduledProvision {
        wanted,
        status,
        approved_by: row.maybe_text(12)?,
        approval_reason: row.maybe_text(21)?,
        created_at,
        updated_at: time(14)?.unwrap_or(created_at),
        executed_at: time(15)?,
        error_message: row.maybe_text(16)?,
        retry_count: row.maybe_int(17)?.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        next_attempt_at: time(18)?,
        first_run: run(19)?,
        last_run: run(20)?,
    })
}

/// A row whose numbers are those that were written: the target must not be told of others.
pub(super) fn exact(row: ScheduledProvision) -> Result<ScheduledProvision, Error> {
    match row.wanted.inexact() {
        None => Ok(row),
        Some(place) => Err(unreadable(
            &row.wanted.id.to_string(),
            &place,
            &"it is beyond the integers of 64 bits, and another number would be sent; write it as text",
        )),
    }
}

fn unreadable(id: &str, column: &str, problem: &dyn std::fmt::Display) -> Error {
    Error::Unreadable { what: format!("`{column}` of the scheduled provision {id}"), detail: problem.to_string() }
}

/// A document as the column takes it: PostgreSQL has no NUL in documents either, not even as `\u0000`.
pub(super) fn document(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains("\\u0000") {
        return text;
    }
    let mut document = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(at);
        let length = if escaped.starts_with("\\u") { 6 } else { 2 };
        let (escape, after) = escaped.split_at_checked(length).unwrap_or((escaped, ""));
        document.push_str(plain);
        document.push_str(if escape == "\\u0000" { "\\ufffd" } else { escape });
        rest = after;
    }
    document.push_str(rest);
    document
}

/// Tags as the column takes them: on PostgreSQL an array, which is not made from JSON row by row.
pub(super) fn tags(tags: &[String], dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => document(&Value::from(tags)),
        Dialect::Postgres => {
            let quoted = |tag: &String| format!("\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\""));
            format!("{{{}}}", tags.iter().map(quoted).collect::<Vec<_>>().join(","))
        }
    }
}

/// The parameters of [`super::sql::Statements::insert`].
pub(super) fn new_row(new: &NewProvision, dialect: Dialect, at: Timestamp) -> Vec<Param<'static>> {
    params![
        new.id.to_string(),
        new.job_type.as_str(),
        document(new.employee.expose()),
        document(new.applications.expose()),
        new.payload.as_ref().map(|payload| document(payload.expose())),
        micros(new.schedule_time),
        new.timezone.clone(),
        tags(&new.tags, dialect),
        new.target_user_email.clone(),
        new.requested_by.clone(),
        new.approval.as_str(),
        ScheduleStatus::Pending.as_str(),
        micros(at),
    ]
}

/// The parameters of [`super::sql::Statements::alter`].
pub(super) fn altered(row: &ScheduledProvision) -> Vec<Param<'static>> {
    params![
        row.wanted.id.to_string(),
        micros(row.wanted.schedule_time),
        row.wanted.timezone.clone(),
        row.status.as_str(),
        row.wanted.approval.as_str(),
        row.approved_by.clone(),
        row.error_message.clone(),
        row.next_attempt_at.map(micros),
        row.first_run.map(|run| run.to_string()),
        micros(row.updated_at),
        i64::from(row.retry_count),
        row.approval_reason.clone(),
    ]
}

/// What a row is to be after its run changed: the parameters of [`super::sql::Statements::follow`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Following {
    id: ScheduleId,
    change: RowChange,
    first_run: Option<RunId>,
    last_run: Option<RunId>,
}

impl Following {
    /// What the row of this run is to be; nothing where it has none.
    pub(crate) fn run(run: &Run) -> Option<Following> {
        let piton_model::Action::Provision(provision) = &run.action else { return None };
        let change = RowChange::of(run)?;
        let over = match &change {
            RowChange::Executing | RowChange::Again { .. } => false,
            RowChange::Completed { .. } | RowChange::Failed { .. } | RowChange::Cancelled { .. } => true,
        };
        debug_assert!(!over || matches!(run.state, RunState::Ended { .. }), "only what has ended is over");
        let first_run = (!over).then_some(provision.key);
        Some(Following { id: provision.schedule, change, first_run, last_run: Some(run.id) })
    }

    pub(crate) fn id(&self) -> ScheduleId {
        self.id
    }

    /// A row whose run is gone.
    pub(super) fn lost(id: ScheduleId, at: Timestamp) -> Following {
        let error = "its run is gone, and nobody knows how it ended; check whether it was done".to_owned();
        Following { id, change: RowChange::Failed { at, error }, first_run: None, last_run: None }
    }

    /// Whether the row waits again then.
    pub(crate) fn waits_again(&self) -> bool {
        matches!(self.change, RowChange::Again { .. })
    }

    pub(crate) fn params(&self, now: Timestamp) -> Vec<Param<'static>> {
        use ScheduleStatus as S;
        let (status, executed, error, keeps_error, retries, next) = match &self.change {
            RowChange::Executing => (S::Executing, None, None, true, None, None),
            RowChange::Completed { at } => (S::Completed, Some(*at), None, false, None, None),
            RowChange::Again { at, retry_count, executed_at, error } => {
                (S::Pending, Some(*executed_at), Some(error.clone()), false, Some(*retry_count), Some(*at))
            }
            RowChange::Failed { at, error } => (S::Failed, Some(*at), Some(error.clone()), false, None, None),
            RowChange::Cancelled { reason } => (S::Cancelled, None, Some(reason.clone()), false, None, None),
        };
        params![
            self.id.to_string(),
            status.as_str(),
            executed.map(micros),
            error,
            i64::from(keeps_error),
            retries.map(i64::from),
            next.map(micros),
            self.first_run.map(|run| run.to_string()),
            self.last_run.map(|run| run.to_string()),
            micros(now),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_has_no_nul_and_is_otherwise_as_it_was() {
        for (value, kept) in [
            (json!({"a\0": ["b\0\0c", "\\u0000"]}), json!({"a\u{fffd}": ["b\u{fffd}\u{fffd}c", "\\u0000"]})),
            (json!("\\\0\\\\u0000 \u{1}\"é\0"), json!("\\\u{fffd}\\\\u0000 \u{1}\"é\u{fffd}")),
            (json!({"n": 1.5, "t": "a\n"}), json!({"n": 1.5, "t": "a\n"})),
        ] {
            assert_eq!(serde_json::from_str::<Value>(&document(&value)).unwrap(), kept);
        }
    }
}
