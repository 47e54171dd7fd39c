//! The ways in which a secret comes back: as it was sent, or as whoever repeats it has written it down.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Above this the encoded forms would cost more than they are worth.
const ENCODED_LIMIT: usize = 4 * 1024;
/// What the usual encoders of URLs leave alone besides letters, digits and `-._`: by RFC 3986, for a part of a path, as
/// JavaScript does for a component and for an address, and in forms.
const LEFT_ALONE: [&[u8]; 6] = [b"~", b"~/", b"~!'()*", b"~;,/?:@&=+$!*'()#", b"*", b""];

/// Every text that gives `secret` away.
pub(super) fn of(secret: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([secret.to_owned()]);
    if secret.len() > ENCODED_LIMIT {
        return forms;
    }
    let once = json(secret, false);
    // JSON within a string of JSON.
    forms.insert(json(&once, false));
    // Python's encoder escapes what is not ASCII, Go's what HTML would read, and PHP's slashes.
    forms.insert(json(secret, true));
    forms.insert(once.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
    forms.insert(once.replace('/', "\\/"));
    forms.insert(once);
    forms.insert(secret.replace('\'', "''"));
    forms.insert(secret.replace('\\', "\\\\").replace('\'', "\\'"));
    let between = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for (double, single) in [("&#34;", "&#39;"), ("&quot;", "&#x27;"), ("&quot;", "&#39;"), ("\"", "'")] {
        forms.insert(between.replace('"', double).replace('\'', single));
    }
    for alone in LEFT_ALONE {
        for upper in [true, false] {
            let url = percent(secret, alone, upper);
            forms.insert(url.replace("%20", "+"));
            forms.insert(url);
        }
    }
    add_base64(secret, &mut forms);
    forms
}

/// As it stands between the quotes of a string of JSON.
fn json(text: &str, ascii: bool) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    let mut escaped = String::with_capacity(inner.len());
    for c in inner.chars() {
        if c.is_ascii() || !ascii {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

fn percent(text: &str, alone: &[u8], upper: bool) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        let _ = match byte {
            b if b.is_ascii_alphanumeric() || b"-._".contains(&b) || alone.contains(&b) => {
                write!(url, "{}", char::from(b))
            }
            b if upper => write!(url, "%{b:02X}"),
            b => write!(url, "%{b:02x}"),
        };
    }
    url
}

/// In the middle of a longer text the secret begins at one of three places within a group of three bytes; the characters that
/// also hold bits of its neighbours are left out.
fn add_base64(secret: &str, forms: &mut BTreeSet<String>) {
    for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
        let mut bytes = vec![0; before];
        bytes.extend(secret.as_bytes());
        let whole = bytes.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.extend(encoded.get(skip..whole).map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_way_of_writing_a_secret_is_known() {
        let secret = r#"p<4 ss'w"ö/r\d="#;
        for (writer, output) in [
            ("itself", secret),
            ("json", r#"p<4 ss'w\"ö/r\\d="#),
            ("json for html", r#"p\u003c4 ss'w\"ö/r\\d="#),
            ("json in ascii", r#"p<4 ss'w\"\u00f6/r\\d="#),
            ("json in php", r#"p<4 ss'w\"ö\/r\\d="#),
            ("json in json", r#"p<4 ss'w\\\"ö/r\\\\d="#),
            ("sql", r#"p<4 ss''w"ö/r\d="#),
            ("python", r#"p<4 ss\'w"ö/r\\d="#),
            ("html", r"p&lt;4 ss&#39;w&#34;ö/r\d="),
            ("url", "p%3C4%20ss%27w%22%C3%B6%2Fr%5Cd%3D"),
            ("form", "p%3c4+ss%27w%22%c3%b6%2fr%5cd%3d"),
            ("encodeURI", "p%3C4%20ss'w%22%C3%B6/r%5Cd="),
        ] {
            assert!(of(secret).contains(output), "{writer}: {output}");
        }
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{secret}xyz");
            for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                assert!(of(secret).iter().any(|form| encoded.contains(form.as_str())), "{before}");
            }
        }
        // It costs little where there is nothing to write in another way.
        assert!(of("correct-horse-battery-staple").len() <= 7);
    }
}
