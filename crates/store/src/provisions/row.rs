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

/// The id of a row.
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

/// Reads a row. Other programs write them too, so a value may be one that nobody expects: then its column is told.
pub(super) fn provision(row: &Row) -> Result<ScheduledProvision, Error> {
    let id = id(row)?;
    let name = id.to_string();
    let text = |index: usize, column: &str| row.maybe_text(index).map_err(|error| unreadable(&name, column, &error));
    let int = |index: usize, column: &str| row.maybe_int(index).map_err(|error| unreadable(&name, column, &error));
    let missing = |column: &str| unreadable(&name, column, &"it is empty");
    let json = |index: usize, column: &str| -> Result<Value, Error> {
        let Some(document) = text(index, column)? else { return Ok(Value::Null) };
        serde_json::from_str(&document).map_err(|error| unreadable(&name, column, &error))
    };
    let time = |index: usize, column: &str| -> Result<Option<Timestamp>, Error> {
        let time = int(index, column)?.map(timestamp).transpose();
        time.map_err(|error| unreadable(&name, column, &error))
    };
    let run = |index: usize, column: &str| -> Result<Option<RunId>, Error> {
        Ok(text(index, column)?.and_then(|text| text.parse().ok()))
    };
    let job_type = text(1, "job_type")?.unwrap_or_else(|| JobType::Provision.as_str().to_owned());
    let job_type: JobType = job_type.parse().map_err(|error| unreadable(&name, "job_type", &error))?;
    let approval = text(10, "approval_status")?.unwrap_or_else(|| ApprovalStatus::AutoApproved.as_str().to_owned());
    let approval: ApprovalStatus = approval.parse().map_err(|error| unreadable(&name, "approval_status", &error))?;
    let status = text(11, "status")?.ok_or_else(|| missing("status"))?;
    let status: ScheduleStatus = status.parse().map_err(|error| unreadable(&name, "status", &error))?;
    let schedule_time = int(5, "schedule_time")?.ok_or_else(|| missing("schedule_time"))?;
    let schedule_time = timestamp(schedule_time)
        .map_err(|_| unreadable(&name, "schedule_time", &"it is no moment between the years 1 and 9999"))?;
    let payload = json(4, "payload")?;
    let tags = text(7, "tags")?.ok_or_else(|| missing("tags"))?;
    let tags = serde_json::from_str(&tags).map_err(|error| unreadable(&name, "tags", &error))?;
    let wanted = NewProvision {
        id,
        job_type,
        employee: Secret::new(json(2, "employee_data")?),
        applications: Secret::new(json(3, "applications")?),
        payload: (!payload.is_null()).then(|| Secret::new(payload)),
        schedule_time,
        timezone: text(6, "timezone")?,
        tags,
        target_user_email: text(8, "target_user_email")?,
        requested_by: text(9, "requested_by")?,
        approval,
    };
    let created_at = time(13, "created_at")?.unwrap_or(schedule_time);
    Ok(ScheduledProvision {
        wanted,
        status,
        approved_by: text(12, "approved_by")?,
        approval_reason: text(21, "approval_reason")?,
        created_at,
        updated_at: time(14, "updated_at")?.unwrap_or(created_at),
        executed_at: time(15, "executed_at")?,
        error_message: text(16, "error_message")?,
        retry_count: int(17, "retry_count")?.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        next_attempt_at: time(18, "next_attempt_at")?,
        first_run: run(19, "first_run")?,
        last_run: run(20, "last_run")?,
    })
}

/// How many bytes the documents of a row have.
pub(super) fn weight(row: &Row) -> usize {
    let documents = [2, 3, 4].into_iter().filter_map(|index| row.maybe_text(index).ok().flatten());
    documents.map(|document| document.len()).sum()
}

/// The run of which a row does not know that it ended, because somebody held the row or the table when it did, and
/// wrote into the row that it waits. Only for rows with which it was asked when their runs ended.
///
/// A row forgets its first run when it is over, and has the end of a run after which it waits again as the time of its
/// last call.
pub(super) fn unheard(row: &Row) -> Result<Option<RunId>, Error> {
    let (Some(run), Some(ended)) = (row.maybe_text(20)?, row.maybe_int(22)?) else { return Ok(None) };
    let is_known = row.maybe_int(15)? == Some(ended);
    Ok(run.parse().ok().filter(|_| !is_known))
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
    Error::UnreadableProvision { id: id.to_owned(), column: column.to_owned(), detail: problem.to_string() }
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
        let piton_model::Action::Provision(provision) = &*run.action else { return None };
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

    /// Whether the row may wait again then: what is cancelled does where another program has put it back.
    pub(crate) fn may_wait_again(&self) -> bool {
        matches!(self.change, RowChange::Again { .. } | RowChange::Cancelled { .. })
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
