//! Writes JSON.

use crate::limits::{DEEPEST_VALUE, Limit, Meter};
use crate::number::float;
use crate::text::first_char;
use crate::value::Value;

/// How it is written.
#[derive(Clone, Copy)]
pub(super) struct Style {
    indent: bool,
    /// `<`, `>` and `&` as escapes.
    escapes_html: bool,
}

impl Style {
    pub(super) const COMPACT: Style = Style { indent: false, escapes_html: true };
    pub(super) const PRETTY: Style = Style { indent: true, escapes_html: true };
    pub(super) const RAW: Style = Style { indent: false, escapes_html: false };
}

pub(super) enum Failure {
    Limit(Limit),
    /// There is no such thing in JSON.
    Unsupported(String),
}

impl From<Limit> for Failure {
    fn from(limit: Limit) -> Failure {
        Failure::Limit(limit)
    }
}

pub(super) fn write(meter: &mut Meter, value: &Value, style: Style) -> Result<Vec<u8>, Failure> {
    let mut writer = Writer { out: Vec::new(), meter, style, depth: 0 };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer<'m> {
    out: Vec<u8>,
    meter: &'m mut Meter,
    style: Style,
    depth: usize,
}

impl Writer<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.out.len().saturating_add(bytes.len()) > self.meter.memory_left() {
            return Err(Limit::Memory.into());
        }
        self.meter.spend(1)?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), Failure> {
        match value {
            Value::Nil => self.push(b"null"),
            Value::Bool(value) => self.push(if *value { b"true" } else { b"false" }),
            Value::Int(number) | Value::Int64(number) => self.push(number.to_string().as_bytes()),
            Value::Byte(number) => self.push(number.to_string().as_bytes()),
            Value::Float(number) => {
                let text = shown(*number)?;
                self.push(text.as_bytes())
            }
            Value::Text(text) => self.text(text.as_bytes()),
            Value::List(list) if list.is_nil() => self.push(b"null"),
            Value::List(list) => self.nested(b"[", b"]", list.is_empty(), |writer| {
                for (at, item) in list.items().iter().enumerate() {
                    writer.separate(at)?;
                    writer.value(item)?;
                }
                Ok(())
            }),
            Value::Map(map) => self.nested(b"{", b"}", map.is_empty(), |writer| {
                for (at, (key, item)) in map.entries().iter().enumerate() {
                    writer.separate(at)?;
                    writer.text(key.as_bytes())?;
                    writer.push(if writer.style.indent { b": " } else { b":" })?;
                    writer.value(item)?;
                }
                Ok(())
            }),
            Value::Object(object) => match object.json() {
                Some(serde_json::Value::String(text)) => self.text(text.as_bytes()),
                Some(json) => self.push(json.to_string().as_bytes()),
                None => Err(Failure::Unsupported(format!("json: unsupported type: {}", object.type_name()))),
            },
        }
    }

    fn nested(
        &mut self,
        open: &[u8],
        close: &[u8],
        is_empty: bool,
        items: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.depth >= DEEPEST_VALUE {
            return Err(Limit::Depth.into());
        }
        self.push(open)?;
        if !is_empty {
            self.depth += 1;
            items(self)?;
            self.depth -= 1;
            self.line()?;
        }
        self.push(close)
    }

    fn separate(&mut self, at: usize) -> Result<(), Failure> {
        if at > 0 {
            self.push(b",")?;
        }
        self.line()
    }

    fn line(&mut self) -> Result<(), Failure> {
        if !self.style.indent {
            return Ok(());
        }
        self.push(b"\n")?;
        self.push("  ".repeat(self.depth).as_bytes())
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(bytes.len() + 2);
        out.push(b'"');
        let mut rest = bytes;
        while let Some((char, len)) = first_char(rest) {
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\0'..'\u{20}' | '\u{2028}' | '\u{2029}' => push_escape(&mut out, char),
                '<' | '>' | '&' if self.style.escapes_html => push_escape(&mut out, char),
                char::REPLACEMENT_CHARACTER if len == 1 => out.extend_from_slice(b"\\ufffd"),
                _ => out.extend_from_slice(&rest[..len]),
            }
            rest = &rest[len..];
        }
        out.push(b'"');
        self.push(&out)
    }
}

fn push_escape(out: &mut Vec<u8>, char: char) {
    out.extend_from_slice(format!("\\u{:04x}", u32::from(char)).as_bytes());
}

fn shown(number: f64) -> Result<String, Failure> {
    if !number.is_finite() {
        let shown = float::format(number, 'g', None);
        return Err(Failure::Unsupported(format!("json: unsupported value: {shown}")));
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        // `e-09` is `e-9`.
        let text = float::format(number, 'e', None);
        return Ok(text.replace("e-0", "e-"));
    }
    Ok(float::format(number, 'f', None))
}
