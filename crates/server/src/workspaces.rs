//! Workspaces.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use piton_api as api;
use piton_model::{Name, Projection, Run, Subject, SubjectKind, WorkspaceState};
use piton_spec::Workspace;
use piton_store::RunQuery;
use serde::Deserialize;

use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::logs;
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::skips;
use crate::state::App;
use crate::view;
use crate::window::Window;

pub(crate) fn routes() -> Table {
    Table::new()
        .bound(Permission::Read, routes!(list))
        .bound(Permission::Read, routes!(show))
        .creating_bound(Permission::Operate, routes!(deploy))
        .creating_bound(Permission::Operate, routes!(plan))
        .creating_bound(Permission::Operate, routes!(mode))
        .creating_bound(Permission::Operate, routes!(destroy))
        .bound(Permission::Read, routes!(logs_of))
        .bound(Permission::Read, routes!(outputs))
        .bound(Permission::Read, routes!(next))
}

pub(crate) type Accepted = (StatusCode, [(HeaderName, HeaderValue); 1], Json<api::Submitted>);

/// The run that will do it, and where it is.
pub(crate) fn accepted(app: &App, run: &Run) -> Answer<Accepted> {
    let location = HeaderValue::from_str(&format!("{}/runs/{}", app.base, run.id));
    let location = location.map_err(|error| Refusal::internal(&error))?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view::submitted(run))))
}

/// All workspaces.
#[utoipa::path(get, path = "/workspaces", params(Window), responses((status = 200, body = api::Page<api::Workspace>)))]
async fn list(
    State(app): State<App>,
    Query(window): Query<Window>,
    caller: Caller,
) -> Answer<Json<api::Page<api::Workspace>>> {
    let states = app.engine.store().projections(SubjectKind::Workspace).await?;
    let loaded = app.engine.loaded();
    let mut items: Vec<api::Workspace> = vec![];
    for workspace in loaded.catalog.workspaces.values() {
        let state = match states.get(&workspace.subject()) {
            Some(Projection::Workspace(state)) => state.clone(),
            Some(Projection::Job(_)) | None => WorkspaceState::default(),
        };
        items.push(full(&app, workspace, &state).await);
    }
    items.extend(app.engine.leftovers().await?.iter().map(|(name, state)| leftover(&app, name, state)));
    items.retain(|workspace| caller.sees_workspace(&workspace.name));
    items.sort_by(|a, b| a.name.cmp(&b.name));
    window.of(items, |workspace| &workspace.name).map(Json)
}

/// One workspace.
#[utoipa::path(get, path = "/workspaces/{name}", responses((status = 200, body = api::Workspace)))]
async fn show(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::Workspace>> {
    caller.check_workspace(&name)?;
    if let Some((name, state)) = app.engine.leftover(&name).await? {
        return Ok(Json(leftover(&app, &name, &state)));
    }
    let workspace = app.engine.workspace(&name)?;
    let state = match app.engine.store().projection(&workspace.subject()).await? {
        Some(Projection::Workspace(state)) => state,
        Some(Projection::Job(_)) | None => WorkspaceState::default(),
    };
    let mut view = full(&app, &workspace, &state).await;
    view.skipped = skips::latest(&app, &workspace.subject()).await?;
    Ok(Json(view))
}

fn leftover(app: &App, name: &Name, state: &WorkspaceState) -> api::Workspace {
    let mut view = view::leftover(name, state, &app.about.layout.workspaces.join(name.as_str()));
    view.log_file = log_file(app, state);
    view
}

/// A workspace that is declared, or deployed all the same.
async fn subject(app: &App, caller: &Caller, name: &str) -> Answer<Subject> {
    caller.check_workspace(name)?;
    match app.engine.leftover(name).await? {
        Some((name, _)) => Ok(Subject::Workspace(name)),
        None => Ok(app.engine.workspace(name)?.subject()),
    }
}

fn log_file(app: &App, state: &WorkspaceState) -> Option<String> {
    state.last_run.map(|run| app.logs.run_dir(run).join("log").display().to_string())
}

async fn full(app: &App, workspace: &Workspace, state: &WorkspaceState) -> api::Workspace {
    let mut view = view::workspace(workspace, state);
    let next = app.engine.upcoming(workspace.name.as_str(), 1).await.ok();
    view.next = next.and_then(|mut next| next.pop()).map(view::upcoming);
    view.log_file = log_file(app, state);
    view
}

/// Deploys a workspace.
///
/// Whoever asks right after an edit means what the files say now.
#[utoipa::path(post, path = "/workspaces/{name}/deploy", responses(
    (status = 202, description = "The run that will do it.", body = api::Submitted, headers(("location" = String, description = "Where the run is."))),
    (status = 409, description = "Something is in the way, such as a run.")))]
async fn deploy(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    Json(request): Json<api::DeployRequest>,
) -> Answer<Accepted> {
    caller.check_workspace(&name)?;
    app.reload.now().await;
    accepted(&app, &app.engine.deploy(&name, request.mode.as_deref(), caller.by).await?)
}

/// Plans a deployment, and deploys nothing.
#[utoipa::path(post, path = "/workspaces/{name}/plan", responses(
    (status = 202, description = "The run that will do it.", body = api::Submitted, headers(("location" = String, description = "Where the run is."))),
    (status = 409, description = "Something is in the way, such as a run.")))]
async fn plan(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    Json(request): Json<api::DeployRequest>,
) -> Answer<Accepted> {
    caller.check_workspace(&name)?;
    app.reload.now().await;
    accepted(&app, &app.engine.plan(&name, request.mode.as_deref(), caller.by).await?)
}

/// Deploys a workspace in another mode.
#[utoipa::path(post, path = "/workspaces/{name}/mode", responses(
    (status = 202, description = "The run that will do it.", body = api::Submitted, headers(("location" = String, description = "Where the run is."))),
    (status = 409, description = "Something is in the way, such as a run.")))]
async fn mode(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    Json(request): Json<api::ModeRequest>,
) -> Answer<Accepted> {
    caller.check_workspace(&name)?;
    app.reload.now().await;
    accepted(&app, &app.engine.deploy(&name, Some(&request.mode), caller.by).await?)
}

/// Destroys what is deployed.
#[utoipa::path(post, path = "/workspaces/{name}/destroy", responses(
    (status = 202, description = "The run that will do it.", body = api::Submitted, headers(("location" = String, description = "Where the run is."))),
    (status = 409, description = "Something is in the way, such as a run.")))]
async fn destroy(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Accepted> {
    caller.check_workspace(&name)?;
    app.reload.now().await;
    accepted(&app, &app.engine.destroy(&name, caller.by).await?)
}

/// The log of the latest run: a text, or server-sent events for those who accept them.
#[utoipa::path(get, path = "/workspaces/{name}/logs", params(logs::Range), responses((status = 200, content((String = "text/plain"), (String = "text/event-stream")))))]
async fn logs_of(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(range): Query<logs::Range>,
    headers: axum::http::HeaderMap,
    caller: Caller,
) -> Answer<axum::response::Response> {
    match app.engine.store().latest_of(&subject(&app, &caller, &name).await?).await? {
        Some(run) => logs::answer(&app, &run, &range, &headers).await,
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "no_runs",
            format!("workspace '{name}' has no runs yet"),
            Some(format!("piton workspace deploy {name}")),
        )),
    }
}

/// The outputs of the latest deployment that succeeded.
#[utoipa::path(get, path = "/workspaces/{name}/outputs", responses((status = 200, body = BTreeMap<String, api::Output>)))]
async fn outputs(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
) -> Answer<Json<BTreeMap<String, api::Output>>> {
    let query = RunQuery {
        subject: Some(subject(&app, &caller, &name).await?),
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
    run.action.iac().is_some_and(|iac| iac.operation.changes())
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Count {
    /// How many; 5 unless given. More than 1000 counts as 1000, and 0 as 1.
    n: Option<usize>,
}

/// When it is due next.
#[utoipa::path(get, path = "/workspaces/{name}/next", params(Count), responses((status = 200, body = Vec<api::Upcoming>)))]
async fn next(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(count): Query<Count>,
    caller: Caller,
) -> Answer<Json<Vec<api::Upcoming>>> {
    caller.check_workspace(&name)?;
    if app.engine.leftover(&name).await?.is_some() {
        return Ok(Json(vec![]));
    }
    let upcoming = app.engine.upcoming(&name, count.n.unwrap_or(5).clamp(1, 1000)).await?;
    Ok(Json(upcoming.into_iter().map(view::upcoming).collect()))
}
