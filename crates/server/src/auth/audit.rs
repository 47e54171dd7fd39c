//! Who did what.

use axum::extract::State;
use piton_api as api;
use piton_model::Seq;
use serde::Deserialize;

use super::view;
use crate::extract::{Json, Query, wrong_cursor};
use crate::problem::Answer;
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(super) fn routes() -> Table {
    Table::new().at(Permission::Administer, routes!(list))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Part {
    /// How many at most; 50 unless given. More than 1000 counts as 1000, and 0 as 1.
    limit: Option<usize>,
    /// What the page before gave as `next`.
    cursor: Option<String>,
}

/// Logins, failed ones too, and what was done to users, clients, keys, jobs, templates and processes; the latest first.
#[utoipa::path(get, path = "/audit", tag = "auth", params(Part), responses((status = 200, body = api::Page<api::AuditEntry>)))]
async fn list(State(app): State<App>, Query(part): Query<Part>) -> Answer<Json<api::Page<api::AuditEntry>>> {
    let before = part.cursor.map(|cursor| cursor.parse::<Seq>()).transpose().map_err(|_| wrong_cursor())?;
    let limit = part.limit.unwrap_or(50).clamp(1, 1000);
    let entries = app.auth.store().audit_trail(before, limit + 1).await?;
    let next = if entries.len() > limit { entries.get(limit - 1).map(|last| last.seq.to_string()) } else { None };
    let items = entries.iter().take(limit).filter_map(view::entry).collect();
    Ok(Json(api::Page { items, next }))
}
