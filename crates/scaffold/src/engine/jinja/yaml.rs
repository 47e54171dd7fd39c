//! YAML as PyYAML writes it, which is what templates for Ansible and copier count on.

use std::fmt::Write as _;

use serde_json::Value;

/// Values inside one another that are written.
const DEEPEST: usize = 100;

/// Pays for bytes before they are written.
pub(super) type Spend<'a> = &'a dyn Fn(usize) -> Result<(), String>;

/// Writes a value in block style. Keys are sorted; items of a list are indented by `indent` where they have more than
/// one line.
pub(super) fn write(value: &Value, indent: usize, spend: Spend<'_>) -> Result<String, String> {
    let mut writer = Writer { out: String::new(), indent, spend };
    match value {
        Value::Object(fields) if !fields.is_empty() => writer.mapping(value, 0, 0)?,
        Value::Array(items) if !items.is_empty() => writer.sequence(value, 0, 0)?,
        value => {
            scalar(&mut writer.out, value);
            writer.out.push('\n');
            // A plain scalar alone is ended explicitly.
            if !matches!(value, Value::Object(_) | Value::Array(_)) && !writer.out.starts_with(['\'', '"']) {
                writer.out.push_str("...\n");
            }
        }
    }
    Ok(writer.out)
}

struct Writer<'a> {
    out: String,
    indent: usize,
    spend: Spend<'a>,
}

impl Writer<'_> {
    fn pad(&mut self, column: usize) -> Result<(), String> {
        (self.spend)(column)?;
        self.out.extend(std::iter::repeat_n(' ', column));
        Ok(())
    }

    /// The first line is begun by the caller.
    fn mapping(&mut self, value: &Value, column: usize, depth: usize) -> Result<(), String> {
        let Value::Object(fields) = value else { return Ok(()) };
        check(depth)?;
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(name, _)| *name);
        for (at, (name, value)) in fields.into_iter().enumerate() {
            if at > 0 {
                self.pad(column)?;
            }
            text(&mut self.out, name);
            self.out.push(':');
            match value {
                Value::Object(fields) if !fields.is_empty() => {
                    self.out.push('\n');
                    self.pad(column + self.indent)?;
                    self.mapping(value, column + self.indent, depth + 1)?;
                }
                Value::Array(items) if !items.is_empty() => {
                    self.out.push('\n');
                    self.pad(column)?;
                    self.sequence(value, column, depth + 1)?;
                }
                value => self.end_line(value),
            }
        }
        Ok(())
    }

    fn sequence(&mut self, value: &Value, column: usize, depth: usize) -> Result<(), String> {
        let Value::Array(items) = value else { return Ok(()) };
        check(depth)?;
        let inner = self.indent.max(2);
        for (at, value) in items.iter().enumerate() {
            if at > 0 {
                self.pad(column)?;
            }
            self.out.push('-');
            match value {
                Value::Object(fields) if !fields.is_empty() => {
                    self.pad(inner - 1)?;
                    self.mapping(value, column + inner, depth + 1)?;
                }
                Value::Array(items) if !items.is_empty() => {
                    self.pad(inner - 1)?;
                    self.sequence(value, column + inner, depth + 1)?;
                }
                value => self.end_line(value),
            }
        }
        Ok(())
    }

    fn end_line(&mut self, value: &Value) {
        self.out.push(' ');
        scalar(&mut self.out, value);
        self.out.push('\n');
    }
}

fn check(depth: usize) -> Result<(), String> {
    if depth > DEEPEST { Err("the value is nested too deep".to_owned()) } else { Ok(()) }
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) if number.is_f64() => {
            out.push_str(&super::python::float(number.as_f64().unwrap_or_default()));
        }
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(value) => text(out, value),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// A text, in quotes where it would be read as something else.
fn text(out: &mut String, text: &str) {
    if text.chars().any(|char| char.is_control() || char == '\u{feff}') {
        out.push('"');
        for char in text.chars() {
            match char {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                char if char.is_control() || char == '\u{feff}' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(char));
                }
                char => out.push(char),
            }
        }
        out.push('"');
    } else if is_plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 13] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "=", "<<", "---", "..."];
    let Some(first) = text.chars().next() else { return false };
    let second_is_blank = text.chars().nth(1).is_none_or(|char| char == ' ');
    let starts_like_something = "!&*#|>@%`\"'[]{},".contains(first) || ("-?:".contains(first) && second_is_blank);
    let number_like = first.is_ascii_digit() || "+-.".contains(first);
    let means_something = WORDS.contains(&text.to_lowercase().as_str())
        || starts_like_something
        || number_like && reads_as_number(text)
        || text.starts_with(' ')
        || text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #");
    !means_something
}

/// Numbers, dates and times of day, as YAML 1.1 reads them; some more are quoted than must be.
fn reads_as_number(text: &str) -> bool {
    let body = text.trim_start_matches(['+', '-']);
    let lower = body.to_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return true;
    }
    let digits_first = body.starts_with(|char: char| char.is_ascii_digit())
        || body.strip_prefix('.').is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()));
    let octal_or_hex =
        lower.starts_with("0x") && lower[2..].chars().all(|char| char.is_ascii_hexdigit() || char == '_');
    let decimal =
        body.chars().all(|char| char.is_ascii_digit() || "._".contains(char)) && body.matches('.').count() < 2;
    let exponent = body.contains('.') && body.parse::<f64>().is_ok() && (lower.contains("e+") || lower.contains("e-"));
    let sexagesimal = body.contains(':') && body.chars().all(|char| char.is_ascii_digit() || ":.".contains(char));
    let date = body.len() >= 8
        && body.matches('-').count() == 2
        && body.chars().take(10).all(|char| char.is_ascii_digit() || char == '-');
    digits_first && (octal_or_hex || decimal || exponent || sexagesimal || date)
}
