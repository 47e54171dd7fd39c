//! Writes floats as Go's `strconv.FormatFloat` does.

use std::fmt::Write;

/// The shortest digits that read back the same, or so many.
pub(crate) type Precision = Option<usize>;

/// No float has more digits than this, before or after its point; the rest are zeros.
const MOST_DIGITS: usize = 1100;

/// The digits of a positive number: `0.d1d2d3… * 10^point`.
struct Digits {
    digits: Vec<u8>,
    point: i32,
}

/// `strconv.FormatFloat(value, format, precision, 64)`.
pub(crate) fn format(value: f64, format: char, precision: Precision) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let mut out = String::new();
    if value.is_sign_negative() {
        out.push('-');
    }
    let magnitude = value.abs();
    match format {
        'e' | 'E' => {
            let digits = Digits::of(magnitude, precision.map(|precision| precision + 1));
            let precision = precision.unwrap_or_else(|| digits.digits.len().saturating_sub(1));
            digits.write_scientific(&mut out, precision, format);
        }
        'f' => match precision {
            None => {
                let digits = Digits::of(magnitude, None);
                let precision = usize::try_from(digits.digits.len() as i32 - digits.point).unwrap_or(0);
                digits.write_plain(&mut out, precision);
            }
            Some(precision) => {
                let exact = precision.min(MOST_DIGITS);
                push(&mut out, format_args!("{magnitude:.exact$}"));
                out.extend(std::iter::repeat_n('0', precision - exact));
            }
        },
        'g' | 'G' => write_general(&mut out, magnitude, format, precision),
        'b' => write_binary(&mut out, magnitude),
        _ => write_hexadecimal(&mut out, magnitude, format, precision),
    }
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

fn write_general(out: &mut String, magnitude: f64, format: char, precision: Precision) {
    let precision = precision.map(|precision| precision.max(1));
    let digits = Digits::of(magnitude, precision);
    let count = digits.digits.len();
    let mut limit = precision.unwrap_or(6);
    if limit > count && count as i32 >= digits.point {
        limit = count;
    }
    if precision.is_none() {
        limit = 6;
    }
    let precision = precision.unwrap_or(count);
    let exponent = digits.point - 1;
    if exponent < -4 || exponent >= i32::try_from(limit).unwrap_or(i32::MAX) {
        let letter = if format == 'g' { 'e' } else { 'E' };
        digits.write_scientific(out, precision.min(count).saturating_sub(1), letter);
    } else {
        let precision = if precision as i64 > i64::from(digits.point) { count as i64 } else { precision as i64 };
        digits.write_plain(out, usize::try_from(precision - i64::from(digits.point)).unwrap_or(0));
    }
}

impl Digits {
    fn of(magnitude: f64, count: Precision) -> Digits {
        let text = match count {
            None => format!("{magnitude:e}"),
            Some(count) => format!("{magnitude:.*e}", count.clamp(1, MOST_DIGITS) - 1),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mut digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let point = if digits.is_empty() { 0 } else { exponent.parse::<i32>().unwrap_or(0) + 1 };
        Digits { digits, point }
    }

    fn digit(&self, at: i64) -> char {
        let digit = usize::try_from(at).ok().and_then(|at| self.digits.get(at));
        char::from(digit.copied().unwrap_or(b'0'))
    }

    fn write_scientific(&self, out: &mut String, precision: usize, letter: char) {
        out.push(self.digit(0));
        if precision > 0 {
            out.push('.');
            out.extend((1..=precision).map(|at| self.digit(at as i64)));
        }
        let exponent = if self.digits.is_empty() { 0 } else { self.point - 1 };
        let sign = if exponent < 0 { '-' } else { '+' };
        push(out, format_args!("{letter}{sign}{:02}", exponent.abs()));
    }

    fn write_plain(&self, out: &mut String, precision: usize) {
        if self.point > 0 {
            out.extend((0..i64::from(self.point)).map(|at| self.digit(at)));
        } else {
            out.push('0');
        }
        if precision > 0 {
            out.push('.');
            out.extend((0..precision as i64).map(|at| self.digit(i64::from(self.point) + at)));
        }
    }
}

const EXPONENT_BIAS: i32 = 1023;
const MANTISSA_BITS: u32 = 52;

/// The mantissa and its exponent: the number is `mantissa * 2^(exponent - 52)`.
fn parts(magnitude: f64) -> (u64, i32) {
    let bits = magnitude.to_bits();
    let exponent = (bits >> MANTISSA_BITS) as i32 & 0x7ff;
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
    match exponent {
        0 => (mantissa, 1 - EXPONENT_BIAS),
        _ => (mantissa | 1 << MANTISSA_BITS, exponent - EXPONENT_BIAS),
    }
}

fn write_binary(out: &mut String, magnitude: f64) {
    let (mantissa, exponent) = parts(magnitude);
    let exponent = exponent - MANTISSA_BITS as i32;
    let sign = if exponent >= 0 { "+" } else { "" };
    push(out, format_args!("{mantissa}p{sign}{exponent}"));
}

fn write_hexadecimal(out: &mut String, magnitude: f64, format: char, precision: Precision) {
    let (mut mantissa, mut exponent) = parts(magnitude);
    if mantissa == 0 {
        exponent = 0;
    }
    // One bit before the point, sixty behind it.
    mantissa <<= 60 - MANTISSA_BITS;
    while mantissa != 0 && mantissa & 1 << 60 == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let shift = (precision * 4) as u32;
        let extra = (mantissa << shift) & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        if extra | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & 1 << 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let upper = format == 'X';
    out.push_str(if upper { "0X" } else { "0x" });
    out.push(if mantissa >> 60 & 1 == 1 { '1' } else { '0' });
    let mut fraction = mantissa << 4;
    if precision.is_none() && fraction != 0 || precision.is_some_and(|precision| precision > 0) {
        out.push('.');
        let mut push_digit = |fraction: u64| {
            let digit = char::from_digit((fraction >> 60) as u32 & 0xf, 16).unwrap_or('0');
            out.push(if upper { digit.to_ascii_uppercase() } else { digit });
        };
        match precision {
            Some(precision) => {
                for _ in 0..precision {
                    push_digit(fraction);
                    fraction <<= 4;
                }
            }
            None => {
                while fraction != 0 {
                    push_digit(fraction);
                    fraction <<= 4;
                }
            }
        }
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    push(out, format_args!("{}{sign}{:02}", if upper { 'P' } else { 'p' }, exponent.abs()));
}
