//! When the lines of one subject are due. Pure.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use piton_cron::Schedule;

/// Fires of one line are counted up to this many, when a daemon was away for long.
const COUNT_LIMIT: usize = 100_000;

/// One line of a schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) text: &'a str,
    pub(crate) schedule: &'a Schedule,
}

/// What is due of a subject: the most recent fire of all its lines together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    /// Index of the line.
    pub(crate) line: usize,
    /// When it was due.
    pub(crate) fire: Timestamp,
    /// Fires of the same or of other lines that nobody noticed in time.
    pub(crate) overtaken: Vec<Overtaken>,
}

/// Fires of one line that a later one overtook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overtaken {
    pub(crate) line: usize,
    /// The last of them.
    pub(crate) fire: Timestamp,
    /// How many.
    pub(crate) count: u32,
}

/// Whether one of the lines is due at exactly this instant.
pub(crate) fn fires_at(lines: &[Line<'_>], zone: &TimeZone, at: Timestamp) -> bool {
    lines.iter().any(|line| line.schedule.latest(just_before(at), at, zone) == Some(at))
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(at)
}

/// What is due after `cursor` and at or before `now`. Of two lines that are due at the same instant the later one in
/// the list wins.
pub(crate) fn due(lines: &[Line<'_>], zone: &TimeZone, cursor: Timestamp, now: Timestamp) -> Option<Due> {
    let latest = |line: &Line<'_>, at| line.schedule.latest(cursor, at, zone);
    let (line, fire) = lines
        .iter()
        .enumerate()
        .filter_map(|(n, line)| Some((n, latest(line, now)?)))
        .max_by_key(|(n, at)| (*at, *n))?;
    let overtaken = lines
        .iter()
        .enumerate()
        .filter_map(|(n, other)| {
            let until = if n == line { just_before(fire) } else { now };
            let last = latest(other, until)?;
            let count = other.schedule.count_up_to(COUNT_LIMIT, cursor, until, zone);
            Some(Overtaken { line: n, fire: last, count: u32::try_from(count).unwrap_or(u32::MAX).max(1) })
        })
        .collect();
    Some(Due { line, fire, overtaken })
}

/// The most recent fire ever, for a subject that is seen for the first time.
pub(crate) fn latest_ever(lines: &[Line<'_>], zone: &TimeZone, now: Timestamp) -> Option<(usize, Timestamp)> {
    let dated = lines.iter().enumerate().filter_map(|(n, line)| {
        let fire = line.schedule.prev_at_or_before(now, zone)?;
        Some((n, fire))
    });
    dated.max_by_key(|(n, fire)| (*fire, *n))
}

/// The earliest fire after `cursor`.
pub(crate) fn next(lines: &[Line<'_>], zone: &TimeZone, cursor: Timestamp) -> Option<Timestamp> {
    lines.iter().filter_map(|line| line.schedule.next(cursor, zone)).min()
}

/// From when the fires that are still to come are counted: dates and times go by the clock, an `@every` by the fire
/// before.
pub(crate) fn anchor(schedule: &Schedule, zone: &TimeZone, cursor: Option<Timestamp>, now: Timestamp) -> Timestamp {
    match (schedule.delay(), cursor) {
        (Some(_), Some(cursor)) => schedule.latest(cursor, now, zone).unwrap_or(cursor),
        (Some(_), None) | (None, _) => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedules(texts: &[&'static str]) -> Vec<(&'static str, Schedule)> {
        texts.iter().map(|text| (*text, Schedule::parse(text).unwrap())).collect()
    }

    fn lines<'a>(schedules: &'a [(&'static str, Schedule)]) -> Vec<Line<'a>> {
        schedules.iter().map(|(text, schedule)| Line { text, schedule }).collect()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_most_recent_line_wins_after_a_pause() {
        let schedules = schedules(&["0 9 * * *", "0 18 * * *"]);
        let lines = lines(&schedules);
        // Away from Monday 08:00 until Wednesday noon: Wednesday's 09:00 counts, four others were missed.
        let due = due(&lines, &TimeZone::UTC, at("2026-03-02T08:00:00Z"), at("2026-03-04T12:00:00Z")).unwrap();
        assert_eq!((due.line, due.fire), (0, at("2026-03-04T09:00:00Z")));
        assert_eq!(
            due.overtaken,
            [
                Overtaken { line: 0, fire: at("2026-03-03T09:00:00Z"), count: 2 },
                Overtaken { line: 1, fire: at("2026-03-03T18:00:00Z"), count: 2 },
            ]
        );
    }

    #[test]
    fn nothing_is_due_between_two_fires() {
        let schedules = schedules(&["0 9 * * *"]);
        let lines = lines(&schedules);
        let (cursor, now) = (at("2026-03-02T09:00:00Z"), at("2026-03-03T08:59:59Z"));
        assert_eq!(due(&lines, &TimeZone::UTC, cursor, now), None);
        assert_eq!(next(&lines, &TimeZone::UTC, cursor), Some(at("2026-03-03T09:00:00Z")));
    }

    #[test]
    fn an_interval_is_counted_from_the_fire_before() {
        let (every, daily) = (Schedule::parse("@every 10m").unwrap(), Schedule::parse("0 9 * * *").unwrap());
        let next = |schedule: &Schedule, cursor: Option<&str>, now| {
            let from = anchor(schedule, &TimeZone::UTC, cursor.map(at), at(now));
            schedule.next(from, &TimeZone::UTC).unwrap().to_string()
        };
        assert_eq!(next(&every, Some("2026-03-02T08:00:00Z"), "2026-03-02T08:07:00Z"), "2026-03-02T08:10:00Z");
        // While nobody watched.
        assert_eq!(next(&every, Some("2026-03-02T08:00:00Z"), "2026-03-02T08:47:00Z"), "2026-03-02T08:50:00Z");
        assert_eq!(next(&every, None, "2026-03-02T08:07:00Z"), "2026-03-02T08:17:00Z");
        assert_eq!(next(&daily, Some("2026-03-01T08:00:00Z"), "2026-03-02T09:30:00Z"), "2026-03-03T09:00:00Z");
    }

    #[test]
    fn a_line_fires_at_its_instants_and_at_no_other() {
        let schedules = schedules(&["0 9 * * *"]);
        let fires = |text| fires_at(&lines(&schedules), &TimeZone::UTC, at(text));
        assert!(fires("2026-03-03T09:00:00Z"));
        assert!(!fires("2026-03-03T09:00:00.000000001Z"));
        assert!(!fires("2026-03-03T08:59:59.999999999Z"));
        assert!(!fires("2026-03-03T10:00:00Z"));
    }

    #[test]
    fn of_two_lines_at_the_same_instant_the_later_one_in_the_list_wins() {
        let schedules = schedules(&["0 9 * * *", "0 9 * * *"]);
        let due = due(&lines(&schedules), &TimeZone::UTC, at("2026-03-02T08:00:00Z"), at("2026-03-02T09:00:00Z"));
        assert_eq!(due.map(|due| due.line), Some(1));
    }
}
