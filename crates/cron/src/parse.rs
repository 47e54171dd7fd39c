//! From text to [`Schedule`].

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::calendar::{Calendar, MonthDays, WeekDays};
use crate::dialect::{DayRule, EveryRule, Rules, Shortcuts};
use crate::error::ParseErrorKind as Kind;
use crate::every;
use crate::pattern::Pattern;
use crate::piece::Piece;
use crate::schedule::Timing;
use crate::values::{self, Bounds, Stride, ValueSet};
use crate::{Field, ParseError, Remark};

/// Words that name events. They look like shortcuts, so they deserve an error of their own.
const EVENT_WORDS: [&str; 5] = ["@reboot", "@deployment", "@deployment-failed", "@destroy", "@destroy-failed"];

/// A whole expression.
pub(crate) struct Expression {
    pub(crate) zone: Option<TimeZone>,
    pub(crate) timing: Timing,
    pub(crate) remarks: Vec<Remark>,
}

/// Reads a whole expression: an optional zone and a timing.
pub(crate) fn expression(text: &str, rules: &Rules, zones: &TimeZoneDatabase) -> Result<Expression, ParseError> {
    let text = Piece::new(text).trim();
    if text.text.is_empty() {
        return Err(ParseError::new(Kind::Empty, None, text.span()));
    }
    let prefix = ["CRON_TZ=", "TZ="].into_iter().find_map(|prefix| text.strip_prefix(prefix));
    let mut remarks = Vec::new();
    let (zone, timing) = match prefix.filter(|_| rules.zone_prefix) {
        Some(prefixed) => {
            let (name, rest) = prefixed.split_first_word();
            if name.text.is_empty() || rest.text.is_empty() {
                return Err(ParseError::new(Kind::IncompleteZone(text.excerpt()), None, text.span()));
            }
            let zone = zones
                .get(name.text)
                .map_err(|_| ParseError::new(Kind::UnknownZone(name.excerpt()), None, name.span()))?;
            (Some(zone), timing(rest, rules, &mut remarks)?)
        }
        None => (None, timing(text, rules, &mut remarks)?),
    };
    Ok(Expression { zone, timing, remarks })
}

fn timing(text: Piece<'_>, rules: &Rules, remarks: &mut Vec<Remark>) -> Result<Timing, ParseError> {
    if !text.text.starts_with('@') {
        return fields(text, rules, remarks).map(Timing::Calendar);
    }
    let (word, rest) = text.split_first_word();
    if EVENT_WORDS.iter().any(|event| word.is(event)) {
        return Err(ParseError::new(Kind::EventWord(word.excerpt()), None, word.span()));
    }
    let every = if rules.shortcuts == Shortcuts::AnyCase { word.is("@every") } else { word.text == "@every" };
    if every && rules.every != EveryRule::None {
        let seconds = every::parse_delay(rest, rules.every).map_err(|kind| ParseError::new(kind, None, rest.span()))?;
        return Ok(Timing::Every { seconds });
    }
    let unknown = || ParseError::new(Kind::UnknownShortcut(text.excerpt()), None, text.span());
    let known = match rules.shortcuts {
        Shortcuts::None => return Err(unknown()),
        Shortcuts::LowerCase => text.text.to_owned(),
        Shortcuts::AnyCase => text.text.to_ascii_lowercase(),
    };
    let spelled_out = match known.as_str() {
        "@hourly" => "0 0 * * * *",
        "@daily" | "@midnight" => "0 0 0 * * *",
        "@weekly" => "0 0 0 * * 0",
        "@monthly" => "0 0 0 1 * *",
        "@yearly" | "@annually" => "0 0 0 1 1 *",
        _ => return Err(unknown()),
    };
    // The layout with seconds is read whatever the dialect, so that a shortcut means the same in all of them.
    let six = Rules { layouts: &[crate::dialect::SIX], ..*rules };
    fields(Piece::new(spelled_out), &six, remarks).map(Timing::Calendar)
}

/// What has been read of the fields so far.
#[derive(Default)]
struct Fields {
    second: Option<ValueSet>,
    minute: ValueSet,
    hour: ValueSet,
    month: ValueSet,
    month_days: MonthDays,
    month_days_star: bool,
    week_days: WeekDays,
    week_days_star: bool,
    plus: bool,
    years: Option<Vec<Stride>>,
}

fn fields(text: Piece<'_>, rules: &Rules, remarks: &mut Vec<Remark>) -> Result<Pattern, ParseError> {
    let words: Vec<_> = text.words().collect();
    let Some(layout) = rules.layouts.iter().find(|layout| layout.len() == words.len()) else {
        let expected: Vec<_> = rules.layouts.iter().map(|layout| layout.len().to_string()).collect();
        let kind = Kind::FieldCount { found: words.len(), expected: expected.join(" or ") };
        return Err(ParseError::new(kind, None, text.span()));
    };
    let mut read = Fields::default();
    let mut days = text.span();
    for (field, word) in layout.iter().zip(words) {
        match field {
            Field::Second => read.second = Some(plain(word, *field, rules)?),
            Field::Minute => read.minute = plain(word, *field, rules)?,
            Field::Hour => read.hour = plain(word, *field, rules)?,
            Field::Month => read.month = plain(word, *field, rules)?,
            Field::DayOfMonth => {
                days.start = word.start;
                month_days(word, rules, &mut read)?;
            }
            Field::DayOfWeek => {
                days.end = word.span().end;
                week_days(word, rules, &mut read)?;
            }
            Field::Year => read.years = years(word, rules)?,
        }
        remarks.extend(word.split(',').filter_map(|item| remark_on(item, *field)));
    }
    let pattern = read.into_pattern(rules);
    if pattern.calendar.rule == DayRule::Either {
        remarks.push(Remark::EitherDay);
    }
    let has_time = pattern.seconds != 0 && pattern.minutes != 0 && pattern.hours != 0;
    if has_time && pattern.calendar.ever_matches().0 {
        Ok(pattern)
    } else {
        Err(ParseError::new(Kind::NeverFires, None, days))
    }
}

/// The remark to make on one item of a field, if it is a step over the whole field.
fn remark_on(item: Piece<'_>, field: Field) -> Option<Remark> {
    let step = item.text.strip_prefix("*/").or_else(|| item.text.strip_prefix("?/"))?;
    Remark::on_step(field, step.parse().unwrap_or(u16::MAX))
}

impl Fields {
    fn into_pattern(self, rules: &Rules) -> Pattern {
        let month_days = (!self.month_days_star).then_some(self.month_days);
        let week_days = (!self.week_days_star).then_some(self.week_days);
        let both_restricted = month_days.is_some() && week_days.is_some();
        Pattern {
            seconds: self.second.unwrap_or_else(|| ValueSet::only(0)).bits(),
            minutes: self.minute.bits(),
            hours: self.hour.bits(),
            calendar: Calendar {
                months: self.month.bits() as u16,
                month_days,
                week_days,
                rule: if both_restricted && !self.plus { rules.days } else { DayRule::Both },
                years: self.years,
            },
            interval: self.minute.has_wildcard() || self.hour.has_wildcard(),
        }
    }
}

/// A field of nothing but values, ranges and steps.
fn plain(list: Piece<'_>, field: Field, rules: &Rules) -> Result<ValueSet, ParseError> {
    let bounds = Bounds::of(field);
    let mut set = ValueSet::default();
    for item in values::items(list, Some(field), rules)? {
        set.add(Stride::parse(item, bounds, rules)?, bounds);
    }
    Ok(set)
}

fn month_days(list: Piece<'_>, rules: &Rules, read: &mut Fields) -> Result<(), ParseError> {
    const FIELD: Field = Field::DayOfMonth;
    let bounds = Bounds::of(FIELD);
    let mut set = ValueSet::default();
    let days = &mut read.month_days;
    for item in values::items(list, Some(FIELD), rules)? {
        if rules.modifiers && item.is("L") {
            days.before_last |= 1;
        } else if rules.modifiers && item.is("LW") {
            days.last_weekday = true;
        } else if let Some(distance) =
            item.strip_prefix("L-").or_else(|| item.strip_prefix("l-")).filter(|_| rules.modifiers)
        {
            if !rules.before_last {
                return Err(ParseError::new(Kind::NotAvailable { what: "`L-n`" }, Some(FIELD), item.span()));
            }
            let distance = values::parse_value(distance, bounds, rules)?;
            if distance > 30 {
                let kind = Kind::OutOfRange { value: distance.to_string(), min: 1, max: 30 };
                return Err(ParseError::new(kind, Some(FIELD), item.span()));
            }
            days.before_last |= 1 << distance;
        } else if let Some(day) = item.strip_last_letter('W').filter(|_| rules.modifiers) {
            days.near |= 1 << values::parse_value(day, bounds, rules)?;
        } else {
            set.add(Stride::parse(item, bounds, rules)?, bounds);
        }
    }
    days.days = set.bits() as u32;
    read.month_days_star = set.is_star();
    Ok(())
}

fn week_days(list: Piece<'_>, rules: &Rules, read: &mut Fields) -> Result<(), ParseError> {
    const FIELD: Field = Field::DayOfWeek;
    let bounds = Bounds::of(FIELD);
    let weekday = |piece| Ok::<_, ParseError>(1u8 << (values::parse_value(piece, bounds, rules)? % 7));
    let list = match list.strip_prefix("+").filter(|_| rules.plus) {
        Some(list) => {
            read.plus = true;
            list
        }
        None => list,
    };
    let mut set = ValueSet::default();
    let days = &mut read.week_days;
    let items = values::items(list, Some(FIELD), rules)?;
    if read.plus && items.is_empty() {
        return Err(ParseError::new(Kind::EmptyItem, Some(FIELD), list.span()));
    }
    for item in items {
        if let Some((day, place)) = split_at_hash(item).filter(|_| rules.modifiers) {
            let day = weekday(day)?;
            if place.is("L") {
                days.last |= day;
                continue;
            }
            match place.text.parse::<usize>().ok().and_then(|place| days.nth.get_mut(place.wrapping_sub(1))) {
                Some(nth) => *nth |= day,
                None => {
                    let kind = Kind::OutOfRange { value: place.excerpt(), min: 1, max: 5 };
                    return Err(ParseError::new(kind, Some(FIELD), place.span()));
                }
            }
        } else if rules.modifiers && item.is("L") {
            let what = "`L` without a day before it (as in `FRIL`)";
            return Err(ParseError::new(Kind::NotAvailable { what }, Some(FIELD), item.span()));
        } else if let Some(day) = item.strip_last_letter('L').filter(|_| rules.modifiers) {
            days.last |= weekday(day)?;
        } else {
            set.add(Stride::parse(item, bounds, rules)?, bounds);
        }
    }
    days.days = set.bits() as u8;
    read.week_days_star = set.is_star();
    Ok(())
}

fn split_at_hash(item: Piece<'_>) -> Option<(Piece<'_>, Piece<'_>)> {
    let mut halves = item.split('#');
    let (day, place) = (halves.next()?, halves.next()?);
    // With a second `#` the item is read as a plain one, and refused there.
    halves.next().is_none().then_some((day, place))
}

/// The years of the list, `None` for all.
fn years(list: Piece<'_>, rules: &Rules) -> Result<Option<Vec<Stride>>, ParseError> {
    let bounds = Bounds::of(Field::Year);
    let strides: Vec<_> = values::items(list, Some(Field::Year), rules)?
        .into_iter()
        .map(|item| Stride::parse(item, bounds, rules))
        .collect::<Result<_, _>>()?;
    Ok((!strides.iter().any(|stride| stride.is_star())).then_some(strides))
}
