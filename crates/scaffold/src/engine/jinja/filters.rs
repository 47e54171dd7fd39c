//! Filters and functions that real templates use and minijinja lacks, or has otherwise: those of Jinja2 itself, of
//! cookiecutter, and of Ansible (which copier brings along).

use jiff::Timestamp;
use minijinja::value::{ArgType, Kwargs, Rest, Tuple, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State};
use piton_gotmpl::Surroundings;

use super::{json, layout, python, text, yaml};

/// The indentation of `to_nice_json`, `to_nice_yaml` and `jsonify`.
const INDENT: usize = 4;

/// Letters of a text that `random_ascii_string` makes at most.
const LONGEST_RANDOM: usize = 1024;

pub(super) fn add(environment: &mut Environment<'static>, surroundings: &Surroundings) {
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("forceescape", |value: &Value| text::escape(&python::str(value)));
    environment.add_filter("truncate", layout::truncate);
    environment.add_filter("center", layout::center);
    environment.add_filter("wordcount", |value: &Value| text::count_words(&python::str(value)));
    environment.add_filter("wordwrap", layout::wordwrap);
    environment.add_filter("filesizeformat", |value: f64, binary: Option<bool>| {
        text::file_size(value, binary.unwrap_or(false))
    });
    environment.add_filter("striptags", |value: &Value| minijinja_contrib::filters::striptags(python::str(value)));
    environment.add_filter("string", |value: &Value| python::str(value));
    environment.add_filter("indent", layout::indent);
    environment.add_filter("pprint", |value: &Value| python::representation(value));
    environment.add_filter("xmlattr", xmlattr);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("slugify", slugify);
    environment.add_filter("jsonify", |value: &Value, indent: Option<usize>| {
        json::dump(value, Some(indent.unwrap_or(INDENT)))
    });
    environment.add_filter("to_json", |value: &Value| json::dump(value, None));
    environment.add_filter("to_nice_json", |value: &Value, options: Kwargs| {
        let indent = options.get::<Option<usize>>("indent")?.unwrap_or(INDENT);
        json::dump(value, Some(indent))
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
    environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
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

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn escape(value: &Value) -> Value {
    if value.is_safe() { value.clone() } else { Value::from_safe_string(text::escape(&python::str(value))) }
}

/// An argument by its place or its name.
pub(super) fn argument<T>(given: Option<T>, options: &Kwargs, name: &'static str, default: T) -> Result<T, Error>
where
    Option<T>: for<'a> ArgType<'a, Output = Option<T>>,
{
    match given {
        Some(value) => Ok(value),
        None => Ok(options.get::<Option<T>>(name)?.unwrap_or(default)),
    }
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

/// A text for a path, or names with values for a query.
fn urlencode(value: &Value) -> Result<String, Error> {
    if value.kind() != ValueKind::Map {
        return minijinja::filters::urlencode(&Value::from(python::str(value)));
    }
    let quote = |value: &Value| -> Result<String, Error> {
        let path = minijinja::filters::urlencode(&Value::from(python::str(value)))?;
        Ok(path.replace("%20", "+").replace('/', "%2F"))
    };
    let mut fields = Vec::new();
    for key in value.try_iter()? {
        fields.push(format!("{}={}", quote(&key)?, quote(&value.get_item(&key)?)?));
    }
    Ok(fields.join("&"))
}

fn dictsort(state: &State, value: &Value, rest: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    type Arguments = (Option<bool>, Option<String>, Option<bool>, Kwargs);
    let rest = rest.into_values();
    let (case_sensitive, by, reverse, options): Arguments = from_args(&rest)?;
    let case_sensitive = argument(case_sensitive, &options, "case_sensitive", false)?;
    let by = argument(by, &options, "by", "key".to_owned())?;
    let reverse = argument(reverse, &options, "reverse", false)?;
    options.assert_all_used()?;
    let by_value = match by.as_str() {
        "key" => false,
        "value" => true,
        _ => return Err(invalid("You can only sort by either \"key\" or \"value\"")),
    };
    let mut pairs = Vec::new();
    for key in value.try_iter()? {
        let field = value.get_item(&key)?;
        let by = if by_value { &field } else { &key };
        let by = match by.as_str() {
            Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
            _ => by.clone(),
        };
        pairs.push((by, key, field));
    }
    state.consume_fuel((pairs.len() as u64).saturating_mul(32))?;
    pairs.sort_by(|(a, ..), (b, ..)| if reverse { b.cmp(a) } else { a.cmp(b) });
    Ok(pairs.into_iter().map(|(_, key, field)| Value::from(Tuple::from([key, field]))).collect())
}

fn int(value: &Value, default: Option<Value>, base: Option<u32>, options: Kwargs) -> Result<Value, Error> {
    let default = argument(default, &options, "default", Value::from(0))?;
    let base = argument(base, &options, "base", 10)?;
    options.assert_all_used()?;
    let whole = |number: f64| (number.is_finite() && number.abs() < 1e18).then(|| Value::from(number.trunc() as i64));
    Ok(match (value.kind(), value.as_str()) {
        (ValueKind::Bool, _) => Value::from(i64::from(value.is_true())),
        (ValueKind::Number, _) if value.is_integer() => value.clone(),
        (ValueKind::Number, _) => f64::try_from(value.clone()).ok().and_then(whole).unwrap_or(default),
        (_, Some(text)) => {
            let text = text.trim().replace('_', "");
            let digits = match base {
                16 => text.trim_start_matches("0x").trim_start_matches("0X"),
                8 => text.trim_start_matches("0o"),
                2 => text.trim_start_matches("0b"),
                2..=36 => text.as_str(),
                _ => return Ok(default),
            };
            let read = i64::from_str_radix(digits, base).map(Value::from).ok();
            read.or_else(|| text.parse().ok().and_then(whole)).unwrap_or(default)
        }
        _ => default,
    })
}

fn float(value: &Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let default = argument(default, &options, "default", Value::from(0.0))?;
    options.assert_all_used()?;
    let read = match (value.kind(), value.as_str()) {
        (ValueKind::Bool, _) => Some(f64::from(u8::from(value.is_true()))),
        (_, Some(text)) => text.trim().parse().ok(),
        _ => f64::try_from(value.clone()).ok(),
    };
    Ok(read.map_or(default, Value::from))
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

fn to_yaml(value: &Value, options: &Kwargs, default: usize) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?.unwrap_or(default);
    if !(1..=16).contains(&indent) {
        return Err(invalid("an indent is 1 to 16"));
    }
    yaml::write(&json::to_data(value)?, indent).map_err(invalid)
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
