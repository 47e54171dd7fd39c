//! Methods of Python's strings, lists and dictionaries. The contrib crate has the most common; here are the others.

use minijinja::value::{Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};

use super::text;

/// Widest text that is padded.
const WIDEST: usize = 1 << 20;

pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let found = match (value.kind(), value.as_str()) {
        (ValueKind::String, Some(text)) => string(state, text, method, args)?,
        (ValueKind::Seq, _) if method == "index" => Some(index(value, args)?),
        (ValueKind::Number, _) if method == "is_integer" => {
            let number = f64::try_from(value.clone())?;
            Some(Value::from(number.fract() == 0.0))
        }
        (ValueKind::Map, _) if method == "copy" => Some(value.clone()),
        _ => None,
    };
    match found {
        Some(value) => Ok(value),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn index(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let (wanted,): (&Value,) = from_args(args)?;
    match list.try_iter()?.position(|item| item == *wanted) {
        Some(at) => Ok(Value::from(at)),
        None => Err(Error::new(ErrorKind::InvalidOperation, format!("{wanted:?} is not in the list"))),
    }
}

fn string(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let pad = |args: &[Value]| -> Result<(usize, char), Error> {
        let (width, fill): (usize, Option<&str>) = from_args(args)?;
        let mut fill = fill.unwrap_or(" ").chars();
        match (fill.next(), fill.next()) {
            (Some(fill), None) if width <= WIDEST => {
                state.consume_fuel(width as u64 / 16)?;
                Ok((width.saturating_sub(text.chars().count()), fill))
            }
            _ => Err(Error::new(ErrorKind::InvalidOperation, "one character fills up to a width")),
        }
    };
    let repeat = |fill: char, count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    Ok(Some(match method {
        "format" => {
            check_widths(state, text)?;
            return Ok(None);
        }
        "casefold" => Value::from(text.to_lowercase().replace('ß', "ss")),
        "swapcase" => Value::from(text.chars().flat_map(swap).collect::<String>()),
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "center" => {
            let (missing, fill) = pad(args)?;
            Value::from(text::center(text, missing + text.chars().count(), fill))
        }
        "ljust" => {
            let (missing, fill) = pad(args)?;
            Value::from(format!("{text}{}", repeat(fill, missing)))
        }
        "rjust" => {
            let (missing, fill) = pad(args)?;
            Value::from(format!("{}{text}", repeat(fill, missing)))
        }
        "zfill" => {
            let (missing, _) = pad(args)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            Value::from(format!("{sign}{}{digits}", repeat('0', missing)))
        }
        "index" => {
            let (wanted,): (&str,) = from_args(args)?;
            let at = text.find(wanted);
            let at = at.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "substring not found"))?;
            Value::from(text[..at].chars().count())
        }
        // Python refuses what the contrib crate answers somehow.
        "split" if args.first().is_some_and(|separator| separator.as_str() == Some("")) => {
            return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
        }
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            let parts = text.split_once(separator);
            three(parts.map_or([text, "", ""], |(head, tail)| [head, separator, tail]))
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            let parts = text.rsplit_once(separator);
            three(parts.map_or(["", "", text], |(head, tail)| [head, separator, tail]))
        }
        "rsplit" => {
            let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
            let most =
                most.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |most| most.saturating_add(1));
            let mut parts: Vec<&str> = match separator {
                Some(separator) => text.rsplitn(most, separator).collect(),
                None => text.trim().rsplitn(most, char::is_whitespace).filter(|part| !part.is_empty()).collect(),
            };
            parts.reverse();
            parts.into_iter().map(Value::from).collect()
        }
        "istitle" => Value::from(is_title(text)),
        "isidentifier" => {
            let mut chars = text.chars();
            let starts = chars.next().is_some_and(|char| char.is_alphabetic() || char == '_');
            Value::from(starts && chars.all(|char| char.is_alphanumeric() || char == '_'))
        }
        "isdecimal" => Value::from(!text.is_empty() && text.chars().all(|char| char.is_ascii_digit())),
        _ => return Ok(None),
    }))
}

/// The contrib crate pads to whatever width it is told, before anybody counts.
fn check_widths(state: &State, format: &str) -> Result<(), Error> {
    let mut sum: u64 = 0;
    for field in format.split('{').skip(1) {
        let field = field.split('}').next().unwrap_or_default();
        for digits in field.split(|char: char| !char.is_ascii_digit()).filter(|digits| !digits.is_empty()) {
            match digits.parse::<u64>() {
                Ok(width) if width <= WIDEST as u64 => sum += width,
                _ => return Err(Error::new(ErrorKind::InvalidOperation, "a width in a format is too large")),
            }
        }
    }
    state.consume_fuel(sum / 16)
}

fn three(parts: [&str; 3]) -> Value {
    Value::from(Tuple::from(parts.map(Value::from)))
}

fn swap(char: char) -> Vec<char> {
    if char.is_uppercase() { char.to_lowercase().collect() } else { char.to_uppercase().collect() }
}

fn is_title(text: &str) -> bool {
    let mut cased = false;
    let mut in_word = false;
    for char in text.chars() {
        if char.is_uppercase() == in_word && (char.is_uppercase() || char.is_lowercase()) {
            return false;
        }
        in_word = char.is_uppercase() || char.is_lowercase();
        cased |= in_word;
    }
    cased
}
