//! Regular expressions.

use regex::bytes::{Regex, RegexBuilder};

use super::{Args, Entry};
use crate::function::{FunctionError, Outcome};
use crate::limits::Meter;
use crate::unicode::is_alphanumeric;
use crate::value::{Element, List, Type, Value};

const T: Type = Type::Text;
const I: Type = Type::Int;
const B: Type = Type::Bool;
const TL: Type = Type::List(Element::Text);

/// What a compiled expression may take.
const SIZE_LIMIT: usize = 1 << 20;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("regexMatch", &[T, T], None, B, |meter, args| {
        Ok(Value::Bool(compile(meter, args).is_ok_and(|regex| regex.is_match(args.bytes(1)))))
    }),
    ("mustRegexMatch", &[T, T], None, B, |meter, args| Ok(Value::Bool(compile(meter, args)?.is_match(args.bytes(1))))),
    ("regexFind", &[T, T], None, T, |meter, args| Ok(find(&must(meter, args)?, args))),
    ("mustRegexFind", &[T, T], None, T, |meter, args| Ok(find(&compile(meter, args)?, args))),
    ("regexFindAll", &[T, T, I], None, TL, |meter, args| Ok(find_all(&must(meter, args)?, args))),
    ("mustRegexFindAll", &[T, T, I], None, TL, |meter, args| Ok(find_all(&compile(meter, args)?, args))),
    ("regexReplaceAll", &[T, T, T], None, T, |meter, args| replace(meter, |meter| must(meter, args), args, true)),
    ("mustRegexReplaceAll", &[T, T, T], None, T, |meter, args| {
        replace(meter, |meter| compile(meter, args), args, true)
    }),
    ("regexReplaceAllLiteral", &[T, T, T], None, T, |meter, args| {
        replace(meter, |meter| must(meter, args), args, false)
    }),
    ("mustRegexReplaceAllLiteral", &[T, T, T], None, T, |meter, args| {
        replace(meter, |meter| compile(meter, args), args, false)
    }),
    ("regexSplit", &[T, T, I], None, TL, |meter, args| Ok(split(&must(meter, args)?, args))),
    ("mustRegexSplit", &[T, T, I], None, TL, |meter, args| Ok(split(&compile(meter, args)?, args))),
    ("regexQuoteMeta", &[T], None, T, |meter, args| {
        meter.allocate(args.bytes(0).len())?;
        let mut out = Vec::with_capacity(args.bytes(0).len());
        for byte in args.bytes(0) {
            if br"\.+*?()|[]{}^$".contains(byte) {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        Ok(out.into())
    }),
];

fn compile(meter: &mut Meter, args: &Args<'_>) -> Result<Regex, FunctionError> {
    let pattern = args.text(0);
    meter.spend(100 + pattern.len() as u64 + args.bytes(1).len() as u64 / 8)?;
    RegexBuilder::new(&go_pattern(&pattern))
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| reason(&pattern, &error).into())
}

/// Says it as Go does where it panics.
fn must(meter: &mut Meter, args: &Args<'_>) -> Result<Regex, FunctionError> {
    compile(meter, args).map_err(|error| match error {
        FunctionError::Refused(message) => {
            let pattern = args.text(0);
            let shown = if crate::quote::can_backquote(pattern.as_bytes()) {
                format!("`{pattern}`")
            } else {
                crate::quote::quote(pattern.as_bytes())
            };
            format!("regexp: Compile({shown}): {message}").into()
        }
        limit @ FunctionError::Limit(_) => limit,
    })
}

/// Go's `\d`, `\w`, `\s` and `\b` are of ASCII, and `\z` is its end of text; `\Q` quotes up to `\E`.
fn go_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        if char != '\\' {
            out.push(char);
            continue;
        }
        let Some(escape) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        rest = &rest[escape.len_utf8()..];
        match escape {
            'd' => out.push_str("[0-9]"),
            'D' => out.push_str("[^0-9]"),
            'w' => out.push_str("[0-9A-Za-z_]"),
            'W' => out.push_str("[^0-9A-Za-z_]"),
            's' => out.push_str(r"[\t\n\f\r ]"),
            'S' => out.push_str(r"[^\t\n\f\r ]"),
            'b' => out.push_str(r"(?-u:\b)"),
            'Q' => {
                let (quoted, after) = rest.split_once(r"\E").unwrap_or((rest, ""));
                out.push_str(&regex::escape(quoted));
                rest = after;
            }
            escape => {
                out.push('\\');
                out.push(escape);
            }
        }
    }
    out
}

/// Go's words for the commonest mistakes; else this library's.
fn reason(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let told = |what: &str, part: &str| format!("error parsing regexp: {what}: `{part}`");
    if text.contains("unclosed character class") {
        let from = pattern.rfind('[').unwrap_or(0);
        return told("missing closing ]", &pattern[from..]);
    }
    if text.contains("unclosed group") {
        return told("missing closing )", pattern);
    }
    if text.contains("unopened group") {
        return told("unexpected )", pattern);
    }
    if text.contains("repetition operator missing expression") {
        let operator = pattern.chars().next().filter(|char| "*+?".contains(*char)).unwrap_or('*');
        return told("missing argument to repetition operator", &operator.to_string());
    }
    if pattern.ends_with('\\') && text.contains("incomplete escape sequence") {
        return "error parsing regexp: trailing backslash at end of expression: ``".into();
    }
    format!("error parsing regexp: {}", text.lines().last().unwrap_or(&text).trim_start_matches("error: "))
}

fn find(regex: &Regex, args: &Args<'_>) -> Value {
    let found = regex.find(args.bytes(1)).map(|found| found.as_bytes()).unwrap_or_default();
    found.to_vec().into()
}

/// Go finds no empty match right behind another match, and neither does this library.
fn find_all(regex: &Regex, args: &Args<'_>) -> Value {
    let most = usize::try_from(args.int(2)).unwrap_or(usize::MAX);
    let found: Vec<Value> =
        regex.find_iter(args.bytes(1)).take(most).map(|found| found.as_bytes().to_vec().into()).collect();
    Value::List(if found.is_empty() { List::nil(Element::Text) } else { List::of_texts(found) })
}

fn split(regex: &Regex, args: &Args<'_>) -> Value {
    let text = args.bytes(1);
    let most = match args.int(2) {
        0 => return Value::List(List::nil(Element::Text)),
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    if !args.bytes(0).is_empty() && text.is_empty() {
        return Value::List(List::of_texts([Value::from("")]));
    }
    let mut parts: Vec<Value> = Vec::new();
    let (mut from, mut to) = (0, 0);
    for found in regex.find_iter(text) {
        if parts.len() + 1 >= most {
            break;
        }
        to = found.start();
        if found.end() != 0 {
            parts.push(text[from..to].to_vec().into());
        }
        from = found.end();
    }
    if to != text.len() {
        parts.push(text[from..].to_vec().into());
    }
    Value::List(List::of_texts(parts))
}

fn replace(
    meter: &mut Meter,
    regex: impl Fn(&mut Meter) -> Result<Regex, FunctionError>,
    args: &Args<'_>,
    expands: bool,
) -> Outcome {
    let regex = regex(meter)?;
    let (text, template) = (args.bytes(1), args.bytes(2));
    let mut out = Vec::new();
    let mut from = 0;
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        let before = out.len();
        out.extend_from_slice(&text[from..whole.start()]);
        if expands {
            expand(&mut out, template, &captures);
        } else {
            out.extend_from_slice(template);
        }
        meter.allocate(out.len() - before)?;
        from = whole.end();
    }
    out.extend_from_slice(&text[from..]);
    Ok(out.into())
}

/// Puts groups in the place of `$1`, `${1}` and `$name`. The name is as long as it can be: `$1W` is `${1W}`.
fn expand(out: &mut Vec<u8>, template: &[u8], captures: &regex::bytes::Captures<'_>) {
    let mut rest = template;
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        out.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if rest.first() == Some(&b'$') {
            out.push(b'$');
            rest = &rest[1..];
            continue;
        }
        let braced = rest.first() == Some(&b'{');
        let body = &rest[usize::from(braced)..];
        let text = crate::text::lossy(body).into_owned();
        let len = text.find(|char| !is_alphanumeric(char)).unwrap_or(text.len());
        let name = &text[..len];
        if name.is_empty() || (braced && !text[len..].starts_with('}')) {
            // Not well formed: the sign stands for itself.
            out.push(b'$');
            continue;
        }
        rest = &body[len + usize::from(braced)..];
        let group = match name.parse::<usize>() {
            Ok(number)
                if name.bytes().all(|byte| byte.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0')) =>
            {
                captures.get(number)
            }
            _ => captures.name(name),
        };
        if let Some(group) = group {
            out.extend_from_slice(group.as_bytes());
        }
    }
    out.extend_from_slice(rest);
}
