//! Documents of the API as text for people. Pure: the time and its zone come in.

pub mod auth;
pub mod batch_job;
pub mod deploy;
pub mod job;
pub mod overview;
pub mod process;
pub mod run;
pub mod schedule;
pub mod skip;
pub mod template;
pub mod workspace;

use jiff::Timestamp;

use crate::clock::Clock;

/// A time in a table.
fn minute_or_never(clock: &Clock, at: Option<Timestamp>) -> String {
    at.map_or_else(|| "Never".to_owned(), |at| clock.minute(at))
}

/// A time in full.
fn second_or_never(clock: &Clock, at: Option<Timestamp>) -> String {
    at.map_or_else(|| "Never".to_owned(), |at| clock.second(at))
}

/// The first line of `text`, cut where it is longer than `width` characters.
fn first_line(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end();
    if line.chars().count() <= width && text.lines().nth(1).is_none() {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

fn yes_or_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_visibly() {
        assert_eq!(first_line("short", 10), "short");
        assert_eq!(first_line("exactly 10", 10), "exactly 10");
        assert_eq!(first_line("eleven long", 10), "eleven...");
        assert_eq!(first_line("one\ntwo", 10), "one...");
        assert_eq!(first_line("", 10), "");
    }
}

/// What the tests of the renderers share.
#[cfg(test)]
mod sample {
    use jiff::tz::TimeZone;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::Clock;

    pub(super) fn clock() -> Clock {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        Clock { now: "2025-09-19T12:00:00Z".parse().unwrap(), zone }
    }

    /// `base` with the members of `changes` laid over it.
    pub(super) fn document<T: DeserializeOwned>(mut base: Value, changes: Value) -> T {
        if let (Value::Object(base), Value::Object(changes)) = (&mut base, changes) {
            base.extend(changes);
        }
        serde_json::from_value(base).unwrap()
    }

    pub(super) fn run(changes: Value) -> piton_api::Run {
        let base = json!({
            "id": "019a3f2e-0000-7000-8000-a1b2c3d4e5f6",
            "subject": "workspace/web",
            "kind": "workspace",
            "action": "deploy",
            "state": "ended",
            "outcome": "succeeded",
            "attempts": 1,
            "origin": { "trigger": "call", "text": "asked for by ada" },
            "submitted_at": "2025-09-19T10:04:00Z",
            "started_at": "2025-09-19T10:04:01Z",
            "ended_at": "2025-09-19T10:04:33Z",
        });
        document(base, changes)
    }
}
