//! Filters that lay out text.

use minijinja::value::{Kwargs, Rest, Value, ValueOrKwargs, from_args};
use minijinja::{Error, State};

use super::filters::{argument, invalid};
use super::{python, text};

pub(super) fn truncate(value: &Value, rest: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let rest = rest.into_values();
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

pub(super) fn center(state: &State, value: &Value, width: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let width = argument(width, &options, "width", 80)?;
    options.assert_all_used()?;
    state.consume_fuel(width as u64 / 16)?;
    Ok(text::center(&python::str(value), width, ' '))
}

pub(super) fn wordwrap(state: &State, value: &Value, rest: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let rest = rest.into_values();
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

/// The width is a number of blanks, or what stands before each line.
pub(super) fn indent(state: &State, value: &Value, rest: Rest<ValueOrKwargs>) -> Result<String, Error> {
    type Arguments = (Option<Value>, Option<bool>, Option<bool>, Kwargs);
    let rest = rest.into_values();
    let (width, first, blank, options): Arguments = from_args(&rest)?;
    let width = argument(width, &options, "width", Value::from(4))?;
    let first = argument(first, &options, "first", false)?;
    let blank = argument(blank, &options, "blank", false)?;
    options.assert_all_used()?;
    let value = python::str(value);
    let count = value.matches('\n').count() as u64 + 1;
    let margin = match (width.as_str(), width.as_usize()) {
        (Some(margin), _) => margin.to_owned(),
        (None, Some(width)) => {
            state.consume_fuel((width as u64).saturating_mul(count) / 16)?;
            " ".repeat(width)
        }
        (None, None) => return Err(invalid("a width is a number or a text")),
    };
    state.consume_fuel((margin.len() as u64).saturating_mul(count) / 16)?;
    let mut out = String::new();
    // A line feed at the end makes one more line, which is empty.
    for (at, line) in value.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let wanted = if at == 0 { first } else { blank || !line.is_empty() };
        if wanted {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(out)
}
