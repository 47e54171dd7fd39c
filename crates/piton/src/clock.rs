//! The time as the person at the terminal has it.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The time now, and the zone to show times in.
#[derive(Debug, Clone)]
pub struct Clock {
    /// The time at which the command began.
    pub now: Timestamp,
    /// Where it is shown.
    pub zone: TimeZone,
}

impl Clock {
    /// The system's.
    #[expect(clippy::disallowed_methods, reason = "a command is about the time at which somebody types it")]
    pub fn system() -> Clock {
        Clock { now: Timestamp::now(), zone: TimeZone::system() }
    }

    /// `2025-09-19 12:04`
    pub fn minute(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// `2025-09-19 12:04:33`
    pub fn second(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// A time as somebody types it: `2026-01-02T03:04:05Z`, `2026-01-02 03:04`, `2026-01-02`, or how long ago (`90m`).
    pub fn parse(&self, text: &str) -> Option<Timestamp> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(at);
        }
        if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
            return local.to_zoned(self.zone.clone()).ok().map(|at| at.timestamp());
        }
        let span: Span = text.parse().ok()?;
        let now = self.now.to_zoned(self.zone.clone());
        now.checked_sub(span.abs()).ok().map(|at| at.timestamp())
    }
}

/// `4 s`, `3 min 7 s`, `2 h 5 min`, `3 d 4 h`: two units are enough.
pub fn length(from: Timestamp, to: Timestamp) -> String {
    let span = to.duration_since(from);
    let seconds = span.as_secs().max(0);
    let pair = |big: i64, unit: &str, small: i64, smaller: &str| match small {
        0 => format!("{big} {unit}"),
        small => format!("{big} {unit} {small} {smaller}"),
    };
    match seconds {
        0 => format!("{} ms", span.as_millis().max(0)),
        1..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock { now: "2026-03-10T12:00:00Z".parse().unwrap(), zone: TimeZone::get("Europe/Berlin").unwrap() }
    }

    #[test]
    fn times_are_local() {
        let at = "2025-09-19T10:04:33Z".parse().unwrap();
        assert_eq!(clock().minute(at), "2025-09-19 12:04");
        assert_eq!(clock().second(at), "2025-09-19 12:04:33");
    }

    #[test]
    fn times_can_be_typed_in_many_ways() {
        for (text, at) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
            ("2026-01-02 03:04", "2026-01-02T02:04:00Z"),
            ("2026-01-02", "2026-01-01T23:00:00Z"),
            ("90m", "2026-03-10T10:30:00Z"),
            ("2d", "2026-03-08T12:00:00Z"),
            ("1h 30m", "2026-03-10T10:30:00Z"),
        ] {
            assert_eq!(clock().parse(text), Some(at.parse().unwrap()), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "1"] {
            assert_eq!(clock().parse(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_have_two_units_at_most() {
        let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (later, words) in [
            ("2026-01-01T00:00:00.250Z", "250 ms"),
            ("2026-01-01T00:00:04.9Z", "4 s"),
            ("2026-01-01T00:03:07Z", "3 min 7 s"),
            ("2026-01-01T02:05:09Z", "2 h 5 min"),
            ("2026-01-04T04:00:00Z", "3 d 4 h"),
            ("2025-12-31T00:00:00Z", "0 ms"),
        ] {
            assert_eq!(length(from, later.parse().unwrap()), words, "until {later}");
        }
    }
}
