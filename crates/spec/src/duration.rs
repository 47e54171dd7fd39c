//! Durations as Go writes them: `60m`, `1h30m`, `90s`, `500ms`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: {problem}")]
pub struct InvalidDuration {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration: one or more numbers, each with its unit (`h`, `m`, `s`, `ms`, `us`, `ns`).
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = |problem| InvalidDuration { text: text.chars().take(40).collect(), problem };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(invalid("it is empty"));
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.starts_with('-') {
        return Err(invalid("it is negative"));
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let whole_length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(whole_length);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid("a number is expected"));
        }
        let unit_length = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        if unit.is_empty() {
            return Err(invalid("a number has no unit"));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(invalid("the units are h, m, s, ms, us and ns"));
        };
        let too_long = || invalid("it is too long");
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
        let mut part = whole.checked_mul(*scale).ok_or_else(too_long)?;
        let mut place = *scale;
        for digit in fraction.bytes() {
            place /= 10;
            part += u128::from(digit - b'0') * place;
        }
        nanos = nanos.checked_add(part).ok_or_else(too_long)?;
        rest = after;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok().filter(|seconds| *seconds <= MAX_SECONDS);
    let seconds = seconds.ok_or_else(|| invalid("it is too long"))?;
    Ok(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// What to write where a number without a unit stands for a duration.
pub(crate) fn hint_for_number(number: &serde_json::Number) -> String {
    if number.as_f64().is_some_and(|number| number > 0.0) {
        format!("write `{number}s` for seconds or `{number}m` for minutes, in quotes")
    } else {
        "a duration is longer than zero: write a number and a unit (h, m, s) in quotes, for example `60m`".to_owned()
    }
}

/// A hundred years: beyond it, sums with points in time leave their range.
const MAX_SECONDS: u64 = 100 * 366 * 86_400;

/// The longest duration there is.
pub(crate) const LONGEST: Duration = Duration::from_secs(MAX_SECONDS);

/// Writes a duration so that [`parse_duration`] reads the same: `1h30m`, `45s`, `1.5s`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    use std::fmt::Write as _;
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    if hours > 0 {
        // Writing to a String never fails.
        let _ = write!(text, "{hours}h");
    }
    if minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    if rest > 0 || nanos > 0 || text.is_empty() {
        text.push_str(&rest.to_string());
        if nanos > 0 {
            let _ = write!(text, ".{}", format!("{nanos:09}").trim_end_matches('0'));
        }
        text.push('s');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let seconds = |text: &str| parse_duration(text).unwrap().as_secs_f64();
        for (text, expected) in
            [("60m", 3600.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("500ms", 0.5), ("0", 0.0), (".5s", 0.5)]
        {
            assert!((seconds(text) - expected).abs() < 1e-9, "{text}");
        }
        for bad in ["", "5", "-1s", "1d", "m", "1h30", "1 h", "9999999999999h", "1..5s", "infinity"] {
            assert!(parse_duration(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn no_hint_leads_to_another_error() {
        assert!(hint_for_number(&5.into()).contains("`5s`"));
        for number in [0, -5] {
            assert!(!hint_for_number(&number.into()).contains(&format!("`{number}")), "{number}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0..MAX_SECONDS, nanos in 0..1_000_000_000u32) {
            let duration = Duration::new(seconds, nanos);
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = parse_duration(&text);
        }
    }
}
