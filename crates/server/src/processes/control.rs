//! Starting, stopping, restarting and scaling.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_model::Act;
use piton_supervisor::{InstanceStatus, Selector};
use serde::Deserialize;

use super::selector::{Patience, Which, plain};
use super::{as_provisr, daemon, declare, done};
use crate::caller::Caller;
use crate::extract::{Json, Path, Query, wrong};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(super) fn routes() -> Table {
    Table::new()
        .creating(Permission::Operate, routes!(start))
        .at(Permission::Operate, routes!(stop))
        .at(Permission::Operate, routes!(restart))
        .at(Permission::Operate, routes!(scale))
        .at(Permission::Operate, routes!(start_one))
        .at(Permission::Operate, routes!(stop_one))
        .at(Permission::Operate, routes!(restart_one))
        .at(Permission::Operate, routes!(scale_one))
}

/// Starts instances and waits until they run: those that a selector names, or those of a process that the body
/// declares.
///
/// A declaration is registered first, which takes the role admin, and is not kept if the start fails.
#[utoipa::path(post, path = "/start", tag = "processes", request_body = Option<api::ProcessSpec>, params(Which), responses((status = 200, body = api::ProcessesDone), (status = 400, description = "Nothing is selected, or it cannot be started."), (status = 504, description = "It takes longer.")))]
async fn start(
    State(app): State<App>,
    Query(which): Query<Which>,
    caller: Caller,
    Json(body): Json<serde_json::Map<String, serde_json::Value>>,
) -> Answer<Json<api::ProcessesDone>> {
    daemon(&app)?;
    if !body.is_empty() {
        if which.selector()?.is_some() {
            let detail = "give a selector or a declaration, not both";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_selector", detail, None));
        }
        let hint = Some("start one that is registered: `?name=NAME`".to_owned());
        caller.check_admin("to declare a process", hint)?;
        let spec = declare::spec(body).map_err(as_provisr)?;
        return Ok(Json(declare::start(&app, caller, spec).await?));
    }
    let selector = which.required()?;
    let started = app.supervisor.start(&selector).await.map_err(as_provisr)?;
    app.auth.note(caller.deed(Act::ProcessStarted).to(which.shown())).await;
    Ok(Json(done(&app, &started)))
}

/// Stops instances, and waits until they and all that they started are gone.
#[utoipa::path(post, path = "/stop", tag = "processes", params(Which, Patience), responses((status = 200, body = api::ProcessesDone), (status = 400, description = "Nothing is selected, or there is no such process."), (status = 504, description = "It takes longer.")))]
async fn stop(
    State(app): State<App>,
    Query(which): Query<Which>,
    Query(patience): Query<Patience>,
    caller: Caller,
) -> Answer<Json<api::ProcessesDone>> {
    daemon(&app)?;
    let (selector, wait) = (which.required()?, patience.time()?);
    let stopped = app.supervisor.stop(&selector, wait).await.map_err(as_provisr)?;
    app.auth.note(caller.deed(Act::ProcessStopped).to(which.shown())).await;
    Ok(Json(done(&app, &stopped)))
}

/// Stops and starts instances, one after the other, and waits until they run.
#[utoipa::path(post, path = "/restart", tag = "processes", params(Which, Patience, Manner), responses((status = 200, body = api::ProcessesDone), (status = 400, description = "Nothing is selected, or it cannot be started."), (status = 504, description = "It takes longer.")))]
async fn restart(
    State(app): State<App>,
    Query(which): Query<Which>,
    Query(patience): Query<Patience>,
    Query(manner): Query<Manner>,
    caller: Caller,
) -> Answer<Json<api::ProcessesDone>> {
    daemon(&app)?;
    let (selector, wait) = (which.required()?, patience.time()?);
    let restarted = manner.restart(&app, &selector, wait).await.map_err(as_provisr)?;
    app.auth.note(caller.deed(Act::ProcessRestarted).to(which.shown())).await;
    Ok(Json(done(&app, &restarted)))
}

/// In which manner instances are restarted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Manner {
    /// Whether each has to be ready, by its readiness probe, before the next one is stopped. The first that does not get
    /// ready ends it, and the others stay as they are.
    #[serde(default)]
    rolling: bool,
}

impl Manner {
    async fn restart(
        &self,
        app: &App,
        which: &Selector,
        wait: Option<Duration>,
    ) -> Result<Vec<InstanceStatus>, piton_supervisor::Error> {
        if self.rolling { app.supervisor.roll(which, wait).await } else { app.supervisor.restart(which, wait).await }
    }
}

/// How many instances of which process.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Scaled {
    /// The process.
    #[param(value_type = String, required = true)]
    name: Option<String>,
    /// How many instances it shall have.
    #[param(value_type = u32, required = true, minimum = 0, maximum = 10_000)]
    instances: Option<u32>,
}

/// The most instances of one process.
const MOST: u32 = 10_000;

/// Makes it so many instances of a process, which is remembered in place of the declared number.
#[utoipa::path(post, path = "/scale", tag = "processes", params(Scaled), responses((status = 200, body = api::ProcessesDone), (status = 400, description = "There is no such process, the number is too large, or it cannot be started."), (status = 504, description = "It takes longer.")))]
async fn scale(
    State(app): State<App>,
    Query(scaled): Query<Scaled>,
    caller: Caller,
) -> Answer<Json<api::ProcessesDone>> {
    let missing = if scaled.name.is_none() { "name" } else { "instances" };
    let (Some(name), Some(instances)) = (scaled.name, scaled.instances) else {
        let hint = Some("they are said in the address: `?name=NAME&instances=NUMBER`".to_owned());
        let detail = "`name` and `instances` say how many of what there shall be";
        return Err(wrong(missing, detail, hint));
    };
    scale_to(&app, &caller, &name, instances).await.map_err(as_provisr)
}

async fn scale_to(app: &App, caller: &Caller, name: &str, instances: u32) -> Answer<Json<api::ProcessesDone>> {
    daemon(app)?;
    let name = plain(name)?;
    if instances > MOST {
        let detail = format!("{instances} instances are more than the {MOST} that one process may have");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_process", detail, None));
    }
    let scaled = app.supervisor.scale(&name, instances).await?;
    app.auth.note(caller.deed(Act::ProcessScaled).to(&name).saying(format!("{instances} instances"))).await;
    Ok(Json(done(app, &scaled)))
}

/// Starts a process, or one of its instances.
#[utoipa::path(post, path = "/processes/{name}/start", responses((status = 200, body = api::ProcessesDone), (status = 409, description = "It cannot be started."), (status = 504, description = "It takes longer.")))]
async fn start_one(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
) -> Answer<Json<api::ProcessesDone>> {
    daemon(&app)?;
    let started = app.supervisor.start(&Selector::Name(plain(&name)?)).await?;
    app.auth.note(caller.deed(Act::ProcessStarted).to(name)).await;
    Ok(Json(done(&app, &started)))
}

/// Stops a process, or one of its instances.
#[utoipa::path(post, path = "/processes/{name}/stop", params(Patience), responses((status = 200, body = api::ProcessesDone), (status = 504, description = "It takes longer.")))]
async fn stop_one(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(patience): Query<Patience>,
    caller: Caller,
) -> Answer<Json<api::ProcessesDone>> {
    daemon(&app)?;
    let stopped = app.supervisor.stop(&Selector::Name(plain(&name)?), patience.time()?).await?;
    app.auth.note(caller.deed(Act::ProcessStopped).to(name)).await;
    Ok(Json(done(&app, &stopped)))
}

/// Stops and starts a process, one instance after the other, or one of its instances.
#[utoipa::path(post, path = "/processes/{name}/restart", params(Patience, Manner), responses((status = 200, body = api::ProcessesDone), (status = 409, description = "It cannot be started."), (status = 504, description = "It takes longer.")))]
async fn restart_one(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(patience): Query<Patience>,
    Query(manner): Query<Manner>,
    caller: Caller,
) -> Answer<Json<api::ProcessesDone>> {
    daemon(&app)?;
    let restarted = manner.restart(&app, &Selector::Name(plain(&name)?), patience.time()?).await?;
    app.auth.note(caller.deed(Act::ProcessRestarted).to(name)).await;
    Ok(Json(done(&app, &restarted)))
}

/// Makes it so many instances of a process.
#[utoipa::path(post, path = "/processes/{name}/scale", responses((status = 200, body = api::ProcessesDone), (status = 409, description = "It cannot be started, or an instance would have the name of another process."), (status = 504, description = "It takes longer.")))]
async fn scale_one(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    Json(wanted): Json<api::Scale>,
) -> Answer<Json<api::ProcessesDone>> {
    scale_to(&app, &caller, &name, wanted.instances).await
}
