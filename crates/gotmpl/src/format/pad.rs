//! Verbs of single values: padding, signs, bases.

use super::{Printer, Result};
use crate::number::float;
use crate::quote::{can_backquote, quote_char, quote_with};
use crate::text::{count_chars, prefix_len};
use crate::value::Value;

impl Printer<'_> {
    fn padding(&mut self, count: usize) -> Result {
        self.make_room(count)?;
        let byte = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.out.extend(std::iter::repeat_n(byte, count));
        Ok(())
    }

    pub(super) fn pad(&mut self, bytes: &[u8]) -> Result {
        let Some(width) = self.flags.width else { return self.write(bytes) };
        let missing = width.saturating_sub(count_chars(bytes));
        if self.flags.minus {
            self.write(bytes)?;
            self.padding(missing)
        } else {
            self.padding(missing)?;
            self.write(bytes)
        }
    }

    fn pad_with_spaces(&mut self, bytes: &[u8]) -> Result {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(bytes)?;
        self.flags.zero = zero;
        Ok(())
    }

    fn truncated<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.flags.precision {
            Some(precision) if precision < bytes.len() => &bytes[..prefix_len(bytes, precision)],
            _ => bytes,
        }
    }

    pub(super) fn text(&mut self, bytes: &[u8]) -> Result {
        self.pad(self.truncated(bytes))
    }

    pub(super) fn text_verb(&mut self, value: &Value, bytes: &[u8], verb: char) -> Result {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(bytes),
            'v' | 's' => self.text(bytes),
            'x' => self.hexadecimal_text(bytes, false),
            'X' => self.hexadecimal_text(bytes, true),
            'q' => self.quoted(bytes),
            _ => self.bad_verb(value, verb),
        }
    }

    fn quoted(&mut self, bytes: &[u8]) -> Result {
        let bytes = self.truncated(bytes);
        self.make_room(bytes.len().saturating_mul(4))?;
        if self.flags.sharp && can_backquote(bytes) {
            return self.pad(&[b"`", bytes, b"`"].concat());
        }
        self.pad(quote_with(bytes, '"', self.flags.plus).as_bytes())
    }

    fn hexadecimal_text(&mut self, bytes: &[u8], upper: bool) -> Result {
        let bytes = &bytes[..self.flags.precision.unwrap_or(bytes.len()).min(bytes.len())];
        if bytes.is_empty() {
            return self.padding(self.flags.width.unwrap_or(0));
        }
        self.make_room(bytes.len().saturating_mul(5))?;
        let prefix = match (self.flags.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut text = String::from(prefix);
        for (at, byte) in bytes.iter().enumerate() {
            if self.flags.space && at > 0 {
                text.push(' ');
                text.push_str(prefix);
            }
            text.push_str(&if upper { hex::encode_upper([*byte]) } else { hex::encode([*byte]) });
        }
        self.pad(text.as_bytes())
    }

    pub(super) fn integer_verb(&mut self, value: &Value, bits: u64, signed: bool, verb: char) -> Result {
        match verb {
            'v' if self.flags.sharp_v && !signed => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.integer(bits, 16, signed, verb)?;
                self.flags.sharp = sharp;
                Ok(())
            }
            'v' | 'd' => self.integer(bits, 10, signed, verb),
            'b' => self.integer(bits, 2, signed, verb),
            'o' | 'O' => self.integer(bits, 8, signed, verb),
            'x' | 'X' => self.integer(bits, 16, signed, verb),
            'c' => self.pad(to_char(bits).encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => self.pad(quote_char(to_char(bits), self.flags.plus).as_bytes()),
            'U' => self.unicode(bits),
            _ => self.bad_verb(value, verb),
        }
    }

    fn unicode(&mut self, bits: u64) -> Result {
        let precision = self.flags.precision.unwrap_or(4).max(4);
        self.make_room(precision)?;
        let mut text = format!("U+{}", zero_filled(&format!("{bits:X}"), precision));
        if self.flags.sharp
            && let Some(char) = u32::try_from(bits).ok().and_then(char::from_u32)
            && crate::unicode::is_print(char)
        {
            text.extend([' ', '\'', char, '\'']);
        }
        self.pad_with_spaces(text.as_bytes())
    }

    fn integer(&mut self, bits: u64, base: u32, signed: bool, verb: char) -> Result {
        let negative = signed && (bits as i64) < 0;
        let magnitude = if negative { bits.wrapping_neg() } else { bits };
        let flags = self.flags;
        let digits = match flags.precision {
            // Nothing is what a zero of no digits is.
            Some(0) if magnitude == 0 => {
                let zero = std::mem::take(&mut self.flags.zero);
                self.padding(flags.width.unwrap_or(0))?;
                self.flags.zero = zero;
                return Ok(());
            }
            Some(precision) => precision,
            None if flags.zero && !flags.minus => {
                let signs = usize::from(negative || flags.plus || flags.space);
                flags.width.unwrap_or(0).saturating_sub(signs)
            }
            None => 0,
        };
        self.make_room(digits)?;
        let text = match (base, verb) {
            (2, _) => format!("{magnitude:b}"),
            (8, _) => format!("{magnitude:o}"),
            (16, 'X') => format!("{magnitude:X}"),
            (16, _) => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        let text = zero_filled(&text, digits);
        let prefix = match base {
            _ if verb == 'O' => "0o",
            2 if flags.sharp => "0b",
            8 if flags.sharp && !text.starts_with('0') => "0",
            16 if flags.sharp && verb == 'X' => "0X",
            16 if flags.sharp => "0x",
            _ => "",
        };
        let octal = if verb == 'O' && flags.sharp && !text.starts_with('0') { "0" } else { "" };
        let sign = match () {
            () if negative => "-",
            () if flags.plus => "+",
            () if flags.space => " ",
            () => "",
        };
        self.pad_with_spaces(format!("{sign}{prefix}{octal}{text}").as_bytes())
    }

    pub(super) fn float_verb(&mut self, value: &Value, number: f64, verb: char) -> Result {
        match verb {
            'v' => self.float(number, 'g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => self.float(number, verb, None),
            'f' | 'e' | 'E' => self.float(number, verb, Some(6)),
            'F' => self.float(number, 'f', Some(6)),
            _ => self.bad_verb(value, verb),
        }
    }

    fn float(&mut self, number: f64, verb: char, precision: Option<usize>) -> Result {
        let precision = self.flags.precision.or(precision);
        self.make_room(precision.unwrap_or(0))?;
        let text = float::format(number, verb, precision);
        let (mut sign, mut digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (text.chars().next(), digits.to_owned()),
            None => (Some('+'), text),
        };
        if self.flags.space && sign == Some('+') && !self.flags.plus {
            sign = Some(' ');
        }
        if !number.is_finite() {
            // No zeros before what is no number; and a sign only where it says something.
            if (number.is_nan() && !self.flags.space && !self.flags.plus)
                || (sign == Some('+') && !self.flags.plus && !number.is_infinite())
            {
                sign = None;
            }
            let text = sign.into_iter().chain(digits.chars()).collect::<String>();
            return self.pad_with_spaces(text.as_bytes());
        }
        if self.flags.sharp && verb != 'b' {
            digits = with_point(&digits, verb, precision);
        }
        if self.flags.plus || sign != Some('+') {
            let sign = sign.unwrap_or('+');
            let width = self.flags.width.unwrap_or(0);
            if self.flags.zero && !self.flags.minus && width > digits.len() + 1 {
                self.write(&[sign as u8])?;
                self.padding(width - digits.len() - 1)?;
                return self.write(digits.as_bytes());
            }
            return self.pad(format!("{sign}{digits}").as_bytes());
        }
        self.pad(digits.as_bytes())
    }
}

/// `%#g` and its like: always a point, and no zeros removed.
fn with_point(text: &str, verb: char, precision: Option<usize>) -> String {
    let mut missing = match verb {
        'g' | 'G' | 'x' => precision.map_or(6, |precision| precision as i64),
        _ => 0,
    };
    let exponent = match verb {
        'x' | 'X' => text.find(['p', 'P']),
        _ => text.find(['e', 'E']),
    };
    let (mantissa, tail) = text.split_at(exponent.unwrap_or(text.len()));
    let mut seen_digit = false;
    for char in mantissa.chars().filter(|char| *char != '.') {
        seen_digit |= char != '0';
        missing -= i64::from(seen_digit);
    }
    let mut out = mantissa.to_owned();
    if !mantissa.contains('.') {
        if mantissa == "0" {
            missing -= 1;
        }
        out.push('.');
    }
    out.extend(std::iter::repeat_n('0', usize::try_from(missing).unwrap_or(0)));
    out.push_str(tail);
    out
}

fn to_char(bits: u64) -> char {
    u32::try_from(bits).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn zero_filled(text: &str, digits: usize) -> String {
    let mut out = String::with_capacity(digits.max(text.len()));
    out.extend(std::iter::repeat_n('0', digits.saturating_sub(text.len())));
    out.push_str(text);
    out
}
