//! YAML into a [`Node`] tree; `serde-saphyr` parses with budgets on depth, nodes and aliases.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::stack::with_stack;
use super::{Entry, MAX_DEPTH, Node, SyntaxError, Text, Value};

/// A YAML value with places as the parser gives them: line and column.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Table(Vec<(Spanned<String>, Spanned<Raw>)>),
}

pub(super) fn parse(text: &Text) -> Result<Node, SyntaxError> {
    with_stack(32 << 20, || parse_here(text))
}

fn parse_here(text: &Text) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: 200_000,
            max_events: 500_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
        },
        strict_booleans: true,
    };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(&text.source, options).map_err(|error| {
        let error = error.without_snippet();
        let at = error.location().filter(|place| place.line() > 0);
        let sentence = error.to_string();
        // The parser closes its sentence with the place, which the diagnostic says already.
        let sentence = sentence.lines().next().unwrap_or_default();
        let message = sentence.split(" at line ").next().unwrap_or(sentence).to_owned();
        let message = if message.starts_with("budget breached: Depth") || message.contains("recursion limit") {
            format!("values are nested more than {MAX_DEPTH} deep")
        } else if message.starts_with("budget breached") || message.contains("alias replay") {
            "it holds or repeats more values than a declaration may".to_owned()
        } else if message.starts_with("multiple YAML documents") {
            "a file declares one thing, and here a second document begins".to_owned()
        } else {
            // What follows is advice for whoever calls the parser.
            message.split(", set DuplicateKeyPolicy").next().unwrap_or_default().to_owned()
        };
        let code = if message.contains("duplicate") { "duplicate_key" } else { "syntax" };
        SyntaxError { at: at.map(|place| text.offset(place.line(), place.column())), code, message, hint: None }
    })?;
    Ok(node(text, raw))
}

fn node(text: &Text, raw: Spanned<Raw>) -> Node {
    let start = offset(text, &raw);
    let value = match raw.value {
        Raw::Scalar(value) => value,
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(text, item)).collect()),
        Raw::Table(entries) => Value::Table(
            entries
                .into_iter()
                .map(|(key, value)| Entry { key_start: offset(text, &key), key: key.value, node: node(text, value) })
                .collect(),
        ),
    };
    Node { value, start }
}

fn offset<T>(text: &Text, spanned: &Spanned<T>) -> usize {
    text.offset(spanned.referenced.line(), spanned.referenced.column())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(number.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Raw, E> {
        let number = serde_json::Number::from_f64(number).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Raw::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries: Vec<(Spanned<String>, Spanned<Raw>)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, Spanned<Raw>>()? {
            entries.push((key, value));
        }
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.value.as_str()).collect();
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find_map(|pair| (pair[0] == pair[1]).then_some(pair[0])) {
            return Err(A::Error::custom(format!("duplicate key `{twice}`")));
        }
        Ok(Raw::Table(entries))
    }
}
