//! The HTTP face: thin handlers over the engine.
//!
//! # Purpose
//! Everything that a command or a program can ask of a running Piton: over TCP, over the unix socket of the data
//! directory, and in the same process for commands that open the data directory themselves.
//!
//! # Theory of operation
//! A handler extracts, makes one call to the engine, a store or the templates, and maps the answer to a wire type of
//! `piton-api`. Errors of every layer become a [`Problem`](piton_api::Problem) in one place, `problem`.
//!
//! Each line of the table of routes names a handler and who may call it (`route`). The handler's attribute describes it,
//! so the OpenAPI document cannot disagree with the router. Who calls is found out at the door, before the router is
//! asked (`caller`).
//!
//! # Invariants
//! - Nothing secret leaves: the wire types have no place for the environment of a declaration, and outputs that the
//!   code marks sensitive are null before they are stored.
//! - Who may do what is decided with every request by what the store says then, not by what a token says.
//! - The socket is for its owner only; who asks is told by the caller and kept with the run.
//!
//! # Deliberately absent
//! Decisions: a handler that needs an `if` about runs is missing a function in the engine.

#![warn(missing_docs)]

mod auth;
mod batch_jobs;
mod batch_view;
mod bound;
mod caller;
mod control_plane;
mod cron_files;
mod deploy;
mod docs;
mod events;
mod extract;
mod feed;
mod front;
mod health;
mod job_files;
mod jobs;
mod logs;
mod metrics;
mod openapi;
mod pages;
mod problem;
mod processes;
pub mod ready;
mod route;
mod runs;
mod schedule;
mod skips;
mod state;
mod templates;
mod tls;
mod transport;
mod view;
mod window;
mod workspaces;

use axum::extract::DefaultBodyLimit;
use axum::{Extension, Router};

use crate::openapi::Document;
use crate::route::Table;

pub use auth::{Auth, AuthSettings, FirstAdmin, SetupError};
pub use front::Front;
pub use metrics::{Metrics, follow as follow_ledger, follow_processes};
pub use processes::{Applier, KINDS, sample_process};
pub use schedule::ScheduleRules;
pub use state::{About, App, Children, Parts, Probes};
pub use tls::{Tls, TlsError};
pub use transport::{Admission, BindError, Limits, Listener, Server, local, serve_unix};

/// Where the routes below `{base}` are for commands, and for everybody unless the configuration says otherwise.
pub const BASE: &str = "/api";

/// The largest body that is read.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;

/// All routes; those of `{base}` below `base`.
pub fn router(app: &App, base: &str) -> Router {
    let app = app.below(base);
    let (served, public_metrics) = (base.to_owned(), app.front.public_metrics());
    let document = Document::later(move || table(&served, public_metrics).document());
    let routes = table(base, public_metrics).router();
    let (front, engine) = (app.front.clone(), app.engine.clone());
    let routes = routes
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(Extension(document))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app);
    front.within(routes, engine)
}

/// What serves metrics on an address of their own, to everybody.
pub fn metrics_router(app: App) -> Router {
    let front = app.front.clone();
    front.inward(Router::new().route("/metrics", axum::routing::get(metrics::show)).with_state(app))
}

/// What answers while the daemon waits for its database: that it lives, and is not ready.
pub fn waiting_router() -> Router {
    health::waiting()
}

fn table(base: &str, public_metrics: bool) -> Table {
    let below = Table::new()
        .merge(workspaces::routes())
        .merge(jobs::routes().strict())
        .merge(batch_jobs::routes().strict())
        .merge(templates::routes())
        .merge(runs::routes())
        .merge(control_plane::routes())
        .merge(schedule::routes())
        .merge(skips::routes())
        .merge(logs::routes())
        .merge(events::routes())
        .merge(auth::routes())
        .merge(processes::routes(!base.trim_end_matches('/').is_empty()).strict())
        .merge(health::overview());
    let table = Table::new()
        .merge(health::routes())
        .merge(metrics::routes(public_metrics))
        .merge(openapi::routes())
        .merge(deploy::routes())
        .merge(pages::routes())
        .below(base, below);
    // Clients of the scheduler for delayed provisioning look for it there, wherever the rest is; and workers, who know no
    // more than the address of the control plane.
    if base.trim_end_matches('/') == BASE {
        table
    } else {
        table.below(BASE, schedule::routes().merge(control_plane::routes()))
    }
}
