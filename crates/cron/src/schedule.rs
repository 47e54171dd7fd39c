//! The public face of the language.

use std::fmt;
use std::iter::FusedIterator;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::pattern::Pattern;
use crate::search::{Search, floor_second};
use crate::{Dialect, DstPolicy, ParseError, Remark, every, parse};

/// When something is due: a parsed expression.
///
/// Two schedules are equal when they mean the same; how they are written does not count (`@daily` equals `0 0 * * *`).
/// Clones share what was parsed.
#[derive(Clone, Debug)]
pub struct Schedule(Arc<Parsed>);

#[derive(Clone, Debug)]
struct Parsed {
    text: Box<str>,
    zone: Option<TimeZone>,
    dst: DstPolicy,
    timing: Timing,
    remarks: Box<[Remark]>,
}

/// The two kinds of schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Dates and times of day, on the wall.
    Calendar(Pattern),
    /// A delay from one fire to the next.
    Every { seconds: u64 },
}

impl Schedule {
    /// Reads an expression of the default dialect.
    ///
    /// A zone named in the expression is looked up in the time zone database of [`jiff::tz::db`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, Dialect::default())
    }

    /// Reads an expression of the dialect given.
    pub fn parse_with(text: &str, dialect: Dialect) -> Result<Self, ParseError> {
        Self::parse_in(text, dialect, jiff::tz::db())
    }

    /// Reads an expression; a zone named in it is looked up in `zones`.
    pub fn parse_in(text: &str, dialect: Dialect, zones: &TimeZoneDatabase) -> Result<Self, ParseError> {
        let rules = dialect.rules();
        let parse::Expression { zone, timing, remarks } = parse::expression(text, rules, zones)?;
        let parsed = Parsed { text: text.trim().into(), zone, dst: rules.dst, timing, remarks: remarks.into() };
        Ok(Self(Arc::new(parsed)))
    }

    /// A fixed delay, rounded down to whole seconds, but at least one.
    pub fn every(delay: Duration) -> Self {
        let seconds = every::round(delay.as_nanos());
        let text = format!("@every {}", every::write_delay(seconds)).into();
        let (dst, timing) = (DstPolicy::default(), Timing::Every { seconds });
        Self(Arc::new(Parsed { text, zone: None, dst, timing, remarks: Box::default() }))
    }

    /// The same schedule under another rule for daylight saving. Without this the dialect decides.
    pub fn with_dst_policy(self, dst: DstPolicy) -> Self {
        Self(Arc::new(Parsed { dst, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The rule for daylight saving it follows.
    pub fn dst_policy(&self) -> DstPolicy {
        self.0.dst
    }

    /// The expression as it was written.
    pub fn expression(&self) -> &str {
        &self.0.text
    }

    /// The zone named in the expression itself (`CRON_TZ=`). It wins over the zone given to the other functions.
    pub fn embedded_zone(&self) -> Option<&TimeZone> {
        self.0.zone.as_ref()
    }

    /// The zone the schedule is read in where `zone` is the one configured around it.
    pub fn effective_zone<'a>(&'a self, zone: &'a TimeZone) -> &'a TimeZone {
        self.0.zone.as_ref().unwrap_or(zone)
    }

    /// What about the expression may surprise its author.
    pub fn remarks(&self) -> &[Remark] {
        &self.0.remarks
    }

    /// The delay of an `@every`, `None` for a schedule of dates and times.
    pub fn delay(&self) -> Option<Duration> {
        match self.0.timing {
            Timing::Every { seconds } => Some(Duration::from_secs(seconds)),
            Timing::Calendar(_) => None,
        }
    }

    /// The first fire strictly after `after`. `None` beyond the year 9999.
    ///
    /// An `@every` counts from `after`: hand in the previous fire (or the start) to keep its rhythm.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.0.timing {
            Timing::Calendar(pattern) => self.search(pattern, zone).at_or_after(floor_second(after).checked_add(1)?),
            Timing::Every { seconds } => at(floor_second(after).checked_add_unsigned(*seconds)?),
        }
    }

    /// The last fire strictly before `before`.
    ///
    /// `None` for an `@every`, which has no fires but those counted from an anchor: see [`Schedule::latest`].
    pub fn prev(&self, before: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // A fire on the whole second below counts where there is a fraction above it.
        let whole = before.subsec_nanosecond() == 0;
        self.last_at_or_before(floor_second(before) - i64::from(whole), zone)
    }

    /// The last fire at or before `at`. `None` for an `@every`, as for [`Schedule::prev`].
    pub fn prev_at_or_before(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.last_at_or_before(floor_second(at), zone)
    }

    /// The last fire after `anchor` and not after `at`: the one to catch up with, where `anchor` is the previous fire.
    ///
    /// Takes the same short time whatever lies between the two.
    pub fn latest(&self, anchor: Timestamp, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self.0.timing {
            Timing::Calendar(_) => self.prev_at_or_before(at, zone).filter(|fire| *fire > anchor),
            Timing::Every { seconds } => {
                let delay = i64::try_from(seconds).ok()?;
                let anchor = floor_second(anchor);
                let periods = floor_second(at).checked_sub(anchor)? / delay;
                if periods < 1 { None } else { self::at(anchor + periods * delay) }
            }
        }
    }

    /// How many fires lie after `anchor` and not after `at`, counted up to `limit`.
    pub fn count_up_to(&self, limit: usize, anchor: Timestamp, at: Timestamp, zone: &TimeZone) -> usize {
        self.upcoming(anchor, zone).take_while(|fire| *fire <= at).take(limit).count()
    }

    /// Whether it fires at `at`. (An `@every`, having no fires of its own, never does.)
    pub fn fires_at(&self, at: Timestamp, zone: &TimeZone) -> bool {
        self.prev_at_or_before(at, zone) == Some(at)
    }

    /// The fires strictly after `after`, in rising order.
    pub fn upcoming<'a>(&'a self, after: Timestamp, zone: &'a TimeZone) -> Upcoming<'a> {
        Upcoming { schedule: self, zone, after: Some(after) }
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.0.timing
    }

    fn last_at_or_before(&self, second: i64, zone: &TimeZone) -> Option<Timestamp> {
        match &self.0.timing {
            Timing::Calendar(pattern) => self.search(pattern, zone).at_or_before(second),
            Timing::Every { .. } => None,
        }
    }

    fn search<'a>(&'a self, pattern: &'a Pattern, zone: &'a TimeZone) -> Search<'a> {
        Search { pattern, zone: self.effective_zone(zone), dst: self.0.dst }
    }
}

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&self.0, &other.0);
        Arc::ptr_eq(one, two) || (&one.zone, one.dst, &one.timing) == (&two.zone, two.dst, &two.timing)
    }
}

impl Eq for Schedule {}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl FromStr for Schedule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The fires of a schedule after a moment, from [`Schedule::upcoming`].
#[derive(Clone, Debug)]
pub struct Upcoming<'a> {
    schedule: &'a Schedule,
    zone: &'a TimeZone,
    after: Option<Timestamp>,
}

impl Iterator for Upcoming<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        self.after = self.schedule.next(self.after?, self.zone);
        self.after
    }
}

impl FusedIterator for Upcoming<'_> {}
