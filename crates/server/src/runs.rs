//! Runs of any kind.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use piton_api as api;
use piton_model::{Digest, OutcomeKind, Phase, RunId, Subject, SubjectKind};
use piton_store::RunQuery;
use serde::Deserialize;

use crate::problem::{Answer, Refusal};
use crate::state::{App, Caller};
use crate::view;
use crate::workspaces::{Accepted, accepted};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/runs", get(list))
        .route("/runs/{id}", get(show))
        .route("/runs/{id}/plan", get(plan))
        .route("/runs/{id}/explain", get(explain))
        .route("/runs/{id}/approve", post(approve))
        .route("/runs/{id}/reject", post(reject))
        .route("/runs/{id}/cancel", post(cancel))
        .route("/runs/{id}/retry", post(retry))
}

/// A run's id, or the start of one that is long enough to be meant.
pub(crate) async fn find(app: &App, text: &str) -> Answer<piton_model::Run> {
    let id: RunId = text.parse().map_err(|_| {
        Refusal::new(StatusCode::NOT_FOUND, "not_found", format!("run '{}' not found", text.escape_debug()), None)
    })?;
    Ok(app.engine.run(id).await?)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    kind: Option<SubjectKind>,
    subject: Option<Subject>,
    /// A phase or an outcome.
    state: Option<String>,
    since: Option<Timestamp>,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(
    State(app): State<App>,
    filter: Result<Query<Filter>, axum::extract::rejection::QueryRejection>,
) -> Answer<Json<api::Page<api::Run>>> {
    let Query(filter) = filter?;
    let (phase, outcome) = filter.state.as_deref().map_or(Ok((None, None)), state_of)?;
    let before = filter.cursor.map(|cursor| cursor.parse()).transpose().map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_cursor", "the cursor is not one that a list gave", None)
    })?;
    let query = RunQuery {
        kind: filter.kind,
        subject: filter.subject,
        phase,
        outcome,
        since: filter.since,
        limit: filter.limit.unwrap_or(50).clamp(1, 1000),
        before,
        ..RunQuery::default()
    };
    let page = app.engine.store().runs(&query).await?;
    let next = page.next.map(|id| id.to_string());
    Ok(Json(api::Page { items: page.runs.iter().map(view::run).collect(), next }))
}

fn state_of(text: &str) -> Answer<(Option<Phase>, Option<OutcomeKind>)> {
    let phase = Phase::ALL.into_iter().find(|phase| phase.as_str() == text);
    let outcome = OutcomeKind::ALL.into_iter().find(|outcome| outcome.as_str() == text);
    if phase.is_none() && outcome.is_none() {
        let words =
            Phase::ALL.iter().map(|phase| phase.as_str()).chain(OutcomeKind::ALL.iter().map(|kind| kind.as_str()));
        let hint = format!("one of {}", words.collect::<Vec<_>>().join(", "));
        let detail = format!("'{}' is no state of a run", text.escape_debug());
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", detail, Some(hint)));
    }
    Ok((phase, outcome))
}

async fn show(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<api::Run>> {
    Ok(Json(view::run(&find(&app, &id).await?)))
}

async fn plan(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<api::Plan>> {
    let run = find(&app, &id).await?;
    match &run.report.plan {
        Some(plan) => Ok(Json(view::plan(plan))),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "no_plan", format!("run {id} has no plan"), None)),
    }
}

async fn explain(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<api::Explanation>> {
    let run = find(&app, &id).await?;
    let piton_engine::Explanation { summary, reasons, hints } = app.engine.explain(run.id).await?;
    Ok(Json(api::Explanation { summary, reasons, hints }))
}

async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    Caller(by): Caller,
    Json(request): Json<api::ApproveRequest>,
) -> Answer<Json<api::Run>> {
    let digest = request.digest.map(|text| {
        Digest::parse(&text).ok_or_else(|| {
            let detail = format!("'{}' is no digest", text.escape_debug());
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_digest", detail, None)
        })
    });
    let run = find(&app, &id).await?;
    Ok(Json(view::run(&app.engine.approve(run.id, digest.transpose()?, by).await?)))
}

async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    Caller(by): Caller,
    Json(request): Json<api::CancelRequest>,
) -> Answer<Json<api::Run>> {
    let run = find(&app, &id).await?;
    Ok(Json(view::run(&app.engine.reject(run.id, by, request.reason).await?)))
}

async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    Caller(by): Caller,
    Json(request): Json<api::CancelRequest>,
) -> Answer<Json<api::Run>> {
    let run = find(&app, &id).await?;
    Ok(Json(view::run(&app.engine.cancel(run.id, by, request.reason).await?)))
}

async fn retry(State(app): State<App>, Path(id): Path<String>, Caller(by): Caller) -> Answer<Accepted> {
    let run = find(&app, &id).await?;
    Ok(accepted(&app.engine.retry(run.id, by).await?))
}
