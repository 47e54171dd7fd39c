//! The days on which a pattern matches, month by month, each month as one 32-bit mask.

use jiff::civil::Date;

use crate::bits;
use crate::dialect::DayRule;
use crate::values::Stride;

/// The day-of-month field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct MonthDays {
    /// Bit *d*: day *d*.
    pub(crate) days: u32,
    /// Bit *n*: *n* days before the last one.
    pub(crate) before_last: u32,
    /// Bit *d*: the weekday (Monday to Friday) nearest to day *d*, within the month.
    pub(crate) near: u32,
    /// The last weekday (Monday to Friday).
    pub(crate) last_weekday: bool,
}

/// The day-of-week field. Sunday is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct WeekDays {
    /// Bit *w*: every weekday *w*.
    pub(crate) days: u8,
    /// Element *k*, bit *w*: weekday *w* for the (*k*+1)th time in the month.
    pub(crate) nth: [u8; 5],
    /// Bit *w*: weekday *w* for the last time in the month.
    pub(crate) last: u8,
}

/// The date half of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Calendar {
    /// Bit *m*: month *m*.
    pub(crate) months: u16,
    /// `None` where the field is unrestricted.
    pub(crate) month_days: Option<MonthDays>,
    /// `None` where the field is unrestricted.
    pub(crate) week_days: Option<WeekDays>,
    /// How two restricted day fields combine. [`DayRule::Both`] where they do not, so that equal calendars are equal.
    pub(crate) rule: DayRule,
    /// `None` for every year.
    pub(crate) years: Option<Vec<Stride>>,
}

const LAST_YEAR: i16 = 9999;
const FIRST_YEAR: i16 = -9999;
const ALL_WEEKDAYS: u8 = 0b111_1111;
const MONDAY_TO_FRIDAY: u8 = 0b011_1110;

/// The bits of days 1 to `length`.
fn all_days(length: u8) -> u32 {
    bits::span(1, length.into()) as u32
}

/// The days of a month that fall on the given weekdays, when its first day is weekday `first`.
fn days_on(weekdays: u8, first: u8, length: u8) -> u32 {
    let week = u64::from(weekdays);
    let from_first = (week >> first | week << (7 - first)) & u64::from(ALL_WEEKDAYS);
    let five_weeks = from_first | from_first << 7 | from_first << 14 | from_first << 21 | from_first << 28;
    ((five_weeks << 1) as u32) & all_days(length)
}

impl MonthDays {
    fn mask(&self, first: u8, length: u8) -> u32 {
        let mut mask = self.days & all_days(length);
        for n in bits::members(self.before_last.into()).filter(|n| *n < length.into()) {
            mask |= 1 << (u32::from(length) - n);
        }
        for day in bits::members(u64::from(self.near & all_days(length))) {
            mask |= 1 << nearest_weekday(day as u8, first, length);
        }
        if self.last_weekday {
            let last = days_on(MONDAY_TO_FRIDAY, first, length).checked_ilog2();
            mask |= last.map_or(0, |day| 1 << day);
        }
        mask
    }
}

/// The day from Monday to Friday nearest to `day`, without leaving the month.
fn nearest_weekday(day: u8, first: u8, length: u8) -> u8 {
    match (first + day - 1) % 7 {
        6 if day > 1 => day - 1,
        6 => day + 2,
        0 if day < length => day + 1,
        0 => day - 2,
        _ => day,
    }
}

impl WeekDays {
    fn mask(self, first: u8, length: u8) -> u32 {
        let mut mask = days_on(self.days, first, length);
        for (k, weekdays) in (0u32..).zip(self.nth) {
            mask |= days_on(weekdays, first, length) & bits::span(7 * k + 1, 7 * k + 7) as u32;
        }
        mask | days_on(self.last, first, length) & bits::span(u32::from(length) - 6, u32::from(length)) as u32
    }
}

impl Calendar {
    /// The matching days of a month that starts on weekday `first` and has `length` days.
    fn month_mask(&self, first: u8, length: u8) -> u32 {
        match (&self.month_days, &self.week_days) {
            (None, None) => all_days(length),
            (Some(days), None) => days.mask(first, length),
            (None, Some(days)) => days.mask(first, length),
            (Some(a), Some(b)) if self.rule == DayRule::Either => a.mask(first, length) | b.mask(first, length),
            (Some(a), Some(b)) => a.mask(first, length) & b.mask(first, length),
        }
    }

    fn mask_of(&self, year: i16, month: u32) -> u32 {
        match Date::new(year, month as i8, 1) {
            Ok(date) => self
                .month_mask(date.weekday().to_sunday_zero_offset().unsigned_abs(), date.days_in_month().unsigned_abs()),
            Err(_) => 0,
        }
    }

    fn has_year(&self, year: i16) -> bool {
        let Some(years) = &self.years else { return true };
        u16::try_from(year).is_ok_and(|year| {
            years.iter().any(|s| (s.first..=s.last).contains(&year) && (year - s.first).is_multiple_of(s.step))
        })
    }

    /// The first matching date on or after `from`.
    pub(crate) fn at_or_after(&self, from: Date) -> Option<Date> {
        let (mut month, mut day) = (from.month().unsigned_abs().into(), from.day().unsigned_abs().into());
        for year in from.year()..=LAST_YEAR {
            while self.has_year(year)
                && let Some(found) = bits::first_from(self.months.into(), month)
            {
                let floor = if found == month { day } else { 1 };
                if let Some(day) = bits::first_from(self.mask_of(year, found).into(), floor) {
                    return Date::new(year, found as i8, day as i8).ok();
                }
                (month, day) = (found + 1, 1);
            }
            (month, day) = (1, 1);
        }
        None
    }

    /// The last matching date on or before `to`.
    pub(crate) fn at_or_before(&self, to: Date) -> Option<Date> {
        let (mut month, mut day) = (to.month().unsigned_abs().into(), to.day().unsigned_abs().into());
        for year in (FIRST_YEAR..=to.year()).rev() {
            while self.has_year(year)
                && let Some(found) = bits::last_to(self.months.into(), month)
            {
                let ceiling = if found == month { day } else { 31 };
                if let Some(day) = bits::last_to(self.mask_of(year, found).into(), ceiling) {
                    return Date::new(year, found as i8, day as i8).ok();
                }
                // Bit 0 is never set, so month 0 ends the year.
                (month, day) = (found - 1, 31);
            }
            (month, day) = (12, 31);
        }
        None
    }

    /// Whether any date at all matches, and how many months were looked at to know.
    ///
    /// The Gregorian calendar has only 14 kinds of year (the weekday of 1 January, leap or not), and every kind occurs.
    /// So 168 months decide for all time; with a list of years, those of the list decide.
    pub(crate) fn ever_matches(&self) -> (bool, u32) {
        // 2000 to 2027 is a full cycle of 28 years that contains all 14 kinds.
        let candidates = if self.years.is_some() { 1..=LAST_YEAR } else { 2000..=2027 };
        let (mut seen, mut steps) = (0u32, 0);
        for year in candidates.filter(|year| self.has_year(*year)) {
            let Ok(january) = Date::new(year, 1, 1) else { continue };
            let kind = january.weekday().to_sunday_zero_offset() * 2 + i8::from(january.in_leap_year());
            if seen >> kind & 1 == 1 {
                continue;
            }
            seen |= 1 << kind;
            for month in bits::members(self.months.into()) {
                steps += 1;
                if self.mask_of(year, month) != 0 {
                    return (true, steps);
                }
            }
        }
        (false, steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cycle_of_28_years_has_every_kind_of_year() {
        let kinds: std::collections::BTreeSet<_> = (2000..=2027)
            .map(|year| Date::new(year, 1, 1).unwrap())
            .map(|date| (date.weekday().to_sunday_zero_offset(), date.in_leap_year()))
            .collect();
        assert_eq!(kinds.len(), 14);
    }

    #[test]
    fn the_mask_of_a_weekday_agrees_with_the_calendar() {
        for year in 2000..2028 {
            for month in 1..=12 {
                let first = Date::new(year, month, 1).unwrap();
                for weekday in 0..7u8 {
                    let mask = days_on(
                        1 << weekday,
                        first.weekday().to_sunday_zero_offset().unsigned_abs(),
                        first.days_in_month().unsigned_abs(),
                    );
                    let expected = (1..=first.days_in_month())
                        .filter(|day| {
                            let date = Date::new(year, month, *day).unwrap();
                            date.weekday().to_sunday_zero_offset().unsigned_abs() == weekday
                        })
                        .fold(0u32, |mask, day| mask | 1 << day);
                    assert_eq!(mask, expected, "{year}-{month} weekday {weekday}");
                }
            }
        }
    }

    #[test]
    fn the_nearest_weekday_stays_in_its_month() {
        // A month of 31 days that starts on a Saturday: the 1st moves on to Monday 3, the 30th (a Sunday) to Monday 31.
        assert_eq!(nearest_weekday(1, 6, 31), 3);
        assert_eq!(nearest_weekday(30, 6, 31), 31);
        // A month of 30 days that starts on a Saturday ends on a Sunday: the 30th goes back to Friday 28.
        assert_eq!(nearest_weekday(30, 6, 30), 28);
        assert_eq!(nearest_weekday(8, 6, 30), 7);
    }

    #[test]
    fn deciding_that_a_schedule_never_fires_takes_a_bounded_number_of_steps() {
        let impossible = |months, days| Calendar {
            months,
            month_days: Some(MonthDays { days, ..MonthDays::default() }),
            week_days: None,
            rule: DayRule::Both,
            years: None,
        };
        let february_30 = impossible(1 << 2, 1 << 30 | 1 << 31);
        assert_eq!(february_30.ever_matches(), (false, 14));
        let day_31_of_short_months = impossible(1 << 4 | 1 << 6 | 1 << 9 | 1 << 11, 1 << 31);
        assert_eq!(day_31_of_short_months.ever_matches(), (false, 14 * 4));
        let no_day = impossible(0b1_1111_1111_1110, 0);
        assert_eq!(no_day.ever_matches(), (false, 14 * 12));
        let leap_day = impossible(1 << 2, 1 << 29);
        assert!(leap_day.ever_matches().0);
    }
}
