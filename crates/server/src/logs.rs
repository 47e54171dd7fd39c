//! Logs of runs: as a text, or followed as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use piton_model::{Phase, Run, RunId};
use serde::Deserialize;
use tokio::sync::watch;

use crate::caller::Caller;
use crate::extract::{Path, Query};
use crate::feed::{Feed, Frames};
use crate::problem::Answer;
use crate::route::{Permission, Table, routes};
use crate::runs::find;
use crate::state::App;

pub(crate) fn routes() -> Table {
    Table::new().bound(Permission::Read, routes!(show))
}

/// Which part of a log.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Range {
    /// From this byte on.
    #[param(value_type = Option<usize>)]
    from: Option<u64>,
    /// Only so many last lines.
    tail: Option<usize>,
}

/// Sent when nothing else is, so that a dead connection is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The id of the event after which nothing comes. A browser asks again after every end of a stream, and stops only when it
/// is told that there is no more.
const END: &str = "end";

/// A line that is longer is cut into several events.
const LONGEST_LINE: usize = 64 * 1024;

/// The log of a run: a text, or server-sent events for those who accept them.
///
/// `id` is the byte offset after a line, to resume at with `Last-Event-ID`; one without an event tells first where the
/// log begins. The last event is `end`, with the outcome, and the id `end` if the run has ended.
#[utoipa::path(get, path = "/runs/{id}/logs", params(Range), responses(
    (status = 200, content((String = "text/plain"), (String = "text/event-stream"))),
    (status = 204, description = "The `Last-Event-ID` is that of the end.")))]
async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(range): Query<Range>,
    headers: HeaderMap,
    caller: Caller,
) -> Answer<Response> {
    let run = find(&app, &caller, &id).await?;
    answer(&app, &run, &range, &headers).await
}

pub(crate) async fn answer(app: &App, run: &Run, range: &Range, headers: &HeaderMap) -> Answer<Response> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        return events(app, run, range, headers, Until::Settled).await;
    }
    let from = beginning(app, run, range).await?;
    let (log, id) = (app.logs.clone(), run.id);
    let end = log.read(id, u64::MAX, 0).await?.end;
    let body = Body::from_stream(chunks(log, id, from, end));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

async fn beginning(app: &App, run: &Run, range: &Range) -> Answer<u64> {
    match range.tail {
        Some(lines) => Ok(app.logs.tail(run.id, lines).await?.offset),
        None => Ok(range.from.unwrap_or(0)),
    }
}

/// How long a log is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until the run has ended or waits for a person.
    Settled,
    /// Until the run has ended.
    Ended,
}

/// The log as server-sent events.
pub(crate) async fn events(app: &App, run: &Run, range: &Range, headers: &HeaderMap, until: Until) -> Answer<Response> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    if last == Some(END) && run.phase() == Phase::Ended {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut from = beginning(app, run, range).await?;
    if let Some(id) = last.and_then(|last| last.parse().ok()) {
        from = from.max(id);
    }
    let body = Body::from_stream(follow(app.clone(), run.id, from, until).map(Ok::<_, Infallible>));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// What is in the log now, piece by piece.
fn chunks(
    log: piton_logs::LogStore,
    run: RunId,
    from: u64,
    end: u64,
) -> impl Stream<Item = Result<Bytes, piton_logs::Error>> {
    const PIECE: u64 = 256 * 1024;
    stream::try_unfold(from, move |at| {
        let log = log.clone();
        async move {
            if at >= end {
                return Ok(None);
            }
            let size = usize::try_from(PIECE.min(end - at)).unwrap_or(usize::MAX);
            let chunk = log.read(run, at, size).await?;
            let next = chunk.offset + chunk.bytes.len() as u64;
            Ok((next > at).then(|| (Bytes::from(chunk.bytes), next)))
        }
    })
}

/// Events until the run ends or waits for a person.
fn follow(app: App, run: RunId, from: u64, until: Until) -> Feed {
    Feed::new(|frames| feed(app, run, from, until, frames))
}

async fn feed(app: App, id: RunId, from: u64, until: Until, frames: Frames) {
    let (ended, is_over) = watch::channel(false);
    let engine = app.engine.clone();
    let mut settling = Box::pin(async move {
        let run = match until {
            Until::Settled => engine.settled(id).await,
            Until::Ended => engine.ended(id).await,
        };
        ended.send_replace(true);
        (run, ended)
    });
    // An id without an event: whoever reads it knows where to resume even if no line follows.
    frames.send(format!("id: {from}\n\n")).await;
    let mut lines = Lines::new(from);
    let mut log = Box::pin(app.logs.follow(id, from, is_over));
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    let mut settled = None;
    loop {
        tokio::select! {
            done = &mut settling, if settled.is_none() => settled = Some(done),
            _ = heartbeat.tick() => frames.send(&b": heartbeat\n\n"[..]).await,
            chunk = log.next() => match chunk {
                Some(Ok(chunk)) => {
                    for frame in lines.push(&chunk.bytes) {
                        frames.send(frame).await;
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(run = %id, %error, "a log cannot be followed");
                    break;
                }
                None => break,
            },
        }
    }
    for frame in lines.finish() {
        frames.send(frame).await;
    }
    let run = match settled {
        Some((run, _)) => run,
        None => settling.await.0,
    };
    let over = run.as_ref().is_ok_and(|run| run.phase() == Phase::Ended);
    let word = match &run {
        Ok(run) => match run.outcome() {
            Some(outcome) => outcome.kind().as_str(),
            None if run.phase() == Phase::Gated => "gated",
            None => "interrupted",
        },
        Err(_) => "interrupted",
    };
    let id = if over { format!("id: {END}\n") } else { String::new() };
    frames.send(format!("event: end\n{id}data: {word}\n\n")).await;
}

/// Cuts bytes into lines, and lines into frames that carry the offset after them.
struct Lines {
    rest: Vec<u8>,
    offset: u64,
}

impl Lines {
    fn new(offset: u64) -> Lines {
        Lines { rest: vec![], offset }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        self.rest.extend_from_slice(bytes);
        let mut frames = vec![];
        let mut begin = 0;
        loop {
            let left = &self.rest[begin..];
            let (line, taken) = match left.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') {
                Some(end) => (&left[..end], end + 1),
                None if left.len() >= LONGEST_LINE => (&left[..LONGEST_LINE], LONGEST_LINE),
                None => break,
            };
            self.offset += taken as u64;
            frames.push(frame(line, self.offset));
            begin += taken;
        }
        self.rest.drain(..begin);
        frames
    }

    fn finish(&mut self) -> Vec<Bytes> {
        if self.rest.is_empty() {
            return vec![];
        }
        self.offset += self.rest.len() as u64;
        vec![frame(&std::mem::take(&mut self.rest), self.offset)]
    }
}

/// A carriage return would end the field, so what stands between two of them is a line of its own.
pub(crate) fn frame(line: &[u8], offset: u64) -> Bytes {
    let text = String::from_utf8_lossy(line);
    let mut frame = format!("event: log\nid: {offset}\n");
    for part in text.trim_end_matches('\r').split('\r') {
        frame.push_str("data: ");
        frame.push_str(part);
        frame.push('\n');
    }
    frame.push('\n');
    Bytes::from(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frames: Vec<Bytes>) -> String {
        frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect()
    }

    #[test]
    fn offsets_are_those_of_the_log_however_it_is_cut() {
        let log = b"one\ntwo\r\n\nlast";
        let mut whole = Lines::new(100);
        let mut wanted = text(whole.push(log));
        wanted += &text(whole.finish());
        assert!(wanted.starts_with("event: log\nid: 104\ndata: one\n\nevent: log\nid: 109\ndata: two\n\n"), "{wanted}");
        for cut in 0..log.len() {
            let mut lines = Lines::new(100);
            let mut found = text(lines.push(&log[..cut]));
            found += &text(lines.push(&log[cut..]));
            found += &text(lines.finish());
            assert_eq!(found, wanted, "cut at {cut}");
        }
    }

    #[test]
    fn output_cannot_forge_events() {
        let forged = text(Lines::new(0).push(b"x\revent: end\rdata: succeeded\n"));
        assert_eq!(forged, "event: log\nid: 29\ndata: x\ndata: event: end\ndata: data: succeeded\n\n");
    }

    #[test]
    fn a_line_without_end_needs_bounded_memory() {
        let mut lines = Lines::new(0);
        let frames: usize = (0..100).map(|_| lines.push(&[b'x'; 10_000]).len()).sum();
        assert_eq!(frames, 1_000_000 / LONGEST_LINE);
        assert!(lines.rest.len() < LONGEST_LINE);
    }
}
