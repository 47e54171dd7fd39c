//! Reads times in a layout, as Go's `time.ParseInLocation` does.

use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

use super::moment::Moment;
use crate::quote::quote;
use crate::sprig::layout::{MONTHS, Piece, WEEKDAYS, pieces};

/// What has been read.
struct Fields {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    pm: Option<bool>,
    zone: Zone,
}

enum Zone {
    Unknown,
    Utc,
    Offset(i32),
    Name(String),
}

enum Mistake {
    /// The text is not of the form.
    Form,
    /// It is, but there is no such month or the like.
    Range(&'static str),
}

type Read<'a, T> = Result<(T, &'a str), Mistake>;

pub(super) fn parse(layout: &str, text: &str, local: &TimeZone) -> Result<Moment, String> {
    let shown = quote(text.as_bytes());
    let shown_layout = quote(layout.as_bytes());
    let mut fields = Fields {
        year: 0,
        month: None,
        day: None,
        year_day: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanosecond: 0,
        pm: None,
        zone: Zone::Unknown,
    };
    let pieces = pieces(layout);
    let mut rest = text;
    for (at, (piece, piece_text)) in pieces.iter().enumerate() {
        let next_is_fraction = matches!(pieces.get(at + 1), Some((Piece::Fraction { .. }, _)));
        match read_piece(&mut fields, *piece, rest, next_is_fraction) {
            Ok(after) => rest = after,
            Err(Mistake::Form) => {
                let piece = quote(piece_text.as_bytes());
                let rest = quote(rest.as_bytes());
                return Err(format!("parsing time {shown} as {shown_layout}: cannot parse {rest} as {piece}"));
            }
            Err(Mistake::Range(what)) => return Err(format!("parsing time {shown}: {what} out of range")),
        }
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {shown}: extra text: {}", quote(rest.as_bytes())));
    }
    build(fields, local).ok_or_else(|| format!("parsing time {shown}: day out of range"))
}

fn build(fields: Fields, local: &TimeZone) -> Option<Moment> {
    let hour = match fields.pm {
        Some(true) if fields.hour < 12 => fields.hour + 12,
        Some(false) if fields.hour == 12 => 0,
        _ => fields.hour,
    };
    let date = match fields.year_day {
        Some(day) if fields.month.is_none() && fields.day.is_none() => {
            Date::new(fields.year, 1, 1).ok()?.with().day_of_year(day).build().ok()?
        }
        _ => Date::new(fields.year, fields.month.unwrap_or(1), fields.day.unwrap_or(1)).ok()?,
    };
    let time = date.to_datetime(Time::new(hour, fields.minute, fields.second, fields.nanosecond).ok()?);
    let in_local = time.to_zoned(local.clone()).ok();
    match fields.zone {
        Zone::Utc => time.to_zoned(TimeZone::UTC).ok().map(Moment::of),
        Zone::Unknown => in_local.map(Moment::of),
        Zone::Offset(seconds) => match in_local {
            Some(time) if time.offset().seconds() == seconds => Some(Moment::of(time)),
            _ => time.to_zoned(TimeZone::fixed(Offset::from_seconds(seconds).ok()?)).ok().map(Moment::of),
        },
        Zone::Name(name) => {
            if let Some(time) = in_local {
                let info = local.to_offset_info(time.timestamp());
                if info.abbreviation() == name {
                    return Some(Moment::of(time));
                }
            }
            let hours = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i32>().ok()).unwrap_or(0);
            let zone = TimeZone::fixed(Offset::from_seconds(hours * 3600).ok()?);
            time.to_zoned(zone).ok().map(|time| Moment::named(time, &name))
        }
    }
}

/// Reads one or two digits, or exactly two.
fn two_digits(text: &str, fixed: bool) -> Read<'_, i8> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if count == 0 || (fixed && count < 2) {
        return Err(Mistake::Form);
    }
    Ok((text[..count].parse().map_err(|_| Mistake::Form)?, &text[count..]))
}

fn digits(text: &str, count: usize) -> Read<'_, i16> {
    let digits = text.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok()).ok_or(Mistake::Form)?;
    Ok((number, &text[count..]))
}

fn name<'a>(text: &'a str, names: &[&str], len: Option<usize>) -> Read<'a, usize> {
    for (at, name) in names.iter().enumerate() {
        let name = &name[..len.unwrap_or(name.len())];
        if text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Ok((at, &text[name.len()..]));
        }
    }
    Err(Mistake::Form)
}

fn within<'a>((number, rest): (i8, &'a str), range: std::ops::RangeInclusive<i8>, what: &'static str) -> Read<'a, i8> {
    if range.contains(&number) { Ok((number, rest)) } else { Err(Mistake::Range(what)) }
}

/// Reads one piece and returns what follows.
fn read_piece<'a>(
    fields: &mut Fields,
    piece: Piece<'_>,
    text: &'a str,
    next_is_fraction: bool,
) -> Result<&'a str, Mistake> {
    let set = |field: &mut i8, read: Read<'a, i8>| {
        read.map(|(number, rest)| {
            *field = number;
            rest
        })
    };
    match piece {
        Piece::Text(expected) => literal(text, expected),
        Piece::LongYear => {
            let (year, rest) = digits(text, 4)?;
            fields.year = year;
            Ok(rest)
        }
        Piece::Year => {
            let (year, rest) = digits(text, 2)?;
            fields.year = year + if year >= 69 { 1900 } else { 2000 };
            Ok(rest)
        }
        Piece::LongMonth | Piece::Month => {
            let (at, rest) = name(text, &MONTHS, (piece == Piece::Month).then_some(3))?;
            fields.month = Some(at as i8 + 1);
            Ok(rest)
        }
        Piece::NumMonth | Piece::ZeroMonth => {
            let (month, rest) = within(two_digits(text, piece == Piece::ZeroMonth)?, 1..=12, "month")?;
            fields.month = Some(month);
            Ok(rest)
        }
        Piece::LongWeekday | Piece::Weekday => {
            name(text, &WEEKDAYS, (piece == Piece::Weekday).then_some(3)).map(|(_, rest)| rest)
        }
        Piece::Day | Piece::UnderDay | Piece::ZeroDay => {
            let text = if piece == Piece::UnderDay { text.strip_prefix(' ').unwrap_or(text) } else { text };
            let (day, rest) = two_digits(text, piece == Piece::ZeroDay)?;
            fields.day = Some(day);
            Ok(rest)
        }
        Piece::UnderYearDay | Piece::ZeroYearDay => {
            let spaces = if piece == Piece::UnderYearDay { text.len() - text.trim_start_matches(' ').len() } else { 0 };
            let spaces = spaces.min(2);
            let (day, rest) = digits(&text[spaces..], 3 - spaces)?;
            fields.year_day = Some(day);
            Ok(rest)
        }
        Piece::Hour => set(&mut fields.hour, within(two_digits(text, false)?, 0..=23, "hour")),
        Piece::Hour12 | Piece::ZeroHour12 => {
            set(&mut fields.hour, within(two_digits(text, piece == Piece::ZeroHour12)?, 0..=12, "hour"))
        }
        Piece::Minute | Piece::ZeroMinute => {
            set(&mut fields.minute, within(two_digits(text, piece == Piece::ZeroMinute)?, 0..=59, "minute"))
        }
        Piece::Second | Piece::ZeroSecond => {
            let rest =
                set(&mut fields.second, within(two_digits(text, piece == Piece::ZeroSecond)?, 0..=59, "second"))?;
            // A fraction is taken even if the layout has none.
            let count =
                rest.strip_prefix(['.', ',']).map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
            if next_is_fraction || count == 0 {
                return Ok(rest);
            }
            fields.nanosecond = nanoseconds(&rest[1..=count]);
            Ok(&rest[count + 1..])
        }
        Piece::UpperPm | Piece::LowerPm => {
            let names = if piece == Piece::UpperPm { ["AM", "PM"] } else { ["am", "pm"] };
            let at = names.iter().position(|name| text.starts_with(name)).ok_or(Mistake::Form)?;
            fields.pm = Some(at == 1);
            Ok(&text[2..])
        }
        Piece::Fraction { digits, nines, .. } => {
            let there = text.strip_prefix(['.', ',']).map(|rest| rest.bytes().take_while(u8::is_ascii_digit).count());
            match (there, nines) {
                (None | Some(0), true) => Ok(text),
                (Some(count), true) => {
                    fields.nanosecond = nanoseconds(&text[1..=count]);
                    Ok(&text[count + 1..])
                }
                (Some(count), false) if count >= digits => {
                    fields.nanosecond = nanoseconds(&text[1..=digits]);
                    Ok(&text[digits + 1..])
                }
                _ => Err(Mistake::Form),
            }
        }
        Piece::ZoneName => {
            if let Some(rest) = text.strip_prefix("UTC") {
                fields.zone = Zone::Utc;
                return Ok(rest);
            }
            let len = text.bytes().take_while(u8::is_ascii_uppercase).count();
            if !(3..=5).contains(&len) {
                return Err(Mistake::Form);
            }
            fields.zone = Zone::Name(text[..len].to_owned());
            Ok(&text[len..])
        }
        Piece::Offset { z, colon, fields: count } => {
            if let Some(rest) = text.strip_prefix('Z').filter(|_| z) {
                fields.zone = Zone::Utc;
                return Ok(rest);
            }
            let (seconds, rest) = offset(text, colon, count)?;
            fields.zone = if seconds == 0 { Zone::Utc } else { Zone::Offset(seconds) };
            Ok(rest)
        }
    }
}

/// Text of the layout. Spaces match any number of spaces.
fn literal<'a>(text: &'a str, expected: &str) -> Result<&'a str, Mistake> {
    let mut rest = text;
    let mut expected = expected;
    while let Some(char) = expected.chars().next() {
        if char == ' ' {
            if !rest.is_empty() && !rest.starts_with(' ') {
                return Err(Mistake::Form);
            }
            rest = rest.trim_start_matches(' ');
            expected = expected.trim_start_matches(' ');
            continue;
        }
        rest = rest.strip_prefix(char).ok_or(Mistake::Form)?;
        expected = &expected[char.len_utf8()..];
    }
    Ok(rest)
}

fn nanoseconds(digits: &str) -> i32 {
    let digits = &digits[..digits.len().min(9)];
    format!("{digits:0<9}").parse().unwrap_or(0)
}

fn offset(text: &str, colon: bool, count: usize) -> Read<'_, i32> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).ok_or(Mistake::Form)?;
    let mut seconds = 0;
    for (at, unit) in [3600, 60, 1].into_iter().take(count).enumerate() {
        if colon && at > 0 {
            rest = rest.strip_prefix(':').ok_or(Mistake::Form)?;
        }
        let (number, after) = two_digits(rest, true)?;
        if number > if at == 0 { 24 } else { 60 } {
            return Err(Mistake::Range("time zone offset hour"));
        }
        seconds += i32::from(number) * unit;
        rest = after;
    }
    Ok((if negative { -seconds } else { seconds }, rest))
}
