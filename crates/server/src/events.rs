//! The ledger as server-sent events, resumable.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use piton_auth::Role;
use piton_model::{LedgerEntry, Record, Seq};
use serde::Deserialize;

use crate::caller::Caller;
use crate::extract::Query;
use crate::feed::{Feed, Frames};
use crate::problem::Answer;
use crate::route::{Permission, Table, routes};
use crate::state::App;

const BATCH: usize = 200;
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(crate) fn routes() -> Table {
    Table::new().at(Permission::Read, routes!(show))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct From {
    /// After this position; from now on where absent.
    #[param(value_type = Option<i64>)]
    after: Option<Seq>,
}

/// The ledger as it grows, as server-sent events; `id` is the position, to resume at with `Last-Event-ID`.
#[utoipa::path(get, path = "/events", params(From), responses((status = 200, body = String, content_type = "text/event-stream")))]
async fn show(
    State(app): State<App>,
    Query(from): Query<From>,
    caller: Caller,
    headers: HeaderMap,
) -> Answer<Response> {
    let resume = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = match resume.or(from.after) {
        Some(after) => after,
        None => app.engine.store().head().await?,
    };
    let body = Body::from_stream(follow(app, after, caller.role).map(Ok::<_, Infallible>));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

fn follow(app: App, after: Seq, role: Role) -> Feed {
    Feed::new(|frames| feed(app, after, role, frames))
}

async fn feed(app: App, mut after: Seq, role: Role, frames: Frames) {
    let mut changes = app.engine.store().changes();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        changes.mark_unchanged();
        let entries = app.engine.store().entries(after, BATCH).await.unwrap_or_default();
        for entry in &entries {
            after = entry.seq;
            // Who logs in from where is for administrators.
            if role == Role::Admin || !matches!(entry.record, Record::Audit(_)) {
                frames.send(frame(entry)).await;
            }
        }
        if entries.len() == BATCH {
            continue;
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = heartbeat.tick() => frames.send(&b": heartbeat\n\n"[..]).await,
            () = app.shutdown.cancelled() => return,
        }
    }
}

fn frame(entry: &LedgerEntry) -> Bytes {
    let data = serde_json::to_string(entry).unwrap_or_default();
    Bytes::from(format!("event: ledger\nid: {}\ndata: {data}\n\n", entry.seq))
}
