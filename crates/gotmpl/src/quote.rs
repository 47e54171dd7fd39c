//! Go's quoted strings and characters, written and read.

use std::fmt::Write;

use crate::text::first_char;
use crate::unicode::is_print;

/// `%q` of a string.
pub(crate) fn quote(bytes: &[u8]) -> String {
    quote_with(bytes, '"', false)
}

/// `%q` of a string, or with `ascii` `%+q`.
pub(crate) fn quote_with(bytes: &[u8], delimiter: char, ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push(delimiter);
    let mut rest = bytes;
    while let Some((char, len)) = first_char(rest) {
        if char == char::REPLACEMENT_CHARACTER && len == 1 {
            push_hex(&mut out, rest[0]);
        } else {
            push_escaped(&mut out, char, delimiter, ascii);
        }
        rest = &rest[len..];
    }
    out.push(delimiter);
    out
}

/// `%q` of a character.
pub(crate) fn quote_char(char: char, ascii: bool) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, char, '\'', ascii);
    out.push('\'');
    out
}

fn push_hex(out: &mut String, byte: u8) {
    out.push_str("\\x");
    out.push_str(&hex::encode([byte]));
}

fn push_escaped(out: &mut String, char: char, delimiter: char, ascii: bool) {
    if char == delimiter || char == '\\' {
        out.push('\\');
        out.push(char);
        return;
    }
    if is_print(char) && (char.is_ascii() || !ascii) {
        out.push(char);
        return;
    }
    let short = match char {
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{b}' => 'v',
        _ => {
            let code = u32::from(char);
            // Writing to a string does not fail.
            let _ = match code {
                0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
                0..0x10000 => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

/// `%#U` of a character.
pub(crate) fn unicode_shown(char: char) -> String {
    let code = u32::from(char);
    if is_print(char) { format!("U+{code:04X} '{char}'") } else { format!("U+{code:04X}") }
}

/// Whether a string can stand unchanged between backquotes.
pub(crate) fn can_backquote(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    !text.chars().any(|char| char == '\u{feff}' || (char < ' ' && char != '\t') || char == '`' || char == '\u{7f}')
}

/// The bytes of a quoted string literal, of either kind. `None` where it is not well formed.
pub(crate) fn unquote(literal: &str) -> Option<Vec<u8>> {
    if let Some(raw) = literal.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        return Some(raw.bytes().filter(|byte| *byte != b'\r').collect());
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (unit, tail) = unquote_unit(rest, '"')?;
        match unit {
            Unit::Byte(byte) => out.push(byte),
            Unit::Char(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = tail;
    }
    Some(out)
}

/// The number of the first character of a character literal, and what follows it.
pub(crate) fn unquote_char(rest: &str) -> Option<(u32, &str)> {
    let (unit, tail) = unquote_unit(rest, '\'')?;
    let code = match unit {
        Unit::Byte(byte) => u32::from(byte),
        Unit::Char(char) => u32::from(char),
    };
    Some((code, tail))
}

enum Unit {
    Byte(u8),
    Char(char),
}

fn unquote_unit(text: &str, delimiter: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let char = chars.next()?;
    if char == delimiter || char == '\n' {
        return None;
    }
    if char != '\\' {
        return Some((Unit::Char(char), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let number = |len: usize, radix: u32| {
        let digits = rest.get(..len)?;
        let all = digits.chars().all(|digit| digit.is_digit(radix));
        all.then(|| u32::from_str_radix(digits, radix).ok()).flatten().map(|code| (code, &rest[len..]))
    };
    let simple = match escape {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        '\'' | '"' if escape == delimiter => escape,
        'x' => {
            let (code, rest) = number(2, 16)?;
            return Some((Unit::Byte(u8::try_from(code).ok()?), rest));
        }
        'u' | 'U' => {
            let (code, rest) = number(if escape == 'u' { 4 } else { 8 }, 16)?;
            return Some((Unit::Char(char::from_u32(code)?), rest));
        }
        '0'..='7' => {
            let digits = text.get(1..4)?;
            if !digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
                return None;
            }
            let code = u32::from_str_radix(digits, 8).ok()?;
            return Some((Unit::Byte(u8::try_from(code).ok()?), &text[4..]));
        }
        _ => return None,
    };
    Some((Unit::Char(simple), rest))
}
