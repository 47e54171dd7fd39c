//! Reads formats.

use super::{Flags, NIL, Printer, Result};
use crate::text::first_char;
use crate::value::Value;

/// Widths and precisions beyond this are taken for mistakes.
const TOO_LARGE: i64 = 1_000_000;

/// A format while it is read.
struct Reader<'a> {
    format: &'a [u8],
    at: usize,
    values: &'a [Value],
    /// The argument that comes next.
    next: usize,
    /// An index such as `[3]` was just read.
    after_index: bool,
    reordered: bool,
    good_index: bool,
}

pub(crate) fn sprintf_into(printer: &mut Printer<'_>, format: &[u8], values: &[Value]) -> Result {
    let mut reader = Reader { format, at: 0, values, next: 0, after_index: false, reordered: false, good_index: true };
    while reader.at < format.len() {
        let rest = &format[reader.at..];
        let plain = memchr::memchr(b'%', rest).unwrap_or(rest.len());
        printer.write(&rest[..plain])?;
        reader.at += plain;
        if reader.at < format.len() {
            reader.at += 1;
            reader.directive(printer)?;
        }
    }
    if !reader.reordered && reader.next < values.len() {
        printer.flags = Flags::default();
        printer.write(b"%!(EXTRA ")?;
        for (at, value) in values[reader.next..].iter().enumerate() {
            if at > 0 {
                printer.write(b", ")?;
            }
            if let Value::Nil = value {
                printer.write(NIL)?;
            } else {
                printer.write(value.type_name().as_bytes())?;
                printer.write(b"=")?;
                printer.arg(value, 'v')?;
            }
        }
        printer.write(b")")?;
    }
    Ok(())
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn directive(&mut self, printer: &mut Printer<'_>) -> Result {
        printer.flags = Flags::default();
        self.good_index = true;
        // Stays what it was if the verb follows at once.
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => printer.flags.sharp = true,
                b'0' => printer.flags.zero = true,
                b'+' => printer.flags.plus = true,
                b'-' => printer.flags.minus = true,
                b' ' => printer.flags.space = true,
                b'a'..=b'z' if self.next < self.values.len() => {
                    self.at += 1;
                    return self.print(printer, char::from(byte));
                }
                _ => break,
            }
            self.at += 1;
        }
        self.index();
        self.width(printer)?;
        self.precision(printer)?;
        if !self.after_index {
            self.index();
        }
        let Some((verb, len)) = first_char(&self.format[self.at.min(self.format.len())..]) else {
            self.at = self.format.len();
            return printer.write(b"%!(NOVERB)");
        };
        self.at += len;
        if verb == '%' {
            return printer.write(b"%");
        }
        if !self.good_index {
            return printer.write(format!("%!{verb}(BADINDEX)").as_bytes());
        }
        if self.next >= self.values.len() {
            return printer.write(format!("%!{verb}(MISSING)").as_bytes());
        }
        self.print(printer, verb)
    }

    fn print(&mut self, printer: &mut Printer<'_>, verb: char) -> Result {
        if matches!(verb, 'v' | 'w') {
            let flags = &mut printer.flags;
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus_v = std::mem::take(&mut flags.plus);
        }
        let value = &self.values[self.next];
        self.next += 1;
        printer.arg(value, verb)
    }

    fn width(&mut self, printer: &mut Printer<'_>) -> Result {
        if self.peek() == Some(b'*') {
            self.at += 1;
            let width = self.number_of_arg();
            match width {
                None => printer.write(b"%!(BADWIDTH)")?,
                Some(width) => {
                    if width < 0 {
                        printer.flags.minus = true;
                        // No zeros to the right.
                        printer.flags.zero = false;
                    }
                    printer.flags.width = Some(width.unsigned_abs() as usize);
                }
            }
            self.after_index = false;
        } else {
            printer.flags.width = self.digits();
            if self.after_index && printer.flags.width.is_some() {
                self.good_index = false;
            }
        }
        Ok(())
    }

    fn precision(&mut self, printer: &mut Printer<'_>) -> Result {
        // A point at the very end is a verb.
        if self.at + 1 >= self.format.len() || self.peek() != Some(b'.') {
            return Ok(());
        }
        self.at += 1;
        if self.after_index {
            self.good_index = false;
        }
        self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.number_of_arg().and_then(|precision| usize::try_from(precision).ok()) {
                Some(precision) => printer.flags.precision = Some(precision),
                None => printer.write(b"%!(BADPREC)")?,
            }
            self.after_index = false;
        } else {
            printer.flags.precision = Some(self.digits().unwrap_or(0));
        }
        Ok(())
    }

    /// Takes a number; one that is too large takes the rest of the format with it.
    fn digits(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let so_far: i64 = number.unwrap_or(0);
            if so_far > TOO_LARGE {
                self.at = self.format.len();
                return None;
            }
            number = Some(so_far * 10 + i64::from(digit - b'0'));
            self.at += 1;
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    fn number_of_arg(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        value.as_integer().filter(|number| (-TOO_LARGE..=TOO_LARGE).contains(number))
    }

    /// Takes an index such as `[3]`, if there is one.
    fn index(&mut self) {
        self.after_index = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let close = if rest.len() < 3 { None } else { rest.iter().position(|byte| *byte == b']') };
        let Some(close) = close else {
            self.at += 1;
            self.good_index = false;
            return;
        };
        let digits = &rest[1..close];
        self.at += close + 1;
        let number = std::str::from_utf8(digits).ok().filter(|digits| {
            !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        let Some(number) = number.and_then(|digits| digits.parse::<usize>().ok()) else {
            self.good_index = false;
            return;
        };
        self.after_index = true;
        match number.checked_sub(1) {
            Some(index) if index < self.values.len() => self.next = index,
            _ => self.good_index = false,
        }
    }
}
