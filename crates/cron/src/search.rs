//! From local time to instants: the walk over the spans of constant offset of a zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::DstPolicy;
use crate::dst::{InGap, InOverlap};
use crate::pattern::{LocalSecond, Pattern};

/// Seconds since 1970-01-01T00:00:00Z.
pub(crate) type UnixSecond = i64;

/// The whole second at or before an instant.
pub(crate) fn floor_second(instant: Timestamp) -> UnixSecond {
    // Both parts of a timestamp before 1970 are negative.
    instant.as_second() - i64::from(instant.subsec_nanosecond() < 0)
}

/// What is needed to search.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) pattern: &'a Pattern,
    pub(crate) zone: &'a TimeZone,
    pub(crate) dst: DstPolicy,
}

/// A change of offset. Local time was instant + `before`, and is instant + `after` from `at` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) at: UnixSecond,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

impl Change {
    /// Where local time stood when the change came.
    pub(crate) fn left(self) -> LocalSecond {
        self.at + self.before
    }

    /// Where local time goes on.
    pub(crate) fn resumed(self) -> LocalSecond {
        self.at + self.after
    }
}

/// A stretch of time of constant offset.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The change it starts with.
    change: Option<Change>,
    offset: i64,
    /// The first second that is no longer part of it.
    end: Option<UnixSecond>,
}

/// Finds local matches in one direction, remembering the last answer: most spans of a sparse schedule hold nothing and
/// ask for the same match again.
struct Scan<'a> {
    pattern: &'a Pattern,
    known: Option<(LocalSecond, Option<LocalSecond>)>,
}

impl Scan<'_> {
    fn at_or_after(&mut self, from: LocalSecond) -> Option<LocalSecond> {
        match self.known {
            Some((asked, found)) if asked <= from && found.is_none_or(|found| from <= found) => found,
            _ => {
                let found = self.pattern.at_or_after(from);
                self.known = Some((from, found));
                found
            }
        }
    }

    fn at_or_before(&mut self, to: LocalSecond) -> Option<LocalSecond> {
        match self.known {
            Some((asked, found)) if asked >= to && found.is_none_or(|found| to >= found) => found,
            _ => {
                let found = self.pattern.at_or_before(to);
                self.known = Some((to, found));
                found
            }
        }
    }

    /// Whether there is nothing beyond the given local second either.
    fn is_exhausted_from(&self, from: LocalSecond) -> bool {
        matches!(self.known, Some((asked, None)) if asked <= from)
    }

    fn is_exhausted_to(&self, to: LocalSecond) -> bool {
        matches!(self.known, Some((asked, None)) if asked >= to)
    }
}

impl Search<'_> {
    /// The first fire at or after `from`.
    pub(crate) fn at_or_after(&self, from: UnixSecond) -> Option<Timestamp> {
        let start = Timestamp::from_second(from).ok()?;
        let mut changes = self.zone.following(start);
        let mut scan = Scan { pattern: self.pattern, known: None };
        let mut upcoming = changes.next();
        let mut span = Span {
            change: last_change(self.zone, from),
            offset: self.zone.to_offset(start).seconds().into(),
            end: upcoming.as_ref().map(|change| change.timestamp().as_second()),
        };
        loop {
            if let Some(found) = self.first_in(span, from, &mut scan) {
                return Timestamp::from_second(found).ok();
            }
            let next = upcoming?;
            let change =
                Change { at: next.timestamp().as_second(), before: span.offset, after: next.offset().seconds().into() };
            // An overlap takes local time back, and only then can there be a match that the scan has left behind.
            if scan.is_exhausted_from(change.left().min(change.resumed())) {
                return None;
            }
            upcoming = changes.next();
            let end = upcoming.as_ref().map(|change| change.timestamp().as_second());
            span = Span { change: Some(change), offset: change.after, end };
        }
    }

    /// The last fire at or before `to`.
    pub(crate) fn at_or_before(&self, to: UnixSecond) -> Option<Timestamp> {
        let start = Timestamp::from_second(to).ok()?;
        let mut scan = Scan { pattern: self.pattern, known: None };
        let mut offset = self.zone.to_offset(start).seconds().into();
        let mut to = to;
        loop {
            let span = Span { change: last_change(self.zone, to), offset, end: None };
            if let Some(found) = self.last_in(span, to, &mut scan) {
                return Timestamp::from_second(found).ok();
            }
            let change = span.change?;
            (to, offset) = (change.at - 1, change.before);
            if scan.is_exhausted_to(change.left()) {
                return None;
            }
        }
    }

    /// The first fire of a span at or after `from`.
    fn first_in(&self, span: Span, from: UnixSecond, scan: &mut Scan<'_>) -> Option<UnixSecond> {
        let from = span.change.map_or(from, |change| from.max(change.at));
        let within = |fire: &UnixSecond| span.end.is_none_or(|end| *fire < end);
        let shifted = match span.change {
            Some(gap) if gap.after > gap.before => match self.in_gap(gap) {
                InGap::Skip => None,
                InGap::OnceAfter if from == gap.at => {
                    if scan.at_or_after(gap.left()).is_some_and(|local| local < gap.resumed()) {
                        return Some(gap.at);
                    }
                    None
                }
                InGap::OnceAfter => None,
                InGap::Shift => scan
                    .at_or_after(from + gap.before)
                    .filter(|local| *local < gap.resumed())
                    .map(|local| local - gap.before)
                    .filter(within),
            },
            _ => None,
        };
        let floor = self.first_fresh(span).map_or(from + span.offset, |fresh| fresh.max(from + span.offset));
        let regular = scan.at_or_after(floor).map(|local| local - span.offset).filter(within);
        shifted.into_iter().chain(regular).min()
    }

    /// The last fire of a span at or before `to`, which lies in the span.
    fn last_in(&self, span: Span, to: UnixSecond, scan: &mut Scan<'_>) -> Option<UnixSecond> {
        let floor = self.first_fresh(span);
        let regular = scan
            .at_or_before(to + span.offset)
            .filter(|local| floor.is_none_or(|floor| *local >= floor))
            .map(|local| local - span.offset);
        let Some(gap) = span.change.filter(|change| change.after > change.before) else { return regular };
        // The scan only goes backward; the gap lies before the span, so it may be asked about it afterwards.
        let mut in_gap = |ceiling: LocalSecond| {
            scan.at_or_before(ceiling.min(gap.resumed() - 1)).filter(|local| *local >= gap.left())
        };
        let shifted = match self.in_gap(gap) {
            InGap::Skip => None,
            InGap::OnceAfter if regular.is_some() => None,
            InGap::OnceAfter => in_gap(gap.resumed()).map(|_| gap.at),
            InGap::Shift => in_gap(to + gap.before).map(|local| local - gap.before),
        };
        regular.into_iter().chain(shifted).max()
    }

    /// The first local time of a span that counts: where the span repeats local time and only the first pass counts,
    /// that is where the repetition ends.
    fn first_fresh(&self, span: Span) -> Option<LocalSecond> {
        let change = span.change?;
        let repeated = change.before - change.after;
        let first_pass_only =
            repeated > 0 && self.dst.in_overlap(self.pattern.interval, repeated) == InOverlap::FirstPassOnly;
        Some(if first_pass_only { change.left() } else { change.resumed() })
    }

    fn in_gap(&self, gap: Change) -> InGap {
        self.dst.in_gap(self.pattern.interval, gap.after - gap.before)
    }
}

/// The last change of offset at or before a second.
fn last_change(zone: &TimeZone, second: UnixSecond) -> Option<Change> {
    let just_after = Timestamp::from_second(second + 1).ok()?;
    let change = zone.preceding(just_after).next()?.timestamp();
    let offset_at = |second| Some(i64::from(zone.to_offset(Timestamp::from_second(second).ok()?).seconds()));
    Some(Change {
        at: change.as_second(),
        before: offset_at(change.as_second() - 1)?,
        after: offset_at(change.as_second())?,
    })
}

/// The changes of offset of a zone after one second and up to another.
pub(crate) fn changes_between(zone: &TimeZone, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Change> {
    let changes = zone.following(after).take_while(move |change| change.timestamp() <= until);
    changes.filter_map(|change| last_change(zone, change.timestamp().as_second())).filter(|c| c.before != c.after)
}
