//! What is known of processes.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_model::Name;
use piton_supervisor::{InstanceState, InstanceStatus, Observed, Selector};
use serde::{Deserialize, Serialize};

use super::selector::{Which, plain};
use super::view::Listed;
use super::{as_provisr, view};
use crate::extract::{Json, Path, Query, wrong_cursor};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;
use crate::window::Window;

pub(super) fn routes() -> Table {
    Table::new()
        .at(Permission::Read, routes!(status))
        .at(Permission::Read, routes!(list))
        .at(Permission::Read, routes!(show))
        .at(Permission::Read, routes!(debug))
        .at(Permission::Read, routes!(history))
        .at(Permission::Read, routes!(settings))
}

/// The instances that are meant.
///
/// A command that opens the data directory itself supervises nothing: what the keeper holds is seen all the same, and
/// what is declared beside it does not run.
pub(super) fn look(app: &App, which: &Selector) -> Answer<Vec<InstanceStatus>> {
    if app.about.supervises() {
        return Ok(app.supervisor.status(which)?);
    }
    let held = app.supervisor.status(&Selector::All)?;
    let mut held: BTreeMap<String, InstanceStatus> =
        held.into_iter().map(|instance| (instance.name.clone(), instance)).collect();
    let mut found = vec![];
    for process in app.engine.loaded().catalog.processes.values().map(|declared| &declared.process) {
        for name in (1..=process.instances).map(|number| process.instance_name(number)) {
            found.push(match held.remove(&name) {
                Some(instance) => InstanceStatus { process: process.name.to_string(), ..instance },
                None => InstanceStatus {
                    reason: Some("no daemon keeps it running".to_owned()),
                    ..InstanceStatus::at_rest(&name, process.name.as_str())
                },
            });
        }
    }
    found.extend(held.into_values());
    found.retain(|instance| which.matches(&instance.name, &instance.process));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let is_declared = |name: &str| app.engine.loaded().catalog.processes.contains_key(name);
    match which {
        Selector::Name(name) if found.is_empty() && !is_declared(name) => {
            Err(piton_supervisor::Error::UnknownProcess(name.clone()).into())
        }
        _ => Ok(found),
    }
}

/// The same, by their names, for those who only show them.
fn observe(app: &App, which: &Selector) -> Answer<Vec<Observed>> {
    if app.about.supervises() {
        return Ok(app.supervisor.observe(which)?);
    }
    Ok(look(app, which)?.into_iter().map(Observed::from).collect())
}

/// How many instances there are, by where they are in their lives.
pub(crate) fn tally(app: &App) -> Answer<BTreeMap<String, usize>> {
    let mut tally = BTreeMap::new();
    for instance in observe(app, &Selector::All)? {
        *tally.entry(instance.status.state.to_string()).or_default() += 1;
    }
    Ok(tally)
}

/// [`api::StatusAnswer`], written piece by piece.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Status {
    One(Box<api::ProcessStatus>),
    Several(Listed),
    Well(api::Done),
}

/// [`api::Page`], written piece by piece.
#[derive(Debug, Serialize)]
struct Listing {
    items: Listed,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The processes whose instances are meant, and those that have none just now and are meant themselves.
pub(super) fn processes(app: &App, which: &Selector) -> Answer<BTreeSet<Name>> {
    let of = |instances: &[InstanceStatus]| -> BTreeSet<Name> {
        instances.iter().filter_map(|one| Name::parse(&one.process).ok()).collect()
    };
    let mut meant = of(&look(app, which)?);
    let with_instances = of(&look(app, &Selector::All)?);
    let loaded = app.engine.loaded();
    let declared = loaded.catalog.processes.keys().filter(|name| !with_instances.contains(*name));
    meant.extend(declared.filter(|name| which.matches(name.as_str(), name.as_str())).cloned());
    Ok(meant)
}

/// The one instance of a name, or the instances that a selector names, in the order of their names.
///
/// A process with several instances answers with all of them. Without a selector it is said that Piton is well.
#[utoipa::path(get, path = "/status", tag = "processes", params(Which), responses((status = 200, body = api::StatusAnswer), (status = 400, description = "There is no such process, or several selectors are given.")))]
async fn status(State(app): State<App>, Query(which): Query<Which>) -> Answer<Json<Status>> {
    let Some(selector) = which.selector()? else {
        return Ok(Json(Status::Well(api::Done { ok: true })));
    };
    let found = Listed::new(&app, observe(&app, &selector).map_err(as_provisr)?);
    Ok(Json(match (&selector, found.only()) {
        (Selector::Name(_), Some(one)) => Status::One(Box::new(one)),
        _ => Status::Several(found),
    }))
}

/// All instances, or those that a selector names, by their names.
#[utoipa::path(get, path = "/processes", params(Which, Window), responses((status = 200, body = api::Page<api::ProcessStatus>), (status = 400, description = "Several selectors are given, or it is no cursor."), (status = 404, description = "There is no such process.")))]
async fn list(
    State(app): State<App>,
    Query(which): Query<Which>,
    Query(window): Query<Window>,
) -> Answer<Json<Listing>> {
    let found = observe(&app, &which.selector()?.unwrap_or(Selector::All))?;
    let page = window.of(found, |seen| seen.status.name.as_str())?;
    Ok(Json(Listing { items: Listed::new(&app, page.items), next: page.next }))
}

/// One instance; a process with several is asked for with `/processes?name=`.
#[utoipa::path(get, path = "/processes/{name}", responses((status = 200, body = api::ProcessStatus), (status = 400, description = "It is no name.")))]
async fn show(State(app): State<App>, Path(name): Path<String>) -> Answer<Json<api::ProcessStatus>> {
    let found = look(&app, &Selector::Name(plain(&name)?))?;
    match view::statuses(&app, &found).into_iter().next() {
        Some(instance) if found.len() == 1 => Ok(Json(instance)),
        first => {
            let detail = match first {
                Some(first) => format!("`{name}` is {} instances; `{}` is the first", found.len(), first.name),
                None => format!("`{name}` has no instances at the moment"),
            };
            Err(Refusal::new(StatusCode::NOT_FOUND, "process_not_found", detail, None))
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Pattern {
    /// Every instance whose name fits; `*` stands for anything.
    pattern: Option<String>,
}

/// Instances, as a debugger wants to see them.
#[utoipa::path(get, path = "/debug/processes", tag = "processes", params(Pattern), responses((status = 200, body = Vec<api::ProcessDebug>), (status = 400, description = "It is no pattern.")))]
async fn debug(State(app): State<App>, Query(which): Query<Pattern>) -> Answer<Json<Vec<api::ProcessDebug>>> {
    let found = look(&app, &Selector::wildcard(which.pattern.as_deref().unwrap_or("*")).map_err(Refusal::from)?)?;
    let seen = view::statuses(&app, &found).into_iter().zip(&found).map(|(status, instance)| api::ProcessDebug {
        internal_state: status.phase.clone(),
        health_check: health(instance).to_owned(),
        status,
    });
    Ok(Json(seen.collect()))
}

fn health(instance: &InstanceStatus) -> &'static str {
    match (instance.state, instance.pid) {
        (InstanceState::Running, Some(_)) => "healthy",
        (InstanceState::Running, None) => "no_pid",
        (InstanceState::Starting | InstanceState::Stopping | InstanceState::Waiting, _) => "transitioning",
        (InstanceState::Stopped | InstanceState::Backoff | InstanceState::Exited | InstanceState::Fatal, _) => {
            "not_running"
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Part {
    /// Only of this instance, or of all instances of this process.
    name: Option<String>,
    /// How many at most; 100 unless given. More than 1000 counts as 1000, and 0 as 1.
    limit: Option<usize>,
    /// How many to leave out, of those that would come first.
    offset: Option<usize>,
    /// What the page before gave as `next`.
    cursor: Option<String>,
}

/// What happened to processes, the latest first: those of every daemon that shares the database.
#[utoipa::path(get, path = "/history", tag = "processes", params(Part), responses((status = 200, body = api::Page<api::ProcessHistoryRow>), (status = 400, description = "It is no name, or no cursor.")))]
async fn history(State(app): State<App>, Query(part): Query<Part>) -> Answer<Json<api::Page<api::ProcessHistoryRow>>> {
    let before = part.cursor.map(|cursor| cursor.parse::<i64>()).transpose().map_err(|_| wrong_cursor())?;
    let name = part.name.as_deref().map(plain).transpose()?;
    let limit = part.limit.unwrap_or(100).clamp(1, 1000);
    let rows = app.engine.store().process_events(name.as_deref(), before, part.offset.unwrap_or(0), limit + 1).await?;
    let next = if rows.len() > limit { rows.get(limit - 1).map(|(number, _)| number.to_string()) } else { None };
    let items = rows.into_iter().take(limit).map(|(_, event)| api::ProcessHistoryRow {
        timestamp: event.at,
        pid: event.pid.unwrap_or(0),
        name: event.name,
        status: event.status,
        error: event.error,
    });
    Ok(Json(api::Page { items: items.collect(), next }))
}

/// What is switched on.
#[utoipa::path(get, path = "/settings/status", tag = "processes", responses((status = 200, body = api::SettingsStatus)))]
async fn settings(State(app): State<App>) -> Json<api::SettingsStatus> {
    Json(api::SettingsStatus {
        auth_enabled: app.auth.is_enabled(),
        metrics_enabled: app.about.measures,
        history_enabled: app.about.history,
        cron_scheduler_enabled: true,
        program_persistence: true,
        configured_group_count: app.engine.loaded().catalog.groups.len(),
    })
}
