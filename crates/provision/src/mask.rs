//! What is kept of requests and answers has no secrets in it.
//!
//! Twice over: values under names that sound like secrets, wherever they stand, and the secrets of this very request,
//! under whatever name they come back.

use std::collections::BTreeSet;
use std::fmt;

use piton_logs::Redactor;
use serde_json::Value;

/// What stands where a secret was.
pub(crate) const MASK: &str = "***";

/// Parts of names, without case, `_` and `-`, whose values nobody shall read.
const SECRET_NAMES: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "apikey",
    "privatekey",
    "credential",
    "cookie",
];

/// Shorter values are not looked for in texts: they would be found everywhere.
const SHORTEST: usize = 6;

/// Knows the secrets that must not be kept.
#[derive(Clone, Default)]
pub(crate) struct Masker {
    known: BTreeSet<String>,
    /// Finds them, in whichever way they are written.
    redactor: Redactor,
}

impl Masker {
    /// Hides these too.
    pub(crate) fn learn<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) {
        let before = self.known.len();
        self.known.extend(values.into_iter().filter(|value| value.len() >= SHORTEST).map(str::to_owned));
        if self.known.len() > before {
            self.redactor = Redactor::new(self.known.iter().cloned());
        }
    }

    /// Hides the secrets in `value`, too.
    pub(crate) fn learn_from(&mut self, value: &Value) {
        let mut found = Vec::new();
        secrets_in(value, false, &mut found);
        self.learn(found);
    }

    /// `value` without its secrets.
    pub(crate) fn value(&self, value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let masked = |(name, value): (&String, &Value)| {
                    let value = if is_secret(name) && !value.is_null() { MASK.into() } else { self.value(value) };
                    (name.clone(), value)
                };
                Value::Object(members.iter().map(masked).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect()),
            Value::String(text) => Value::String(self.without_known(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// `text` without its secrets: JSON as JSON, anything else by what looks like `name: value`.
    pub(crate) fn text(&self, text: &str) -> String {
        match serde_json::from_str::<Value>(text) {
            Ok(value) if value.is_object() || value.is_array() => self.value(&value).to_string(),
            // What is known first: it is found as a whole, whatever its characters mean to others.
            _ => without_named(&self.without_known(text)),
        }
    }

    /// `text` without the secrets that are known, for messages.
    pub(crate) fn without_known(&self, text: &str) -> String {
        self.redactor.redact(text)
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

/// The texts under names of secrets; all texts where the name of `value` is one.
fn secrets_in<'a>(value: &'a Value, is_named_so: bool, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| secrets_in(value, is_named_so || is_secret(name), found));
        }
        Value::Array(items) => items.iter().for_each(|item| secrets_in(item, is_named_so, found)),
        Value::String(text) if is_named_so => found.push(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect();
    SECRET_NAMES.iter().any(|secret| plain.contains(secret))
}

/// Replaces what follows `password=`, `"api_key": ` and the like, up to the end of the value.
fn without_named(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find([':', '=']) {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        rest = after;
        let name = before[..at].trim_end_matches([' ', '"', '\'', '\\']);
        let name = name.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).next().unwrap_or_default();
        if !is_secret(name) {
            continue;
        }
        let value = rest.trim_start_matches([' ', '\\']);
        let escapes = rest[..rest.len() - value.len()].bytes().rev().take_while(|byte| *byte == b'\\').count();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let length = match quote {
            Some(quote) => quoted(value, quote, escapes),
            // `Authorization: Bearer …` is two words.
            None => value.find(['&', ',', ';', '<', '>', '}', '\n', '\r', '"']).unwrap_or(value.len()),
        };
        if length > 0 {
            out.push_str(MASK);
            rest = &value[length..];
        }
    }
    out.push_str(rest);
    out
}

/// How long the value is that begins with `quote`, which stands behind so many backslashes. A quote that belongs to the value
/// is escaped once more than that, or stands there twice. Without an end, all of it is the value.
fn quoted(value: &str, quote: char, escapes: usize) -> usize {
    let mut before = 0;
    let mut rest = value.char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        if c == '\\' {
            before += 1;
            continue;
        }
        // Each backslash of the value itself is written as one more pair at every level.
        let may_end = c == quote && before % (2 * (escapes + 1)) == escapes;
        if may_end && (escapes > 0 || rest.next_if(|(_, next)| *next == quote).is_none()) {
            return at + 1;
        }
        before = 0;
    }
    value.len()
}

/// The beginning of `text`, at most `longest` bytes of it.
pub(crate) fn excerpt(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let mut end = longest.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_under_names_of_secrets_are_hidden_at_any_depth() {
        let value = json!({
            "employee": {"fullName": "Ada", "initialPassword": "a", "api_key": 7, "Authorization": ["x"]},
            "list": [{"client-secret": {"deep": true}, "tokenless": null, "n": 1}],
        });
        let masked = json!({
            "employee": {"fullName": "Ada", "initialPassword": "***", "api_key": "***", "Authorization": "***"},
            "list": [{"client-secret": "***", "tokenless": null, "n": 1}],
        });
        assert_eq!(Masker::default().value(&masked), masked);
        assert_eq!(Masker::default().value(&value), masked);
    }

    #[test]
    fn secrets_that_come_back_elsewhere_are_hidden_too() {
        let mut masker = Masker::default();
        masker.learn_from(&json!({"user": "ada", "password": "hunter22", "x": [{"tokens": ["abcdefgh"]}]}));
        masker.learn(["shortest"]);
        let answer = json!({"echo": "it was hunter22, abcdefgh", "user": "ada"});
        assert_eq!(masker.value(&answer), json!({"echo": "it was ***, ***", "user": "ada"}));
        assert_eq!(masker.text("no JSON: hunter22"), "no JSON: ***");
        assert!(!format!("{masker:?}").contains("hunter22"));
    }

    #[test]
    fn a_secret_with_a_quote_is_hidden_as_a_whole() {
        let mut masker = Masker::default();
        let password = r#"hun"ter'22\x"#;
        masker.learn([password]);
        for text in [
            format!("refused: password={password}"),
            format!("refused: \"password\": {}", json!(password)),
            format!("{} was refused", json!({"x": password})),
            format!("{} was refused", json!(json!({"x": password}).to_string())),
            format!("password='{}'", password.replace('\'', "\\'")),
            "no hun%22ter%2722%5Cx here".to_owned(),
            "Basic YWRhOmh1biJ0ZXInMjJceA==".to_owned(),
        ] {
            let masked = masker.text(&text);
            assert!(masked.contains("***"), "{masked}");
            for part in ["hun", "ter", "22", "aHVuInRlci", "odW4idGVyJz"] {
                assert!(!masked.contains(part), "{masked}");
            }
        }
    }

    #[test]
    fn texts_are_masked_by_what_looks_like_a_name() {
        let masker = Masker::default();
        for (text, masked) in [
            ("password=hunter22&user=ada", "password=***&user=ada"),
            ("Authorization: Bearer abc.def\nHost: x", "Authorization:***\nHost: x"),
            ("<p>{\"password\": \"a b\", \"n\": 1", "<p>{\"password\":***, \"n\": 1"),
            ("{\\\"apiKey\\\":\\\"k\\\"}", "{\\\"apiKey\\\":***}"),
            ("a: b, c=d", "a: b, c=d"),
            ("token=", "token="),
            ("secret: 'unclosed", "secret:***"),
            (r#"x {"password": "a\"b\\", "n": 1"#, r#"x {"password":***, "n": 1"#),
            (r#"x {\"password\": \"a\\\"b\\\\\", \"n\": 1"#, r#"x {\"password\":***, \"n\": 1"#),
            ("password='it''s' n=1", "password=*** n=1"),
            ("x {\"password\": \"\", \"n\": 1", "x {\"password\":***, \"n\": 1"),
        ] {
            assert_eq!(masker.text(text), masked, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(password|[a-z\"':=\\\\é{} ]){0,40}", longest in 3usize..60) {
            let masked = Masker::default().text(&text);
            prop_assert!(excerpt(masked, longest).len() <= longest);
        }
    }
}
