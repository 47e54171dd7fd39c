//! What processes use.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_supervisor::{InstanceStatus, Selector};
use serde::Deserialize;

use super::selector::plain;
use super::{read, view};
use crate::extract::{Json, Query};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(super) fn routes() -> Table {
    Table::new().at(Permission::Read, routes!(history)).at(Permission::Read, routes!(group))
}

/// Only below a base: without one, Prometheus's own are there.
pub(super) fn at_metrics() -> Table {
    Table::new().at(Permission::Read, routes!(show))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Named {
    /// The instance.
    name: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Required {
    /// The instance.
    name: String,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Base {
    /// The process.
    base: String,
}

/// What one instance uses, or each of them. The metrics that Prometheus reads are at `/metrics`, outside of the base.
#[utoipa::path(get, path = "/metrics", operation_id = "get_process_metrics", tag = "processes", params(Named), responses((status = 200, body = api::MetricsAnswer), (status = 404, description = "There is no such instance, or it was not measured yet."), (status = 503, description = "Nothing is measured.")))]
async fn show(State(app): State<App>, Query(which): Query<Named>) -> Answer<Json<api::MetricsAnswer>> {
    enabled(&app)?;
    let Some(name) = which.name else { return Ok(Json(api::MetricsAnswer::All(measured(&app, &Selector::All)?))) };
    let found = measured(&app, &Selector::Name(plain(&name)?))?;
    match found.into_values().next() {
        Some(metrics) => Ok(Json(api::MetricsAnswer::One(Box::new(metrics)))),
        None => Err(unmeasured(&name)),
    }
}

/// What an instance used until now, the oldest first.
#[utoipa::path(get, path = "/metrics/history", tag = "processes", params(Required), responses((status = 200, body = api::ProcessMetricsHistory), (status = 404, description = "There is no such instance."), (status = 503, description = "Nothing is measured.")))]
async fn history(
    State(app): State<App>,
    Query(Required { name }): Query<Required>,
) -> Answer<Json<api::ProcessMetricsHistory>> {
    enabled(&app)?;
    let found = app.supervisor.status(&Selector::Name(plain(&name)?))?;
    let Some(instance) = found.first() else { return Err(unmeasured(&name)) };
    let usages = app.supervisor.measurements(&instance.name)?;
    let history = usages.iter().map(|usage| view::metrics(instance, usage)).collect();
    Ok(Json(api::ProcessMetricsHistory { process: instance.name.clone(), history }))
}

/// What the instances of a process use together.
#[utoipa::path(get, path = "/metrics/group", tag = "processes", params(Base), responses((status = 200, body = api::ProcessMetricsGroup), (status = 404, description = "There is no such process."), (status = 503, description = "Nothing is measured.")))]
async fn group(State(app): State<App>, Query(Base { base }): Query<Base>) -> Answer<Json<api::ProcessMetricsGroup>> {
    enabled(&app)?;
    let processes = measured(&app, &Selector::Base(plain(&base)?))?;
    if processes.is_empty() {
        return Err(unmeasured(&base));
    }
    let sum = |of: fn(&api::ProcessMetrics) -> f64| processes.values().map(of).sum::<f64>();
    let (cpu, memory, count) = (sum(|one| one.cpu_percent), sum(|one| one.memory_mb), processes.len());
    Ok(Json(api::ProcessMetricsGroup {
        base,
        process_count: count,
        total_cpu: cpu,
        total_memory: memory,
        avg_cpu: cpu / count as f64,
        avg_memory: memory / count as f64,
        processes,
    }))
}

fn measured(app: &App, which: &Selector) -> Answer<BTreeMap<String, api::ProcessMetrics>> {
    let found = read::look(app, which)?;
    let measured = |one: &InstanceStatus| Some((one.name.clone(), view::metrics(one, one.usage.as_ref()?)));
    Ok(found.iter().filter_map(measured).collect())
}

fn enabled(app: &App) -> Answer<()> {
    if app.about.measures {
        return Ok(());
    }
    let detail = "what processes use is not measured";
    let hint = Some("set `metrics.process_metrics.enabled = true`".to_owned());
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "metrics_disabled", detail, hint))
}

fn unmeasured(name: &str) -> Refusal {
    let detail = format!("nothing is known of what `{name}` uses");
    let hint = Some("is it running? the first measurement takes a few seconds".to_owned());
    Refusal::new(StatusCode::NOT_FOUND, "not_measured", detail, hint)
}
