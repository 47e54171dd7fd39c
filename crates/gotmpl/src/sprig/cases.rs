//! Upper and lower case, and the ways to write a name.

use super::{Args, Entry};
use crate::unicode::{is_letter, is_space};
use crate::value::{Type, Value};

const T: Type = Type::Text;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("upper", &[T], None, T, |_, args| Ok(map_chars(args, upper))),
    ("lower", &[T], None, T, |_, args| Ok(map_chars(args, lower))),
    ("title", &[T], None, T, |_, args| Ok(Value::from(title(&args.text(0))))),
    ("untitle", &[T], None, T, |_, args| Ok(Value::from(untitle(&args.text(0))))),
    ("swapcase", &[T], None, T, |_, args| Ok(Value::from(swap(&args.text(0))))),
    ("camelcase", &[T], None, T, |_, args| Ok(Value::from(pascal(&args.text(0))))),
    ("snakecase", &[T], None, T, |_, args| Ok(Value::from(joined(&args.text(0), '_')))),
    ("kebabcase", &[T], None, T, |_, args| Ok(Value::from(joined(&args.text(0), '-')))),
];

fn map_chars(args: &Args<'_>, map: fn(char) -> char) -> Value {
    let text = args.text(0);
    if text.chars().all(|char| map(char) == char) {
        return args.get(0).clone();
    }
    Value::from(text.chars().map(map).collect::<String>())
}

/// The one character that is the upper case of this one; Go knows no mappings to several.
fn upper(char: char) -> char {
    let mut mapped = char.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        _ => char,
    }
}

fn lower(char: char) -> char {
    if char == 'İ' {
        return 'i';
    }
    char.to_lowercase().next().unwrap_or(char)
}

fn title(text: &str) -> String {
    let mut previous = ' ';
    text.chars()
        .map(|char| {
            let starts = is_separator(previous);
            previous = char;
            if starts { upper(char) } else { char }
        })
        .collect()
}

/// Go's `strings.isSeparator`.
fn is_separator(char: char) -> bool {
    if char.is_ascii() {
        return !(char.is_ascii_alphanumeric() || char == '_');
    }
    !is_letter(char) && !crate::unicode::is_digit(char) && is_space(char)
}

fn untitle(text: &str) -> String {
    let mut starts = true;
    text.chars()
        .map(|char| {
            if is_space(char) {
                starts = true;
                return char;
            }
            if std::mem::take(&mut starts) { lower(char) } else { char }
        })
        .collect()
}

fn swap(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            char if char.is_uppercase() => lower(char),
            char if char.is_lowercase() => upper(char),
            char => char,
        })
        .collect()
}

fn is_connector(char: char) -> bool {
    char == '-' || char == '_' || is_space(char)
}

fn pascal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    // Connectors at the start stay.
    let mut last = loop {
        match rest.next() {
            None => return out,
            Some(char) if is_connector(char) => out.push(char),
            Some(char) => break char,
        }
    };
    if rest.as_str().is_empty() {
        out.push(upper(last));
        return out;
    }
    let mut in_upper_run = last.is_uppercase();
    last = upper(last);
    for char in rest {
        let before = std::mem::replace(&mut last, char);
        if is_connector(char) && is_connector(before) {
            out.push(before);
            continue;
        }
        if is_connector(before) {
            in_upper_run = char.is_uppercase();
            last = upper(char);
            continue;
        }
        if in_upper_run {
            if char.is_uppercase() {
                last = lower(char);
            } else {
                in_upper_run = false;
            }
        }
        out.push(before);
    }
    out.push(last);
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    None,
    Number,
    Upper,
    Lower,
    Connector,
    Punctuation,
    Other,
}

/// Words of lower case, joined by the connector.
fn joined(text: &str, connector: char) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let push = |out: &mut String, kind: Word, word: &str| {
        if kind != Word::Upper && kind != Word::Connector {
            out.push_str(word);
            return;
        }
        out.extend(word.chars().map(|char| if is_connector(char) { connector } else { lower(char) }));
    };
    let ends_word = |kind: Word| matches!(kind, Word::Connector | Word::Punctuation);
    let (mut kind, mut word, mut rest) = next_word(text);
    while !rest.is_empty() {
        if kind != Word::Connector {
            push(&mut out, kind, word);
        }
        let (previous, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match previous {
            Word::Number => {
                while matches!(kind, Word::Lower | Word::Number) {
                    push(&mut out, kind, word);
                    (kind, word, rest) = next_word(rest);
                }
                if kind != Word::None && !ends_word(kind) {
                    out.push(connector);
                }
            }
            Word::Connector => push(&mut out, previous, last),
            Word::Punctuation => {}
            _ if kind != Word::Number => {
                if !ends_word(kind) {
                    out.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind != Word::Lower {
                    // The number belongs to the word before it: `Bld4Floor`.
                    push(&mut out, Word::Number, number);
                    if !ends_word(kind) {
                        out.push(connector);
                    }
                    continue;
                }
                // The number belongs to the word behind it: `HTTP2xx`.
                out.push(connector);
                push(&mut out, Word::Number, number);
                while matches!(kind, Word::Lower | Word::Number) {
                    push(&mut out, kind, word);
                    (kind, word, rest) = next_word(rest);
                }
                if kind != Word::None && !ends_word(kind) {
                    out.push(connector);
                }
            }
        }
    }
    push(&mut out, kind, word);
    out
}

/// Letters but those of Chinese, Japanese and Korean, which know no case.
fn is_alphabet(char: char) -> bool {
    is_letter(char) && !matches!(char, '\u{4e00}'..='\u{9fcc}' | '\u{3400}'..='\u{4d85}' | '\u{20000}'..='\u{2b81d}')
}

fn is_number(char: char) -> bool {
    char.is_numeric()
}

fn is_punctuation(char: char) -> bool {
    use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
    char.general_category_group() == GeneralCategoryGroup::Punctuation
}

fn next_word(text: &str) -> (Word, &str, &str) {
    let Some(first) = text.chars().next() else { return (Word::None, "", "") };
    let run = |start: usize, belongs: &dyn Fn(char) -> bool| {
        text[start..].find(|char| !belongs(char)).map_or(text.len(), |at| start + at)
    };
    let second = first.len_utf8();
    let lower_run = |start| run(start, &|char| is_alphabet(char) && !char.is_uppercase());
    let (kind, end) = match first {
        char if is_connector(char) => (Word::Connector, run(0, &is_connector)),
        char if is_punctuation(char) => (Word::Punctuation, run(0, &is_punctuation)),
        char if char.is_uppercase() => {
            let end = match text[second..].chars().next() {
                Some(next) if next.is_uppercase() => {
                    let end = run(0, &char::is_uppercase);
                    // The last of several capitals starts the next word: `HTTPStatus`.
                    match text[end..].chars().next() {
                        Some(next) if is_alphabet(next) => {
                            end - text[..end].chars().next_back().map_or(0, char::len_utf8)
                        }
                        _ => end,
                    }
                }
                Some(next) if is_alphabet(next) => lower_run(second),
                _ => second,
            };
            (Word::Upper, end)
        }
        char if is_alphabet(char) => (Word::Lower, lower_run(0)),
        char if is_number(char) => (Word::Number, run(0, &is_number)),
        _ => {
            let other = |char| !is_connector(char) && !is_alphabet(char) && !is_number(char) && !is_punctuation(char);
            (Word::Other, run(0, &other))
        }
    };
    (kind, &text[..end], &text[end..])
}
