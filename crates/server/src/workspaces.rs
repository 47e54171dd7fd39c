//! Workspaces.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use piton_api as api;
use piton_model::{Action, Operation, Projection, Run, Subject, SubjectKind, WorkspaceState};
use piton_spec::Workspace;
use piton_store::RunQuery;
use serde::Deserialize;

use crate::logs;
use crate::problem::{Answer, Refusal};
use crate::state::{App, Caller};
use crate::view;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/workspaces", get(list))
        .route("/workspaces/{name}", get(show))
        .route("/workspaces/{name}/deploy", post(deploy))
        .route("/workspaces/{name}/plan", post(plan))
        .route("/workspaces/{name}/mode", post(mode))
        .route("/workspaces/{name}/destroy", post(destroy))
        .route("/workspaces/{name}/logs", get(logs_of))
        .route("/workspaces/{name}/outputs", get(outputs))
        .route("/workspaces/{name}/next", get(next))
}

pub(crate) type Accepted = (StatusCode, Json<api::Submitted>);

pub(crate) fn accepted(run: &Run) -> Accepted {
    (StatusCode::ACCEPTED, Json(view::submitted(run)))
}

async fn list(State(app): State<App>) -> Answer<Json<api::Page<api::Workspace>>> {
    let states = app.engine.store().projections(SubjectKind::Workspace).await?;
    let loaded = app.engine.loaded();
    let items = loaded.catalog.workspaces.values().map(|workspace| {
        let state = match states.get(&workspace.subject()) {
            Some(Projection::Workspace(state)) => state.clone(),
            Some(Projection::Job(_)) | None => WorkspaceState::default(),
        };
        full(&app, workspace, &state)
    });
    Ok(Json(api::Page { items: items.collect(), next: None }))
}

async fn show(State(app): State<App>, Path(name): Path<String>) -> Answer<Json<api::Workspace>> {
    let workspace = app.engine.workspace(&name)?;
    let state = match app.engine.store().projection(&workspace.subject()).await? {
        Some(Projection::Workspace(state)) => state,
        Some(Projection::Job(_)) | None => WorkspaceState::default(),
    };
    Ok(Json(full(&app, &workspace, &state)))
}

fn full(app: &App, workspace: &Workspace, state: &WorkspaceState) -> api::Workspace {
    let mut view = view::workspace(workspace, state);
    view.next =
        app.engine.upcoming(workspace.name.as_str(), 1).ok().and_then(|mut next| next.pop()).map(view::upcoming);
    view.log_file = state.last_run.map(|run| app.logs.run_dir(run).join("log").display().to_string());
    view
}

/// Whoever asks right after an edit means what the files say now.
async fn deploy(
    State(app): State<App>,
    Path(name): Path<String>,
    Caller(by): Caller,
    Json(request): Json<api::DeployRequest>,
) -> Answer<Accepted> {
    app.reload.now().await;
    Ok(accepted(&app.engine.deploy(&name, request.mode.as_deref(), by).await?))
}

async fn plan(
    State(app): State<App>,
    Path(name): Path<String>,
    Caller(by): Caller,
    Json(request): Json<api::DeployRequest>,
) -> Answer<Accepted> {
    app.reload.now().await;
    Ok(accepted(&app.engine.plan(&name, request.mode.as_deref(), by).await?))
}

async fn mode(
    State(app): State<App>,
    Path(name): Path<String>,
    Caller(by): Caller,
    Json(request): Json<api::ModeRequest>,
) -> Answer<Accepted> {
    app.reload.now().await;
    Ok(accepted(&app.engine.deploy(&name, Some(&request.mode), by).await?))
}

async fn destroy(State(app): State<App>, Path(name): Path<String>, Caller(by): Caller) -> Answer<Accepted> {
    app.reload.now().await;
    Ok(accepted(&app.engine.destroy(&name, by).await?))
}

/// The log of the latest run.
async fn logs_of(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Query<logs::Range>,
    headers: axum::http::HeaderMap,
) -> Answer<axum::response::Response> {
    let workspace = app.engine.workspace(&name)?;
    match app.engine.store().latest_of(&workspace.subject()).await? {
        Some(run) => logs::answer(&app, &run, &query.0, &headers).await,
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "no_runs",
            format!("workspace '{name}' has no runs yet"),
            Some(format!("piton workspace deploy {name}")),
        )),
    }
}

/// The outputs of the latest deployment that succeeded.
async fn outputs(State(app): State<App>, Path(name): Path<String>) -> Answer<Json<BTreeMap<String, api::Output>>> {
    let workspace = app.engine.workspace(&name)?;
    let query = RunQuery {
        subject: Some(Subject::Workspace(workspace.name.clone())),
        outcome: Some(piton_model::OutcomeKind::Succeeded),
        limit: 50,
        ..RunQuery::default()
    };
    let page = app.engine.store().runs(&query).await?;
    let latest = page.runs.iter().find(|run| changes(run));
    let outputs = latest.and_then(|run| run.report.outputs.as_ref());
    Ok(Json(outputs.into_iter().flatten().map(|(name, value)| (name.clone(), view::output(value))).collect()))
}

fn changes(run: &Run) -> bool {
    match &run.action {
        Action::Iac(iac) => !matches!(iac.operation, Operation::Plan { .. }),
        Action::Command(_) => false,
    }
}

#[derive(Debug, Deserialize)]
struct Count {
    n: Option<usize>,
}

async fn next(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(count): Query<Count>,
) -> Answer<Json<Vec<api::Upcoming>>> {
    let upcoming = app.engine.upcoming(&name, count.n.unwrap_or(5).clamp(1, 1000))?;
    Ok(Json(upcoming.into_iter().map(view::upcoming).collect()))
}
