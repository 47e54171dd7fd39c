//! Processes that are kept running: the routes that provisr has, with its shapes and its status codes, and Piton's own
//! below `/processes`.
//!
//! Where the two differ, provisr's way is kept: it answers 400 where something is not there or cannot be done.

mod apply;
mod control;
mod declare;
mod files;
mod groups;
mod kinds;
mod log;
mod measure;
mod read;
mod selector;
mod settled;
mod view;

use axum::http::StatusCode;
use piton_api as api;
use piton_supervisor::{Error, InstanceStatus};

use crate::problem::{Answer, Refusal};
use crate::route::Table;
use crate::state::App;

pub use apply::Applier;
pub(crate) use files::{refused, unwritten};
pub(crate) use kinds::{Called, Sample, sample};
pub use kinds::{KINDS, sample_process};
pub(crate) use read::tally;

/// All routes about processes. Without a base, `/metrics` is Prometheus's.
pub(crate) fn routes(has_base: bool) -> Table {
    let table = Table::new()
        .merge(control::routes())
        .merge(declare::routes())
        .merge(groups::routes())
        .merge(log::routes())
        .merge(measure::routes())
        .merge(read::routes())
        .merge(kinds::routes());
    if has_base { table.merge(measure::at_metrics()) } else { table }
}

/// What is done to processes is done by the daemon that supervises them.
fn daemon(app: &App) -> Answer<()> {
    if app.about.supervises() {
        return Ok(());
    }
    let detail = "no daemon keeps processes running here";
    let hint = Some("start it with `piton serve`".to_owned());
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_daemon", detail, hint))
}

fn done(app: &App, instances: &[InstanceStatus]) -> api::ProcessesDone {
    api::ProcessesDone { ok: true, processes: view::statuses(app, instances) }
}

/// As provisr answers: whatever is wrong with what was asked for is 400.
pub(crate) fn as_provisr(refusal: impl Into<Refusal>) -> Refusal {
    let refusal = refusal.into();
    match refusal.status() {
        404 | 409 | 422 => refusal.with_status(StatusCode::BAD_REQUEST),
        _ => refusal,
    }
}

/// A conflict stays one, as provisr has it there; everything else is 400.
pub(crate) fn unless_in_the_way(refusal: Refusal) -> Refusal {
    match refusal.status() {
        409 => refusal,
        _ => as_provisr(refusal),
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let (status, code, hint) = match &error {
            // As other supervisors call all of them.
            Error::UnknownProcess(name) if name == "all" => {
                (StatusCode::NOT_FOUND, "process_not_found", Some("all of them are `--wildcard '*'`, or `?wildcard=*`"))
            }
            Error::UnknownProcess(_) => {
                (StatusCode::NOT_FOUND, "process_not_found", Some("`piton process list` shows what there is"))
            }
            Error::UnknownGroup(_) => {
                (StatusCode::NOT_FOUND, "group_not_found", Some("`piton group list` shows what there is"))
            }
            Error::Exists(_) => (StatusCode::CONFLICT, "process_exists", None),
            Error::Start { .. } => {
                (StatusCode::CONFLICT, "process_start_failed", Some("`piton process logs NAME` shows what it said"))
            }
            Error::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, "process_timed_out", Some("it goes on")),
            Error::Circle { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "dependency_circle", None),
            Error::Memory(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", None),
            Error::Keeper(_) => (StatusCode::SERVICE_UNAVAILABLE, "keeper_unavailable", None),
            _ => return Refusal::internal(&error),
        };
        Refusal::new(status, code, error.to_string(), hint.map(str::to_owned))
    }
}
