//! What a value of the configuration may be.

use std::net::IpAddr;
use std::time::Duration;

use piton_cron::Schedule;
use piton_model::with_lower_scheme;

use super::listen::{Listen, NoListen};
use crate::document::Value;
use crate::duration::{hint_for_number, parse_duration};
use crate::fields::shown;
use crate::schedule::find_time_zone;
use crate::suggest::nearest;

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Path,
    Bool,
    /// From, to.
    Integer(i64, i64),
    /// `60m`
    Duration,
    /// The same, where a bare number means seconds.
    Seconds,
    /// `10MB`
    Size,
    Choice(&'static [&'static str]),
    Zone,
    Cron,
    /// One of these schemes.
    Url(&'static [&'static str]),
    Listen,
    BasePath,
    Texts,
    Networks,
    /// Read by whoever needs it.
    Table,
    Tables,
    Raw,
}

/// Why a value is not of its kind.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Which element of a list it is about, from 0.
    pub(crate) element: Option<usize>,
}

impl Mismatch {
    fn new(message: impl Into<String>) -> Mismatch {
        Mismatch { message: message.into(), hint: None, element: None }
    }

    fn hint(self, hint: impl Into<String>) -> Mismatch {
        Mismatch { hint: Some(hint.into()), ..self }
    }

    fn in_element(self, index: usize) -> Mismatch {
        Mismatch { element: Some(index), ..self }
    }
}

impl Kind {
    /// The kind for people.
    pub(crate) fn words(&self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Integer(min, max) => format!("number, {min} to {max}"),
            Kind::Duration => "duration such as `90s`, `60m`, `1h30m`".to_owned(),
            Kind::Seconds => "seconds, or a duration such as `5m`".to_owned(),
            Kind::Size => "size such as `10MB`".to_owned(),
            Kind::Choice(words) => format!("one of {}", quoted(words)),
            Kind::Zone => "time zone such as `Europe/Berlin`".to_owned(),
            Kind::Cron => "cron expression".to_owned(),
            Kind::Url(schemes) => format!("URL ({})", schemes.join(", ")),
            Kind::Listen => "`ADDRESS:PORT` or `:PORT`".to_owned(),
            Kind::BasePath => "path of a URL".to_owned(),
            Kind::Texts => "list of text".to_owned(),
            Kind::Networks => "list of networks such as `10.0.0.0/8`".to_owned(),
            Kind::Table => "table".to_owned(),
            Kind::Tables => "list of tables".to_owned(),
            Kind::Raw => "any value".to_owned(),
        }
    }

    /// The value as variables and flags give it: text.
    pub(crate) fn value_of_text(&self, text: &str) -> Value {
        let trimmed = text.trim();
        let number = || trimmed.parse::<i64>().ok().map(|number| Value::Number(number.into()));
        match self {
            Kind::Bool => match trimmed.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Value::Bool(true),
                "false" | "0" | "no" | "off" => Value::Bool(false),
                _ => Value::Text(text.to_owned()),
            },
            Kind::Integer(..) | Kind::Seconds | Kind::Size => number().unwrap_or_else(|| Value::Text(text.to_owned())),
            Kind::Texts | Kind::Networks => Value::List(
                trimmed
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| crate::document::Node { value: Value::Text(item.to_owned()), start: 0 })
                    .collect(),
            ),
            Kind::Table | Kind::Tables => {
                let document =
                    crate::document::Document::parse("".as_ref(), text.into(), crate::document::Format::Json);
                document.map_or_else(|_| Value::Text(text.to_owned()), |document| document.root.value)
            }
            _ => Value::Text(text.to_owned()),
        }
    }

    /// Checks a value and brings it into the form in which settings are kept.
    pub(crate) fn check(&self, value: &Value) -> Result<serde_json::Value, Mismatch> {
        let wrong = || Mismatch::new(format!("expected {}, found {}", self.words(), value.kind()));
        match (self, value) {
            (Kind::Raw, value) => Ok(value.to_json()),
            (Kind::Bool, Value::Bool(flag)) => Ok((*flag).into()),
            (Kind::Integer(min, max), Value::Number(number)) => match number.as_i64() {
                Some(number) if (*min..=*max).contains(&number) => Ok(number.into()),
                _ => Err(Mismatch::new(format!("{number} is out of range, it goes from {min} to {max}"))),
            },
            (Kind::Seconds, Value::Number(number)) => match number.as_u64() {
                Some(seconds) if seconds > 0 => check_duration(&format!("{seconds}s")),
                _ => Err(Mismatch::new(format!("{number} is not a number of seconds"))),
            },
            (Kind::Size, Value::Number(number)) if number.as_u64().is_some() => Ok(value.to_json()),
            (Kind::Duration, Value::Number(number)) => Err(wrong().hint(hint_for_number(number))),
            (Kind::Texts | Kind::Networks, Value::Text(text)) => self.check(&self.value_of_text(text)),
            (Kind::Texts | Kind::Networks, Value::List(items)) => {
                let check_one = |value: &Value| match (self, value) {
                    (Kind::Texts, Value::Text(text)) => Ok(text.as_str().into()),
                    (_, Value::Text(text)) => check_network(text),
                    (_, other) => Err(Mismatch::new(format!("expected text, found {}", other.kind()))),
                };
                let each = items.iter().enumerate();
                each.map(|(index, item)| check_one(&item.value).map_err(|error| error.in_element(index))).collect()
            }
            (Kind::Table, Value::Table(_)) => Ok(value.to_json()),
            (Kind::Tables, Value::List(items)) => {
                let mut each = items.iter().map(|item| &item.value).enumerate();
                match each.find(|(_, one)| !matches!(one, Value::Table(_))) {
                    None => Ok(value.to_json()),
                    Some((index, other)) => {
                        Err(Mismatch::new(format!("expected a table, found {}", other.kind())).in_element(index))
                    }
                }
            }
            (_, Value::Text(text)) => {
                if text.contains('\0') {
                    return Err(Mismatch::new("this must not hold a NUL character"));
                }
                self.check_text(text).unwrap_or_else(|| Err(wrong()))
            }
            _ => Err(wrong()),
        }
    }

    /// Checks text, for the kinds that are written as text.
    fn check_text(&self, text: &str) -> Option<Result<serde_json::Value, Mismatch>> {
        let filled = || !text.trim().is_empty();
        Some(match self {
            Kind::Choice(words) if words.contains(&"warn") && text.trim().eq_ignore_ascii_case("warning") => {
                Ok("warn".into())
            }
            Kind::Text => Ok(text.into()),
            Kind::Path if filled() => Ok(text.into()),
            Kind::Path => Err(Mismatch::new("this must not be empty")),
            Kind::Duration | Kind::Seconds => check_duration(text),
            Kind::Size => parse_size(text).map(Into::into).ok_or_else(|| {
                Mismatch::new(format!("`{}` is not a size", shown(text))).hint("for example `10MB` or `1GB`")
            }),
            Kind::Choice(words) => {
                let word = text.trim().to_ascii_lowercase();
                if words.contains(&word.as_str()) {
                    Ok(word.into())
                } else {
                    let error = Mismatch::new(format!("`{}` is not one of {}", shown(text), words.join(", ")));
                    Err(match nearest(&word, words.iter().copied()) {
                        Some(near) => error.hint(format!("did you mean `{near}`?")),
                        None => error,
                    })
                }
            }
            Kind::Zone => match find_time_zone(text) {
                Some(_) => Ok(text.trim().into()),
                None => Err(Mismatch::new(format!("unknown time zone `{}`", shown(text)))
                    .hint("use a name of the IANA database, for example `Europe/Berlin` or `UTC`")),
            },
            Kind::Cron => match Schedule::parse(text) {
                Ok(_) => Ok(text.trim().into()),
                Err(error) => Err(Mismatch { hint: error.hint(), ..Mismatch::new(error.to_string()) }),
            },
            Kind::Url(schemes) => check_url(text, schemes),
            Kind::Listen => match Listen::read(text) {
                Ok(_) => Ok(text.trim().into()),
                Err(NoListen::Port) => {
                    let text = shown(text);
                    Err(Mismatch::new(format!("`{text}` is not an address to listen on: port must be 0-65535"))
                        .hint("0 lets the system choose a port"))
                }
                Err(NoListen::Form) => Err(Mismatch::new(format!("`{}` is not an address to listen on", shown(text)))
                    .hint("write `127.0.0.1:8080` for this host only, `:8080` for every address")),
            },
            Kind::BasePath => check_base_path(text),
            _ => return None,
        })
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn check_duration(text: &str) -> Result<serde_json::Value, Mismatch> {
    let hint = "write a number and a unit (h, m, s), for example `60m` or `90s`";
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err(Mismatch::new("the duration must be longer than zero").hint(hint)),
        Ok(_) => Ok(text.trim().into()),
        Err(error) => Err(Mismatch::new(error.to_string()).hint(hint)),
    }
}

/// Bytes of `10MB`, `512KiB`, `100`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale: Option<u64> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1 << 30),
        "t" | "tb" | "tib" => Some(1 << 40),
        _ => None,
    };
    number.parse::<u64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(scale))
}

fn check_network(text: &str) -> Result<serde_json::Value, Mismatch> {
    let (address, prefix) = text.trim().split_once('/').unwrap_or((text.trim(), ""));
    let valid = address.parse::<IpAddr>().is_ok_and(|address| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        prefix.is_empty() || prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
    });
    if valid {
        Ok(text.trim().into())
    } else {
        Err(Mismatch::new(format!("`{}` is not a network", shown(text))).hint("for example `10.0.0.0/8` or `fd00::/8`"))
    }
}

fn check_url(text: &str, schemes: &[&str]) -> Result<serde_json::Value, Mismatch> {
    let text = with_lower_scheme(text, ":");
    // The text is not shown: it may hold a password.
    match text.split_once(':') {
        Some((scheme, _)) if schemes.contains(&scheme) && !text.contains(char::is_whitespace) => Ok(text.into()),
        Some((scheme, _)) if !schemes.contains(&scheme) => {
            Err(Mismatch::new(format!("a URL that begins with `{}:` is not possible here", shown(scheme)))
                .hint(format!("it begins with {}", quoted(schemes))))
        }
        _ => Err(Mismatch::new("this is not a URL").hint(format!("it begins with {}", quoted(schemes)))),
    }
}

/// `/api`: one slash at the beginning, none at the end; `/` becomes empty.
fn check_base_path(text: &str) -> Result<serde_json::Value, Mismatch> {
    let path = text.trim().trim_matches('/');
    let valid = path.split('/').all(|part| {
        part != ".." && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~'))
    });
    if !valid || path.contains("//") {
        let error = Mismatch::new(format!("`{}` is not the path of a URL", shown(text)));
        return Err(error.hint("for example `/api`; letters, digits, `-`, `_`, `.` and `~`"));
    }
    Ok(if path.is_empty() { "".into() } else { format!("/{path}").into() })
}
