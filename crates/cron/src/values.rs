//! The common part of all fields: lists of values, ranges and steps.

use std::ops::RangeInclusive;

use crate::dialect::{Rules, Wrap};
use crate::error::ParseErrorKind as Kind;
use crate::piece::Piece;
use crate::{Dialect, Field, ParseError, bits};

/// The values that a list of ranges and steps stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ValueSet {
    bits: u64,
    star: bool,
    wildcard: bool,
}

impl ValueSet {
    /// Reads a list such as `1,5-7/2` against bounds of one's own (at most 63), with the syntax of `dialect`.
    pub fn parse(text: &str, bounds: RangeInclusive<u8>, dialect: Dialect) -> Result<Self, ParseError> {
        let bounds = Bounds { field: None, min: (*bounds.start()).into(), max: (*bounds.end()).min(63).into() };
        let mut set = Self::default();
        for item in items(Piece::new(text), None, dialect.rules())? {
            set.add(Stride::parse(item, bounds, dialect.rules())?, bounds);
        }
        Ok(set)
    }

    /// The values in rising order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        bits::members(self.bits).map(|value| value as u8)
    }

    /// Whether the list leaves its field unrestricted: an item of it is `*`, `?` or `*/1`.
    pub fn is_star(self) -> bool {
        self.star
    }

    /// Whether an item of the list is written with a `*` or `?`, with a step or without.
    pub(crate) fn has_wildcard(self) -> bool {
        self.wildcard
    }

    pub(crate) fn bits(self) -> u64 {
        self.bits
    }

    pub(crate) fn add(&mut self, stride: Stride, bounds: Bounds) {
        for value in stride.values(bounds) {
            self.bits |= 1 << value;
        }
        self.star |= stride.is_star();
        self.wildcard |= stride.wildcard;
    }

    /// The set of one value, for items that are not strides.
    pub(crate) fn only(value: u16) -> Self {
        Self { bits: 1 << value, ..Self::default() }
    }
}

/// The values one list item may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) field: Option<Field>,
    min: u16,
    /// The last value of the cycle: what `*` ends with.
    max: u16,
}

impl Bounds {
    pub(crate) fn of(field: Field) -> Self {
        Self { field: Some(field), min: field.min(), max: field.max() }
    }

    /// The largest value that may be written: Sunday may be 7.
    fn largest_written(self, rules: &Rules) -> u16 {
        self.max + u16::from(self.field == Some(Field::DayOfWeek) && rules.sunday_is_seven)
    }

    fn cycle(self) -> u16 {
        self.max - self.min + 1
    }
}

/// A rising sequence. `last` lies beyond the bounds where a range wraps around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stride {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) step: u16,
    wildcard: bool,
}

impl Stride {
    /// Whether it is `*`, `?` or `*/1`.
    pub(crate) fn is_star(self) -> bool {
        self.wildcard && self.step == 1
    }

    /// The values, brought back into the bounds.
    fn values(self, bounds: Bounds) -> impl Iterator<Item = u16> {
        (self.first..=self.last)
            .step_by(self.step.into())
            .map(move |value| if value > bounds.max { value - bounds.cycle() } else { value })
    }

    /// Reads `*`, `5`, `1-5`, with or without `/step`.
    pub(crate) fn parse(item: Piece<'_>, bounds: Bounds, rules: &Rules) -> Result<Self, ParseError> {
        let fail = |kind, piece: Piece<'_>| ParseError::new(kind, bounds.field, piece.span());
        let mut halves = item.split('/');
        let (base, step, more) = (halves.next().unwrap_or(item), halves.next(), halves.next());
        if more.is_some() || base.text.is_empty() {
            return Err(fail(Kind::Malformed(item.excerpt()), item));
        }
        let wildcard = base.text == "*" || (rules.question_mark && base.text == "?");
        let step_by = step.map(|step| parse_step(step, bounds.field, rules)).transpose()?;
        if step.is_some() && !wildcard && !rules.range_step {
            return Err(fail(Kind::NotAvailable { what: "a step on anything but `*`" }, item));
        }
        let (first, last) = if wildcard {
            (bounds.min, bounds.max)
        } else {
            let mut ends = base.split('-');
            let (low, high, more) = (ends.next().unwrap_or(base), ends.next(), ends.next());
            if more.is_some() || low.text.is_empty() || high.is_some_and(|high| high.text.is_empty()) {
                return Err(fail(Kind::Malformed(item.excerpt()), item));
            }
            let first = parse_value(low, bounds, rules)?;
            match high {
                Some(high) => close_range(base, first, parse_value(high, bounds, rules)?, bounds, rules)?,
                None if step.is_some() && !rules.open_step => {
                    return Err(fail(Kind::StepWithoutRange(item.excerpt()), item));
                }
                None if step.is_some() => (first, bounds.max.max(first)),
                None => (first, first),
            }
        };
        Ok(Self { first, last, step: step_by.unwrap_or(1), wildcard })
    }
}

/// Brings the end of a range after its start, if the dialect lets it wrap around.
fn close_range(
    range: Piece<'_>,
    first: u16,
    last: u16,
    bounds: Bounds,
    rules: &Rules,
) -> Result<(u16, u16), ParseError> {
    if first <= last {
        return Ok((first, last));
    }
    let closes_week = bounds.field == Some(Field::DayOfWeek) && last == 0;
    match rules.wrap {
        Wrap::Allowed if bounds.field.is_some() => {
            // `7-2` starts on a Sunday written as 7.
            let first = if first > bounds.max { first - bounds.cycle() } else { first };
            Ok((first, if first <= last { last } else { last + bounds.cycle() }))
        }
        Wrap::ToSunday if closes_week => Ok((first, bounds.max + 1)),
        _ => Err(ParseError::new(Kind::ReversedRange(range.excerpt()), bounds.field, range.span())),
    }
}

/// Reads one value: a number, or a name where the field has names.
pub(crate) fn parse_value(piece: Piece<'_>, bounds: Bounds, rules: &Rules) -> Result<u16, ParseError> {
    let fail = |kind| Err(ParseError::new(kind, bounds.field, piece.span()));
    if let Some(value) = bounds.field.filter(|_| rules.names).and_then(|field| field.named(piece.text)) {
        return Ok(value);
    }
    let digits = match piece.text.strip_prefix('+') {
        Some(digits) if rules.signed_numbers => digits,
        Some(digits) if is_number(digits) => return fail(Kind::SignedNumber(piece.excerpt())),
        _ => piece.text,
    };
    if !is_number(digits) {
        return fail(Kind::NotAValue(piece.excerpt()));
    }
    let (min, max) = (bounds.min, bounds.largest_written(rules));
    match digits.parse::<u16>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => fail(Kind::OutOfRange { value: piece.excerpt(), min, max }),
    }
}

fn parse_step(piece: Piece<'_>, field: Option<Field>, rules: &Rules) -> Result<u16, ParseError> {
    let fail = |kind| Err(ParseError::new(kind, field, piece.span()));
    let digits = piece.text.strip_prefix('+').filter(|_| rules.signed_numbers).unwrap_or(piece.text);
    if !is_number(digits) {
        return fail(Kind::NotAValue(piece.excerpt()));
    }
    if digits.bytes().all(|digit| digit == b'0') {
        return fail(Kind::ZeroStep);
    }
    // A step too large for the type is too large for any field, and then only the first value counts.
    Ok(digits.parse().unwrap_or(u16::MAX))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The items of a list, without the empty ones where the dialect overlooks them.
pub(crate) fn items<'a>(list: Piece<'a>, field: Option<Field>, rules: &Rules) -> Result<Vec<Piece<'a>>, ParseError> {
    let mut items = Vec::new();
    for item in list.split(',') {
        if !item.text.is_empty() {
            items.push(item);
        } else if !rules.empty_items {
            return Err(ParseError::new(Kind::EmptyItem, field, item.span()));
        }
    }
    Ok(items)
}
