//! Escapes for HTML, JavaScript and the queries of URLs.

use crate::text::first_char;
use crate::unicode::is_print;

pub(super) fn html(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    for byte in bytes {
        let escape: &str = match byte {
            0 => "\u{fffd}",
            b'"' => "&#34;",
            b'\'' => "&#39;",
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(escape.as_bytes());
    }
    out
}

pub(super) fn js(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let mut rest = bytes;
    while let Some((char, len)) = first_char(rest) {
        match char {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\'' => out.extend_from_slice(b"\\'"),
            '"' => out.extend_from_slice(b"\\\""),
            '<' | '>' | '&' | '=' | '\0'..'\u{20}' => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(char)).as_bytes());
            }
            char if char.is_ascii() || is_print(char) => out.extend_from_slice(&rest[..len]),
            char => out.extend_from_slice(format!("\\u{:04X}", u32::from(char)).as_bytes()),
        }
        rest = &rest[len..];
    }
    out
}

pub(super) fn url_query(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            byte => {
                out.push(b'%');
                out.extend_from_slice(hex::encode_upper([*byte]).as_bytes());
            }
        }
    }
    out
}
