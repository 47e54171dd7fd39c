//! Runs of any kind.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use piton_api as api;
use piton_model::{Digest, OutcomeKind, Phase, Run, RunId, Subject, SubjectKind};
use piton_store::RunQuery;
use serde::Deserialize;

use crate::bound;
use crate::caller::Caller;
use crate::extract::{Json, Path, Query, wrong, wrong_cursor};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;
use crate::view;
use crate::workspaces::{Accepted, accepted};

pub(crate) fn routes() -> Table {
    Table::new()
        .bound(Permission::Read, routes!(list))
        .bound(Permission::Read, routes!(show))
        .bound(Permission::Read, routes!(plan))
        .bound(Permission::Read, routes!(explain))
        .bound(Permission::Operate, routes!(approve))
        .bound(Permission::Operate, routes!(reject))
        .bound(Permission::Operate, routes!(cancel))
        .creating_bound(Permission::Operate, routes!(retry))
}

/// A run by its id, or by what the message that it came from calls it.
pub(crate) async fn find(app: &App, caller: &Caller, text: &str) -> Answer<Run> {
    let by_id = match text.parse::<RunId>() {
        Ok(id) => app.engine.store().run(id).await?,
        Err(_) => None,
    };
    let found = match by_id {
        Some(run) => Some(run),
        None => app.engine.scaffold(text).await?,
    };
    found.filter(|run| caller.sees(run)).ok_or_else(|| bound::missing("run", text))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// What runs are about, such as `workspace` or `job`.
    #[param(value_type = Option<String>)]
    kind: Option<SubjectKind>,
    /// What they are about, such as `workspace/NAME`.
    #[param(value_type = Option<String>)]
    subject: Option<Subject>,
    /// A phase or an outcome.
    state: Option<String>,
    /// Submitted at this time or later.
    since: Option<Timestamp>,
    /// How many at most; 50 unless given. More than 1000 counts as 1000, and 0 as 1.
    limit: Option<usize>,
    /// What the page before gave as `next`.
    cursor: Option<String>,
}

/// Runs of any kind, latest first.
#[utoipa::path(get, path = "/runs", params(Filter), responses((status = 200, body = api::Page<api::Run>)))]
async fn list(
    State(app): State<App>,
    Query(filter): Query<Filter>,
    caller: Caller,
) -> Answer<Json<api::Page<api::Run>>> {
    let (phase, outcome) = filter.state.as_deref().map_or(Ok((None, None)), state_of)?;
    let before = filter.cursor.map(|cursor| cursor.parse()).transpose().map_err(|_| wrong_cursor())?;
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
    let page = bound::runs(&app, &caller, &query).await?;
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
        return Err(wrong("state", detail, Some(hint)));
    }
    Ok((phase, outcome))
}

/// One run.
#[utoipa::path(get, path = "/runs/{id}", responses((status = 200, body = api::Run)))]
async fn show(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Json<api::Run>> {
    Ok(Json(view::run_in_full(&find(&app, &caller, &id).await?)))
}

/// What the run would change.
#[utoipa::path(get, path = "/runs/{id}/plan", responses((status = 200, body = api::Plan)))]
async fn plan(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Json<api::Plan>> {
    let run = find(&app, &caller, &id).await?;
    match &run.report.plan {
        Some(plan) => Ok(Json(view::plan(plan))),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "no_plan", format!("run {id} has no plan"), None)),
    }
}

/// Why a run stands where it stands.
#[utoipa::path(get, path = "/runs/{id}/explain", responses((status = 200, body = api::Explanation)))]
async fn explain(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Json<api::Explanation>> {
    let run = find(&app, &caller, &id).await?;
    let piton_engine::Explanation { summary, reasons, hints } = app.engine.explain(run.id).await?;
    Ok(Json(api::Explanation { summary, reasons, hints }))
}

/// Approves the plan of a run that waits for it.
#[utoipa::path(post, path = "/runs/{id}/approve", responses((status = 200, body = api::Run), (status = 403, description = "Whoever asked for it may not approve it, or the role does not allow it."), (status = 409, description = "Nothing waits for approval."), (status = 412, description = "Another plan than that of `digest` waits.")))]
async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(request): Json<api::ApproveRequest>,
) -> Answer<Json<api::Run>> {
    let digest = request.digest.map(|text| {
        Digest::parse(&text).ok_or_else(|| {
            let detail = format!("'{}' is no digest", text.escape_debug());
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_digest", detail, None)
        })
    });
    let run = find(&app, &caller, &id).await?;
    Ok(Json(view::run(&app.engine.approve(run.id, digest.transpose()?, caller.by).await?)))
}

/// Rejects the plan of a run that waits for approval.
#[utoipa::path(post, path = "/runs/{id}/reject", responses((status = 200, body = api::Run), (status = 409, description = "Nothing waits for approval.")))]
async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(request): Json<api::CancelRequest>,
) -> Answer<Json<api::Run>> {
    let run = find(&app, &caller, &id).await?;
    Ok(Json(view::run(&app.engine.reject(run.id, caller.by, request.reason).await?)))
}

/// Cancels a run, wherever it stands.
#[utoipa::path(post, path = "/runs/{id}/cancel", responses((status = 200, body = api::Run), (status = 409, description = "It has ended.")))]
async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(request): Json<api::CancelRequest>,
) -> Answer<Json<api::Run>> {
    let run = find(&app, &caller, &id).await?;
    Ok(Json(view::run(&app.engine.cancel(run.id, caller.by, request.reason).await?)))
}

/// Does what an ended run did once more, as a new run.
#[utoipa::path(post, path = "/runs/{id}/retry", responses(
    (status = 202, description = "The run that will do it.", body = api::Submitted, headers(("location" = String, description = "Where the run is."))),
    (status = 409, description = "It has not ended, or something is in the way.")))]
async fn retry(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Accepted> {
    let run = find(&app, &caller, &id).await?;
    accepted(&app, &app.engine.retry(run.id, caller.by).await?)
}
