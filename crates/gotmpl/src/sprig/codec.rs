//! Base 64 and base 32.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Entry;
use crate::value::{Type, Value};

const T: Type = Type::Text;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("b64enc", &[T], None, T, |meter, args| {
        meter.allocate(args.bytes(0).len())?;
        Ok(Value::from(STANDARD.encode(args.bytes(0))))
    }),
    ("b64dec", &[T], None, T, |_, args| Ok(decoded(decode_base64(args.bytes(0)), "base64"))),
    ("b32enc", &[T], None, T, |meter, args| {
        meter.allocate(args.bytes(0).len())?;
        Ok(Value::from(data_encoding::BASE32.encode(args.bytes(0))))
    }),
    ("b32dec", &[T], None, T, |_, args| Ok(decoded(decode(args.bytes(0), &BASE32), "base32"))),
];

/// A mistake is told in the place of the result; sprig does so.
fn decoded(result: Result<Vec<u8>, usize>, name: &str) -> Value {
    match result {
        Ok(bytes) => bytes.into(),
        Err(at) => Value::from(format!("illegal {name} data at input byte {at}")),
    }
}

/// The bytes, or where the first mistake is.
pub(super) fn decode_base64(text: &[u8]) -> Result<Vec<u8>, usize> {
    decode(text, &BASE64)
}

struct Base {
    bits: u32,
    /// Characters in a group that is not padded.
    group: usize,
    value: fn(u8) -> Option<u8>,
    /// With how many characters a padded group may end.
    ends: &'static [usize],
    /// Where a group that is cut off is reported: behind it, or at its start.
    cut_off_at_end: bool,
}

const BASE64: Base = Base { bits: 6, group: 4, value: value_64, ends: &[2, 3], cut_off_at_end: false };
const BASE32: Base = Base { bits: 5, group: 8, value: value_32, ends: &[2, 4, 5, 7], cut_off_at_end: true };

fn value_64(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

fn value_32(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'2'..=b'7' => Some(byte - b'2' + 26),
        _ => None,
    }
}

fn decode(text: &[u8], base: &Base) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut count, mut in_group) = (0u32, 0, 0);
    // Line ends are ignored, wherever they are.
    let mut input = text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    while let Some((at, byte)) = input.next() {
        if byte == b'=' {
            if !base.ends.contains(&in_group) {
                return Err(at);
            }
            for _ in in_group + 1..base.group {
                match input.next() {
                    Some((_, b'=')) => {}
                    Some((at, _)) => return Err(at),
                    None => return Err(text.len()),
                }
            }
            return match input.next() {
                Some((at, _)) => Err(at),
                None => Ok(out),
            };
        }
        let Some(value) = (base.value)(byte) else { return Err(at) };
        bits = bits << base.bits | u32::from(value);
        count += base.bits;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
        in_group = (in_group + 1) % base.group;
    }
    match in_group {
        0 => Ok(out),
        _ if base.cut_off_at_end => Err(text.len()),
        in_group => Err(text.len() - in_group),
    }
}
