//! Scheduled jobs, under the name of CronJobs: `NAME`, or `WORKSPACE.NAME` for a job of a workspace. Where that may mean
//! several, `WORKSPACE~NAME` and `~NAME` do not.

use std::io::ErrorKind;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_engine::JobPhase;
use piton_model::{Act, JobState, Projection, Subject};
use piton_spec::Job;
use piton_spec::provisr::{self, Secrets};
use piton_store::RunQuery;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::batch_jobs::{check_declared_elsewhere, check_name, unmasked};
use crate::batch_view;
use crate::bound;
use crate::caller::Caller;
use crate::cron_files;
use crate::extract::{self, Json, Path, Query};
use crate::job_files::{self, Draft};
use crate::problem::{Answer, Refusal};
use crate::processes::{as_provisr, unless_in_the_way};
use crate::route::{Permission, Table, routes};
use crate::skips;
use crate::state::App;
use crate::view;
use crate::window::Window;
use crate::workspaces::{Accepted, accepted};

pub(crate) fn routes() -> Table {
    Table::new()
        .bound(Permission::Read, routes!(list))
        .creating(Permission::Administer, routes!(create))
        .bound(Permission::Read, routes!(show))
        .at(Permission::Administer, routes!(change))
        .at(Permission::Administer, routes!(remove))
        .bound(Permission::Read, routes!(history))
        .bound(Permission::Operate, routes!(suspend))
        .bound(Permission::Operate, routes!(resume))
        .creating_bound(Permission::Operate, routes!(trigger))
        .bound(Permission::Operate, routes!(kill))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Scope {
    /// Only those of this workspace.
    workspace: Option<String>,
    /// Only standalone jobs.
    #[serde(default)]
    standalone: bool,
}

/// Scheduled jobs.
#[utoipa::path(get, path = "/cronjobs", params(Scope, Window), responses((status = 200, body = api::Page<api::Scheduled>), (status = 404, description = "There is no such workspace.")))]
async fn list(
    State(app): State<App>,
    Query(scope): Query<Scope>,
    Query(window): Query<Window>,
    caller: Caller,
) -> Answer<Json<api::Page<api::Scheduled>>> {
    if let Some(workspace) = &scope.workspace {
        caller.check_workspace(workspace)?;
        app.engine.workspace(workspace)?;
    }
    let loaded = app.engine.loaded();
    let wanted = |job: &&Arc<Job>| match (&scope.workspace, scope.standalone) {
        (Some(workspace), _) => job.workspace().is_some_and(|name| name.as_str() == workspace),
        (None, true) => job.workspace().is_none(),
        (None, false) => true,
    };
    let jobs = loaded.catalog.jobs.values().filter(wanted).filter(|job| caller.sees_subject(&job.subject));
    // Standalone jobs first, then workspace by workspace.
    let place = |job: &Arc<Job>| format!("{}\0{}", job.workspace().map_or("", |name| name.as_str()), job.name);
    let mut jobs: Vec<(String, &Arc<Job>)> = jobs.map(|job| (place(job), job)).collect();
    jobs.sort_by(|a, b| a.0.cmp(&b.0));
    let page = window.of(jobs, |(name, _)| name)?;
    let mut items = vec![];
    for (_, job) in page.items {
        let view = full(&app, job).await?;
        items.push(told(&app, job, view, &caller).await?);
    }
    Ok(Json(api::Page { items, next: page.next }))
}

/// One scheduled job: `NAME`, or `WORKSPACE.NAME`.
///
/// Names may hold dots. Where several jobs could be meant, that is refused, and `WORKSPACE~NAME` or `~NAME` says which.
#[utoipa::path(get, path = "/cronjobs/{name}", responses((status = 200, body = api::Scheduled)))]
async fn show(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::Scheduled>> {
    let job = find(&app, &caller, &name)?;
    let mut view = full(&app, &job).await?;
    view.skipped = skips::latest(&app, &job.subject).await?;
    Ok(Json(told(&app, &job, view, &caller).await?))
}

/// A CronJob has the members that provisr has for it, too.
async fn told(app: &App, job: &Job, view: api::Job, caller: &Caller) -> Answer<api::Scheduled> {
    if job.batch().is_none() || job.runs_once() {
        return Ok(api::Scheduled::Job(Box::new(view)));
    }
    let (workspace, name) = scope_of(job);
    let cron = app.engine.cron_job(workspace, name).await?;
    let loaded = app.engine.loaded();
    let secrets = caller.secrets();
    Ok(batch_view::cron_job(job, view, &cron, loaded.catalog.surroundings(), secrets))
}

async fn answer(app: &App, job: &Job, caller: &Caller) -> Answer<Json<api::Scheduled>> {
    let view = full(app, job).await?;
    Ok(Json(told(app, job, view, caller).await?))
}

async fn full(app: &App, job: &Job) -> Answer<api::Job> {
    let state = match app.engine.store().projection(&job.subject).await? {
        Some(Projection::Job(state)) => state,
        Some(Projection::Workspace(_)) | None => JobState::default(),
    };
    let suspended = app.engine.is_suspended(job).await?;
    let enabled = app.engine.loaded().catalog.is_enabled(&job.subject);
    let mut view = view::job(job, &state, enabled, suspended);
    let workspace = job.workspace().map(piton_model::Name::as_str);
    view.next_run = app.engine.next_run(workspace, job.name.as_str()).await?.filter(|_| !suspended);
    Ok(view)
}

/// A job that there is for whoever asks: a standalone one, or one of a workspace.
fn find(app: &App, caller: &Caller, name: &str) -> Answer<Arc<Job>> {
    let loaded = app.engine.loaded();
    let seen = Subject::jobs_called(name).into_iter().filter(|subject| caller.sees_subject(subject));
    let mut found: Vec<Arc<Job>> = seen.filter_map(|subject| loaded.catalog.jobs.get(&subject).cloned()).collect();
    match (found.pop(), found.is_empty()) {
        (Some(job), true) => Ok(job),
        (Some(job), false) => {
            let meant = found.iter().chain([&job]).map(|job| job.subject.clone()).collect();
            Err(piton_engine::Error::AmbiguousName { name: name.to_owned(), meant }.into())
        }
        // What is said of a name that nothing has speaks of those that there are.
        (None, _) if caller.bound().is_some() => Err(bound::missing("job", name)),
        (None, _) => match name.split_once('~').or_else(|| name.split_once('.')) {
            Some((workspace, job)) if name.contains('~') || app.engine.workspace(workspace).is_ok() => {
                let workspace = Some(workspace).filter(|workspace| !workspace.is_empty());
                Ok(app.engine.job(workspace, job)?)
            }
            Some(_) | None => Ok(app.engine.job(None, name)?),
        },
    }
}

fn scope_of(job: &Job) -> (Option<&str>, &str) {
    (job.workspace().map(piton_model::Name::as_str), job.name.as_str())
}

/// Runs a job now.
#[utoipa::path(post, path = "/cronjobs/{name}/trigger", responses(
    (status = 202, description = "The run that will do it.", body = api::Submitted, headers(("location" = String, description = "Where the run is."))),
    (status = 409, description = "Something is in the way, such as a run.")))]
async fn trigger(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Accepted> {
    app.reload.now().await;
    let job = find(&app, &caller, &name)?;
    let (workspace, name) = scope_of(&job);
    accepted(&app, &app.engine.run_job(workspace, name, caller.by).await?)
}

/// Stops the runs of a job.
#[utoipa::path(post, path = "/jobs/{name}/kill", responses((status = 200, description = "The runs that are told to stop.", body = Vec<String>), (status = 409, description = "It is not running.")))]
async fn kill(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<Vec<String>>> {
    let job = match find(&app, &caller, &name) {
        Ok(job) => job,
        // One that somebody made, or that a schedule made.
        Err(refusal) if caller.bound().is_some() || refusal.status() != 404 => return Err(refusal),
        Err(refusal) => match app.engine.stop_job(&name, caller.by.clone()).await {
            Ok(run) => return Ok(Json(vec![run.id.to_string()])),
            // Its declaration may be gone while it runs.
            Err(piton_engine::Error::NotFound { .. }) => {
                let stopped = app.engine.kill_undeclared_job(&name, caller.by).await?;
                let stopped: Vec<String> = stopped.iter().map(ToString::to_string).collect();
                return if stopped.is_empty() { Err(refusal) } else { Ok(Json(stopped)) };
            }
            Err(error) => return Err(error.into()),
        },
    };
    let (workspace, name) = scope_of(&job);
    let stopped = app.engine.kill_job(workspace, name, caller.by).await?;
    Ok(Json(stopped.iter().map(ToString::to_string).collect()))
}

/// Makes the schedule of a job wait.
#[utoipa::path(post, path = "/cronjobs/{name}/suspend", responses((status = 200, body = api::Scheduled), (status = 409, description = "It is declared in the configuration.")))]
async fn suspend(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::Scheduled>> {
    let job = find(&app, &caller, &name)?;
    check_declared_elsewhere(&job)?;
    let (workspace, name) = scope_of(&job);
    app.engine.suspend_job(workspace, name, caller.by.clone()).await?;
    app.auth.note(caller.deed(Act::JobSuspended).to(job.subject.to_string())).await;
    answer(&app, &job, &caller).await
}

/// Puts the schedule of a job in force again.
///
/// Where its file suspends it, that file is changed, which takes the role admin.
#[utoipa::path(post, path = "/cronjobs/{name}/resume", responses((status = 200, body = api::Scheduled), (status = 409, description = "It is declared in the configuration.")))]
async fn resume(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::Scheduled>> {
    let job = find(&app, &caller, &name)?;
    check_declared_elsewhere(&job)?;
    if job.rules.suspended {
        caller.check_admin("to change the file that suspends a job", None)?;
        let (about, loaded, job) = (app.about.clone(), app.engine.loaded(), job.clone());
        let woken = tokio::task::spawn_blocking(move || cron_files::wake(&about.layout, &loaded.catalog, &job));
        woken.await.map_err(|error| Refusal::internal(&error))??;
        app.reload.now().await;
    }
    let (workspace, name) = scope_of(&job);
    app.engine.resume_job(workspace, name).await?;
    app.auth.note(caller.deed(Act::JobResumed).to(job.subject.to_string())).await;
    let job = find_declared(&app, &job.subject)?;
    answer(&app, &job, &caller).await
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Limit {
    /// How many at most; 20 unless given. More than 1000 counts as 1000, and 0 as 1.
    limit: Option<usize>,
}

/// The runs of a job, latest first.
#[utoipa::path(get, path = "/cronjobs/{name}/history", params(Limit), responses((status = 200, body = api::Page<api::CronJobRun>)))]
async fn history(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(limit): Query<Limit>,
    caller: Caller,
) -> Answer<Json<api::Page<api::CronJobRun>>> {
    let job = find(&app, &caller, &name)?;
    let limit = limit.limit.unwrap_or(20).clamp(1, 1000);
    let (workspace, short) = scope_of(&job);
    if job.is_scheduled() {
        let rows = app.engine.cron_history(workspace, short).await?;
        let items = rows.iter().take(limit).map(batch_view::history).collect();
        return Ok(Json(api::Page { items, next: None }));
    }
    let subject = Some(job.subject.clone());
    let page = app.engine.store().runs(&RunQuery { subject, limit, ..RunQuery::default() }).await?;
    let name = workspace.map_or_else(|| short.to_owned(), |workspace| format!("{workspace}.{short}"));
    Ok(Json(api::Page {
        items: page.runs.iter().map(|run| batch_view::cron_run(run, name.clone())).collect(),
        next: None,
    }))
}

/// Declares a standalone job, by the text of its file, or a CronJob as provisr has it, in a file of its own.
#[utoipa::path(post, path = "/cronjobs", request_body = api::ScheduledDraft, responses((status = 200, description = "The CronJob.", body = api::Scheduled), (status = 201, description = "The job of the file.", body = api::Scheduled), (status = 400, description = "There is such a CronJob already, or it is not valid."), (status = 409, description = "There is such a file already.")))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(Draft(mut body)): Json<Draft>,
) -> Answer<(StatusCode, Json<api::Scheduled>)> {
    let is_cron_job = body.contains_key("job_template") || body.contains_key("schedule");
    let (about, loaded) = (app.about.clone(), app.engine.loaded());
    let (status, made) = if is_cron_job {
        batch_view::without_answer(&mut body);
        check_no_such_job(&app, &body).await.map_err(as_provisr)?;
        let spec = Value::Object(body);
        let made = tokio::task::spawn_blocking(move || cron_files::create(&about.layout, &loaded.catalog, &spec));
        (StatusCode::OK, made.await.map_err(|error| Refusal::internal(&error))?.map_err(as_provisr))
    } else {
        let draft: api::JobDraft = extract::read(&body)?;
        let made = tokio::task::spawn_blocking(move || job_files::create(&about.layout, &loaded.catalog, &draft));
        (StatusCode::CREATED, made.await.map_err(|error| Refusal::internal(&error))?)
    };
    let subject = made?;
    app.auth.note(caller.deed(Act::JobCreated).to(subject.to_string())).await;
    app.reload.now().await;
    let job = find_declared(&app, &subject)?;
    Ok((status, answer(&app, &job, &caller).await?))
}

/// Jobs that somebody made stand in no file, and have their names all the same until they are over.
async fn check_no_such_job(app: &App, cron_job: &Map<String, Value>) -> Answer<()> {
    let Some(name) = cron_job.get("name").and_then(Value::as_str) else { return Ok(()) };
    match app.engine.job_object(name).await {
        Ok(job) if matches!(job.phase(), JobPhase::Pending | JobPhase::Running) => Err(cron_files::exists(name)),
        Ok(_) | Err(piton_engine::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Changes the declaration of a CronJob. What it made goes on.
#[utoipa::path(post, path = "/cronjobs/{name}", request_body = api::CronJobSpec, responses((status = 200, body = api::Scheduled), (status = 400, description = "There is no such CronJob, the new declaration is not valid, or it has another name."), (status = 409, description = "It is declared in the configuration, in a workspace, or in a file of another kind; or the name may mean several.")))]
async fn change(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    body: Answer<Json<Map<String, Value>>>,
) -> Answer<Json<api::Scheduled>> {
    let Json(body) = body.map_err(as_provisr)?;
    app.reload.now().await;
    let job = find(&app, &caller, &name).map_err(unless_in_the_way)?;
    check_no_workspace(&job, &name)?;
    check_name(&body, job.name.as_str())?;
    check_declared_elsewhere(&job)?;
    let (about, loaded) = (app.about.clone(), app.engine.loaded());
    let known = provisr::cronjob_to_json(&job, loaded.catalog.surroundings(), Secrets::Shown);
    let mut body = unmasked(body, &known);
    batch_view::without_answer(&mut body);
    let changed = tokio::task::spawn_blocking(move || {
        cron_files::change(&about.layout, &loaded.catalog, &job, &Value::Object(body))
    });
    let subject = changed.await.map_err(|error| Refusal::internal(&error))?.map_err(unless_in_the_way)?;
    app.auth.note(caller.deed(Act::JobUpdated).to(subject.to_string())).await;
    app.reload.now().await;
    answer(&app, &*find_declared(&app, &subject)?, &caller).await
}

fn check_no_workspace(job: &Job, name: &str) -> Answer<()> {
    if job.workspace().is_none() {
        return Ok(());
    }
    let detail = format!("job '{name}' is declared in the configuration of its workspace");
    let hint = Some(format!("edit {}", job.file.display()));
    Err(Refusal::new(StatusCode::CONFLICT, "declared_in_workspace", detail, hint))
}

/// Removes the file of a standalone job. What a CronJob made is stopped, and goes with it.
#[utoipa::path(delete, path = "/cronjobs/{name}", responses((status = 200, description = "The job as it was.", body = api::Scheduled), (status = 409, description = "It is declared in a workspace, or in the configuration.")))]
async fn remove(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::Scheduled>> {
    // Its file may declare something else by now, which nobody asked to be removed.
    app.reload.now().await;
    let job = find(&app, &caller, &name)?;
    check_no_workspace(&job, &name)?;
    check_declared_elsewhere(&job)?;
    let last = answer(&app, &job, &caller).await?;
    // What it made goes with it. The runs of a command stay, of which there may be very many.
    let made = match job.batch() {
        Some(_) => Some(app.engine.jobs_made_by(&job.name).await?),
        None => None,
    };
    match tokio::fs::remove_file(&job.file).await {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Refusal::internal(&error)),
        _ => {}
    }
    app.auth.note(caller.deed(Act::JobDeleted).to(job.subject.to_string())).await;
    app.reload.now().await;
    if let Some(made) = made {
        app.engine.delete_jobs_of(&job.name, &made, caller.by.clone()).await?;
    }
    Ok(last)
}

fn find_declared(app: &App, subject: &Subject) -> Answer<Arc<Job>> {
    let found = app.engine.loaded().catalog.jobs.get(subject).cloned();
    found.ok_or_else(|| Refusal::internal(&"the job was written, but is gone again"))
}
