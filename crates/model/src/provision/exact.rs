//! Numbers that cannot be kept as they are written: integers beyond 64 bits, in whose place a float would stand.
//!
//! To keep them, every number of the program would have to be a text. Nobody counts so far; whoever names something by
//! such a number can write it as text.

use serde_json::Value;

use super::NewProvision;

/// From here on it is no integer of 64 bits, with a sign or without.
const BEYOND: f64 = 18_446_744_073_709_551_616.0;
const BELOW: f64 = -9_223_372_036_854_775_808.0;

impl NewProvision {
    /// The first number in its documents that is not what was written: the name of the document and the names and
    /// numbers that lead to it, joined with dots.
    pub fn inexact(&self) -> Option<String> {
        let payload = self.payload.as_ref().map(|payload| ("payload", payload.expose()));
        let documents = [("employee", self.employee.expose()), ("applications", self.applications.expose())];
        documents.into_iter().chain(payload).find_map(|(name, document)| inexact(name, document))
    }
}

/// The first number in a document that is not what was written: the names and numbers that lead to it from `place`,
/// joined with dots.
pub fn inexact(place: &str, document: &Value) -> Option<String> {
    let below = |name: &dyn std::fmt::Display, value| inexact(&format!("{place}.{name}"), value);
    match document {
        // An integer that fits is none of them.
        Value::Number(number) if number.is_f64() => {
            let is_beyond = number.as_f64().is_some_and(|value| value >= BEYOND || value <= BELOW);
            is_beyond.then(|| place.to_owned())
        }
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| below(&index, item)),
        Value::Object(members) => members.iter().find_map(|(name, value)| below(name, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_that_become_others_are_found_where_they_stand() {
        for (text, wanted) in [
            ("18446744073709551615", None),
            ("-9223372036854775808", None),
            ("[0.1, 1e18, -2.5e15, \"18446744073709551616\"]", None),
            ("18446744073709551616", Some("payload")),
            ("-9223372036854775809", Some("payload")),
            ("{\"a\": [{\"b\": 1}, {\"b\": 123456789012345678901234567890}]}", Some("payload.a.1.b")),
            ("{\"a\": 1e30}", Some("payload.a")),
        ] {
            let document: Value = serde_json::from_str(text).unwrap();
            assert_eq!(inexact("payload", &document).as_deref(), wanted, "{text}");
        }
    }
}
