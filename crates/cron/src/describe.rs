//! A schedule in plain English.

use std::fmt::Write as _;

use crate::bits;
use crate::calendar::{Calendar, MonthDays, WeekDays};
use crate::dialect::DayRule;
use crate::every;
use crate::pattern::Pattern;
use crate::schedule::Timing;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// Up to this many times of day are listed one by one.
const MOST_TIMES: u32 = 6;

/// The schedule in words, for example `At 09:00, Monday through Friday`.
pub(crate) fn describe(timing: &Timing) -> String {
    match timing {
        Timing::Every { seconds } => format!("Every {}, counted from the previous run", every::write_delay(*seconds)),
        Timing::Calendar(pattern) => {
            let mut words = time_of_day(pattern);
            let calendar = &pattern.calendar;
            for part in [days(calendar), months(calendar), years(calendar)].into_iter().flatten() {
                words.push_str(", ");
                words.push_str(&part);
            }
            words
        }
    }
}

fn time_of_day(pattern: &Pattern) -> String {
    let Pattern { seconds, minutes, hours, .. } = *pattern;
    let all_minutes = bits::span(0, 59);
    let all_hours = bits::span(0, 23);
    let times = seconds.count_ones() * minutes.count_ones() * hours.count_ones();
    if hours == all_hours && minutes == 1 && seconds == 1 {
        return "Every hour".into();
    }
    if minutes == 1
        && seconds == 1
        && times > 2
        && let Some(step) = even_step(hours, 24)
    {
        return format!("Every {step} hours");
    }
    if times <= MOST_TIMES {
        return format!("At {}", join(times_of_day(pattern), "and"));
    }
    if seconds == 1 {
        return match even_step(minutes, 60) {
            Some(step) => every_unit(step, "minute") + &during(hours),
            None => format!("At {} of {}", numbered("minute", minutes), hours_of(hours)),
        };
    }
    let seconds = match even_step(seconds, 60) {
        Some(step) => every_unit(step, "second"),
        None => format!("At {}", numbered("second", seconds)),
    };
    match (minutes == all_minutes, hours == all_hours) {
        (true, true) if seconds.starts_with("Every") => seconds,
        (true, _) => format!("{seconds} of every minute{}", during(hours)),
        (false, _) => format!("{seconds} of {} of {}", numbered("minute", minutes), hours_of(hours)),
    }
}

fn times_of_day(pattern: &Pattern) -> Vec<String> {
    let mut times = Vec::new();
    for hour in bits::members(pattern.hours) {
        for minute in bits::members(pattern.minutes) {
            for second in bits::members(pattern.seconds) {
                let mut time = format!("{hour:02}:{minute:02}");
                if pattern.seconds != 1 {
                    // Writing to a String cannot fail.
                    let _ = write!(time, ":{second:02}");
                }
                times.push(time);
            }
        }
    }
    times
}

/// The step, if the set is `*` or `*/step` with a step that divides the field.
fn even_step(set: u64, cycle: u32) -> Option<u32> {
    let count = set.count_ones();
    let step = cycle.checked_div(count)?;
    let expected = (0..cycle).step_by(step as usize).fold(0u64, |set, value| set | 1 << value);
    (count > 1 && set == expected).then_some(step)
}

fn every_unit(step: u32, unit: &str) -> String {
    if step == 1 { format!("Every {unit}") } else { format!("Every {step} {unit}s") }
}

/// The hours in which something happens many times.
fn during(hours: u64) -> String {
    if hours == bits::span(0, 23) {
        return String::new();
    }
    match circular_run(hours, 24) {
        Some((first, last)) => format!(", from {first:02}:00 through {last:02}:59"),
        None => format!(", during {}", hours_of(hours)),
    }
}

fn hours_of(hours: u64) -> String {
    if hours == bits::span(0, 23) { "every hour".into() } else { numbered("hour", hours) }
}

fn numbered(unit: &str, set: u64) -> String {
    let plural = if set.count_ones() > 1 { "s" } else { "" };
    format!("{unit}{plural} {}", listed(set, |value| value.to_string()))
}

/// First and last, if the members follow each other without a hole on a dial of `cycle` values.
fn circular_run(set: u64, cycle: u32) -> Option<(u32, u32)> {
    let has = |value: u32| set >> (value % cycle) & 1 == 1;
    let mut starts = (0..cycle).filter(|value| has(*value) && !has(value + cycle - 1));
    let (first, None) = (starts.next()?, starts.next()) else { return None };
    Some((first, (first + set.count_ones() - 1) % cycle))
}

/// The members, with runs of three and more as `a through b`.
fn listed(set: u64, name: impl Fn(u32) -> String) -> String {
    let mut parts = Vec::new();
    let mut rest = set;
    while let Some(first) = bits::first_from(rest, 0) {
        let length = (rest >> first).trailing_ones();
        let last = first + length - 1;
        if length > 2 {
            parts.push(format!("{} through {}", name(first), name(last)));
        } else {
            parts.extend((first..=last).map(&name));
        }
        rest &= !bits::span(first, last);
    }
    join(parts, "and")
}

fn join(mut parts: Vec<String>, conjunction: &str) -> String {
    match (parts.pop(), parts.is_empty()) {
        (None, _) => String::new(),
        (Some(only), true) => only,
        (Some(last), false) => format!("{} {conjunction} {last}", parts.join(", ")),
    }
}

fn days(calendar: &Calendar) -> Option<String> {
    match (&calendar.month_days, &calendar.week_days) {
        (None, None) => None,
        (Some(days), None) => Some(format!("on {}", month_days(days))),
        (None, Some(days)) => Some(match week_days(*days) {
            plain if days.nth == [0; 5] && days.last == 0 => plain,
            placed => format!("on {placed}"),
        }),
        (Some(a), Some(b)) if calendar.rule == DayRule::Either => {
            Some(format!("on {} or on {}", month_days(a), week_days(*b)))
        }
        (Some(a), Some(b)) => Some(format!("on {}, if it is {}", month_days(a), week_days(*b))),
    }
}

fn month_days(days: &MonthDays) -> String {
    let mut parts = Vec::new();
    if days.days != 0 {
        let set = u64::from(days.days);
        let plural = if set.count_ones() > 1 { "s" } else { "" };
        parts.push(format!("day{plural} {} of the month", listed(set, |day| day.to_string())));
    }
    for day in bits::members(days.near.into()) {
        parts.push(format!("the working day nearest to day {day} of the month"));
    }
    for distance in bits::members(days.before_last.into()) {
        parts.push(match distance {
            0 => "the last day of the month".into(),
            1 => "the last day but one of the month".into(),
            n => format!("the day {n} days before the last day of the month"),
        });
    }
    if days.last_weekday {
        parts.push("the last working day of the month".into());
    }
    join(parts, "and")
}

fn week_days(days: WeekDays) -> String {
    let mut parts = Vec::new();
    if days.days != 0 {
        // The week is read from Monday, so that a weekend stays together.
        let from_monday = u64::from(days.days >> 1 | (days.days & 1) << 6);
        let name = |day: u32| WEEKDAYS[(day as usize + 1) % 7].to_owned();
        parts.push(match circular_run(from_monday, 7) {
            Some((first, last)) if from_monday.count_ones() > 2 => format!("{} through {}", name(first), name(last)),
            _ => listed(from_monday, name),
        });
    }
    let places = ORDINALS.iter().zip(days.nth).chain([(&"last", days.last)]);
    for (place, weekdays) in places {
        for day in bits::members(weekdays.into()) {
            parts.push(format!("the {place} {} of the month", WEEKDAYS[day as usize % 7]));
        }
    }
    join(parts, "and")
}

fn months(calendar: &Calendar) -> Option<String> {
    let all = bits::span(1, 12);
    let name = |month: u32| MONTHS[(month as usize + 11) % 12].to_owned();
    (u64::from(calendar.months) != all).then(|| format!("in {}", listed(calendar.months.into(), name)))
}

fn years(calendar: &Calendar) -> Option<String> {
    let years = calendar.years.as_ref()?;
    let parts = years.iter().map(|years| match (years.last - years.first, years.step) {
        (0, _) => years.first.to_string(),
        (_, 1) => format!("{} through {}", years.first, years.last),
        (_, step) => format!("every {step} years from {} through {}", years.first, years.last),
    });
    Some(format!("in {}", join(parts.collect(), "and")))
}

#[cfg(test)]
mod tests {
    use crate::{Dialect, Schedule};

    use super::describe;

    #[test]
    fn schedules_read_as_english() {
        for (expression, words) in [
            ("0 9 * * 1-5", "At 09:00, Monday through Friday"),
            ("*/15 * * * *", "Every 15 minutes"),
            ("* * * * *", "Every minute"),
            ("* * * * * *", "Every second"),
            ("*/10 * * * * *", "Every 10 seconds"),
            ("30 0 0 * * *", "At 00:00:30"),
            ("@hourly", "Every hour"),
            ("0 */2 * * *", "Every 2 hours"),
            ("30 * * * *", "At minute 30 of every hour"),
            ("*/15 9-17 * * *", "Every 15 minutes, from 09:00 through 17:59"),
            ("* 22-2 * * *", "Every minute, from 22:00 through 02:59"),
            ("0,30 9,17 * * SAT,SUN", "At 09:00, 09:30, 17:00 and 17:30, Saturday and Sunday"),
            ("0 0 1,15 * *", "At 00:00, on days 1 and 15 of the month"),
            ("0 0 13 * FRI", "At 00:00, on day 13 of the month or on Friday"),
            ("0 0 13 * +FRI", "At 00:00, on day 13 of the month, if it is Friday"),
            ("0 0 L 2 *", "At 00:00, on the last day of the month, in February"),
            (
                "0 0 L-2,LW * *",
                "At 00:00, on the day 2 days before the last day of the month and the last working day of the month",
            ),
            (
                "0 6 15W 1-3,12 *",
                "At 06:00, on the working day nearest to day 15 of the month, in January through March and December",
            ),
            ("0 0 * * FRI#2,MONL", "At 00:00, on the second Friday of the month and the last Monday of the month"),
            ("0 12 * * FRI-MON", "At 12:00, Friday through Monday"),
            ("1-7 3-6 * * *", "At minutes 1 through 7 of hours 3 through 6"),
            ("*/20 5 3 * * *", "At 03:05:00, 03:05:20 and 03:05:40"),
            ("1-40 5,6 3 * * *", "At seconds 1 through 40 of minutes 5 and 6 of hour 3"),
            ("@every 90m", "Every 1h30m, counted from the previous run"),
        ] {
            assert_eq!(describe(Schedule::parse(expression).unwrap().timing()), words, "{expression}");
        }
        let years = Schedule::parse_with("0 0 0 1 1 * 2030-2040/2,2050", Dialect::Ocps).unwrap();
        assert_eq!(
            describe(years.timing()),
            "At 00:00, on day 1 of the month, in January, in every 2 years from 2030 through 2040 and 2050"
        );
    }
}
