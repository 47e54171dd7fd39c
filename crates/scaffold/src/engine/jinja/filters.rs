//! Filters and functions that real templates use and minijinja lacks, or has otherwise: those of Jinja2 itself, of
//! cookiecutter, and of Ansible (which copier brings along).

use jiff::Timestamp;
use minijinja::value::{ArgType, Kwargs, Rest, Value, from_args};
use minijinja::{Environment, Error, ErrorKind, State};
use piton_gotmpl::Surroundings;

use super::{python, text, yaml};

/// The indentation of `to_nice_json`, `to_nice_yaml` and `jsonify`.
const INDENT: usize = 4;

/// Letters of a text that `random_ascii_string` makes at most.
const LONGEST_RANDOM: usize = 1024;

pub(super) fn add(environment: &mut Environment<'static>, surroundings: &Surroundings) {
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("forceescape", |value: &Value| text::escape(&python::str(value)));
    environment.add_filter("truncate", truncate);
    environment.add_filter("center", center);
    environment.add_filter("wordcount", |value: &Value| text::count_words(&python::str(value)));
    environment.add_filter("wordwrap", wordwrap);
    environment.add_filter("filesizeformat", |value: f64, binary: Option<bool>| {
        text::file_size(value, binary.unwrap_or(false))
    });
    environment.add_filter("striptags", |value: &Value| minijinja_contrib::filters::striptags(python::str(value)));
    environment.add_filter("string", |value: &Value| python::str(value));
    environment.add_filter("xmlattr", xmlattr);
    environment.add_filter("slugify", slugify);
    environment
        .add_filter("jsonify", |value: &Value, indent: Option<usize>| json(value, Some(indent.unwrap_or(INDENT))));
    environment.add_filter("to_json", |value: &Value| json(value, None));
    environment.add_filter("to_nice_json", |value: &Value, options: Kwargs| {
        let indent = options.get::<Option<usize>>("indent")?.unwrap_or(INDENT);
        json(value, Some(indent))
    });
    environment.add_filter("to_yaml", |value: &Value, options: Kwargs| to_yaml(value, &options, 2));
    environment.add_filter("to_nice_yaml", |value: &Value, options: Kwargs| to_yaml(value, &options, INDENT));
    environment.add_filter("ternary", |value: Value, yes: Value, no: Value| if value.is_true() { yes } else { no });
    environment.add_filter("regex_replace", regex_replace);
    environment.add_filter("random", {
        let random = surroundings.random.clone();
        move |value: &Value| -> Result<Value, Error> {
            let items: Vec<Value> = value.try_iter()?.collect();
            let mut bytes = [0; 8];
            random(&mut bytes);
            let at = u64::from_le_bytes(bytes) % (items.len() as u64).max(1);
            Ok(items.get(at as usize).cloned().unwrap_or_default())
        }
    });
    environment.add_function("cycler", minijinja_contrib::globals::cycler);
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    let now = surroundings.now.clone();
    let zone = surroundings.zone.clone();
    environment.add_function("now", move |format: Option<String>| -> Result<String, Error> {
        let time: Timestamp = now();
        match format {
            None => Ok(time.to_string()),
            Some(format) => jiff::fmt::strtime::format(&format, &time.to_zoned(zone.clone()))
                .map_err(|error| invalid(format!("`{format}` is no format of a time: {error}"))),
        }
    });
    let random = surroundings.random.clone();
    environment.add_function("random_ascii_string", move |length: usize, punctuation: Option<bool>| {
        random_text(length, punctuation.unwrap_or(false), &|bytes| random(bytes))
    });
    let random = surroundings.random.clone();
    environment.add_function("uuid4", move || {
        let mut bytes = [0; 16];
        random(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let digits = hex::encode(bytes);
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    });
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn escape(value: &Value) -> Value {
    if value.is_safe() { value.clone() } else { Value::from_safe_string(text::escape(&python::str(value))) }
}

/// An argument by its place or its name.
fn argument<T>(given: Option<T>, options: &Kwargs, name: &'static str, default: T) -> Result<T, Error>
where
    Option<T>: for<'a> ArgType<'a, Output = Option<T>>,
{
    match given {
        Some(value) => Ok(value),
        None => Ok(options.get::<Option<T>>(name)?.unwrap_or(default)),
    }
}

fn truncate(value: &Value, rest: Rest<Value>) -> Result<String, Error> {
    type Arguments = (Option<usize>, Option<bool>, Option<String>, Option<usize>, Kwargs);
    let (length, kill_words, end, leeway, options): Arguments = from_args(&rest)?;
    let length = argument(length, &options, "length", 255)?;
    let kill_words = argument(kill_words, &options, "killwords", false)?;
    let end = argument(end, &options, "end", "...".to_owned())?;
    let leeway = argument(leeway, &options, "leeway", 5)?;
    options.assert_all_used()?;
    let least = end.chars().count();
    if length < least {
        return Err(invalid(format!("expected length >= {least}, got {length}")));
    }
    Ok(text::truncate(&python::str(value), length, !kill_words, &end, leeway))
}

fn center(state: &State, value: &Value, width: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let width = argument(width, &options, "width", 80)?;
    options.assert_all_used()?;
    state.consume_fuel(width as u64 / 16)?;
    Ok(text::center(&python::str(value), width, ' '))
}

fn wordwrap(state: &State, value: &Value, rest: Rest<Value>) -> Result<String, Error> {
    type Arguments = (Option<usize>, Option<bool>, Option<String>, Option<bool>, Kwargs);
    let (width, long_words, newline, hyphens, options): Arguments = from_args(&rest)?;
    let width = argument(width, &options, "width", 79)?;
    let long_words = argument(long_words, &options, "break_long_words", true)?;
    let newline = argument(newline, &options, "wrapstring", "\n".to_owned())?;
    let hyphens = argument(hyphens, &options, "break_on_hyphens", true)?;
    options.assert_all_used()?;
    let value = python::str(value);
    // Each character may end a line.
    state.consume_fuel((value.len() as u64).saturating_mul(1 + newline.len() as u64 / 16))?;
    Ok(text::wrap(&value, width, text::Breaks { long_words, hyphens }, &newline))
}

fn xmlattr(value: &Value, autospace: Option<bool>) -> Result<Value, Error> {
    let mut attributes = Vec::new();
    for key in value.try_iter()? {
        let field = value.get_item(&key)?;
        if field.is_none() || field.is_undefined() {
            continue;
        }
        let name = python::str(&key);
        if name.contains(|char: char| char.is_whitespace() || "/>=".contains(char)) {
            return Err(invalid(format!("invalid character in attribute name: {name:?}")));
        }
        attributes.push(format!("{}=\"{}\"", text::escape(&name), text::escape(&python::str(&field))));
    }
    let mut out = attributes.join(" ");
    if autospace.unwrap_or(true) && !out.is_empty() {
        out.insert(0, ' ');
    }
    Ok(Value::from_safe_string(out))
}

fn slugify(value: &Value, separator: Option<String>, options: Kwargs) -> Result<String, Error> {
    let separator = argument(separator, &options, "separator", "-".to_owned())?;
    let lowercase = options.get::<Option<bool>>("lowercase")?.unwrap_or(true);
    let longest = options.get::<Option<usize>>("max_length")?.unwrap_or(0);
    options.assert_all_used()?;
    let slug = text::slugify(&python::str(value), &separator, lowercase);
    if longest == 0 {
        return Ok(slug);
    }
    let cut: String = slug.chars().take(longest).collect();
    Ok(cut.trim_end_matches(separator.as_str()).to_owned())
}

fn to_data(value: &Value) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Python's `json.dumps`: keys sorted where it is for people, characters beyond ASCII escaped.
fn json(value: &Value, indent: Option<usize>) -> Result<String, Error> {
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

fn to_yaml(value: &Value, options: &Kwargs, default: usize) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?.unwrap_or(default);
    if !(1..=16).contains(&indent) {
        return Err(invalid("an indent is 1 to 16"));
    }
    yaml::write(&to_data(value)?, indent).map_err(invalid)
}

fn regex_replace(value: &Value, pattern: &str, replacement: &str, options: Rest<Value>) -> Result<String, Error> {
    let _ = options;
    let pattern = regex::Regex::new(pattern).map_err(|error| invalid(format!("{error}")))?;
    // Python writes `\1` where this library writes `${1}`.
    let mut written = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                written.push_str(&format!("${{{digit}}}"));
                chars.next();
            }
            ('$', _) => written.push_str("$$"),
            _ => written.push(char),
        }
    }
    Ok(pattern.replace_all(&python::str(value), written.as_str()).into_owned())
}

fn random_text(length: usize, punctuation: bool, random: &dyn Fn(&mut [u8])) -> Result<String, Error> {
    if length > LONGEST_RANDOM {
        return Err(invalid(format!("a random text has at most {LONGEST_RANDOM} characters")));
    }
    let letters: Vec<char> = if punctuation {
        (b'!'..=b'~').map(char::from).collect()
    } else {
        (b'a'..=b'z').chain(b'A'..=b'Z').map(char::from).collect()
    };
    let mut bytes = vec![0; length * 8];
    random(&mut bytes);
    let pick = |chunk: &[u8]| {
        let number = chunk.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        letters[(number % letters.len() as u64) as usize]
    };
    Ok(bytes.chunks_exact(8).map(pick).collect())
}
