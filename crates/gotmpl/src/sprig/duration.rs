//! Go's durations.

use super::{Args, Entry};
use crate::value::{Type, Value};

const A: Type = Type::Any;
const T: Type = Type::Text;

const SECOND: i64 = 1_000_000_000;

pub(super) const FUNCTIONS: &[Entry] = &[("duration", &[A], None, T, |_, args| Ok(Value::from(duration(args))))];

fn duration(args: &Args<'_>) -> String {
    let seconds = match args.get(0) {
        // Out of range, Go gives the nearest number along with the error that sprig drops.
        Value::Text(text) => crate::number::read::parse_int(&text.to_str(), 10).unwrap_or(0),
        Value::Int64(seconds) => *seconds,
        _ => 0,
    };
    shown(seconds.wrapping_mul(SECOND))
}

/// Nanoseconds as `72h3m0.5s`.
pub(super) fn shown(nanoseconds: i64) -> String {
    let magnitude = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    if magnitude == 0 {
        return "0s".into();
    }
    let with_fraction = |value: u64, unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let fraction = if digits == 0 { String::new() } else { format!("{:0digits$}", value % unit) };
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{}{point}{fraction}{name}", value / unit)
    };
    let second = SECOND.unsigned_abs();
    if magnitude < second {
        let text = match magnitude {
            0..1_000 => with_fraction(magnitude, 1, "ns"),
            1_000..1_000_000 => with_fraction(magnitude, 1_000, "µs"),
            _ => with_fraction(magnitude, 1_000_000, "ms"),
        };
        return format!("{sign}{text}");
    }
    let minutes = magnitude / (60 * second);
    let seconds = with_fraction(magnitude % (60 * second), second, "s");
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
    }
}

/// `time.ParseDuration`, in nanoseconds.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    let shown = crate::quote::quote(text.as_bytes());
    let invalid = || format!("time: invalid duration {shown}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_len);
        let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (integer.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let unit_len = after.find(|char: char| char == '.' || char.is_ascii_digit()).unwrap_or(after.len());
        let (name, after) = after.split_at(unit_len);
        if name.is_empty() {
            return Err(format!("time: missing unit in duration {shown}"));
        }
        let unit: u64 = match name {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => {
                let name = crate::quote::quote(name.as_bytes());
                return Err(format!("time: unknown unit {name} in duration {shown}"));
            }
        };
        let whole: u64 = if integer.is_empty() { 0 } else { integer.parse().map_err(|_| invalid())? };
        let whole = whole.checked_mul(unit).ok_or_else(invalid)?;
        let fraction = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().unwrap_or(0.0) };
        let part = (unit as f64 * fraction) as u64;
        total = total.checked_add(whole).and_then(|total| total.checked_add(part)).ok_or_else(invalid)?;
        if total > 1 << 63 {
            return Err(invalid());
        }
        rest = after;
    }
    if negative {
        return Ok((total as i64).wrapping_neg());
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// The largest unit of it, as `durationRound` has it.
pub(super) fn rounded(nanoseconds: i64) -> String {
    let magnitude = nanoseconds.unsigned_abs();
    let hour = 3600 * SECOND.unsigned_abs();
    let units = [
        (365 * 24 * hour, "y"),
        (30 * 24 * hour, "mo"),
        (24 * hour, "d"),
        (hour, "h"),
        (hour / 60, "m"),
        (hour / 3600, "s"),
    ];
    match units.iter().find(|(unit, _)| magnitude > *unit) {
        Some((unit, name)) => format!("{}{name}", magnitude / unit),
        None => "0s".into(),
    }
}
