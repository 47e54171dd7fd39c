//! Registering, changing and unregistering: what is declared over the API is a file like those that people write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_model::{Act, Name, Process};
use piton_spec::provisr::process_to_json;
use piton_supervisor::Selector;
use serde_json::{Map, Value};

use super::files::{self, Changed};
use super::selector::{self, Patience, Which, plain};
use super::{as_provisr, daemon, done, read, settled, unless_in_the_way};
use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(super) fn routes() -> Table {
    Table::new()
        .creating(Permission::Administer, routes!(register))
        .at(Permission::Administer, routes!(update))
        .at(Permission::Administer, routes!(unregister))
        .at(Permission::Read, routes!(show))
}

/// A declaration from a body that may lack its name, and may be what `GET …/spec` answered.
pub(super) fn spec(body: Map<String, Value>) -> Answer<api::ProcessSpec> {
    let mut members: BTreeMap<String, Value> = body.into_iter().collect();
    members.remove("provisioned");
    match members.remove("name") {
        Some(Value::String(name)) => Ok(api::ProcessSpec { name, members }),
        Some(_) | None => {
            let fault = api::Fault { pointer: "/name".to_owned(), detail: "a text is needed".to_owned() };
            let detail = "a process needs a `name`";
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_process", detail, None).at(fault))
        }
    }
}

/// Declares a process, in a file of its own, and starts it. If the start fails, nothing is left of it.
///
/// Without a daemon only the file is written, which the next one reads.
#[utoipa::path(post, path = "/register", tag = "processes", request_body = api::ProcessSpec, responses((status = 200, body = api::ProcessesDone), (status = 400, description = "There is such a process already, it is not valid, or it cannot be started.")))]
async fn register(
    State(app): State<App>,
    caller: Caller,
    body: Answer<Json<Map<String, Value>>>,
) -> Answer<Json<api::ProcessesDone>> {
    let Json(body) = body.map_err(as_provisr)?;
    let spec = spec(body).map_err(as_provisr)?;
    let change = {
        let app = app.clone();
        async move {
            if app.about.supervises() {
                return declare(&app, &caller, spec).await;
            }
            write(&app, move |layout, catalog| files::create(layout, catalog, &spec)).await?;
            app.reload.now().await;
            Ok(api::ProcessesDone { ok: true, processes: vec![] })
        }
    };
    Ok(Json(app.applier.change(change).await.map_err(as_provisr)?))
}

async fn declare(app: &App, caller: &Caller, spec: api::ProcessSpec) -> Answer<api::ProcessesDone> {
    let name = spec.name.clone();
    let changes = app.supervisor.changes();
    let changed = write(app, move |layout, catalog| files::create(layout, catalog, &spec)).await?;
    if let Err(refusal) = put_in_force(app, &name, changes, "nothing of it was kept").await {
        undo(app, changed).await;
        return Err(refusal);
    }
    app.auth.note(caller.deed(Act::ProcessRegistered).to(&name)).await;
    Ok(done(app, &app.supervisor.status(&Selector::Name(name))?))
}

/// Registers a process, or starts the same one that is registered already.
pub(super) async fn start(app: &App, caller: Caller, spec: api::ProcessSpec) -> Answer<api::ProcessesDone> {
    let change = {
        let app = app.clone();
        async move {
            let loaded = app.engine.loaded();
            let known = Name::parse(&spec.name).ok().and_then(|name| loaded.catalog.processes.get(&name).cloned());
            if !known.is_some_and(|known| files::is_same(&known.process, &spec, &loaded.catalog)) {
                return declare(&app, &caller, spec).await;
            }
            let started = app.supervisor.start(&Selector::Name(spec.name.clone())).await?;
            app.auth.note(caller.deed(Act::ProcessStarted).to(spec.name)).await;
            Ok(done(&app, &started))
        }
    };
    app.applier.change(change).await.map_err(as_provisr)
}

/// Changes the declaration of a process that was registered, and restarts what runs. If the start fails, the process
/// is again as it was.
#[utoipa::path(post, path = "/update", tag = "processes", request_body = api::ProcessSpec, params(Patience), responses((status = 200, body = api::ProcessesDone), (status = 400, description = "There is no such process, the declaration is not valid, or it cannot be started."), (status = 409, description = "It is declared in the configuration.")))]
async fn update(
    State(app): State<App>,
    Query(patience): Query<Patience>,
    caller: Caller,
    body: Answer<Json<Map<String, Value>>>,
) -> Answer<Json<api::ProcessesDone>> {
    daemon(&app)?;
    let Json(mut body) = body.map_err(as_provisr)?;
    let in_body = match body.remove("wait") {
        Some(wait) => Some(serde_json::from_value(wait).map_err(|_| selector::refused("`wait`: a text is needed"))?),
        None => None,
    };
    // How long the old ones may take is declared with them; here it only has to make sense.
    for patience in [patience, Patience { wait: in_body }] {
        patience.time()?;
    }
    let spec = spec(body).map_err(as_provisr)?;
    let change = {
        let app = app.clone();
        async move { redeclare(&app, &caller, spec).await }
    };
    Ok(Json(app.applier.change(change).await?))
}

async fn redeclare(app: &App, caller: &Caller, spec: api::ProcessSpec) -> Answer<api::ProcessesDone> {
    look_again(app).await?;
    let name = spec.name.clone();
    let instances = app.supervisor.instances(&name);
    let changes = app.supervisor.changes();
    let update = write(app, move |layout, catalog| files::update(layout, catalog, &spec));
    let changed = update.await.map_err(unless_in_the_way)?;
    if let Err(refusal) = put_in_force(app, &name, changes, "it is declared as it was before").await {
        undo(app, changed).await;
        scale_again(app, &name, instances).await;
        return Err(as_provisr(refusal));
    }
    app.auth.note(caller.deed(Act::ProcessUpdated).to(&name)).await;
    Ok(done(app, &app.supervisor.status(&Selector::Name(name))?))
}

/// Stops processes, and removes their declarations. The name of an instance means its whole process.
#[utoipa::path(post, path = "/unregister", tag = "processes", params(Which, Patience), responses((status = 200, body = api::ProcessesDone), (status = 400, description = "Nothing is selected, or there is no such process."), (status = 409, description = "It is declared in the configuration."), (status = 504, description = "It takes longer to stop.")))]
async fn unregister(
    State(app): State<App>,
    Query(which): Query<Which>,
    Query(patience): Query<Patience>,
    caller: Caller,
) -> Answer<Json<api::ProcessesDone>> {
    let (selector, wait) = (which.required()?, patience.time()?);
    let change = {
        let app = app.clone();
        async move { undeclare(&app, &caller, &selector, wait).await }
    };
    Ok(Json(app.applier.change(change).await?))
}

async fn undeclare(app: &App, caller: &Caller, which: &Selector, wait: Option<Duration>) -> Answer<api::ProcessesDone> {
    look_again(app).await?;
    let names = read::processes(app, which).map_err(as_provisr)?;
    let loaded = app.engine.loaded();
    for name in &names {
        files::own_file(&loaded.catalog, name).map_err(unless_in_the_way)?;
    }
    let mut removed = Ok(());
    for name in names {
        removed = remove(app, caller, name, wait).await;
        if removed.is_err() {
            break;
        }
    }
    // Those before one that would not go are gone all the same.
    look_again(app).await?;
    removed.map(|()| done(app, &[]))
}

/// Puts in force what the files say now: the one of a process may declare another one since it was read, which is not to
/// be touched.
async fn look_again(app: &App) -> Answer<()> {
    app.reload.now().await;
    if app.about.supervises() {
        app.applier.apply().await?;
    }
    Ok(())
}

async fn remove(app: &App, caller: &Caller, name: Name, wait: Option<Duration>) -> Answer<()> {
    if app.about.supervises() {
        app.supervisor.stop(&Selector::Name(name.to_string()), wait).await.map_err(as_provisr)?;
    }
    let deed = caller.deed(Act::ProcessUnregistered).to(name.to_string());
    let gone = write(app, move |layout, catalog| files::remove(layout, catalog, &name));
    gone.await.map_err(unless_in_the_way)?;
    app.auth.note(deed).await;
    Ok(())
}

/// A process as it is declared, with the members that provisr has for it, and `provisioned`.
///
/// The values of its environment are for administrators.
#[utoipa::path(get, path = "/processes/{name}/spec", responses((status = 200, body = api::ProcessSpec), (status = 400, description = "It is no name.")))]
async fn show(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::ProcessSpec>> {
    let name = plain(&name)?;
    let loaded = app.engine.loaded();
    let named = |name: &str| Name::parse(name).ok().and_then(|name| loaded.catalog.processes.get(&name));
    let found = match named(&name) {
        Some(found) => found,
        None => {
            let instances = read::look(&app, &Selector::Name(name.clone()))?;
            let process = instances.first().and_then(|instance| named(&instance.process));
            process.ok_or(piton_supervisor::Error::UnknownProcess(name))?
        }
    };
    let mut body = process_to_json(&found.process, loaded.catalog.surroundings(), caller.secrets());
    body["provisioned"] = Value::Bool(found.origin.is_configuration());
    serde_json::from_value(body).map(Json).map_err(|error| Refusal::internal(&error))
}

async fn write(
    app: &App,
    change: impl FnOnce(&piton_spec::Layout, &piton_spec::Catalog) -> Answer<Changed> + Send + 'static,
) -> Answer<Changed> {
    let (about, loaded) = (app.about.clone(), app.engine.loaded());
    let changed = tokio::task::spawn_blocking(move || change(&about.layout, &loaded.catalog));
    changed.await.map_err(|error| Refusal::internal(&error))?
}

/// Loads what the files say now, applies it, and waits until the process came up. Where it does not, the caller undoes
/// it, and `undone` says so.
async fn put_in_force(
    app: &App,
    name: &str,
    changes: tokio::sync::broadcast::Receiver<piton_supervisor::Change>,
    undone: &str,
) -> Answer<()> {
    let before = app.supervisor.process(name);
    let old = app.supervisor.status(&Selector::Name(name.to_owned())).unwrap_or_default();
    app.reload.now().await;
    app.applier.apply().await?;
    let after = app.supervisor.process(name);
    let is_other =
        |before: &Process, after: &Process| Process { instances: after.instances, ..before.clone() } != *after;
    let replaced: BTreeSet<u32> = match (&before, &after) {
        (Some(before), Some(after)) if is_other(before, after) => old.iter().filter_map(|one| one.pid).collect(),
        _ => BTreeSet::new(),
    };
    if app.supervisor.process(name).is_some_and(|process| !process.auto_start || process.instances == 0) {
        return Ok(());
    }
    settled::came_up(&app.supervisor, changes, name, &old, &replaced)
        .await
        .map_err(|reason| Refusal::new(StatusCode::CONFLICT, "process_start_failed", reason, Some(undone.to_owned())))
}

/// Another declared number has ended what had been wished in place of the one before.
async fn scale_again(app: &App, name: &str, instances: Option<u32>) {
    if let Some(instances) = instances.filter(|before| app.supervisor.instances(name) != Some(*before))
        && let Err(error) = app.supervisor.scale(name, instances).await
    {
        tracing::error!(name, instances, %error, "there are not as many instances as before a change that was refused");
    }
}

/// Makes the files as they were, and what is supervised too.
async fn undo(app: &App, changed: Changed) {
    match tokio::task::spawn_blocking(move || changed.undo()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the file of a process that was refused was left behind"),
        Err(error) => tracing::error!(%error, "the file of a process that was refused was left behind"),
    }
    app.reload.now().await;
    if let Err(error) = app.applier.apply().await {
        tracing::error!(%error, "what is declared could not be put in force again");
    }
}
