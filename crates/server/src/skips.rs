//! Due times that made no run: every one of them is accounted for.

use axum::extract::State;
use jiff::Timestamp;
use piton_api as api;
use piton_model::{Seq, Subject};
use piton_store::SkipQuery;
use serde::Deserialize;

use crate::bound;
use crate::caller::Caller;
use crate::extract::{Json, Query, wrong_cursor};
use crate::problem::Answer;
use crate::route::{Permission, Table, routes};
use crate::state::App;
use crate::view;

/// How many of them are shown with a workspace or a job.
const LATEST: usize = 3;

pub(crate) fn routes() -> Table {
    Table::new().bound(Permission::Read, routes!(list))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// What the runs would have been about, such as `workspace/NAME`.
    #[param(value_type = Option<String>)]
    subject: Option<Subject>,
    /// Recorded at this time or later.
    since: Option<Timestamp>,
    /// How many at most; 50 unless given. More than 1000 counts as 1000, and 0 as 1.
    limit: Option<usize>,
    /// What the page before gave as `next`.
    cursor: Option<String>,
}

/// Due times that made no run, latest first, and why: skipped, or missed.
#[utoipa::path(get, path = "/skips", params(Filter), responses((status = 200, body = api::Page<api::Skip>)))]
async fn list(
    State(app): State<App>,
    Query(filter): Query<Filter>,
    caller: Caller,
) -> Answer<Json<api::Page<api::Skip>>> {
    let before = filter.cursor.map(|cursor| cursor.parse::<Seq>()).transpose().map_err(|_| wrong_cursor())?;
    let limit = filter.limit.unwrap_or(50).clamp(1, 1000);
    // One more tells whether there is another page.
    let query = SkipQuery { subject: filter.subject, since: filter.since, limit: limit + 1, before };
    let mut entries = bound::skips(&app, &caller, &query).await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|last| last.seq.to_string());
    Ok(Json(api::Page { items: entries.iter().filter_map(view::skip).collect(), next }))
}

/// The latest due times of a subject that made no run.
pub(crate) async fn latest(app: &App, subject: &Subject) -> Answer<Vec<api::Skip>> {
    let query = SkipQuery { subject: Some(subject.clone()), limit: LATEST, ..SkipQuery::default() };
    Ok(app.engine.store().skips(&query).await?.iter().filter_map(view::skip).collect())
}
