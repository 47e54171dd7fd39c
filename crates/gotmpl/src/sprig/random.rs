//! Chance, from the source that was given.

use std::sync::Arc;

use super::RandomBytes;
use super::arguments::Args;
use crate::function::{Functions, Signature};
use crate::limits::Meter;
use crate::text::Text;
use crate::value::{Type, Value};

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8] = b"0123456789";

pub(super) fn add(functions: &mut Functions, random: &RandomBytes) {
    let printable: Vec<u8> = (b' '..=b'~').collect();
    let alphabets = [
        ("randAlphaNum", [LETTERS, DIGITS].concat()),
        ("randAlpha", LETTERS.to_vec()),
        ("randNumeric", DIGITS.to_vec()),
        ("randAscii", printable),
    ];
    for (name, alphabet) in alphabets {
        let random = Arc::clone(random);
        functions.add(name, Signature::new(&[Type::Int], Type::Text), move |meter: &mut Meter, args| {
            let count = usize::try_from(Args(args).int(0)).unwrap_or(0);
            meter.allocate(count)?;
            let chars = (0..count).map(|_| alphabet[below(&random, alphabet.len() as u64) as usize]);
            Ok(chars.collect::<Vec<u8>>().into())
        });
    }
    let source = Arc::clone(random);
    functions.add("randInt", Signature::new(&[Type::Int, Type::Int], Type::Int), move |_, args| {
        let (min, max) = (Args(args).int(0), Args(args).int(1));
        match u64::try_from(max.wrapping_sub(min)) {
            Ok(span) if span > 0 => Ok(Value::Int(min.wrapping_add(below(&source, span) as i64))),
            _ => Err("invalid argument to Intn".into()),
        }
    });
    let source = Arc::clone(random);
    functions.add("randBytes", Signature::new(&[Type::Int], Type::Text), move |meter, args| {
        let Ok(count) = usize::try_from(Args(args).int(0)) else {
            return Err("runtime error: makeslice: len out of range".into());
        };
        meter.allocate(count.saturating_mul(3))?;
        let mut bytes = vec![0; count];
        source(&mut bytes);
        Ok(Value::from(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)))
    });
    let source = Arc::clone(random);
    functions.add("shuffle", Signature::new(&[Type::Text], Type::Text), move |meter, args| {
        let mut chars: Vec<char> = Args(args).text(0).chars().collect();
        meter.allocate(chars.len().saturating_mul(4))?;
        for at in (1..chars.len()).rev() {
            chars.swap(at, below(&source, at as u64 + 1) as usize);
        }
        Ok(Value::Text(Text::from(chars.into_iter().collect::<String>())))
    });
    let source = Arc::clone(random);
    functions.add("uuidv4", Signature::new(&[], Type::Text), move |_, _| {
        let mut bytes = [0; 16];
        source(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = hex::encode(bytes);
        Ok(Value::from(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])))
    });
}

/// A number below `end`, each as likely as the others up to one in 2^64 / end.
fn below(random: &RandomBytes, end: u64) -> u64 {
    let mut bytes = [0; 8];
    random(&mut bytes);
    let wide = u128::from(u64::from_le_bytes(bytes)) * u128::from(end);
    (wide >> 64) as u64
}
