//! JSON (RFC 8259) into a [`Node`] tree. Strict: no comments, no trailing commas, no duplicate keys, bounded depth.
//!
//! Not `serde_json`, because it does not say where a value stood once it is parsed.

use std::collections::HashSet;

use super::{Entry, MAX_DEPTH, Node, SyntaxError, Value};

pub(super) fn parse(source: &str) -> Result<Node, SyntaxError> {
    let at = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut parser = Parser { source, at };
    parser.skip_space();
    let root = parser.value(0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(root),
        Some(_) => Err(parser.unexpected("the end of the file")),
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The error that something else than `expected` stands here.
    fn unexpected(&self, expected: &str) -> SyntaxError {
        let rest = self.source.get(self.at..).unwrap_or_default();
        let Some(found) = rest.chars().next() else {
            return SyntaxError::new(self.at, format!("expected {expected}, but the file ends"))
                .hint("a file that is still being written is read again when it changes");
        };
        let error = SyntaxError::new(self.at, format!("expected {expected}, found `{}`", visible(found)));
        match found {
            '/' | '#' => error.hint("JSON has no comments; use `description` for a note"),
            '\'' => error.hint("JSON writes text in double quotes"),
            _ => error,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        let start = self.at;
        if depth > MAX_DEPTH {
            return Err(SyntaxError::new(start, format!("values are nested more than {MAX_DEPTH} deep")));
        }
        let value = match self.peek() {
            Some(b'{') => self.table(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { value, start })
    }

    fn table(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Table(entries));
        }
        loop {
            self.skip_space();
            let key_start = self.at;
            if self.peek() != Some(b'"') {
                let error = self.unexpected("a key in double quotes");
                let trailing = self.peek() == Some(b'}') && !entries.is_empty();
                return Err(if trailing { error.hint("remove the comma after the last member") } else { error });
            }
            let key = self.string()?;
            if !seen.insert(key.clone()) {
                return Err(SyntaxError {
                    code: "duplicate_key",
                    ..SyntaxError::new(key_start, format!("the key `{}` is there twice", key.escape_debug()))
                        .hint("keep one of the two")
                });
            }
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.at += 1;
            self.skip_space();
            let node = self.value(depth + 1)?;
            entries.push(Entry { key, key_start, node });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Table(entries));
                }
                Some(b'"') => return Err(self.unexpected("`,` or `}`").hint("put a comma between two members")),
                _ => return Err(self.unexpected("`,` or `}`")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            self.skip_space();
            if self.peek() == Some(b']') && !items.is_empty() {
                return Err(self.unexpected("a value").hint("remove the comma after the last element"));
            }
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.unexpected("`,` or `]`")),
            }
        }
    }

    fn word(&mut self) -> Result<Value, SyntaxError> {
        let rest = self.source.get(self.at..).unwrap_or_default();
        let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let word = rest.get(..length).unwrap_or_default();
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => {
                let shown: String = word.chars().take(20).collect();
                let error = SyntaxError::new(self.at, format!("`{shown}` is not a value"));
                return Err(match word.to_ascii_lowercase().as_str() {
                    known @ ("true" | "false" | "null") => error.hint(format!("write `{known}`")),
                    _ => error.hint("text is written in double quotes"),
                });
            }
        };
        self.at += length;
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.at;
        let rest = self.source.get(start..).unwrap_or_default();
        let length = rest.bytes().take_while(|b| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')).count();
        let text = rest.get(..length).unwrap_or_default();
        self.at += length;
        let shown: String = text.chars().take(30).collect();
        if !is_number(text) {
            return Err(SyntaxError::new(start, format!("`{shown}` is not a number")));
        }
        number(text).map(Value::Number).ok_or_else(|| {
            SyntaxError::new(start, format!("the number `{shown}` is too large")).hint("write it as text, in quotes")
        })
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let open = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.source.get(self.at..).unwrap_or_default();
            let plain = rest.bytes().position(|b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(rest.len());
            text.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(b'\n') => {
                    return Err(SyntaxError::new(self.at, "a line ends inside a text")
                        .hint("close it with `\"`, or write a line break as `\\n`"));
                }
                Some(byte) => {
                    return Err(SyntaxError::new(self.at, format!("the control character U+{byte:04X} in a text"))
                        .hint(format!("write it as `\\u{byte:04x}`")));
                }
                None => {
                    return Err(SyntaxError::new(open, "this text is never closed")
                        .hint("a file that is still being written is read again when it changes"));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let letter = self.peek();
        self.at += 1;
        Ok(match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex4(start)?;
                let code = if (0xD800..0xDC00).contains(&first) {
                    if self.source.get(self.at..self.at + 2) != Some("\\u") {
                        return Err(SyntaxError::new(start, "half of a surrogate pair"));
                    }
                    self.at += 2;
                    let second = self.hex4(start)?;
                    if !(0xDC00..0xE000).contains(&second) {
                        return Err(SyntaxError::new(start, "half of a surrogate pair"));
                    }
                    0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                } else {
                    first
                };
                char::from_u32(code).ok_or_else(|| SyntaxError::new(start, "half of a surrogate pair"))?
            }
            _ => {
                return Err(
                    SyntaxError::new(start, "an unknown escape in a text").hint("a backslash itself is written `\\\\`")
                );
            }
        })
    }

    fn hex4(&mut self, start: usize) -> Result<u32, SyntaxError> {
        let digits = self.source.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| SyntaxError::new(start, "`\\u` needs four hexadecimal digits"))
    }
}

/// A character as a message shows it.
fn visible(character: char) -> String {
    match character {
        '"' | '\'' => character.to_string(),
        other => other.escape_debug().to_string(),
    }
}

/// Whether `text` is a number in the grammar of JSON.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

/// The number, unless it is out of the range in which it keeps its value.
pub(super) fn number(text: &str) -> Option<serde_json::Number> {
    if text.bytes().all(|b| b == b'-' || b.is_ascii_digit()) {
        return match text.parse::<i64>() {
            Ok(number) => Some(number.into()),
            Err(_) => text.parse::<u64>().ok().map(Into::into),
        };
    }
    text.parse::<f64>().ok().and_then(serde_json::Number::from_f64)
}
