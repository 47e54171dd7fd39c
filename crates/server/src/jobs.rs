//! Scheduled jobs, under the name of CronJobs: `NAME`, or `WORKSPACE.NAME` for a job of a workspace.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_model::{Act, JobState, Projection, Subject};
use piton_spec::Job;
use piton_store::RunQuery;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::job_files;
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table};
use crate::skips;
use crate::state::App;
use crate::view;
use crate::workspaces::{Accepted, accepted};

pub(crate) fn routes() -> Table {
    Table::new()
        .at(Permission::Read, routes!(list))
        .creating(Permission::Administer, routes!(create))
        .at(Permission::Read, routes!(show))
        .at(Permission::Administer, routes!(remove))
        .at(Permission::Read, routes!(history))
        .at(Permission::Operate, routes!(suspend))
        .at(Permission::Operate, routes!(resume))
        .creating(Permission::Operate, routes!(trigger))
        .at(Permission::Operate, routes!(kill))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Scope {
    /// Only those of this workspace.
    workspace: Option<String>,
    /// Only standalone jobs.
    #[serde(default)]
    standalone: bool,
}

/// Scheduled jobs.
#[utoipa::path(get, path = "/cronjobs", responses((status = 200, body = api::Page<api::Job>), (status = 404, description = "There is no such workspace.")))]
async fn list(State(app): State<App>, Query(scope): Query<Scope>) -> Answer<Json<api::Page<api::Job>>> {
    if let Some(workspace) = &scope.workspace {
        app.engine.workspace(workspace)?;
    }
    let loaded = app.engine.loaded();
    let wanted = |job: &&Arc<Job>| match (&scope.workspace, scope.standalone) {
        (Some(workspace), _) => job.workspace().is_some_and(|name| name.as_str() == workspace),
        (None, true) => job.workspace().is_none(),
        (None, false) => true,
    };
    let mut items = vec![];
    for job in loaded.catalog.jobs.values().filter(wanted) {
        items.push(full(&app, job).await?);
    }
    Ok(Json(api::Page { items, next: None }))
}

/// One scheduled job: `NAME`, or `WORKSPACE.NAME`.
#[utoipa::path(get, path = "/cronjobs/{name}", responses((status = 200, body = api::Job)))]
async fn show(State(app): State<App>, Path(name): Path<String>) -> Answer<Json<api::Job>> {
    let job = find(&app, &name)?;
    let mut view = full(&app, &job).await?;
    view.skipped = skips::latest(&app, &job.subject).await?;
    Ok(Json(view))
}

async fn full(app: &App, job: &Job) -> Answer<api::Job> {
    let state = match app.engine.store().projection(&job.subject).await? {
        Some(Projection::Job(state)) => state,
        Some(Projection::Workspace(_)) | None => JobState::default(),
    };
    let suspended = app.engine.store().suspended().await?.contains(&job.subject);
    let enabled = app.engine.loaded().catalog.is_enabled(&job.subject);
    let mut view = view::job(job, &state, enabled, suspended);
    let workspace = job.workspace().map(piton_model::Name::as_str);
    view.next_run = app.engine.next_run(workspace, job.name.as_str())?.filter(|_| !suspended);
    Ok(view)
}

/// A standalone job, or a job of a workspace: names may hold dots, so every dot may be the one between them.
fn find(app: &App, name: &str) -> Answer<Arc<Job>> {
    let standalone = app.engine.job(None, name);
    if standalone.is_ok() {
        return Ok(standalone?);
    }
    let mut places = name.match_indices('.').map(|(place, _)| (&name[..place], &name[place + 1..]));
    let found = places.find_map(|(workspace, job)| app.engine.job(Some(workspace), job).ok());
    match found {
        Some(job) => Ok(job),
        None => match name.split_once('.') {
            Some((workspace, job)) if app.engine.workspace(workspace).is_ok() => {
                Ok(app.engine.job(Some(workspace), job)?)
            }
            Some(_) | None => Ok(standalone?),
        },
    }
}

fn scope_of(job: &Job) -> (Option<&str>, &str) {
    (job.workspace().map(piton_model::Name::as_str), job.name.as_str())
}

/// Runs a job now.
#[utoipa::path(post, path = "/cronjobs/{name}/trigger", responses((status = 202, description = "The run that will do it.", body = api::Submitted), (status = 409, description = "Something is in the way, such as a run.")))]
async fn trigger(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Accepted> {
    app.reload.now().await;
    let job = find(&app, &name)?;
    let (workspace, name) = scope_of(&job);
    Ok(accepted(&app.engine.run_job(workspace, name, caller.by).await?))
}

/// Stops the runs of a job.
#[utoipa::path(post, path = "/jobs/{name}/kill", responses((status = 200, description = "The runs that are told to stop.", body = Vec<String>), (status = 409, description = "Something is in the way, such as a run.")))]
async fn kill(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<Vec<String>>> {
    let job = find(&app, &name)?;
    let (workspace, name) = scope_of(&job);
    let stopped = app.engine.kill_job(workspace, name, caller.by).await?;
    Ok(Json(stopped.iter().map(ToString::to_string).collect()))
}

/// Makes the schedule of a job wait.
#[utoipa::path(post, path = "/cronjobs/{name}/suspend", responses((status = 200, body = api::Job)))]
async fn suspend(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::Job>> {
    let job = find(&app, &name)?;
    let (workspace, name) = scope_of(&job);
    app.engine.suspend_job(workspace, name, caller.by.clone()).await?;
    app.auth.note(caller.deed(Act::JobSuspended).to(job.subject.to_string())).await;
    Ok(Json(full(&app, &job).await?))
}

/// Puts the schedule of a job in force again.
#[utoipa::path(post, path = "/cronjobs/{name}/resume", responses((status = 200, body = api::Job)))]
async fn resume(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::Job>> {
    let job = find(&app, &name)?;
    let (workspace, name) = scope_of(&job);
    app.engine.resume_job(workspace, name).await?;
    app.auth.note(caller.deed(Act::JobResumed).to(job.subject.to_string())).await;
    Ok(Json(full(&app, &job).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Limit {
    /// How many at most; 20 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The runs of a job, latest first.
#[utoipa::path(get, path = "/cronjobs/{name}/history", responses((status = 200, body = api::Page<api::Run>)))]
async fn history(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(limit): Query<Limit>,
) -> Answer<Json<api::Page<api::Run>>> {
    let subject = Some(find(&app, &name)?.subject.clone());
    let limit = limit.limit.unwrap_or(20).clamp(1, 1000);
    let page = app.engine.store().runs(&RunQuery { subject, limit, ..RunQuery::default() }).await?;
    Ok(Json(api::Page { items: page.runs.iter().map(view::run).collect(), next: None }))
}

/// Declares a standalone job, by the text of its file.
#[utoipa::path(post, path = "/cronjobs", responses((status = 201, body = api::Job), (status = 409, description = "There is such a file already.")))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(draft): Json<api::JobDraft>,
) -> Answer<(StatusCode, Json<api::Job>)> {
    let loaded = app.engine.loaded();
    let about = app.about.clone();
    let made = tokio::task::spawn_blocking(move || job_files::create(&about.layout, &loaded.catalog, &draft));
    let subject = made.await.map_err(|error| Refusal::internal(&error))??;
    app.auth.note(caller.deed(Act::JobCreated).to(subject.to_string())).await;
    app.reload.now().await;
    let job = find_declared(&app, &subject)?;
    Ok((StatusCode::CREATED, Json(full(&app, &job).await?)))
}

/// Removes the file of a standalone job.
#[utoipa::path(delete, path = "/cronjobs/{name}", responses((status = 200, description = "The job as it was.", body = api::Job), (status = 409, description = "It is declared in a workspace.")))]
async fn remove(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::Job>> {
    let job = find(&app, &name)?;
    if job.workspace().is_some() {
        let detail = format!("job '{name}' is declared in the configuration of its workspace");
        let hint = Some(format!("edit {}", job.file.display()));
        return Err(Refusal::new(StatusCode::CONFLICT, "declared_in_workspace", detail, hint));
    }
    let last = full(&app, &job).await?;
    tokio::fs::remove_file(&job.file).await.map_err(|error| Refusal::internal(&error))?;
    app.auth.note(caller.deed(Act::JobDeleted).to(job.subject.to_string())).await;
    app.reload.now().await;
    Ok(Json(last))
}

fn find_declared(app: &App, subject: &Subject) -> Answer<Arc<Job>> {
    let found = app.engine.loaded().catalog.jobs.get(subject).cloned();
    found.ok_or_else(|| Refusal::internal(&"the job was written, but is gone again"))
}
