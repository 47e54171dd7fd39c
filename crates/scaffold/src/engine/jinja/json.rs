//! JSON as Python writes it.

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};

use super::python;

/// Jinja2's `tojson`: can stand in HTML.
pub(super) fn tojson(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    let indent = super::filters::argument(indent, &options, "indent", usize::MAX)?;
    options.assert_all_used()?;
    let plain = dump(value, Some(indent).filter(|indent| *indent != usize::MAX))?;
    let safe = plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027");
    Ok(Value::from_safe_string(safe))
}

pub(super) fn to_data(value: &Value) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Python's `json.dumps`: keys sorted where it is for people, characters beyond ASCII escaped.
pub(super) fn dump(value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let data = to_data(value)?;
    let mut out = String::new();
    write_json(&mut out, &data, indent, 0)?;
    Ok(out)
}

fn write_json(out: &mut String, value: &serde_json::Value, indent: Option<usize>, depth: usize) -> Result<(), Error> {
    use serde_json::Value as Json;
    let newline = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent.saturating_mul(depth).min(1024)));
        }
    };
    let separator = if indent.is_some() { "," } else { ", " };
    match value {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(separator);
                }
                newline(out, depth + 1);
                write_json(out, item, indent, depth + 1)?;
            }
            newline(out, depth);
            out.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (at, (name, item)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push_str(separator);
                }
                newline(out, depth + 1);
                ascii(out, &Json::from(name.as_str()).to_string());
                out.push_str(": ");
                write_json(out, item, indent, depth + 1)?;
            }
            newline(out, depth);
            out.push('}');
        }
        Json::Number(number) if number.is_f64() => out.push_str(&python::float(number.as_f64().unwrap_or_default())),
        value => ascii(out, &value.to_string()),
    }
    Ok(())
}

fn ascii(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for char in text.chars() {
        if char.is_ascii() {
            out.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
}
