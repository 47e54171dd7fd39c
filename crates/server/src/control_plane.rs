//! The control plane: what workers elsewhere report of their runs.
//!
//! A worker shows the configured key, with which nothing else can be done. What it says comes more than once and in any
//! order; the engine finds out what of it is news.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use piton_api as api;
use piton_api::Fault;
use piton_logs::Redactor;
use piton_model::{
    By, Digest, Failure, FailureClass, Outcome, RemoteNews, RemoteStatus, RemoteWord, Run, ScaffoldId,
    ScaffoldedRepository,
};

use crate::caller::Caller;
use crate::extract::{Json, Path};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(crate) fn routes() -> Table {
    Table::new().at(Permission::Report, routes!(status)).at(Permission::Report, routes!(logs))
}

/// No name of a worker is longer.
const LONGEST_NAME: usize = 128;

/// Tells how a run stands that a worker elsewhere carries out.
///
/// `id` is what the message that asked for the run calls it. A run of which nothing is known yet is recorded. What was
/// told before, or comes too late, changes nothing: what is over stays as it is.
#[utoipa::path(post, path = "/runs/{id}/status",
    params(("id" = String, Path, description = "What the message calls the run.")),
    responses((status = 200, body = api::Reported)))]
async fn status(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    Json(report): Json<api::StatusReport>,
) -> Answer<Json<api::Reported>> {
    app.auth.admit_worker(&caller, &headers)?;
    let word = word(&id, report, caller.by, app.engine.clock().now())?;
    Ok(Json(reported(&app.engine.hear(word).await?)))
}

/// Tells lines of the log of such a run.
///
/// A line is kept once, however often it is told.
#[utoipa::path(post, path = "/runs/{id}/logs",
    params(("id" = String, Path, description = "What the message calls the run.")),
    responses(
        (status = 200, body = api::Reported),
        (status = 204, description = "The log is written here anyway.")))]
async fn logs(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    Json(report): Json<api::LogReport>,
) -> Answer<Result<Json<api::Reported>, StatusCode>> {
    app.auth.admit_worker(&caller, &headers)?;
    let now = app.engine.clock().now();
    let first = api::StatusReport {
        run_id: report.run_id,
        status: "running".to_owned(),
        worker_id: report.worker_id,
        // Lines that do not say when they were said are no sign of a further try.
        timestamp: Some(report.logs.first().and_then(|line| line.timestamp).unwrap_or(Timestamp::UNIX_EPOCH)),
        ..api::StatusReport::default()
    };
    let lines = keyed(&report.logs)?;
    let Some(run) = app.engine.hear_lines(word(&id, first, caller.by, now)?).await? else {
        return Ok(Err(StatusCode::NO_CONTENT));
    };
    let log = app.logs.open(run.id, Redactor::new([])).await?;
    for (key, text) in lines {
        log.note(&key, &text).await?;
    }
    Ok(Ok(Json(reported(&run))))
}

fn reported(run: &Run) -> api::Reported {
    api::Reported {
        run: run.id.to_string(),
        state: run.phase().as_str().to_owned(),
        outcome: run.outcome().map(|outcome: &Outcome| outcome.kind().as_str().to_owned()),
    }
}

fn wrong(member: &str, detail: String) -> Refusal {
    let fault = Fault { pointer: format!("/{member}"), detail: detail.clone() };
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail, None).at(fault)
}

/// What a report says. Pure.
fn word(id: &str, report: api::StatusReport, by: By, now: Timestamp) -> Answer<RemoteWord> {
    let run_id = id.parse::<ScaffoldId>().map_err(piton_engine::Error::from)?;
    if report.run_id.as_ref().is_some_and(|named| named != id) {
        let detail = "`run_id` is another one than in the path".to_owned();
        return Err(wrong("run_id", detail));
    }
    let worker = report.worker_id.filter(|name| !name.is_empty()).unwrap_or_else(|| "unnamed".to_owned());
    if worker.chars().count() > LONGEST_NAME || worker.chars().any(char::is_control) {
        let detail = format!("`worker_id` has at most {LONGEST_NAME} characters, none of which controls anything");
        return Err(wrong("worker_id", detail));
    }
    let status = match report.status.as_str() {
        "running" => RemoteStatus::Running,
        "succeeded" | "success" | "completed" => RemoteStatus::Succeeded {
            repository: report.repository.map(|made| ScaffoldedRepository {
                url: made.url,
                name: made.name,
                branch: made.branch,
                commit: made.commit,
                files: made.files,
            }),
        },
        "failed" | "failure" => {
            let code = report.code.unwrap_or_else(|| "failed_elsewhere".to_owned());
            let message = report.error.unwrap_or_else(|| "the worker does not say why".to_owned());
            let failure = Failure::new(FailureClass::Permanent, code, message);
            RemoteStatus::Failed { failure: Failure { hint: report.hint, ..failure } }
        }
        "cancelled" | "canceled" => RemoteStatus::Cancelled { reason: report.error },
        other => {
            let other = other.escape_debug();
            return Err(wrong("status", format!("`{other}` is not one of running, succeeded, failed, cancelled")));
        }
    };
    let attempt = report.attempt.unwrap_or(1).max(1);
    let said_at = report.timestamp.unwrap_or(now);
    Ok(RemoteWord { run_id, status, news: RemoteNews { worker, attempt, said_at }, by })
}

/// Lines, each with what tells it from all others of its run: its time and text. Where some of one report are alike, they
/// are numbered; where there is no time, the whole report is what it is known by. Pure.
fn keyed(lines: &[api::LogReportLine]) -> Answer<Vec<(String, String)>> {
    let whole = serde_json::to_vec(lines).map_err(|error| Refusal::internal(&error))?;
    let whole = Digest::of(&whole);
    let mut alike: HashMap<String, usize> = HashMap::new();
    let keyed = lines.iter().map(|line| {
        let text = line.text();
        let since = line.timestamp.map_or_else(|| whole.to_string(), |at| at.to_string());
        let digest = Digest::of(format!("{since} {text}").as_bytes()).to_string();
        let count = alike.entry(digest.clone()).or_default();
        *count += 1;
        (format!("report/{digest}/{count}"), text)
    });
    Ok(keyed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn read(body: &serde_json::Value) -> Answer<RemoteWord> {
        let report = serde_json::from_value(body.clone()).unwrap();
        word("abc-123", report, By::Client("worker".to_owned()), at(7))
    }

    #[test]
    fn a_report_is_read_as_workers_write_it() {
        let told = serde_json::json!({
            "run_id": "abc-123", "status": "failed", "type": "component", "worker_id": "worker-001", "attempt": 3,
            "timestamp": "1970-01-01T00:00:05Z", "duration_seconds": 1.5, "error": "no such template",
            "code": "blueprint_not_found", "hint": null, "anything": [1],
        });
        let word = read(&told).unwrap();
        let news = RemoteNews { worker: "worker-001".to_owned(), attempt: 3, said_at: at(5) };
        assert_eq!((word.run_id.as_str(), word.news), ("abc-123", news));
        let RemoteStatus::Failed { failure } = word.status else { panic!("{:?}", word.status) };
        assert_eq!((failure.code.as_str(), failure.hint), ("blueprint_not_found", None));
        let bare = read(&serde_json::json!({ "status": "success" })).unwrap();
        assert_eq!(bare.status, RemoteStatus::Succeeded { repository: None });
        assert_eq!((bare.news.said_at, bare.news.attempt), (at(7), 1));
    }

    #[test]
    fn what_is_wrong_with_a_report_is_pointed_at() {
        for (body, pointer) in [
            (serde_json::json!({ "status": "exploded" }), "/status"),
            (serde_json::json!({ "status": "running", "run_id": "abc-124" }), "/run_id"),
            (serde_json::json!({ "status": "running", "worker_id": "a\nb" }), "/worker_id"),
            (serde_json::json!({ "status": "running", "worker_id": "x".repeat(129) }), "/worker_id"),
        ] {
            let problem = read(&body).unwrap_err().into_problem();
            assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (422, pointer), "{body}");
        }
        let report = api::StatusReport { status: "running".to_owned(), ..api::StatusReport::default() };
        let problem = word("a/b", report, By::System, at(1)).unwrap_err().into_problem();
        assert_eq!((problem.status, problem.code.as_str()), (422, "invalid_name"));
    }

    #[test]
    fn a_line_told_twice_has_one_key_and_two_alike_have_two() {
        let line = |second: Option<i64>, message: &str| api::LogReportLine {
            timestamp: second.map(at),
            message: message.to_owned(),
            ..api::LogReportLine::default()
        };
        let keys = |lines: &[api::LogReportLine]| -> Vec<String> {
            keyed(lines).unwrap().into_iter().map(|(key, _)| key).collect()
        };
        let both = keys(&[line(Some(1), "a"), line(Some(2), "b")]);
        assert_eq!(keys(&[line(Some(2), "b")]), both[1..], "however it is told");
        let alike = keys(&[line(Some(1), "a"), line(Some(1), "a")]);
        assert_ne!(alike[0], alike[1]);
        assert_eq!(alike[0], both[0]);
        let timeless = [line(None, "a"), line(None, "a")];
        assert_eq!(keys(&timeless), keys(&timeless));
        assert_ne!(keys(&timeless)[0], keys(&[line(None, "a")])[0]);
        assert_eq!(keyed(&timeless).unwrap()[0].1, "[INFO] a");
    }
}
