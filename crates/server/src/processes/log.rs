//! What processes print: pages of lines, or server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use piton_api as api;
use piton_logs::{MergedLog, MergedPage, OutputStream};
use piton_supervisor::{Error, InstanceState, Selector};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::daemon;
use super::selector::plain;
use crate::extract::{Json, Path, Query};
use crate::feed::{Feed, Frames};
use crate::logs::frame;
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

/// How many lines a page has unless said otherwise.
const USUAL: usize = 200;

/// The most lines of a page.
const MOST: usize = 1000;

/// So many instances are named where one has to be chosen.
const NAMED: u32 = 10;

/// Sent when nothing else is, so that a dead connection is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a follower rests where nothing is added, at first and at most.
const FIRST_REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_millis(500);

/// Sent where lines are missing that were asked for.
const GAP: &[u8] = b"event: gap\ndata: lines that stood here are gone\n\n";

pub(super) fn routes() -> Table {
    Table::new().at(Permission::Read, routes!(show))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Which {
    Stdout,
    Stderr,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Part {
    /// From this place on, as the page before gave it as `next`; without it the last lines.
    #[param(value_type = Option<usize>)]
    since: Option<u64>,
    /// How many lines at most; 200 unless given. More than 1000 counts as 1000, and 0 as 1 on a page.
    limit: Option<usize>,
    /// The same, for the last lines; 0 for none of them, which with `follow` leaves the new ones.
    tail: Option<usize>,
    /// Only standard output, or only standard error.
    #[param(inline)]
    stream: Option<Which>,
    /// As server-sent events, which go on.
    #[serde(default)]
    follow: bool,
}

impl Part {
    fn limit(&self) -> usize {
        self.tail.or(self.limit).unwrap_or(USUAL).min(MOST)
    }
}

/// What an instance printed: a page of lines, or server-sent events for those who accept them or `follow`.
///
/// A line without its end is shown once the instance has ended. An event is one line; its `id` is the place after it,
/// to resume at with `Last-Event-ID`. One without an event tells first where the log begins; `gap` says that lines are
/// gone which should stand there.
#[utoipa::path(get, path = "/processes/{name}/logs", params(Part), responses((status = 200, content((api::ProcessLog = "application/json"), (String = "text/event-stream"))), (status = 400, description = "It is no name, or no place.")))]
async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(part): Query<Part>,
    headers: HeaderMap,
) -> Answer<Response> {
    // Where an instance writes is known to whoever supervises it.
    daemon(&app)?;
    let name = plain(&name)?;
    let log = open(&app, &name, part.stream).await?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let limit = part.limit();
    if !part.follow && !accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        // Who goes from page to page has to get on.
        let least = usize::from(part.tail.is_none());
        let page = read(&log, part.since, limit.max(least), || has_ended(&app, &name)).await?;
        return Ok(Json(view(page)).into_response());
    }
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let first = match resumed.or(part.since) {
        Some(since) => MergedPage { next: since, ..MergedPage::default() },
        None => read(&log, None, limit, || has_ended(&app, &name)).await?,
    };
    let body = Body::from_stream(follow(app, name, log, first).map(Ok::<_, Infallible>));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

async fn open(app: &App, instance: &str, which: Option<Which>) -> Answer<MergedLog> {
    let (stdout, stderr) = app.supervisor.log_files(instance).map_err(|error| several(app, instance, error))?;
    let (kind, stdout, stderr) = match which {
        None => ("both", stdout, stderr),
        Some(Which::Stdout) => ("stdout", stdout.clone(), stdout),
        Some(Which::Stderr) => ("stderr", stderr.clone(), stderr),
    };
    // Apart from one another, since `web.stdout` may be the name of an instance too.
    let books = app.about.data_directory.join("log-order").join(kind);
    tokio::fs::create_dir_all(&books).await.map_err(|error| Refusal::internal(&error))?;
    Ok(match which {
        None => MergedLog::new(stdout, stderr, books.join(instance)),
        Some(Which::Stdout) => MergedLog::one(OutputStream::Stdout, stdout, books.join(instance)),
        Some(Which::Stderr) => MergedLog::one(OutputStream::Stderr, stderr, books.join(instance)),
    })
}

/// A page of a log. Who ends while it is read has its last words in it.
async fn read(
    log: &MergedLog,
    since: Option<u64>,
    limit: usize,
    has_ended: impl Fn() -> bool,
) -> Result<MergedPage, piton_logs::Error> {
    let ended = has_ended();
    let page = log.clone().with_end(ended).page(since, limit).await?;
    if ended || !has_ended() {
        return Ok(page);
    }
    log.clone().with_end(true).page(since, limit).await
}

/// Whether nothing of an instance runs that could go on with a line.
fn has_ended(app: &App, instance: &str) -> bool {
    let found = app.supervisor.observe(&Selector::Name(instance.to_owned())).unwrap_or_default();
    found.iter().any(|seen| seen.status.name == instance && is_at_rest(seen.status.state))
}

fn is_at_rest(state: InstanceState) -> bool {
    match state {
        InstanceState::Stopped
        | InstanceState::Waiting
        | InstanceState::Backoff
        | InstanceState::Exited
        | InstanceState::Fatal => true,
        InstanceState::Starting | InstanceState::Running | InstanceState::Stopping => false,
    }
}

/// Each instance has a log of its own: a process that has not exactly one names none.
fn several(app: &App, name: &str, error: Error) -> Refusal {
    let Some(count) = app.supervisor.instances(name) else { return error.into() };
    let (detail, hint) = which_of(name, count);
    Refusal::new(StatusCode::NOT_FOUND, "process_not_found", detail, hint)
}

fn which_of(name: &str, count: u32) -> (String, Option<String>) {
    if count == 0 {
        return (format!("`{name}` has no instances at the moment"), None);
    }
    let names = match count {
        1..=NAMED => (1..=count).map(|number| format!("`{name}-{number}`")).collect::<Vec<_>>().join(", "),
        _ => format!("`{name}-1` to `{name}-{count}`"),
    };
    (format!("`{name}` has {count} instances, each with a log of its own"), Some(format!("name one of them: {names}")))
}

fn view(page: MergedPage) -> api::ProcessLog {
    let stream = |stream| match stream {
        OutputStream::Stdout => "stdout",
        OutputStream::Stderr => "stderr",
    };
    let lines = page.lines.into_iter();
    api::ProcessLog {
        lines: lines
            .map(|line| api::ProcessLogLine {
                offset: line.offset,
                stream: stream(line.stream).to_owned(),
                text: line.text,
            })
            .collect(),
        next: page.next,
        gap: page.gap,
    }
}

/// Events without an end.
fn follow(app: App, instance: String, log: MergedLog, first: MergedPage) -> Feed {
    Feed::new(|frames| feed(app, instance, log, first, frames))
}

async fn feed(app: App, instance: String, log: MergedLog, first: MergedPage, frames: Frames) {
    let begin = first.lines.first().map_or(first.next, |line| line.offset);
    frames.send(format!("id: {begin}\n\n")).await;
    let mut next = first.next;
    for frame in framed(&first) {
        frames.send(frame).await;
    }
    let (mut rest, mut quiet_since) = (FIRST_REST, Instant::now());
    while tokio::time::timeout(rest, app.front.ending.cancelled()).await.is_err() {
        let page = match read(&log, Some(next), MOST, || has_ended(&app, &instance)).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "the log of a process cannot be followed");
                break;
            }
        };
        if page.lines.is_empty() {
            rest = (rest * 2).min(LONGEST_REST);
            if quiet_since.elapsed() >= HEARTBEAT {
                quiet_since = Instant::now();
                frames.send(&b": heartbeat\n\n"[..]).await;
            }
        } else {
            (rest, quiet_since) = (FIRST_REST, Instant::now());
        }
        next = page.next;
        for frame in framed(&page) {
            frames.send(frame).await;
        }
    }
    frames.send(&b"event: end\ndata: interrupted\n\n"[..]).await;
}

/// Each line with the place after it, below an event that says that lines before them are gone.
fn framed(page: &MergedPage) -> Vec<Bytes> {
    let after = page.lines.iter().skip(1).map(|line| line.offset).chain([page.next]).collect::<Vec<_>>();
    let gap = page.gap.then(|| Bytes::from_static(GAP));
    let lines = page.lines.iter().zip(after).map(|(line, after)| frame(line.text.as_bytes(), after));
    gap.into_iter().chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_ends_while_the_log_is_read_has_said_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("web.stdout.log");
        let log = MergedLog::one(OutputStream::Stdout, &file, directory.path().join("book"));
        std::fs::write(&file, "first\nlast").unwrap();
        let texts = |page: MergedPage| page.lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
        let ended = AtomicBool::new(false);
        assert_eq!(texts(read(&log, None, 10, || ended.load(Ordering::Relaxed)).await.unwrap()), ["first"]);
        let page = read(&log, None, 10, || ended.swap(true, Ordering::Relaxed)).await.unwrap();
        assert_eq!(texts(page), ["first", "last"]);
        let page = read(&log, Some(6), 10, || true).await.unwrap();
        assert_eq!(texts(page), ["last"]);
    }

    #[test]
    fn who_names_a_process_is_told_its_instances() {
        let hint = |count| which_of("api", count).1;
        assert_eq!(which_of("api", 0).0, "`api` has no instances at the moment");
        assert_eq!(which_of("api", 3).0, "`api` has 3 instances, each with a log of its own");
        assert_eq!(hint(3).as_deref(), Some("name one of them: `api-1`, `api-2`, `api-3`"));
        assert_eq!(hint(300).as_deref(), Some("name one of them: `api-1` to `api-300`"));
        assert_eq!(hint(0), None);
    }
}
