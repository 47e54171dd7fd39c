//! Times as people and programs write them. Pure.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::request::{Mistake, mistake};

/// A moment, and the zone in which it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    /// Its IANA name, where one is known.
    pub(crate) zone: Option<String>,
}

const HINT: &str = "such as `2026-01-05T09:00:00Z`, or `2026-01-05T09:00` with `timezone`";

/// The last moment that all databases know, and that has four digits of a year everywhere.
const LAST: i64 = 253_402_128_000;

/// Reads `schedule_time` and `timezone`. A time without an offset is one of the zone, `usual` where none is named; in the
/// hour that clocks leave out it is as much later, in the one that comes twice it is the earlier.
pub(crate) fn read(text: &str, timezone: Option<&str>, usual: &TimeZone) -> Result<Moment, Mistake> {
    let named = timezone.map(zone).transpose()?;
    let text = text.trim();
    let mistaken = |what: &str, hint: &'static str| {
        let shown: String = text.chars().take(64).collect();
        mistake("invalid_schedule_time", "schedule_time", format!("`{}` {what}", shown.escape_debug())).hint(hint)
    };
    let outside = || mistaken("is out of range", "it is not before 1970, and not after 9999-12-29");
    let wrong = || {
        // The last days of the last year are none here, however they are written.
        let earlier = text.strip_prefix("9999").map(|rest| format!("9998{rest}"));
        if earlier.is_some_and(|earlier| read(&earlier, timezone, usual).is_ok()) {
            return outside();
        }
        mistaken("is not a time", HINT)
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        // RFC 9557 says the zone, too.
        let said = text.contains('[').then(|| text.parse::<Zoned>().ok()).flatten();
        let zone = named.as_ref().or(said.as_ref().map(Zoned::time_zone)).and_then(name);
        return if is_usual(&at) { Ok(Moment { at, zone }) } else { Err(outside()) };
    }
    // A date alone is no time, and an offset that means nothing is not left out.
    let of_day = text.split_once(['T', 't', ' ']).map(|(_, time)| time);
    if of_day.is_none_or(|time| time.contains(['+', '-', 'Z', 'z', '['])) {
        return Err(wrong());
    }
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    let zone = named.unwrap_or_else(|| usual.clone());
    let at = zone.to_timestamp(local).ok().filter(is_usual).ok_or_else(outside)?;
    Ok(Moment { at, zone: name(&zone) })
}

fn is_usual(at: &Timestamp) -> bool {
    (0..LAST).contains(&at.as_second())
}

fn zone(text: &str) -> Result<TimeZone, Mistake> {
    let found = if text.trim().is_empty() { None } else { TimeZone::get(text.trim()).ok() };
    found.ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        let detail = format!("there is no time zone `{}`", shown.escape_debug());
        mistake("unknown_time_zone", "timezone", detail)
            .hint("use a name of the IANA database, such as `Europe/Berlin` or `UTC`")
    })
}

fn name(zone: &TimeZone) -> Option<String> {
    zone.iana_name().map(str::to_owned)
}

/// A moment in a zone, with the offset that holds there then.
pub(crate) fn local(at: Timestamp, zone: &str) -> Option<String> {
    let zone = TimeZone::get(zone).ok()?;
    Some(at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, zone: Option<&str>) -> Result<(String, Option<String>), &'static str> {
        let usual = TimeZone::get("America/Los_Angeles").unwrap();
        read(text, zone, &usual).map(|moment| (moment.at.to_string(), moment.zone)).map_err(|mistake| mistake.code)
    }

    #[test]
    fn times_with_and_without_an_offset() {
        let (berlin, usual) = (Some("Europe/Berlin"), Some("America/Los_Angeles"));
        for (text, zone, at, shown) in [
            ("2025-12-01T09:00:00Z", None, "2025-12-01T09:00:00Z", None),
            ("2025-12-01T09:00:00+02:00", berlin, "2025-12-01T07:00:00Z", berlin),
            ("2025-12-01T09:00:00", None, "2025-12-01T17:00:00Z", usual),
            ("2025-12-01T09:00", berlin, "2025-12-01T08:00:00Z", berlin),
            ("2025-12-01 09:00:00", Some("europe/berlin"), "2025-12-01T08:00:00Z", berlin),
            ("2025-12-01T09:00:00+01:00[Europe/Berlin]", None, "2025-12-01T08:00:00Z", berlin),
            // The hour that is left out, and the one that comes twice.
            ("2025-03-30T02:30:00", berlin, "2025-03-30T01:30:00Z", berlin),
            ("2025-10-26T02:30:00", berlin, "2025-10-26T00:30:00Z", berlin),
        ] {
            assert_eq!(told(text, zone), Ok((at.to_owned(), shown.map(str::to_owned))), "{text} {zone:?}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "tomorrow",
            "2025-12-01",
            "2025-13-01T00:00:00Z",
            "infinity",
            "1764579600",
            "-000001-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1969-12-31T23:59:59+02:00",
            "2025-12-01T09:00+99:00",
            "2025-12-01T25:00",
        ] {
            assert_eq!(told(text, None), Err("invalid_schedule_time"), "{text}");
        }
        let detail = |text| read(text, None, &TimeZone::UTC).unwrap_err().detail;
        for text in ["9999-12-31T00:00:00Z", "9999-12-31T00:00:00", "9999-12-30T22:30:00-05:00", "1969-12-31T23:59:59Z"]
        {
            assert!(detail(text).contains("is out of range"), "{text}: {}", detail(text));
        }
        assert!(detail("9999-12-99T00:00:00Z").contains("is not a time"));
        for zone in ["", "Mars/Olympus", "+02:00", "../../etc/passwd"] {
            assert_eq!(told("2025-12-01T09:00:00", Some(zone)), Err("unknown_time_zone"), "{zone}");
        }
    }

    #[test]
    fn a_moment_is_shown_in_its_zone() {
        let at: Timestamp = "2025-12-01T09:00:00Z".parse().unwrap();
        assert_eq!(local(at, "Europe/Berlin").as_deref(), Some("2025-12-01T10:00:00+01:00"));
        assert_eq!(local(at, "nowhere"), None);
    }
}
