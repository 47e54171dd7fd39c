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

impl Client {
    /// Follows the log of a run from `offset`, until the run ends or the connection breaks.
    pub async fn follow_log(
        &self,
        run: &str,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<LogItem, Error>> + use<>, Error> {
        let path = format!("/runs/{run}/logs");
        let response = self.send(Method::GET, &path, None::<&()>, "text/event-stream", Some(offset)).await?;
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
    match event.event.as_str() {
        "log" => {
            let Some(offset) = event.id.as_deref().and_then(|id| id.parse().ok()) else {
                // Whoever passed over it could not tell that a line is missing.
                return Some(Err(Error::Unexpected("a line of a log without its place".to_owned())));
            };
            Some(Ok(LogItem::Line { text: event.data, offset }))
        }
        "end" => Some(Ok(LogItem::End(event.data))),
        _ => None,
    }
}
