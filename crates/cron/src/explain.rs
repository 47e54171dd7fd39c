//! What `piton cron explain` shows: the expression in words, its next fires, and what daylight saving does to it.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::describe::describe;
use crate::dst::{InGap, InOverlap};
use crate::pattern::{LocalSecond, Pattern, to_civil};
use crate::schedule::Timing;
use crate::search::{Change, changes_between};
use crate::{DstPolicy, Schedule};

/// A schedule explained.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The expression as it was written.
    pub expr: String,
    /// The zone it is read in.
    pub time_zone: String,
    /// The expression in words.
    pub description: String,
    /// The next fires, in that zone.
    pub next: Vec<Zoned>,
    /// Fires of the next year that daylight saving touches and what happens to them, then other surprises.
    pub notes: Vec<String>,
}

impl Explanation {
    /// The next fires as RFC 3339 writes them, for example `2026-03-29T03:00:00+02:00`.
    pub fn next_rfc3339(&self) -> impl Iterator<Item = String> {
        self.next.iter().map(|fire| fire.timestamp().display_with_offset(fire.offset()).to_string())
    }
}

/// Explains a schedule as it is read in `zone`, with its first `n` fires after `from`.
pub fn explain(schedule: &Schedule, zone: &TimeZone, from: Timestamp, n: usize) -> Explanation {
    let zone = schedule.effective_zone(zone);
    let mut notes = Vec::new();
    if let Timing::Calendar(pattern) = schedule.timing() {
        notes = daylight_saving_notes(pattern, schedule.dst_policy(), zone, from);
    }
    notes.extend(schedule.remarks().iter().map(ToString::to_string));
    Explanation {
        expr: schedule.expression().to_owned(),
        time_zone: zone_name(zone, from),
        description: describe(schedule.timing()),
        next: schedule.upcoming(from, zone).take(n).map(|fire| fire.to_zoned(zone.clone())).collect(),
        notes,
    }
}

fn zone_name(zone: &TimeZone, at: Timestamp) -> String {
    zone.iana_name().map_or_else(|| zone.to_offset(at).to_string(), str::to_owned)
}

/// The notes on the year after `from`.
fn daylight_saving_notes(pattern: &Pattern, dst: DstPolicy, zone: &TimeZone, from: Timestamp) -> Vec<String> {
    let year_later =
        from.to_zoned(zone.clone()).checked_add(1.year()).map_or(Timestamp::MAX, |later| later.timestamp());
    changes_between(zone, from, year_later)
        .filter_map(|change| note(pattern, dst, &zone_name(zone, from), change))
        .collect()
}

fn note(pattern: &Pattern, dst: DstPolicy, zone: &str, change: Change) -> Option<String> {
    let (start, end) = (change.left().min(change.resumed()), change.left().max(change.resumed()));
    let first = pattern.at_or_after(start).filter(|first| *first < end)?;
    let several = pattern.at_or_after(first + 1).is_some_and(|second| second < end);
    let due = if several { "the fires due then".to_owned() } else { format!("the fire due at {}", clock(first)?) };
    let seconds = end - start;
    let (verb, fate) = if change.after > change.before {
        let fate = match dst.in_gap(pattern.interval, seconds) {
            InGap::Skip if several => format!("{due} are left out"),
            InGap::Skip => format!("{due} is left out"),
            InGap::OnceAfter if several => format!("{due} happen once, at {}", clock(end)?),
            InGap::OnceAfter => format!("{due} happens at {}", clock(end)?),
            InGap::Shift if several => format!("{due} happen {} later", length(seconds)),
            InGap::Shift => format!("{due} happens at {}", clock(first + seconds)?),
        };
        ("skips", fate)
    } else {
        let s = if several { "" } else { "s" };
        let fate = match dst.in_overlap(pattern.interval, seconds) {
            InOverlap::BothPasses => format!("{due} happen{s} in both passes, {} apart", length(seconds)),
            InOverlap::FirstPassOnly => format!("{due} happen{s} once, in the first pass"),
        };
        ("repeats", fate)
    };
    let (from, to) = (to_civil(start)?, to_civil(end)?);
    Some(format!("On {}, {zone} {verb} {} to {}: {fate}.", from.date(), clock(start)?, until(from, to)))
}

/// The time on the wall, with seconds where there are any.
fn clock(local: LocalSecond) -> Option<String> {
    let format = if local % 60 == 0 { "%H:%M" } else { "%H:%M:%S" };
    Some(to_civil(local)?.strftime(format).to_string())
}

/// The end of a stretch of local time, with its date where that is another.
fn until(from: DateTime, to: DateTime) -> String {
    let midnight_after = from.date().tomorrow().is_ok_and(|next| to == next.to_datetime(jiff::civil::Time::MIN));
    if midnight_after {
        "24:00".into()
    } else if from.date() == to.date() {
        to.strftime("%H:%M").to_string()
    } else {
        to.strftime("%H:%M on %Y-%m-%d").to_string()
    }
}

fn length(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (60, 0) => "one hour".into(),
        (minutes, 0) if minutes % 60 == 0 => format!("{} hours", minutes / 60),
        (minutes, 0) => format!("{minutes} minutes"),
        _ => format!("{seconds} seconds"),
    }
}
