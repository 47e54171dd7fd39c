//! Go's layouts: a time is written the way a certain moment of 2006 is.

use jiff::Zoned;

pub(super) const MONTHS: [&str; 12] = [
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
pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A piece of a layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// `Z` stands for no offset; colons; how many of hours, minutes and seconds.
    Offset {
        z: bool,
        colon: bool,
        fields: usize,
    },
    /// Digits behind the separator; nines leave out zeros at the end.
    Fraction {
        separator: char,
        digits: usize,
        nines: bool,
    },
}

/// Cuts a layout into its pieces.
pub(super) fn pieces(layout: &str) -> Vec<(Piece<'_>, &str)> {
    let mut out = Vec::new();
    let mut from = 0;
    let mut at = 0;
    while at < layout.len() {
        match piece_at(&layout[at..]) {
            Some((skip, len, piece)) => {
                if from < at + skip {
                    out.push((Piece::Text(&layout[from..at + skip]), &layout[from..at + skip]));
                }
                out.push((piece, &layout[at + skip..at + skip + len]));
                at += skip + len;
                from = at;
            }
            None => at += layout[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    if from < layout.len() {
        out.push((Piece::Text(&layout[from..]), &layout[from..]));
    }
    out
}

/// The piece that starts here: what to skip before it, its length, and itself.
fn piece_at(rest: &str) -> Option<(usize, usize, Piece<'static>)> {
    const SIMPLE: [(&str, Piece<'static>); 20] = [
        ("January", Piece::LongMonth),
        ("Monday", Piece::LongWeekday),
        ("MST", Piece::ZoneName),
        ("002", Piece::ZeroYearDay),
        ("01", Piece::ZeroMonth),
        ("02", Piece::ZeroDay),
        ("03", Piece::ZeroHour12),
        ("04", Piece::ZeroMinute),
        ("05", Piece::ZeroSecond),
        ("06", Piece::Year),
        ("15", Piece::Hour),
        ("1", Piece::NumMonth),
        ("2006", Piece::LongYear),
        ("2", Piece::Day),
        ("__2", Piece::UnderYearDay),
        ("3", Piece::Hour12),
        ("4", Piece::Minute),
        ("5", Piece::Second),
        ("PM", Piece::UpperPm),
        ("pm", Piece::LowerPm),
    ];
    for (text, piece) in SIMPLE {
        if rest.starts_with(text) {
            return Some((0, text.len(), piece));
        }
    }
    // `Janet` and `Month` are words.
    for (text, piece) in [("Jan", Piece::Month), ("Mon", Piece::Weekday)] {
        if rest.strip_prefix(text).is_some_and(|after| !after.starts_with(|char: char| char.is_ascii_lowercase())) {
            return Some((0, text.len(), piece));
        }
    }
    if let Some(after) = rest.strip_prefix("_2") {
        return Some(if after.starts_with("006") { (1, 4, Piece::LongYear) } else { (0, 2, Piece::UnderDay) });
    }
    let first = rest.chars().next()?;
    match first {
        '-' | 'Z' => {
            let offsets =
                [("070000", false, 3), ("07:00:00", true, 3), ("0700", false, 2), ("07:00", true, 2), ("07", false, 1)];
            let (text, colon, fields) = offsets.into_iter().find(|(text, ..)| rest[1..].starts_with(text))?;
            Some((0, 1 + text.len(), Piece::Offset { z: first == 'Z', colon, fields }))
        }
        '.' | ',' => {
            let digit = rest[1..].chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
            let digits = rest[1..].chars().take_while(|char| *char == digit).count();
            let ends = !rest[1 + digits..].starts_with(|char: char| char.is_ascii_digit());
            ends.then_some((0, 1 + digits, Piece::Fraction { separator: first, digits, nines: digit == '9' }))
        }
        _ => None,
    }
}

/// Writes a time.
pub(super) fn format(time: &Zoned, zone_name: &str, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    for (piece, _) in pieces(layout) {
        let text = match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::LongMonth => month_name(time).to_owned(),
            Piece::Month => month_name(time)[..3].to_owned(),
            Piece::NumMonth => time.month().to_string(),
            Piece::ZeroMonth => format!("{:02}", time.month()),
            Piece::LongWeekday => weekday_name(time).to_owned(),
            Piece::Weekday => weekday_name(time)[..3].to_owned(),
            Piece::Day => time.day().to_string(),
            Piece::UnderDay => format!("{:2}", time.day()),
            Piece::ZeroDay => format!("{:02}", time.day()),
            Piece::UnderYearDay => format!("{:3}", time.day_of_year()),
            Piece::ZeroYearDay => format!("{:03}", time.day_of_year()),
            Piece::Hour => format!("{:02}", time.hour()),
            Piece::Hour12 => hour12.to_string(),
            Piece::ZeroHour12 => format!("{hour12:02}"),
            Piece::Minute => time.minute().to_string(),
            Piece::ZeroMinute => format!("{:02}", time.minute()),
            Piece::Second => time.second().to_string(),
            Piece::ZeroSecond => format!("{:02}", time.second()),
            Piece::LongYear => format!("{:04}", time.year()),
            Piece::Year => format!("{:02}", time.year().rem_euclid(100)),
            Piece::UpperPm => if time.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
            Piece::LowerPm => if time.hour() >= 12 { "pm" } else { "am" }.to_owned(),
            Piece::ZoneName => zone_name.to_owned(),
            Piece::Offset { z, colon, fields } => offset(time.offset().seconds(), z, colon, fields),
            Piece::Fraction { separator, digits, nines } => {
                fraction(time.subsec_nanosecond(), separator, digits, nines)
            }
        };
        out.push_str(&text);
    }
    out
}

pub(super) fn month_name(time: &Zoned) -> &'static str {
    MONTHS[usize::from(time.month().unsigned_abs().saturating_sub(1)).min(11)]
}

pub(super) fn weekday_name(time: &Zoned) -> &'static str {
    WEEKDAYS[usize::from(time.weekday().to_sunday_zero_offset().unsigned_abs()).min(6)]
}

/// An offset from UTC in seconds.
pub(super) fn offset(seconds: i32, z: bool, colon: bool, fields: usize) -> String {
    if z && seconds == 0 {
        return "Z".into();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let parts = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    let parts: Vec<String> = parts.iter().take(fields).map(|part| format!("{part:02}")).collect();
    format!("{sign}{}", parts.join(if colon { ":" } else { "" }))
}

fn fraction(nanoseconds: i32, separator: char, digits: usize, nines: bool) -> String {
    let all = format!("{nanoseconds:09}");
    let mut text = all.get(..digits).map_or_else(|| format!("{all:0<digits$}"), str::to_owned);
    if nines {
        text.truncate(text.trim_end_matches('0').len());
        if text.is_empty() {
            return text;
        }
    }
    format!("{separator}{text}")
}
