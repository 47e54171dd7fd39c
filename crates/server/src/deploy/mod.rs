//! Deployments of code from git: the routes of the runner, at the root and not below `{base}`, where its clients look
//! for them. A deployment is a run with a subject of its own; `order` turns a request into one, `view` shows one.

mod order;
mod shape;
mod stages;
mod view;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use piton_api as api;
use piton_model::{Decision, Digest, Event, Name, OutcomeKind, Phase, Record, Run, RunId, SubjectKind};
use piton_store::RunQuery;
use serde::Deserialize;
use serde_json::{Map, Value};

use order::{Consent, Measure};
pub(crate) use view::Status;

use crate::bound;
use crate::caller::Caller;
use crate::extract::{Json, Path, Query, wrong, wrong_cursor};
use crate::logs;
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(crate) fn routes() -> Table {
    Table::new()
        .creating_bound(Permission::Operate, routes!(start))
        .bound(Permission::Read, routes!(list))
        .bound(Permission::Read, routes!(status))
        .bound(Permission::Read, routes!(logs_of))
        .bound(Permission::Operate, routes!(approve))
        .bound(Permission::Operate, routes!(reject))
        .bound(Permission::Operate, routes!(cancel))
}

type Started = (StatusCode, [(HeaderName, HeaderValue); 1], Json<api::DeploymentStarted>);

/// Deploys code from a git repository.
#[utoipa::path(post, path = "/deploy", request_body = api::NewDeployment, responses(
    (status = 202, description = "It will begin as soon as it is its turn.", body = api::DeploymentStarted,
        headers(("location" = String, description = "Where its status is.")))))]
async fn start(State(app): State<App>, caller: Caller, Json(members): Json<Map<String, Value>>) -> Answer<Started> {
    let request = shape::read(members);
    let placeholder = Name::parse("new").map_err(|error| Refusal::internal(&error))?;
    // Where nobody logs in, everybody is the same, and nobody else could be asked over the API.
    let needs_another = app.auth.is_enabled() && !app.engine.allows_self_approval();
    let consent = if needs_another { Consent::SomebodyElse } else { Consent::Requester };
    let measure = Measure { rules: &app.rules, defaults: &app.about.layout.defaults, consent };
    let order = order::order(request, &measure, placeholder).map_err(refused)?;
    let run = app.engine.submit_deployment(order.iac, caller.by).await?;
    let started = api::DeploymentStarted {
        deployment_id: run.id.to_string(),
        status: Status::of(&run).as_str().to_owned(),
        message: "Deployment started".to_owned(),
        position: app.engine.deployments_before(run.id).await?.unwrap_or(0),
        warnings: order.warnings,
    };
    let location = HeaderValue::from_str(&format!("/deploy/{}/status", run.id));
    let location = location.map_err(|error| Refusal::internal(&error))?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(started)))
}

fn refused(faults: Vec<api::Fault>) -> Refusal {
    let told: Vec<String> =
        faults.iter().map(|fault| format!("{}: {}", fault.pointer.trim_start_matches('/'), fault.detail)).collect();
    let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_deployment", told.join("; "), None);
    faults.into_iter().fold(refusal, Refusal::at)
}

/// A deployment by its id.
async fn find(app: &App, caller: &Caller, text: &str) -> Answer<Run> {
    let unknown = || {
        let detail = format!("deployment '{}' not found", text.escape_debug());
        Refusal::new(StatusCode::NOT_FOUND, "not_found", detail, None)
    };
    let id: RunId = text.parse().map_err(|_| unknown())?;
    let run = app.engine.store().run(id).await?;
    run.filter(|run| run.subject.kind() == SubjectKind::Deployment && caller.sees(run)).ok_or_else(unknown)
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `running`, `awaiting_approval`, `success`, `failed` or `cancelled`.
    status: Option<String>,
    /// Submitted at this time or later.
    since: Option<Timestamp>,
    /// How many at most; 50 unless given. More than 1000 counts as 1000, and 0 as 1.
    limit: Option<usize>,
    /// What the page before gave as `next`.
    cursor: Option<String>,
}

/// Deployments, latest first, ended ones too.
#[utoipa::path(get, path = "/deploy", params(Filter), responses((status = 200, body = api::Page<api::DeploymentSummary>)))]
async fn list(
    State(app): State<App>,
    Query(filter): Query<Filter>,
    caller: Caller,
) -> Answer<Json<api::Page<api::DeploymentSummary>>> {
    let wanted = filter.status.as_deref().map(status_of).transpose()?;
    let before = filter.cursor.map(|cursor| cursor.parse()).transpose().map_err(|_| wrong_cursor())?;
    let limit = filter.limit.unwrap_or(50).clamp(1, 1000);
    let base =
        RunQuery { kind: Some(SubjectKind::Deployment), since: filter.since, limit, before, ..RunQuery::default() };
    let states = wanted.map_or_else(|| vec![(None, None)], states);
    let queries = states.into_iter().map(|(phase, outcome)| RunQuery { phase, outcome, ..base.clone() });
    let mut found = bound::Found::default();
    for query in queries {
        found.take(bound::runs(&app, &caller, &query).await?);
    }
    let page = found.page(limit);
    let mut items = Vec::with_capacity(page.runs.len());
    for run in &page.runs {
        let waits = run.phase() == Phase::Pending;
        let position = if waits { app.engine.deployments_before(run.id).await? } else { None };
        items.push(view::summary(run, position, approver(&app, run).await?));
    }
    Ok(Json(api::Page { items, next: page.next.map(|id| id.to_string()) }))
}

fn status_of(word: &str) -> Answer<Status> {
    Status::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
        let detail = format!("'{}' is no status of a deployment", word.escape_debug());
        wrong("status", detail, Some(format!("one of {}", words.join(", "))))
    })
}

/// The states of runs that a status word stands for.
fn states(status: Status) -> Vec<(Option<Phase>, Option<OutcomeKind>)> {
    let ended = |kinds: &[OutcomeKind]| kinds.iter().map(|kind| (Some(Phase::Ended), Some(*kind))).collect();
    match status {
        Status::Running => vec![(Some(Phase::Pending), None), (Some(Phase::Running), None)],
        Status::AwaitingApproval => vec![(Some(Phase::Gated), None)],
        Status::Success => ended(&[OutcomeKind::Succeeded]),
        Status::Failed => ended(&[OutcomeKind::Failed, OutcomeKind::TimedOut, OutcomeKind::Indeterminate]),
        Status::Cancelled => {
            ended(&[OutcomeKind::Cancelled, OutcomeKind::Rejected, OutcomeKind::Expired, OutcomeKind::Superseded])
        }
    }
}

/// How a deployment stands, with its logs.
#[utoipa::path(get, path = "/deploy/{id}/status", responses((status = 200, body = api::DeploymentStatus)))]
async fn status(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Json<api::DeploymentStatus>> {
    let run = find(&app, &caller, &id).await?;
    let logs = stages::read(&app.logs, run.id).await?;
    let approved = approver(&app, &run).await?;
    let position = app.engine.deployments_before(run.id).await?;
    Ok(Json(view::status(&run, logs, position, approved)))
}

/// Who approved a deployment that has ended, as far back as the ledger goes.
async fn approver(app: &App, run: &Run) -> Answer<Option<String>> {
    if run.phase() != Phase::Ended || !view::asks(run) {
        return Ok(None);
    }
    let entries = app.engine.store().entries_of(run.id).await?;
    Ok(entries.into_iter().rev().find_map(|entry| match entry.record {
        Record::Run { event: Event::Decided { decision: Decision::Approve { .. }, by }, .. } => Some(by.to_string()),
        _ => None,
    }))
}

/// The log of a deployment as server-sent events, until it has ended.
///
/// Each line is an event `log`, its `id` the byte offset after it, to resume at with `Last-Event-ID`. The last event is
/// `end`, with the outcome, and the id `end`.
#[utoipa::path(get, path = "/deploy/{id}/logs", params(logs::Range), responses(
    (status = 200, body = String, content_type = "text/event-stream"),
    (status = 204, description = "The `Last-Event-ID` is that of the end.")))]
async fn logs_of(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(range): Query<logs::Range>,
    headers: HeaderMap,
    caller: Caller,
) -> Answer<axum::response::Response> {
    let run = find(&app, &caller, &id).await?;
    logs::events(&app, &run, &range, &headers, logs::Until::Ended).await
}

/// Lets a deployment go on with the plan that it shows.
#[utoipa::path(post, path = "/deploy/{id}/approve", responses(
    (status = 200, body = api::DeploymentAnswer),
    (status = 403, description = "Whoever asked for it may not approve it, or the role does not allow it."),
    (status = 409, description = "Nothing waits for approval."),
    (status = 412, description = "Another plan than that of `digest` waits.")))]
async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(request): Json<api::ApproveRequest>,
) -> Answer<Json<api::DeploymentAnswer>> {
    let digest = request.digest.as_deref().map(parse_digest).transpose()?;
    let run = find(&app, &caller, &id).await?;
    app.engine.approve(run.id, digest, caller.by).await?;
    Ok(said("Deployment approved"))
}

fn parse_digest(text: &str) -> Answer<Digest> {
    Digest::parse(text).ok_or_else(|| {
        let detail = format!("'{}' is no digest", text.escape_debug());
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_digest", detail, None)
    })
}

fn said(message: &str) -> Json<api::DeploymentAnswer> {
    Json(api::DeploymentAnswer { message: message.to_owned() })
}

/// Ends a deployment that waits for approval, without applying its plan.
#[utoipa::path(post, path = "/deploy/{id}/reject", responses(
    (status = 200, body = api::DeploymentAnswer),
    (status = 409, description = "Nothing waits for approval.")))]
async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(request): Json<api::CancelRequest>,
) -> Answer<Json<api::DeploymentAnswer>> {
    let run = find(&app, &caller, &id).await?;
    app.engine.reject(run.id, caller.by, request.reason).await?;
    Ok(said("Deployment rejected"))
}

/// Cancels a deployment, wherever it stands. An apply under way is asked to stop, and may end as a success.
#[utoipa::path(post, path = "/deploy/{id}/cancel", responses(
    (status = 200, body = api::DeploymentAnswer),
    (status = 409, description = "It has ended.")))]
async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(request): Json<api::CancelRequest>,
) -> Answer<Json<api::DeploymentAnswer>> {
    let run = find(&app, &caller, &id).await?;
    app.engine.cancel(run.id, caller.by, request.reason).await?;
    Ok(said("Cancellation requested"))
}
