//! Cutting, joining and replacing strings.

use memchr::memmem;

use super::collection::{strings_of, strval};
use super::{Args, Entry};
use crate::format::shown;
use crate::function::Outcome;
use crate::limits::Meter;
use crate::quote::quote;
use crate::text::Text;
use crate::unicode::is_space;
use crate::value::{Element, List, Map, Type, Value};

const T: Type = Type::Text;
const I: Type = Type::Int;
const A: Type = Type::Any;
const B: Type = Type::Bool;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("hello", &[], None, T, |_, _| Ok(Value::from("Hello!"))),
    ("trunc", &[I, T], None, T, |_, args| Ok(bytes(trunc(args.int(0), args.bytes(1))))),
    ("trim", &[T], None, T, |_, args| Ok(trimmed(args, 0, is_space))),
    ("trimAll", &[T, T], None, T, |_, args| Ok(trim_all(args))),
    ("trimall", &[T, T], None, T, |_, args| Ok(trim_all(args))),
    ("trimSuffix", &[T, T], None, T, |_, args| {
        Ok(bytes(args.bytes(1).strip_suffix(args.bytes(0)).unwrap_or(args.bytes(1))))
    }),
    ("trimPrefix", &[T, T], None, T, |_, args| {
        Ok(bytes(args.bytes(1).strip_prefix(args.bytes(0)).unwrap_or(args.bytes(1))))
    }),
    ("substr", &[I, I, T], None, T, substr),
    ("repeat", &[I, T], None, T, repeat),
    ("nospace", &[T], None, T, |_, args| Ok(nospace(args))),
    ("initials", &[T], None, T, |_, args| Ok(initials(args.bytes(0)))),
    ("contains", &[T, T], None, B, |_, args| Ok(Value::Bool(memmem::find(args.bytes(1), args.bytes(0)).is_some()))),
    ("hasPrefix", &[T, T], None, B, |_, args| Ok(Value::Bool(args.bytes(1).starts_with(args.bytes(0))))),
    ("hasSuffix", &[T, T], None, B, |_, args| Ok(Value::Bool(args.bytes(1).ends_with(args.bytes(0))))),
    ("quote", &[], Some(A), T, |meter, args| {
        joined(meter, args.0, |meter, value| {
            let text = strval(meter, value)?;
            meter.allocate(text.len())?;
            Ok(quote(&text).into_bytes())
        })
    }),
    ("squote", &[], Some(A), T, |meter, args| {
        joined(meter, args.0, |meter, value| Ok([b"'", &*shown(meter, value)?, b"'"].concat()))
    }),
    ("cat", &[], Some(A), T, |meter, args| joined(meter, args.0, |meter, value| Ok(shown(meter, value)?))),
    ("indent", &[I, T], None, T, |meter, args| indent(meter, args, "")),
    ("nindent", &[I, T], None, T, |meter, args| indent(meter, args, "\n")),
    ("replace", &[T, T, T], None, T, replace),
    ("plural", &[T, T, I], None, T, |_, args| Ok(args.get(usize::from(args.int(2) != 1)).clone())),
    ("toString", &[A], None, T, |meter, args| Ok(strval(meter, args.get(0))?.into())),
    ("toStrings", &[A], None, Type::List(Element::Text), |meter, args| {
        Ok(Value::List(List::of_texts(strings_of(meter, args.get(0))?.into_iter().map(Value::Text))))
    }),
    ("join", &[T, A], None, T, |meter, args| {
        let texts = strings_of(meter, args.get(1))?;
        let separator = args.bytes(0);
        meter.allocate(separator.len().saturating_mul(texts.len()))?;
        Ok(texts.iter().map(Text::as_bytes).collect::<Vec<_>>().join(separator).into())
    }),
    ("split", &[T, T], None, Type::Map(Element::Text), |meter, args| {
        split_map(meter, args.bytes(0), args.bytes(1), -1)
    }),
    ("splitn", &[T, I, T], None, Type::Map(Element::Text), |meter, args| {
        split_map(meter, args.bytes(0), args.bytes(2), args.int(1))
    }),
    ("splitList", &[T, T], None, Type::List(Element::Text), |meter, args| {
        Ok(Value::List(List::of_texts(split(meter, args.bytes(0), args.bytes(1), -1)?)))
    }),
];

fn bytes(bytes: &[u8]) -> Value {
    Value::Text(Text::from(bytes))
}

fn trunc(count: i64, text: &[u8]) -> &[u8] {
    let len = text.len() as i64;
    if count < 0 && len + count > 0 {
        return &text[(len + count) as usize..];
    }
    if count >= 0 && len > count { &text[..count as usize] } else { text }
}

fn trimmed(args: &Args<'_>, at: usize, trims: impl Fn(char) -> bool) -> Value {
    let text = args.text(at);
    let trimmed = text.trim_matches(&trims);
    if trimmed.len() == text.len() { args.get(at).clone() } else { Value::from(trimmed) }
}

fn trim_all(args: &Args<'_>) -> Value {
    let cutset = args.text(0);
    trimmed(args, 1, |char| cutset.contains(char))
}

fn substr(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let (start, end, text) = (args.int(0), args.int(1), args.bytes(2));
    let len = text.len() as i64;
    let (start, end) = match () {
        () if start < 0 => (0, end),
        () if end < 0 || end > len => (start, len),
        () => (start, end),
    };
    if end > len || end < 0 {
        return Err(out_of_range(&format!(":{end}"), len));
    }
    if start > end {
        return Err(if end == len && args.int(1) != end {
            out_of_range(&format!("{start}:"), len)
        } else {
            format!("runtime error: slice bounds out of range [{start}:{end}]").into()
        });
    }
    Ok(bytes(&text[start as usize..end as usize]))
}

fn out_of_range(bounds: &str, len: i64) -> crate::function::FunctionError {
    if let Some(start) = bounds.strip_suffix(':') {
        return format!("runtime error: slice bounds out of range [{start}:{len}]").into();
    }
    if bounds.contains('-') {
        return format!("runtime error: slice bounds out of range [{bounds}]").into();
    }
    format!("runtime error: slice bounds out of range [{bounds}] with length {len}").into()
}

fn repeat(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    let Ok(count) = usize::try_from(args.int(0)) else { return Err("strings: negative Repeat count".into()) };
    let text = args.bytes(1);
    meter.allocate(text.len().saturating_mul(count))?;
    Ok(if text.is_empty() { Value::from("") } else { text.repeat(count).into() })
}

/// Looks at bytes as if each were a character, as sprig's library does.
fn nospace(args: &Args<'_>) -> Value {
    let text = args.bytes(0);
    let kept: String = text.iter().map(|byte| char::from(*byte)).filter(|char| !is_space(*char)).collect();
    if kept.chars().count() == text.len() { args.get(0).clone() } else { Value::from(kept) }
}

fn initials(text: &[u8]) -> Value {
    let mut after_gap = true;
    let mut out = String::new();
    for char in text.iter().map(|byte| char::from(*byte)) {
        if is_space(char) {
            after_gap = true;
        } else if std::mem::take(&mut after_gap) {
            out.push(char);
        }
    }
    Value::from(out)
}

/// Everything that is not nil, with spaces in between.
fn joined(
    meter: &mut Meter,
    values: &[Value],
    shown: impl Fn(&mut Meter, &Value) -> Result<Vec<u8>, crate::function::FunctionError>,
) -> Outcome {
    let mut out = Vec::new();
    for value in values.iter().filter(|value| !matches!(value, Value::Nil)) {
        if !out.is_empty() {
            out.push(b' ');
        }
        let text = shown(meter, value)?;
        meter.allocate(text.len())?;
        out.extend_from_slice(&text);
    }
    Ok(out.into())
}

fn indent(meter: &mut Meter, args: &Args<'_>, before: &str) -> Outcome {
    let Ok(spaces) = usize::try_from(args.int(0)) else { return Err("strings: negative Repeat count".into()) };
    let text = args.bytes(1);
    let lines = memchr::memchr_iter(b'\n', text).count() + 1;
    let size = spaces.saturating_mul(lines).saturating_add(text.len());
    meter.allocate(size)?;
    let mut out = Vec::with_capacity(size + 1);
    out.extend_from_slice(before.as_bytes());
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        out.resize(out.len() + spaces, b' ');
        out.extend_from_slice(line);
    }
    Ok(out.into())
}

fn replace(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    let (old, new, text) = (args.bytes(0), args.bytes(1), args.bytes(2));
    if old.is_empty() {
        // Between all characters, and at both ends.
        let text = args.text(2);
        meter.allocate(new.len().saturating_mul(text.chars().count() + 1))?;
        let mut out = new.to_vec();
        for char in text.chars() {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            out.extend_from_slice(new);
        }
        return Ok(out.into());
    }
    let found: Vec<usize> = memmem::find_iter(text, old).collect();
    if found.is_empty() {
        return Ok(args.get(2).clone());
    }
    meter.allocate(new.len().saturating_mul(found.len()).saturating_add(text.len()))?;
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in found {
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(new);
        from = at + old.len();
    }
    out.extend_from_slice(&text[from..]);
    Ok(out.into())
}

/// Go's `strings.SplitN`.
fn split(meter: &mut Meter, separator: &[u8], text: &[u8], most: i64) -> Result<Vec<Value>, crate::limits::Limit> {
    let most = match usize::try_from(most) {
        Ok(0) => return Ok(Vec::new()),
        Ok(most) => most,
        Err(_) => usize::MAX,
    };
    meter.allocate(text.len().saturating_mul(if separator.is_empty() { 40 } else { 1 }))?;
    let mut parts = Vec::new();
    let mut rest = text;
    if separator.is_empty() {
        while let Some((_, len)) = crate::text::first_char(rest) {
            let len = if parts.len() + 1 == most { rest.len() } else { len };
            parts.push(bytes(&rest[..len]));
            rest = &rest[len..];
        }
        return Ok(parts);
    }
    while parts.len() + 1 < most {
        let Some(at) = memmem::find(rest, separator) else { break };
        meter.allocate(size_of::<Value>())?;
        parts.push(bytes(&rest[..at]));
        rest = &rest[at + separator.len()..];
    }
    parts.push(bytes(rest));
    Ok(parts)
}

fn split_map(meter: &mut Meter, separator: &[u8], text: &[u8], most: i64) -> Outcome {
    let map = Map::new(Element::Text);
    for (at, part) in split(meter, separator, text, most)?.into_iter().enumerate() {
        map.insert(Text::from(format!("_{at}")), part);
    }
    Ok(Value::Map(map))
}
