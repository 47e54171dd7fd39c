//! A slow and simple model of a cron daemon that wakes up every minute: the oracle of the properties.
//!
//! It shares no code with the crate. Fields are predicates, and the rule for daylight saving is the main loop of
//! Vixie's cron with its two clocks, the real one and the virtual one that it has caught up to.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use piton_cron::DstPolicy;
use proptest::prelude::*;

/// One field as it is written, and what it stands for.
#[derive(Clone, Debug)]
pub enum Term {
    Star,
    StarStep(i8),
    List(Vec<i8>),
    Range(i8, i8),
}

impl Term {
    pub fn write(&self) -> String {
        match self {
            Self::Star => "*".into(),
            Self::StarStep(step) => format!("*/{step}"),
            Self::List(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Self::Range(first, last) => format!("{first}-{last}"),
        }
    }

    fn allows(&self, value: i8, min: i8) -> bool {
        match self {
            Self::Star => true,
            Self::StarStep(step) => (value - min) % step == 0,
            Self::List(values) => values.contains(&value),
            Self::Range(first, last) if first <= last => (*first..=*last).contains(&value),
            Self::Range(first, last) => value >= *first || value <= *last,
        }
    }

    fn is_starred(&self) -> bool {
        matches!(self, Self::Star | Self::StarStep(_))
    }

    fn is_unrestricted(&self) -> bool {
        matches!(self, Self::Star | Self::StarStep(1))
    }
}

/// An expression of five fields.
#[derive(Clone, Debug)]
pub struct Expression {
    pub minute: Term,
    pub hour: Term,
    pub day: Term,
    pub month: Term,
    pub weekday: Term,
}

impl Expression {
    pub fn write(&self) -> String {
        [&self.minute, &self.hour, &self.day, &self.month, &self.weekday].map(Term::write).join(" ")
    }

    fn matches(&self, wall: DateTime) -> bool {
        let day = self.day.allows(wall.day(), 1);
        let weekday = self.weekday.allows(wall.weekday().to_sunday_zero_offset(), 0);
        let either = !self.day.is_unrestricted() && !self.weekday.is_unrestricted();
        self.minute.allows(wall.minute(), 0)
            && self.hour.allows(wall.hour(), 0)
            && self.month.allows(wall.month(), 1)
            && if either { day || weekday } else { day && weekday }
    }

    fn is_interval(&self) -> bool {
        self.minute.is_starred() || self.hour.is_starred()
    }
}

fn term(min: i8, max: i8) -> impl Strategy<Value = Term> {
    prop_oneof![
        2 => Just(Term::Star),
        2 => (1..=max).prop_map(Term::StarStep),
        4 => prop::collection::vec(min..=max, 1..4).prop_map(Term::List),
        2 => (min..=max, min..=max).prop_map(|(first, last)| Term::Range(first, last)),
    ]
}

/// Expressions that fire often enough to be seen in a few days.
pub fn expressions() -> impl Strategy<Value = Expression> {
    // Changes of offset happen at night, so that is where most of the hours are.
    let hours = prop_oneof![2 => term(0, 23), 3 => term(0, 3), 1 => term(22, 23)];
    let days = prop_oneof![3 => Just(Term::Star), 1 => term(1, 31)];
    let months = prop_oneof![6 => Just(Term::Star), 1 => term(1, 12)];
    let weekdays = prop_oneof![3 => Just(Term::Star), 1 => term(0, 6)];
    (term(0, 59), hours, days, months, weekdays).prop_map(|(minute, hour, day, month, weekday)| Expression {
        minute,
        hour,
        day,
        month,
        weekday,
    })
}

/// Minutes of virtual time the daemon catches up with; beyond that it starts afresh.
const RESET: i64 = 3 * 60;

/// The fires from `start` (a whole minute, far from any change of offset) up to `end`, by waking every minute.
pub fn fires(
    expression: &Expression,
    policy: DstPolicy,
    zone: &TimeZone,
    start: Timestamp,
    end: Timestamp,
) -> BTreeSet<Timestamp> {
    let wall = |minute: i64| DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(minute.minutes()).unwrap();
    let clock = |now: Timestamp| (now.as_second() + i64::from(zone.to_offset(now).seconds())).div_euclid(60);
    let mut fires = BTreeSet::new();
    let mut now = start;
    // How far the clock on the wall has come, and how far the daemon has caught up with it.
    let mut virtual_clock = clock(now) - 1;
    let mut furthest = virtual_clock;
    // The last gap: the minutes it skipped and how many they are.
    let mut skipped = (0..0, 0);
    while now < end {
        let local = clock(now);
        let due = match policy {
            DstPolicy::Robfig => expression.matches(wall(local)),
            DstPolicy::FirstPass => {
                // Times in a gap keep the old offset: for the length of the gap, both offsets count.
                if local > furthest + 1 {
                    skipped = (furthest + 1..local, local - furthest - 1);
                }
                let old_wall = local - skipped.1;
                let shifted = skipped.0.contains(&old_wall) && expression.matches(wall(old_wall));
                shifted || (local > furthest && expression.matches(wall(local)))
            }
            DstPolicy::Vixie => {
                let ahead = local - virtual_clock;
                let (interval, fixed) = (expression.is_interval(), !expression.is_interval());
                if ahead == 1 || ahead > RESET || ahead <= -RESET {
                    virtual_clock = local;
                    expression.matches(wall(local))
                } else if ahead > 1 {
                    let missed = virtual_clock + 1..=local;
                    virtual_clock = local;
                    interval && expression.matches(wall(local))
                        || fixed && missed.into_iter().any(|minute| expression.matches(wall(minute)))
                } else {
                    interval && expression.matches(wall(local))
                }
            }
        };
        furthest = furthest.max(local);
        if due {
            fires.insert(now);
        }
        now += 1.minute();
    }
    fires
}
