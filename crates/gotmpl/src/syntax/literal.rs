//! Constants that are numbers: which of Go's types can hold them depends on where they stand.

use super::token::Kind;
use crate::number::read::{parse_float, parse_int, parse_uint};
use crate::quote::{quote, unquote_char};

/// A constant number with everything it can be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
    pub(crate) complex: Option<(f64, f64)>,
}

impl Number {
    pub(super) fn parse(text: &str, kind: Kind) -> Result<Number, String> {
        let mut number = Number { text: text.to_owned(), ..Number::default() };
        match kind {
            Kind::CharConstant => {
                let (code, tail) = unquote_char(&text[1..]).ok_or("invalid syntax")?;
                if tail != "'" {
                    return Err(format!("malformed character constant: {text}"));
                }
                number.int = Some(i64::from(code));
                number.uint = Some(u64::from(code));
                number.float = Some(f64::from(code));
                return Ok(number);
            }
            Kind::Complex => {
                number.set_complex(
                    complex(text).ok_or_else(|| format!("illegal number syntax: {}", quote(text.as_bytes())))?,
                );
                return Ok(number);
            }
            _ => {}
        }
        if let Some(imaginary) = text.strip_suffix('i').and_then(parse_float) {
            number.set_complex((0.0, imaginary));
            return Ok(number);
        }
        number.uint = parse_uint(text, 0);
        number.int = parse_int(text, 0);
        if number.int == Some(0) {
            number.uint = Some(0);
        }
        if let Some(int) = number.int {
            number.float = Some(int as f64);
        } else if let Some(uint) = number.uint {
            number.float = Some(uint as f64);
        } else if let Some(float) = parse_float(text) {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(text.as_bytes())));
            }
            number.set_float(float);
        } else {
            return Err(format!("illegal number syntax: {}", quote(text.as_bytes())));
        }
        Ok(number)
    }

    fn set_float(&mut self, float: f64) {
        self.float = Some(float);
        self.int = (float.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(&float)).then_some(float as i64);
        self.uint = (float.fract() == 0.0 && (0.0..2f64.powi(64)).contains(&float)).then_some(float as u64);
    }

    fn set_complex(&mut self, (real, imaginary): (f64, f64)) {
        self.complex = Some((real, imaginary));
        if imaginary == 0.0 {
            self.set_float(real);
        }
    }

    /// Whether its spelling makes it a float where nothing else decides.
    pub(crate) fn looks_like_float(&self) -> bool {
        let hexadecimal = self.text.len() > 2
            && self.text.starts_with('0')
            && self.text[1..].starts_with(['x', 'X'])
            && !self.text.contains(['p', 'P']);
        !hexadecimal && !self.text.starts_with('\'') && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

/// The parts of `1+2i`.
fn complex(text: &str) -> Option<(f64, f64)> {
    let body = text.strip_suffix('i')?;
    let split = body
        .char_indices()
        .skip(1)
        .find(|(at, char)| matches!(char, '+' | '-') && !body[..*at].ends_with(['e', 'E', 'p', 'P']))?;
    Some((parse_float(&body[..split.0])?, parse_float(&body[split.0..])?))
}
