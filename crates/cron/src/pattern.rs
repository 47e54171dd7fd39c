//! A pattern of local date and time, and the search for its matches in local time.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time, time};
use jiff::tz::Offset;

use crate::bits;
use crate::calendar::Calendar;

/// Seconds of local time since 1970-01-01T00:00:00 on the wall.
pub(crate) type LocalSecond = i64;

/// What the fields of an expression stand for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    pub(crate) seconds: u64,
    pub(crate) minutes: u64,
    pub(crate) hours: u64,
    pub(crate) calendar: Calendar,
    /// Minute or hour is written with a `*`: the pattern repeats all day, it does not name times of day.
    pub(crate) interval: bool,
}

impl Pattern {
    /// The first match at or after `from`.
    pub(crate) fn at_or_after(&self, from: LocalSecond) -> Option<LocalSecond> {
        let from = to_civil(from)?;
        let mut date = self.calendar.at_or_after(from.date())?;
        if date == from.date() {
            if let Some(time) = self.time_at_or_after(from.time()) {
                return to_local(date.to_datetime(time));
            }
            date = self.calendar.at_or_after(date.tomorrow().ok()?)?;
        }
        to_local(date.to_datetime(self.time_at_or_after(Time::MIN)?))
    }

    /// The last match at or before `to`.
    pub(crate) fn at_or_before(&self, to: LocalSecond) -> Option<LocalSecond> {
        let to = to_civil(to)?;
        let mut date = self.calendar.at_or_before(to.date())?;
        if date == to.date() {
            if let Some(time) = self.time_at_or_before(to.time()) {
                return to_local(date.to_datetime(time));
            }
            date = self.calendar.at_or_before(date.yesterday().ok()?)?;
        }
        to_local(date.to_datetime(self.time_at_or_before(time(23, 59, 59, 0))?))
    }

    fn time_at_or_after(&self, from: Time) -> Option<Time> {
        let [h, m, s] = [from.hour(), from.minute(), from.second()].map(|part| u32::from(part.unsigned_abs()));
        let (first_minute, first_second) = (bits::first_from(self.minutes, 0)?, bits::first_from(self.seconds, 0)?);
        let hour = bits::first_from(self.hours, h)?;
        if hour > h {
            return clock(hour, first_minute, first_second);
        }
        if let Some(minute) = bits::first_from(self.minutes, m) {
            if minute > m {
                return clock(hour, minute, first_second);
            }
            if let Some(second) = bits::first_from(self.seconds, s) {
                return clock(hour, minute, second);
            }
            if let Some(minute) = bits::first_from(self.minutes, m + 1) {
                return clock(hour, minute, first_second);
            }
        }
        clock(bits::first_from(self.hours, h + 1)?, first_minute, first_second)
    }

    fn time_at_or_before(&self, to: Time) -> Option<Time> {
        let [h, m, s] = [to.hour(), to.minute(), to.second()].map(|part| u32::from(part.unsigned_abs()));
        let (last_minute, last_second) = (bits::last_to(self.minutes, 59)?, bits::last_to(self.seconds, 59)?);
        let hour = bits::last_to(self.hours, h)?;
        if hour < h {
            return clock(hour, last_minute, last_second);
        }
        if let Some(minute) = bits::last_to(self.minutes, m) {
            if minute < m {
                return clock(hour, minute, last_second);
            }
            if let Some(second) = bits::last_to(self.seconds, s) {
                return clock(hour, minute, second);
            }
            if let Some(minute) = m.checked_sub(1).and_then(|m| bits::last_to(self.minutes, m)) {
                return clock(hour, minute, last_second);
            }
        }
        clock(bits::last_to(self.hours, h.checked_sub(1)?)?, last_minute, last_second)
    }
}

fn clock(hour: u32, minute: u32, second: u32) -> Option<Time> {
    Time::new(hour as i8, minute as i8, second as i8, 0).ok()
}

/// The wall clock at a local second. `None` at the very ends of the calendar.
pub(crate) fn to_civil(local: LocalSecond) -> Option<DateTime> {
    Some(Offset::UTC.to_datetime(Timestamp::from_second(local).ok()?))
}

fn to_local(civil: DateTime) -> Option<LocalSecond> {
    Some(Offset::UTC.to_timestamp(civil).ok()?.as_second())
}
