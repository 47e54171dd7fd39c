//! Reading server-sent events.

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The event's type; empty where none was given.
    pub event: String,
    /// Its data.
    pub data: String,
    /// Its id, to resume after.
    pub id: Option<String>,
}

/// Puts events together from the bytes of a stream, however they are cut.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
}

impl SseParser {
    /// Takes the next bytes; the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = vec![];
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let text = String::from_utf8_lossy(&line);
                events.extend(self.take_line(text.trim_end_matches('\r')));
            } else {
                self.line.push(*byte);
            }
        }
        events
    }

    fn take_line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            // An id alone is no event for browsers, but they too remember it.
            let complete = std::mem::take(&mut self.has_data) || !event.event.is_empty() || event.id.is_some();
            return complete.then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.event),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // Comments are heartbeats; other fields are for browsers.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_any_cut() {
        let stream = b": hello\n\nid: 3\n\nevent: log\nid: 7\ndata: one\ndata: two\n\nevent: end\ndata: succeeded\n\n";
        for cut in 0..stream.len() {
            let mut parser = SseParser::default();
            let mut events = parser.push(&stream[..cut]);
            events.extend(parser.push(&stream[cut..]));
            assert_eq!(events.len(), 3, "cut at {cut}");
            assert_eq!(events[0], SseEvent { id: Some("3".into()), ..SseEvent::default() });
            assert_eq!(events[1], SseEvent { event: "log".into(), data: "one\ntwo".into(), id: Some("7".into()) });
            assert_eq!(events[2].event, "end");
        }
    }
}
