//! Health, and one page about everything.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::routing::get;
use piton_api as api;
use piton_model::{Act, Projection, SubjectKind, WorkspaceState};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::extract::{Json, Query};
use crate::problem::{Answer, Refusal};
use crate::processes;
use crate::ready;
use crate::route::{Permission, Table, routes};
use crate::state::App;
use crate::view;

pub(crate) fn routes() -> Table {
    Table::new()
        .at(Permission::Public, routes!(health))
        .at(Permission::Public, routes!(live))
        .at(Permission::Public, routes!(healthz))
        .at(Permission::Public, routes!(ready))
}

pub(crate) fn overview() -> Table {
    Table::new()
        .bound(Permission::Read, routes!(show))
        .at(Permission::Read, routes!(doctor))
        .at(Permission::Administer, routes!(shutdown))
}

/// Before there is a database.
pub(crate) fn waiting() -> Router {
    let starting = || async { Json(json!({ "status": "starting" })) };
    let unready = || async { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") };
    Router::new()
        .route("/health", get(starting))
        .route("/livez", get(live))
        .route("/healthz", get(healthz))
        .route("/readyz", get(unready))
        .fallback(|| async {
            let detail = "the database is not available yet";
            let hint = Some("try again in a moment".to_owned());
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail, hint)
        })
}

/// That the daemon answers.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Value)))]
async fn health() -> Json<Value> {
    Json(json!({ "status": "healthy" }))
}

/// That the process lives.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
async fn live() -> &'static str {
    "ok\n"
}

/// The same as `/livez`, by its older name.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Detail {
    /// Tell the outcome of each check.
    #[param(value_type = Option<String>)]
    verbose: Option<String>,
}

/// Whether work is accepted.
#[utoipa::path(get, path = "/readyz", tag = "health", params(Detail), responses((status = 200, body = String, content_type = "text/plain"), (status = 503, description = "Ending, or the database is away.", body = String, content_type = "text/plain")))]
async fn ready(State(app): State<App>, Query(detail): Query<Detail>) -> (StatusCode, String) {
    ready::answer(&ready::checks(&app).await, detail.verbose.is_some())
}

/// One page about everything.
#[utoipa::path(get, path = "/overview", responses((status = 200, body = api::Overview)))]
async fn show(State(app): State<App>, caller: Caller) -> Answer<Json<api::Overview>> {
    let store = app.engine.store();
    let loaded = app.engine.loaded();
    let states = store.projections(SubjectKind::Workspace).await?;
    let mut workspaces = BTreeMap::new();
    let mut next = vec![];
    for workspace in loaded.catalog.workspaces.values().filter(|one| caller.sees_workspace(one.name.as_str())) {
        let state = match states.get(&workspace.subject()) {
            Some(Projection::Workspace(state)) => state.clone(),
            Some(Projection::Job(_)) | None => WorkspaceState::default(),
        };
        let status = if workspace.enabled { state.phase().as_str() } else { "disabled" };
        *workspaces.entry(status.to_owned()).or_default() += 1;
        let due = app.engine.upcoming(workspace.name.as_str(), 1).await?;
        next.extend(due.into_iter().map(|due| (workspace.subject().to_string(), view::upcoming(due))));
    }
    // They are about files, whosever these are.
    let told = loaded.diagnostics.iter().filter(|_| caller.bound().is_none());
    let mut diagnostics: Vec<api::Diagnostic> = told.map(view::diagnostic).collect();
    let left = app.engine.leftovers().await?.into_iter();
    for (name, state) in left.filter(|(name, _)| caller.sees_workspace(name.as_str())) {
        *workspaces.entry(state.phase().as_str().to_owned()).or_default() += 1;
        let directory = app.about.layout.workspaces.join(name.as_str());
        diagnostics.push(view::not_declared(&name, &directory, directory.is_dir()));
    }
    next.sort_by_key(|(_, due)| due.at);
    next.truncate(5);
    let mut jobs = BTreeMap::new();
    let job_states = store.projections(SubjectKind::Job).await?;
    for subject in loaded.catalog.jobs.keys().filter(|subject| caller.sees_subject(subject)) {
        let status = match job_states.get(subject) {
            Some(Projection::Job(state)) => state.status,
            Some(Projection::Workspace(_)) | None => piton_model::JobStatus::Pending,
        };
        *jobs.entry(status.as_str().to_owned()).or_default() += 1;
    }
    let mut runs = BTreeMap::new();
    for run in store.live().await?.iter().filter(|run| caller.sees(run)) {
        *runs.entry(run.phase().as_str().to_owned()).or_default() += 1;
    }
    // They are no workspace's.
    let processes = if caller.bound().is_none() { processes::tally(&app)? } else { BTreeMap::new() };
    let about = &app.about;
    Ok(Json(api::Overview {
        version: api::Version { version: about.version.to_owned(), commit: about.commit.map(str::to_owned) },
        served_by: about.served_by,
        listen: about.listen.map(|address| address.to_string()),
        pid: std::process::id(),
        started_at: about.started_at,
        directory: about.directory.display().to_string(),
        data_directory: about.data_directory.display().to_string(),
        store: about.store.to_owned(),
        workspaces,
        jobs,
        processes,
        runs,
        next,
        diagnostics,
        ledger_head: store.head().await?,
    }))
}

/// The auditor's findings, and what the database says of itself.
#[utoipa::path(get, path = "/doctor", responses((status = 200, body = Value)))]
async fn doctor(State(app): State<App>) -> Answer<Json<Value>> {
    let store = app.engine.store();
    let violations: Vec<String> = store.audit().await?.iter().map(ToString::to_string).collect();
    let mut database = store.check().await?;
    database.extend(store.unreadable_provisions().await?);
    let healthy = violations.is_empty() && database.is_empty();
    Ok(Json(json!({
        "healthy": healthy,
        "ledger_head": store.head().await?,
        "violations": violations,
        "database": database,
    })))
}

/// Ends the daemon once the runs that are under way have ended.
#[utoipa::path(post, path = "/shutdown", responses(
    (status = 202, body = Value, headers(("location" = String, description = "What tells when it accepts nothing any more.")))))]
async fn shutdown(State(app): State<App>, caller: Caller) -> (StatusCode, [(HeaderName, HeaderValue); 1], Json<Value>) {
    app.auth.note(caller.deed(Act::ShutDown)).await;
    app.shutdown.cancel();
    let location = (header::LOCATION, HeaderValue::from_static("/readyz"));
    (StatusCode::ACCEPTED, [location], Json(json!({ "draining": app.engine.driving() })))
}
