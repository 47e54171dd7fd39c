//! Jobs of tasks: made, looked at, stopped and removed as provisr has it.
//!
//! A list is a bare array, and what is wrong with a request is 400, as its clients expect.

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_engine::JobObject;
use piton_model::Act;
use piton_spec::Job;
use piton_spec::provisr::{self, Secrets};
use serde_json::{Map, Value};

use crate::batch_view;
use crate::caller::Caller;
use crate::cron_files;
use crate::extract::{Json, Path, Query};
use crate::problem::{Answer, Refusal};
use crate::processes::{as_provisr, refused, unless_in_the_way};
use crate::route::{Permission, Table, routes};
use crate::state::App;
use crate::window::Slice;

pub(crate) fn routes() -> Table {
    Table::new()
        .at(Permission::Read, routes!(list))
        .creating(Permission::Administer, routes!(create))
        .at(Permission::Read, routes!(show))
        .at(Permission::Operate, routes!(change))
        .at(Permission::Operate, routes!(remove))
        .at(Permission::Operate, routes!(hold))
        .at(Permission::Operate, routes!(release))
}

/// Jobs: declared ones, those of schedules, and those that somebody made.
#[utoipa::path(get, path = "/jobs", params(Slice), responses((status = 200, body = Vec<api::BatchJob>)))]
async fn list(State(app): State<App>, Query(slice): Query<Slice>, caller: Caller) -> Answer<Json<Vec<api::BatchJob>>> {
    let loaded = app.engine.loaded();
    let secrets = caller.secrets();
    let jobs = app.engine.jobs().await?;
    Ok(Json(slice.of(&jobs).map(|job| batch_view::job(job, &loaded.catalog, secrets)).collect()))
}

/// One job.
///
/// The values of its environment are for administrators.
#[utoipa::path(get, path = "/jobs/{name}", responses((status = 200, body = api::BatchJob)))]
async fn show(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::BatchJob>> {
    Ok(Json(seen(&app, &name, &caller).await?))
}

/// Makes a job, which runs at once.
#[utoipa::path(post, path = "/jobs", request_body = api::JobSpec, responses((status = 200, body = api::BatchJob), (status = 400, description = "There is such a job already, or it is not valid.")))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Answer<Json<Map<String, Value>>>,
) -> Answer<Json<api::BatchJob>> {
    let Json(body) = body.map_err(as_provisr)?;
    let job = parse(&app, body).map_err(as_provisr)?;
    make(&app, &caller, &job).await.map_err(as_provisr)?;
    app.auth.note(caller.deed(Act::JobCreated).to(job.subject.to_string())).await;
    Ok(Json(seen(&app, job.name.as_str(), &caller).await.map_err(as_provisr)?))
}

/// Stops a job, removes it, and makes it anew as the body says. One that a file declares is not declared any more then.
///
/// Operators only run again what there is: the body of anybody else must say what GET answered.
#[utoipa::path(post, path = "/jobs/{name}", request_body = api::JobSpec, responses((status = 200, body = api::BatchJob), (status = 400, description = "There is no such job, the new one is not valid, or it has another name."), (status = 409, description = "It is declared in the configuration, or a schedule made it.")))]
async fn change(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    body: Answer<Json<Map<String, Value>>>,
) -> Answer<Json<api::BatchJob>> {
    let Json(mut body) = body.map_err(as_provisr)?;
    app.reload.now().await;
    let old = app.engine.job_object(&name).await.map_err(as_provisr)?;
    check_name(&body, &name)?;
    check_not_scheduled(&old)?;
    let loaded = app.engine.loaded();
    let around = loaded.catalog.surroundings();
    let known = provisr::batch_to_json(&name, &old.batch, around, Secrets::Shown);
    body = unmasked(body, &known);
    let job = parse(&app, body).map_err(as_provisr)?;
    let wanted = job.batch().map(|batch| provisr::batch_to_json(&name, batch, around, Secrets::Shown));
    if wanted != Some(known) {
        // Whoever chose the command would also be told the values that were masked.
        let hint = Some("run it again unchanged".to_owned());
        caller.check_admin("to change what a job does", hint)?;
    }
    discard(&app, &caller, &old).await.map_err(unless_in_the_way)?;
    let made = make(&app, &caller, &job).await.map_err(as_provisr);
    let act = if made.is_ok() { Act::JobUpdated } else { Act::JobDeleted };
    app.auth.note(caller.deed(act).to(job.subject.to_string())).await;
    made?;
    Ok(Json(seen(&app, &name, &caller).await.map_err(as_provisr)?))
}

/// Stops a job if it is active, and removes it, with the file that declares it.
#[utoipa::path(delete, path = "/jobs/{name}", responses((status = 200, description = "The job as it was.", body = api::BatchJob), (status = 400, description = "There is no such job."), (status = 409, description = "It is declared in the configuration.")))]
async fn remove(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::BatchJob>> {
    // Its file may declare something else by now, which nobody asked to be removed.
    app.reload.now().await;
    let last = seen(&app, &name, &caller).await.map_err(as_provisr)?;
    let old = app.engine.job_object(&name).await.map_err(as_provisr)?;
    discard(&app, &caller, &old).await.map_err(unless_in_the_way)?;
    app.auth.note(caller.deed(Act::JobDeleted).to(format!("job/{name}"))).await;
    Ok(Json(last))
}

/// Holds a job back: its tasks are stopped, and its deadline stands still.
#[utoipa::path(post, path = "/jobs/{name}/suspend", responses((status = 200, body = api::BatchJob), (status = 409, description = "A schedule made it.")))]
async fn hold(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::BatchJob>> {
    app.engine.hold_job(&name, caller.by.clone()).await?;
    app.auth.note(caller.deed(Act::JobSuspended).to(format!("job/{name}"))).await;
    Ok(Json(seen(&app, &name, &caller).await?))
}

/// Lets a job go on that was held back.
///
/// Where its file suspends it, that file is changed, which takes the role admin.
#[utoipa::path(post, path = "/jobs/{name}/resume", responses((status = 200, body = api::BatchJob), (status = 409, description = "A schedule made it, or it is declared in the configuration.")))]
async fn release(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::BatchJob>> {
    let subject = app.engine.job_object(&name).await?.subject;
    let declared = app.engine.loaded().catalog.jobs.get(&subject).cloned();
    if let Some(job) = declared.filter(|job| job.runs_once() && job.rules.suspended) {
        check_declared_elsewhere(&job)?;
        caller.check_admin("to change the file that suspends a job", None)?;
        let (about, loaded) = (app.about.clone(), app.engine.loaded());
        let woken = tokio::task::spawn_blocking(move || cron_files::wake(&about.layout, &loaded.catalog, &job));
        woken.await.map_err(|error| Refusal::internal(&error))??;
        app.reload.now().await;
    }
    app.engine.release_job(&name).await?;
    app.auth.note(caller.deed(Act::JobResumed).to(format!("job/{name}"))).await;
    Ok(Json(seen(&app, &name, &caller).await?))
}

async fn seen(app: &App, name: &str, caller: &Caller) -> Answer<api::BatchJob> {
    let job = app.engine.job_object(name).await?;
    Ok(batch_view::job(&job, &app.engine.loaded().catalog, caller.secrets()))
}

/// A job from a body.
fn parse(app: &App, mut body: Map<String, Value>) -> Answer<Job> {
    batch_view::without_answer(&mut body);
    let loaded = app.engine.loaded();
    let parsed = provisr::parse_job(&Value::Object(body), loaded.catalog.surroundings());
    Ok(parsed.map_err(|found| refused("invalid_job", &found))?.0)
}

/// What somebody was shown masked and sends back is as it was.
pub(crate) fn unmasked(body: Map<String, Value>, known: &Value) -> Map<String, Value> {
    let mut value = Value::Object(body);
    provisr::unmask(&mut value, known);
    match value {
        Value::Object(body) => body,
        _ => Map::new(),
    }
}

/// A name is what something is known by, and does not change.
pub(crate) fn check_name(body: &Map<String, Value>, name: &str) -> Answer<()> {
    if body.get("name").and_then(Value::as_str) == Some(name) {
        return Ok(());
    }
    let fault = api::Fault { pointer: "/name".to_owned(), detail: format!("it must be `{}`", name.escape_debug()) };
    let detail = "the name of a job cannot be changed";
    let hint = Some("make another one, and delete this one".to_owned());
    Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_job", detail, hint).at(fault))
}

async fn make(app: &App, caller: &Caller, job: &Job) -> Answer<()> {
    let Some(batch) = job.batch() else { return Err(Refusal::internal(&"a job without tasks")) };
    let (name, batch, by) = (job.name.clone(), batch.as_ref().clone(), caller.by.clone());
    if job.rules.suspended {
        app.engine.create_held_job(name, batch, by).await?;
    } else {
        app.engine.create_job(name, batch, by).await?;
    }
    Ok(())
}

/// Stops a job and removes all of it.
async fn discard(app: &App, caller: &Caller, job: &JobObject) -> Answer<()> {
    let loaded = app.engine.loaded();
    let declared = loaded.catalog.jobs.get(&job.subject).filter(|declared| declared.runs_once());
    if let Some(declared) = declared {
        check_declared_elsewhere(declared)?;
        caller.check_admin("to change or delete a job that a file declares", None)?;
        let (directory, file) = (app.about.layout.programs.clone(), declared.file.clone());
        let removed = tokio::task::spawn_blocking(move || provisr::remove_program(&directory, &file));
        let removed = removed.await.map_err(|error| Refusal::internal(&error))?;
        removed.map_err(|error| Refusal::internal(&error))?;
        app.reload.now().await;
    }
    if job.run.is_some() {
        app.engine.delete_job(&job.name, caller.by.clone()).await?;
    }
    Ok(())
}

/// What a schedule makes is changed with it.
fn check_not_scheduled(job: &JobObject) -> Answer<()> {
    if !job.scheduled {
        return Ok(());
    }
    let schedule = job.subject.name();
    let detail = format!("job '{}' was made by the schedule of '{schedule}'", job.name);
    let hint = Some(format!("change the CronJob '{schedule}', or trigger it"));
    Err(Refusal::new(StatusCode::CONFLICT, "job_exists", detail, hint))
}

/// What stands in the configuration is changed there.
pub(crate) fn check_declared_elsewhere(job: &Job) -> Answer<()> {
    if !job.inline {
        return Ok(());
    }
    let detail = format!("job '{}' is declared in the configuration", job.name);
    let hint = Some(format!("edit {}", job.file.display()));
    Err(Refusal::new(StatusCode::CONFLICT, "declared_in_configuration", detail, hint))
}
