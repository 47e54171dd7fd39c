//! Groups of processes.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_model::Act;
use serde::Deserialize;

use super::selector::{Patience, plain};
use super::{as_provisr, daemon, view};
use crate::caller::Caller;
use crate::extract::{Json, Query};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;
use crate::window::Slice;

pub(super) fn routes() -> Table {
    Table::new()
        .at(Permission::Read, routes!(list))
        .at(Permission::Read, routes!(status))
        .at(Permission::Operate, routes!(start))
        .at(Permission::Operate, routes!(stop))
        .at(Permission::Operate, routes!(restart))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Grouped {
    /// The group.
    #[param(required, value_type = String)]
    group: Option<String>,
}

impl Grouped {
    fn name(&self) -> Answer<String> {
        match &self.group {
            Some(group) => plain(group),
            None => {
                let detail = "say which group: `group`";
                Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_selector", detail, None))
            }
        }
    }
}

/// All groups, and how many of their instances run.
#[utoipa::path(get, path = "/groups", tag = "processes", params(Slice), responses((status = 200, body = Vec<api::ProcessGroup>)))]
async fn list(State(app): State<App>, Query(slice): Query<Slice>) -> Answer<Json<Vec<api::ProcessGroup>>> {
    daemon(&app)?;
    Ok(Json(slice.of(&app.supervisor.groups()).map(view::group).collect()))
}

/// The instances of each member of a group.
#[utoipa::path(get, path = "/group/status", tag = "processes", params(Grouped), responses((status = 200, body = BTreeMap<String, Vec<api::ProcessStatus>>), (status = 404, description = "There is no such group.")))]
async fn status(
    State(app): State<App>,
    Query(which): Query<Grouped>,
) -> Answer<Json<BTreeMap<String, Vec<api::ProcessStatus>>>> {
    daemon(&app)?;
    let group = app.supervisor.group(&which.name()?)?;
    let members = group.members.into_iter();
    Ok(Json(members.map(|(name, instances)| (name, view::statuses(&app, &instances))).collect()))
}

/// Starts the members of a group, each after what it depends on.
#[utoipa::path(post, path = "/group/start", tag = "processes", params(Grouped), responses((status = 200, body = api::Done), (status = 400, description = "There is no such group, or a member cannot be started."), (status = 504, description = "It takes longer.")))]
async fn start(State(app): State<App>, Query(which): Query<Grouped>, caller: Caller) -> Answer<Json<api::Done>> {
    daemon(&app)?;
    let group = which.name()?;
    app.supervisor.start_group(&group).await.map_err(as_provisr)?;
    app.auth.note(caller.deed(Act::ProcessStarted).to(format!("group {group}"))).await;
    Ok(Json(api::Done { ok: true }))
}

/// Stops the members of a group, in the reverse order.
#[utoipa::path(post, path = "/group/stop", tag = "processes", params(Grouped, Patience), responses((status = 200, body = api::Done), (status = 400, description = "There is no such group."), (status = 504, description = "It takes longer.")))]
async fn stop(
    State(app): State<App>,
    Query(which): Query<Grouped>,
    Query(patience): Query<Patience>,
    caller: Caller,
) -> Answer<Json<api::Done>> {
    daemon(&app)?;
    let (group, wait) = (which.name()?, patience.time()?);
    app.supervisor.stop_group(&group, wait).await.map_err(as_provisr)?;
    app.auth.note(caller.deed(Act::ProcessStopped).to(format!("group {group}"))).await;
    Ok(Json(api::Done { ok: true }))
}

/// Stops the members of a group, and starts them again.
#[utoipa::path(post, path = "/group/restart", tag = "processes", params(Grouped, Patience), responses((status = 200, body = api::Done), (status = 400, description = "There is no such group, or a member cannot be started."), (status = 504, description = "It takes longer.")))]
async fn restart(
    State(app): State<App>,
    Query(which): Query<Grouped>,
    Query(patience): Query<Patience>,
    caller: Caller,
) -> Answer<Json<api::Done>> {
    daemon(&app)?;
    let (group, wait) = (which.name()?, patience.time()?);
    app.supervisor.restart_group(&group, wait).await.map_err(as_provisr)?;
    app.auth.note(caller.deed(Act::ProcessRestarted).to(format!("group {group}"))).await;
    Ok(Json(api::Done { ok: true }))
}
