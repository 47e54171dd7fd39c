//! Following a log.

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::BodyExt;
use hyper::Method;

use super::{Body, Client, Error};
use crate::{SseEvent, SseParser};

/// A piece of a log that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// Where it begins: lines follow that stand at this offset and behind it.
    Begin(u64),
    /// A line, and the offset after it, to resume at.
    Line {
        /// Without its end.
        text: String,
        /// Byte offset after it.
        offset: u64,
    },
    /// The run ended, or waits for a person: how.
    End(String),
}

/// Where to begin with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStart {
    /// At this byte.
    At(u64),
    /// Before so many of the lines that are there.
    Last(usize),
}

impl Client {
    /// Follows the log of a run until it ends, waits for a person, or the connection breaks.
    pub async fn follow_log(
        &self,
        run: &str,
        start: LogStart,
    ) -> Result<impl Stream<Item = Result<LogItem, Error>> + use<>, Error> {
        self.follow(&format!("/runs/{run}/logs"), start).await
    }

    /// Follows the log that is found at a path, until it ends or the connection breaks.
    pub async fn follow(
        &self,
        path: &str,
        start: LogStart,
    ) -> Result<impl Stream<Item = Result<LogItem, Error>> + use<>, Error> {
        let (path, resume_at) = match start {
            LogStart::At(offset) => (path.to_owned(), Some(offset)),
            LogStart::Last(lines) => {
                (format!("{path}{}tail={lines}", if path.contains('?') { '&' } else { '?' }), None)
            }
        };
        let response = self.send(Method::GET, &path, None::<&()>, "text/event-stream", resume_at).await?;
        let events = Events { body: response.into_body(), parser: SseParser::default(), ready: vec![].into_iter() };
        Ok(stream::unfold(events, |mut events| async move {
            loop {
                let item = match events.next().await? {
                    Ok(event) => log_item(event),
                    Err(error) => Some(Err(error)),
                };
                if let Some(item) = item {
                    return Some((item, events));
                }
            }
        }))
    }
}

/// Events as they come in.
struct Events {
    body: Body,
    parser: SseParser,
    ready: std::vec::IntoIter<SseEvent>,
}

impl Events {
    async fn next(&mut self) -> Option<Result<SseEvent, Error>> {
        loop {
            if let Some(event) = self.ready.next() {
                return Some(Ok(event));
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    let data = frame.into_data().unwrap_or_else(|_| Bytes::new());
                    self.ready = self.parser.push(&data).into_iter();
                }
                Err(error) => return Some(Err(Error::Broken(error.to_string()))),
            }
        }
    }
}

/// What an event says about the log; nothing if it is about something else.
fn log_item(event: SseEvent) -> Option<Result<LogItem, Error>> {
    let offset = event.id.as_deref().and_then(|id| id.parse().ok());
    match event.event.as_str() {
        "" if event.data.is_empty() => offset.map(|offset| Ok(LogItem::Begin(offset))),
        "log" => {
            let Some(offset) = offset else {
                // Whoever passed over it could not tell that a line is missing.
                return Some(Err(Error::Unexpected("a line of a log without its place".to_owned())));
            };
            Some(Ok(LogItem::Line { text: event.data, offset }))
        }
        "end" => Some(Ok(LogItem::End(event.data))),
        _ => None,
    }
}
