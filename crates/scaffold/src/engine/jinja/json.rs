//! JSON as Python writes it.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use serde_json::Value as Json;

use super::filters::invalid;
use super::python;

/// Values inside one another that are written.
const DEEPEST: usize = 100;

/// Jinja2's `tojson`: can stand in HTML.
pub(super) fn tojson(state: &State, value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    let indent = super::filters::argument(indent, &options, "indent", usize::MAX)?;
    options.assert_all_used()?;
    let plain = dump(state, value, Some(indent).filter(|indent| *indent != usize::MAX))?;
    let safe = plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027");
    Ok(Value::from_safe_string(safe))
}

/// A value as JSON has it. Templates can nest values as deep as they like; here that ends.
pub(super) fn to_data(value: &Value) -> Result<Json, Error> {
    convert(value, 0)
}

fn convert(value: &Value, depth: usize) -> Result<Json, Error> {
    if depth > DEEPEST {
        return Err(invalid("the value is nested too deep"));
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.map(|item| convert(&item, depth + 1)).collect(),
        ValueKind::Map => {
            let mut fields = serde_json::Map::new();
            for key in value.try_iter()? {
                let name = match key.kind() {
                    ValueKind::Bool => key.is_true().to_string(),
                    ValueKind::None => "null".to_owned(),
                    _ => python::str(&key),
                };
                fields.insert(name, convert(&value.get_item(&key)?, depth + 1)?);
            }
            Ok(Json::Object(fields))
        }
        // Nothing of these has anything inside.
        _ => serde_json::to_value(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string())),
    }
}

/// Python's `json.dumps`: keys sorted where it is for people, characters beyond ASCII escaped.
pub(super) fn dump(state: &State, value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let data = to_data(value)?;
    let mut out = String::new();
    write(state, &mut out, &data, indent, 0)?;
    Ok(out)
}

fn write(state: &State, out: &mut String, value: &Json, indent: Option<usize>, depth: usize) -> Result<(), Error> {
    let newline = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            let width = indent.saturating_mul(depth);
            state.consume_fuel(width as u64 / 64)?;
            out.extend(std::iter::repeat_n(' ', width));
        }
        Ok::<(), Error>(())
    };
    let separator = if indent.is_some() { "," } else { ", " };
    match value {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(separator);
                }
                newline(out, depth + 1)?;
                write(state, out, item, indent, depth + 1)?;
            }
            newline(out, depth)?;
            out.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (at, (name, item)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push_str(separator);
                }
                newline(out, depth + 1)?;
                ascii(out, &Json::from(name.as_str()).to_string());
                out.push_str(": ");
                write(state, out, item, indent, depth + 1)?;
            }
            newline(out, depth)?;
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
