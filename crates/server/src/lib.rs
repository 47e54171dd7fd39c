//! The HTTP face: thin handlers over the engine.
//!
//! # Purpose
//! Everything that a command or a program can ask of a running Piton. For now it answers on the unix socket of the
//! data directory, and to commands that open the data directory themselves.
//!
//! # Theory of operation
//! A handler extracts, makes one call to the engine, a store or the templates, and maps the answer to a wire type of
//! `piton-api`. Errors of every layer become a [`Problem`](piton_api::Problem) in one place, `problem`.
//!
//! # Invariants
//! - Nothing secret leaves: the wire types have no place for the environment of a declaration, and outputs that the
//!   code marks sensitive are null before they are stored.
//! - The socket is for its owner only; who asks is told by the caller and kept with the run.
//!
//! # Deliberately absent
//! Decisions: a handler that needs an `if` about runs is missing a function in the engine.

mod events;
mod health;
mod job_files;
mod jobs;
mod logs;
mod problem;
mod runs;
mod state;
mod templates;
mod transport;
mod view;
mod workspaces;

use axum::Router;

pub use state::{About, App};
pub use transport::{local, serve_unix};

/// Where the routes below `{base}` are unless the configuration says otherwise.
pub const BASE: &str = "/api";

/// All routes; those of `{base}` below `base`.
pub fn router(app: App, base: &str) -> Router {
    let routes = Router::new()
        .merge(workspaces::routes())
        .merge(jobs::routes())
        .merge(templates::routes())
        .merge(runs::routes())
        .merge(logs::routes())
        .merge(events::routes())
        .merge(health::overview());
    let routes = if base.is_empty() || base == "/" { routes } else { Router::new().nest(base, routes) };
    routes
        .merge(health::routes())
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .with_state(app)
}
