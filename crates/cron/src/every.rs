//! `@every DURATION`: durations as Go writes them.

use crate::dialect::EveryRule;
use crate::error::ParseErrorKind as Kind;
use crate::piece::Piece;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The longest duration Go can hold, some 292 years.
const LONGEST_NANOS: u128 = i64::MAX as u128;

/// Reads a duration such as `1h30m` into whole seconds.
pub(crate) fn parse_delay(text: Piece<'_>, rule: EveryRule) -> Result<u64, Kind> {
    let nanos = parse_nanos(text.text).ok_or_else(|| Kind::InvalidDuration(text.excerpt()))?;
    if nanos > LONGEST_NANOS {
        return Err(Kind::DurationTooLong(text.excerpt()));
    }
    if rule == EveryRule::Exact {
        if nanos < NANOS_PER_SECOND {
            return Err(Kind::DurationTooShort(text.excerpt()));
        }
        if nanos % NANOS_PER_SECOND != 0 {
            return Err(Kind::DurationNotWhole(text.excerpt()));
        }
    }
    Ok(round(nanos))
}

/// Down to whole seconds, but at least one.
pub(crate) fn round(nanos: u128) -> u64 {
    ((nanos / NANOS_PER_SECOND) as u64).max(1)
}

/// One or more of number and unit, each number with or without a fraction. Saturates.
fn parse_nanos(text: &str) -> Option<u128> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0u128;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        total = total.saturating_add(amount(number, nanos_per(unit)?)?);
        rest = tail;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

fn nanos_per(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        _ => return None,
    })
}

/// `number` times `unit`, cut off below the nanosecond.
fn amount(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits =
        |text: &str| text.bytes().fold(0u128, |n, digit| n.saturating_mul(10).saturating_add((digit - b'0').into()));
    // Beyond 18 digits a fraction is below the nanosecond for every unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10u128.pow(fraction.len() as u32);
    Some(digits(whole).saturating_mul(unit).saturating_add(digits(fraction) * unit / scale))
}

/// A duration the way it is written, for example `1h30m`.
pub(crate) fn write_delay(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let part = |amount: u64, unit| if amount > 0 { format!("{amount}{unit}") } else { String::new() };
    part(h, "h") + &part(m, "m") + &part(s, "s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Result<u64, Kind> {
        parse_delay(Piece::new(text), EveryRule::Exact)
    }

    #[test]
    fn go_durations_are_read() {
        assert_eq!(exact("1h30m"), Ok(5400));
        assert_eq!(exact("1.5h"), Ok(5400));
        assert_eq!(exact("90m"), Ok(5400));
        assert_eq!(exact("1000ms"), Ok(1));
        assert_eq!(exact("2h45m10s"), Ok(9910));
        assert_eq!(write_delay(9910), "2h45m10s");
    }

    #[test]
    fn what_is_not_a_whole_number_of_seconds_is_refused_or_rounded() {
        assert!(matches!(exact("0s"), Err(Kind::DurationTooShort(_))));
        assert!(matches!(exact("1ns"), Err(Kind::DurationTooShort(_))));
        assert!(matches!(exact("1.5s"), Err(Kind::DurationNotWhole(_))));
        assert_eq!(parse_delay(Piece::new("1500ms"), EveryRule::Rounded), Ok(1));
        assert_eq!(parse_delay(Piece::new("1ns"), EveryRule::Rounded), Ok(1));
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "1", "h", "1d", "Xm", "1h-5m", "-1h", ".s", "1..5s", "1.5.5s", "1 h", "1h ", "５s"] {
            assert!(matches!(exact(text), Err(Kind::InvalidDuration(_))), "{text}");
        }
        assert!(matches!(exact("99999999999999999999999999999999999999999999h"), Err(Kind::DurationTooLong(_))));
    }
}
