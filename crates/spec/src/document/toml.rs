//! TOML into a [`Node`] tree; the `toml` crate parses, bounds the depth and refuses duplicate keys.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::stack::with_stack;
use super::{Entry, MAX_DEPTH, Node, SyntaxError, Value};

/// Beyond this many openings a text may nest too deep for an ordinary stack: dotted keys within inline tables multiply
/// what the parser bounds.
const ORDINARY_OPENINGS: usize = 100;

pub(super) fn parse(source: &str) -> Result<Node, SyntaxError> {
    let openings = source.bytes().filter(|byte| matches!(byte, b'.' | b'[' | b'{')).count();
    if openings > ORDINARY_OPENINGS { with_stack(128 << 20, || parse_here(source)) } else { parse_here(source) }
}

fn parse_here(source: &str) -> Result<Node, SyntaxError> {
    let table = DeTable::parse(source).map_err(|error| {
        let message = error.message().trim_end().to_owned();
        let span = error.span();
        let at = span.as_ref().map(|span| span.start);
        let twice = span.filter(|_| message.contains("duplicate key")).and_then(|span| source.get(span));
        match twice {
            Some(key) => SyntaxError {
                at,
                code: "duplicate_key",
                message: format!("the key `{key}` is there twice"),
                hint: Some("keep one of the two".to_owned()),
            },
            None => SyntaxError { at, code: "syntax", message, hint: None },
        }
    })?;
    let start = table.span().start;
    Ok(Node { value: convert_table(table.get_ref(), start, 0)?, start })
}

fn convert_table(table: &DeTable<'_>, at: usize, depth: usize) -> Result<Value, SyntaxError> {
    check_depth(at, depth)?;
    let mut entries = table
        .iter()
        .map(|(key, value)| {
            Ok(Entry {
                key: key.get_ref().clone().into_owned(),
                key_start: key.span().start,
                node: Node { value: convert(value, depth + 1)?, start: value.span().start },
            })
        })
        .collect::<Result<Vec<_>, SyntaxError>>()?;
    entries.sort_by_key(|entry| entry.key_start);
    Ok(Value::Table(entries))
}

fn convert(value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Value, SyntaxError> {
    let at = value.span().start;
    check_depth(at, depth)?;
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map(|number| Value::Number(number.into()))
            .map_err(|_| SyntaxError::new(at, "the number is too large"))?,
        DeValue::Float(float) => float
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| SyntaxError::new(at, "a number must be finite"))?,
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Ok(Node { value: convert(item, depth + 1)?, start: item.span().start }))
                .collect::<Result<Vec<_>, SyntaxError>>()?,
        ),
        DeValue::Table(table) => convert_table(table, at, depth)?,
    })
}

fn check_depth(at: usize, depth: usize) -> Result<(), SyntaxError> {
    if depth > MAX_DEPTH {
        return Err(SyntaxError::new(at, format!("values are nested more than {MAX_DEPTH} deep")));
    }
    Ok(())
}
