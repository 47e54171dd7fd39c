//! TOML into a [`Node`] tree; the `toml` crate parses, bounds the depth and refuses duplicate keys.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, Node, SyntaxError, Value};

pub(super) fn parse(source: &str) -> Result<Node, SyntaxError> {
    let table = DeTable::parse(source).map_err(|error| {
        let message = error.message().trim_end().to_owned();
        let code = if message.contains("duplicate key") { "duplicate_key" } else { "syntax" };
        SyntaxError { at: error.span().map(|Range { start, .. }| start), code, message, hint: None }
    })?;
    let start = table.span().start;
    Ok(Node { value: convert_table(table.get_ref())?, start })
}

fn convert_table(table: &DeTable<'_>) -> Result<Value, SyntaxError> {
    let mut entries = table
        .iter()
        .map(|(key, value)| {
            Ok(Entry {
                key: key.get_ref().clone().into_owned(),
                key_start: key.span().start,
                node: Node { value: convert(value)?, start: value.span().start },
            })
        })
        .collect::<Result<Vec<_>, SyntaxError>>()?;
    entries.sort_by_key(|entry| entry.key_start);
    Ok(Value::Table(entries))
}

fn convert(value: &Spanned<DeValue<'_>>) -> Result<Value, SyntaxError> {
    let at = value.span().start;
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
                .map(|item| Ok(Node { value: convert(item)?, start: item.span().start }))
                .collect::<Result<Vec<_>, SyntaxError>>()?,
        ),
        DeValue::Table(table) => convert_table(table)?,
    })
}
