//! Values as Python prints them.

use std::fmt::{self, Write};

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Error, Output, State};

use super::text;

/// Values inside one another that are printed; a list never contains itself.
const DEEPEST: usize = 100;

/// Prints a value as Jinja2 would.
pub(super) fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let text = str(value);
    let written = match state.auto_escape() {
        AutoEscape::None => out.write_str(&text),
        _ if value.is_safe() => out.write_str(&text),
        _ => out.write_str(&text::escape(&text)),
    };
    written.map_err(Error::from)
}

/// Python's `str`.
pub(super) fn str(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Number | ValueKind::Seq | ValueKind::Map if !is_opaque(value) => {
            let mut out = String::new();
            // Writing to a string does not fail.
            let _ = repr(&mut out, value, 0);
            out
        }
        _ => value.to_string(),
    }
}

/// Python's `repr`.
pub(super) fn representation(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => {
            let mut out = String::new();
            let _ = quote(&mut out, value.as_str().unwrap_or_default());
            out
        }
        _ => str(value),
    }
}

/// Objects of the engine, such as namespaces and loops, print as they like.
fn is_opaque(value: &Value) -> bool {
    value.kind() == ValueKind::Map && value.to_string().starts_with('<')
}

fn repr(out: &mut String, value: &Value, depth: usize) -> fmt::Result {
    if depth > DEEPEST {
        return out.write_str("...");
    }
    match value.kind() {
        ValueKind::String => quote(out, value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => out.write_str(&float(number)),
            Err(_) => write!(out, "{value}"),
        },
        ValueKind::Seq => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            out.push(open);
            let mut count = 0;
            for item in value.try_iter().into_iter().flatten() {
                if count > 0 {
                    out.push_str(", ");
                }
                repr(out, &item, depth + 1)?;
                count += 1;
            }
            if count == 1 && value.is_tuple() {
                out.push(',');
            }
            out.push(close);
            Ok(())
        }
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter().into_iter().flatten().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                repr(out, &key, depth + 1)?;
                out.push_str(": ");
                repr(out, &value.get_item(&key).unwrap_or_default(), depth + 1)?;
            }
            out.push('}');
            Ok(())
        }
        _ => write!(out, "{value}"),
    }
}

/// A float as Python writes it: as short as it can be told apart, with an exponent where it is long.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = number.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// A string as Python quotes it.
fn quote(out: &mut String, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            char if char == quote => {
                out.push('\\');
                out.push(char);
            }
            char if char.is_control() && u32::from(char) < 0x100 => write!(out, "\\x{:02x}", u32::from(char))?,
            char => out.push(char),
        }
    }
    out.push(quote);
    Ok(())
}
