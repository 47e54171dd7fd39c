//! Lines and ellipses of a given width, in bytes.

use memchr::{memchr, memrchr};

use super::{Args, Entry};
use crate::function::Outcome;
use crate::limits::Meter;
use crate::value::{Type, Value};

const T: Type = Type::Text;
const I: Type = Type::Int;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("wrap", &[I, T], None, T, |meter, args| wrap(meter, args.bytes(1), args.int(0), b"\n", false)),
    ("wrapWith", &[I, T, T], None, T, |meter, args| wrap(meter, args.bytes(2), args.int(0), args.bytes(1), true)),
    ("abbrev", &[I, T], None, T, |_, args| Ok(abbreviated(args, 1, 0, args.int(0)))),
    ("abbrevboth", &[I, I, T], None, T, |_, args| {
        let (left, right) = (args.int(0), args.int(1));
        Ok(if left > 0 && right < 7 { args.get(2).clone() } else { abbreviated(args, 2, left, right) })
    }),
];

fn wrap(meter: &mut Meter, text: &[u8], width: i64, newline: &[u8], breaks_words: bool) -> Outcome {
    let newline: &[u8] = if newline.is_empty() { b"\n" } else { newline };
    let width = usize::try_from(width).unwrap_or(1).max(1);
    meter.allocate((text.len() / width).saturating_add(1).saturating_mul(newline.len()).saturating_add(text.len()))?;
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while text.len() - at > width {
        if text[at] == b' ' {
            at += 1;
            continue;
        }
        let line_end = at + width;
        let (end, next) = match memrchr(b' ', &text[at..=line_end]) {
            Some(space) => (at + space, at + space + 1),
            None if breaks_words => (line_end, line_end),
            None => match memchr(b' ', &text[line_end..]) {
                Some(space) => (line_end + space, line_end + space + 1),
                None => break,
            },
        };
        out.extend_from_slice(&text[at..end]);
        out.extend_from_slice(newline);
        at = next;
    }
    out.extend_from_slice(&text[at..]);
    Ok(out.into())
}

fn abbreviated(args: &Args<'_>, at: usize, offset: i64, width: i64) -> Value {
    let text = args.bytes(at);
    if width < 4 {
        return args.get(at).clone();
    }
    match abbreviate(text, offset, width) {
        Some(short) => short.into(),
        None => args.get(at).clone(),
    }
}

/// `None` if the text fits.
fn abbreviate(text: &[u8], offset: i64, width: i64) -> Option<Vec<u8>> {
    const MARKER: &[u8] = b"...";
    let len = text.len() as i64;
    if text.is_empty() || len <= width {
        return None;
    }
    // What is too narrow for its markers is an error that sprig makes nothing of.
    if width < 4 {
        return Some(Vec::new());
    }
    let mut offset = offset.min(len);
    if len - offset < width - 3 {
        offset = len - (width - 3);
    }
    if offset <= 4 {
        return Some([&text[..(width - 3) as usize], MARKER].concat());
    }
    if width < 7 {
        return Some(Vec::new());
    }
    if offset + width - 3 < len {
        let rest = &text[offset as usize..];
        let rest = abbreviate(rest, 0, width - 3).unwrap_or_else(|| rest.to_vec());
        return Some([MARKER, &rest].concat());
    }
    Some([MARKER, &text[(len - (width - 3)) as usize..]].concat())
}
