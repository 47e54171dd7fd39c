//! Reading the rows of the table.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use piton_cron::{Dialect, ParseError, ParseErrorKind, Schedule};
use serde_json::Value;

/// One row.
#[derive(Clone, Copy)]
pub struct Row<'a>(pub &'a Value);

/// One comparison of a row, in a form that can be shown.
#[derive(Clone)]
pub struct Part {
    pub what: &'static str,
    pub expected: String,
    pub ours: String,
}

impl<'a> Row<'a> {
    pub fn id(self) -> &'a str {
        self.text("id").unwrap_or("?")
    }

    /// What the row is about, for the report.
    pub fn subject(self) -> String {
        let field = ["expr_raw", "expr", "a", "every_ns"].into_iter().find_map(|key| self.0.get(key));
        field.map_or_else(String::new, |field| field.as_str().map_or_else(|| field.to_string(), |s| format!("`{s}`")))
    }

    pub fn has(self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    pub fn value(self, key: &str) -> Result<&'a Value, String> {
        self.0.get(key).ok_or_else(|| format!("no `{key}`"))
    }

    pub fn text(self, key: &str) -> Result<&'a str, String> {
        self.value(key)?.as_str().ok_or_else(|| format!("`{key}` is not a string"))
    }

    pub fn integer(self, key: &str) -> Result<i64, String> {
        self.value(key)?.as_i64().ok_or_else(|| format!("`{key}` is not an integer"))
    }

    pub fn flag(self, key: &str) -> Result<bool, String> {
        self.value(key)?.as_bool().ok_or_else(|| format!("`{key}` is not a boolean"))
    }

    pub fn instant(self, key: &str) -> Result<Timestamp, String> {
        instant(self.value(key)?)?.ok_or_else(|| format!("`{key}` is null"))
    }

    pub fn optional_instant(self, key: &str) -> Result<Option<Timestamp>, String> {
        self.0.get(key).map_or(Ok(None), instant)
    }

    pub fn zone(self) -> Result<TimeZone, String> {
        zone(self.text("tz").unwrap_or("UTC"))
    }

    /// The dialect of rows that have one meaning only.
    pub fn dialect(self) -> Dialect {
        match self.text("dialect") {
            Ok("seed-000") => Dialect::Seed,
            Ok(_) => Dialect::Ocps,
            Err(_) if self.text("src").is_ok_and(|src| src.contains("croner")) => Dialect::Ocps,
            Err(_) if self.integer("fields") == Ok(6) => Dialect::RobfigSeconds,
            Err(_) => Dialect::Robfig,
        }
    }

    /// The expression, with the option "both days must match" written as this language writes it.
    pub fn expression(self) -> Result<String, String> {
        let text = self.text("expr_raw").or_else(|_| self.text("expr"))?;
        let both = self.0.pointer("/options/dom_and_dow").is_some_and(|option| option == true);
        Ok(match text.rsplit_once(' ') {
            Some((rest, weekdays)) if both => format!("{rest} +{weekdays}"),
            _ => text.to_owned(),
        })
    }

    pub fn schedule(self) -> Result<Result<Schedule, ParseError>, String> {
        Ok(Schedule::parse_with(&self.expression()?, self.dialect()))
    }
}

pub fn instant(value: &Value) -> Result<Option<Timestamp>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|error| format!("{text}: {error}")),
        other => Err(format!("{other} is not an instant")),
    }
}

pub fn zone(name: &str) -> Result<TimeZone, String> {
    if let Some((hours, minutes)) = name.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':')) {
        let (Ok(hours), Ok(minutes)) = (hours.parse::<i32>(), minutes.parse::<i32>()) else {
            return Err(format!("`{name}` is not an offset"));
        };
        let seconds = (hours * 3600 + minutes * 60) * if name.starts_with('-') { -1 } else { 1 };
        return Offset::from_seconds(seconds).map(TimeZone::fixed).map_err(|error| error.to_string());
    }
    TimeZone::get(name).map_err(|error| error.to_string())
}

/// How the report names a refusal: by its reason, without the particulars.
pub fn refusal(error: &ParseError) -> String {
    if let ParseErrorKind::FieldCount { found, .. } = error.kind {
        return format!("refused: FieldCount of {found}");
    }
    let kind = format!("{:?}", error.kind);
    let name = kind.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(&kind);
    format!("refused: {name}")
}

pub fn shown(instant: Option<Timestamp>) -> String {
    instant.map_or_else(|| "never".into(), |instant| instant.to_string())
}

/// A list of instants, as the table and as a schedule have it. Nulls at the end of a list mean that there is no more.
pub fn list(instants: impl IntoIterator<Item = Option<Timestamp>>) -> String {
    let shown: Vec<_> = instants.into_iter().map_while(|instant| Some(instant?.to_string())).collect();
    if shown.is_empty() { "never".into() } else { shown.join(" ") }
}
