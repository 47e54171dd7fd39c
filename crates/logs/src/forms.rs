//! The ways in which a secret shows up in a tool's output: as it is, or encoded by something on the way.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Anything shorter would blot out ordinary words.
pub(crate) const SHORTEST: usize = 4;
/// Longer texts are searched for in overlapping pieces, so that the window held back from a live log stays small.
const PIECE: usize = 1024;
/// Above this the encoded forms would cost more memory than they are worth: only the text itself is searched for.
const ENCODED_LIMIT: usize = 16 * 1024;

/// Every byte string that gives `secret` away. Sorted, without duplicates; empty if the secret is too short to be one.
pub(crate) fn of(secret: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    let whole = secret.trim();
    let mut lines: Vec<&str> = whole.lines().map(str::trim).filter(|line| is_long_enough(line)).collect();
    if lines.is_empty() && is_long_enough(whole) {
        lines.push(whole);
    }
    let encode = secret.len() <= ENCODED_LIMIT;
    for piece in lines.into_iter().flat_map(pieces) {
        forms.insert(piece.as_bytes().to_vec());
        add_json(piece, &mut forms);
        add_shell(piece, &mut forms);
        add_markup(piece, &mut forms);
        if encode {
            add_url(piece, &mut forms);
            add_base64(piece, &mut forms);
        }
    }
    if encode && whole.contains('\n') {
        // Encoders see the whole text, its line ends included.
        pieces(whole).for_each(|piece| add_base64(piece, &mut forms));
        pieces(secret).for_each(|piece| add_base64(piece, &mut forms));
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

fn is_long_enough(text: &str) -> bool {
    text.chars().nth(SHORTEST - 1).is_some()
}

/// Cuts a long text into pieces that overlap, so that the places where they are found merge into one.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let now = rest?;
        if now.len() <= PIECE {
            rest = None;
            return Some(now);
        }
        let end = now.floor_char_boundary(PIECE);
        // Two encoders' boundary characters are lost at each cut; an overlap of 16 bytes covers them.
        let next = now.floor_char_boundary(end - 16);
        rest = now.get(next..);
        now.get(..end)
    })
}

fn add_json(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    let plain = json(text, false);
    forms.insert(json(&plain, false).into_bytes());
    forms.insert(plain.replace("${", "$${").replace("%{", "%%{").into_bytes());
    // Go's encoder also escapes what HTML would read; Python's escapes what is not ASCII.
    let html = plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    forms.insert(html.into_bytes());
    let ascii = json(text, true);
    // PHP's escapes slashes, and what is not ASCII unless it is told not to.
    forms.extend([&plain, &ascii].map(|form| form.replace('/', "\\/").into_bytes()));
    forms.insert(ascii.into_bytes());
    forms.insert(plain.into_bytes());
}

fn json(text: &str, ascii: bool) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    if !ascii {
        return inner.to_owned();
    }
    let mut escaped = String::with_capacity(inner.len());
    for c in inner.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// What shells make of a text that is to be read by a shell again: in single quotes as people, `set -x` and Python's
/// `shlex` write them, with backslashes as bash's `printf %q` does, in `$'…'`, and in double quotes.
fn add_shell(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    // SQL and YAML write a quote twice.
    for quote in [r"'\''", r#"'"'"'"#, "''"] {
        forms.insert(text.replace('\'', quote).into_bytes());
    }
    forms.insert(text.replace('\\', r"\\").replace('\'', r"\'").into_bytes());
    let escaped = |marks: &str| -> String {
        text.chars().flat_map(|c| marks.contains(c).then_some('\\').into_iter().chain([c])).collect()
    };
    forms.insert(escaped(r#"\"$`"#).into_bytes());
    // `~` and `#` mean something at the beginning only.
    let bare = escaped(" \t'\"\\|&;()<>!{}*[]?^$`,");
    if text.starts_with(['~', '#']) {
        forms.insert(format!("\\{bare}").into_bytes());
    }
    forms.insert(bare.into_bytes());
}

/// HTML and XML, as Go, Python and others write them.
fn add_markup(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    let between = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for (double, single) in [("&#34;", "&#39;"), ("&quot;", "&#x27;"), ("&quot;", "&#39;"), ("&quot;", "&apos;")] {
        forms.insert(between.replace('"', double).replace('\'', single).into_bytes());
    }
    forms.insert(between.into_bytes());
}

/// What the usual URL encoders leave alone besides letters, digits and `-._`: RFC 3986, Python's and Jinja's path (also that of
/// AWS signatures), JavaScript's component and address, Go's path segment, user and path, browsers' path, query and user,
/// Java's form, and older ones that know no `~`.
const LEFT_ALONE: [&[u8]; 12] = [
    b"~",
    b"~/",
    b"~!'()*",
    b"~;,/?:@&=+$!*'()#",
    b"~$&+=:@",
    b"~$&+,;=",
    b"~$&+,/:;=@",
    b"~!$%&'()*+,/:;=@[\\]^|",
    b"~!$%&()*+,/:;=?@[\\]^`{|}",
    b"~!$%&'()*+,",
    b"*",
    b"",
];

fn add_url(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    for alone in LEFT_ALONE {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            let mut url = Vec::with_capacity(text.len());
            for byte in text.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) || alone.contains(&byte) {
                    url.push(byte);
                } else {
                    url.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
                }
            }
            if text.contains(' ') {
                let form = String::from_utf8_lossy(&url).replace("%20", "+");
                forms.insert(form.into_bytes());
            }
            forms.insert(url);
        }
    }
}

/// In the middle of a longer text the secret starts at one of three places within a group of three bytes; the
/// characters that also hold bits of its neighbours are left out.
fn add_base64(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
        let mut bytes = vec![0; before];
        bytes.extend(text.as_bytes());
        let whole_characters = bytes.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            if let Some(stable) = encoded.get(skip..whole_characters) {
                forms.insert(stable.as_bytes().to_vec());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gives_away(secret: &str, output: &str) -> bool {
        of(secret).iter().any(|form| memchr::memmem::find(output.as_bytes(), form).is_some())
    }

    #[test]
    fn encoded_secrets_are_still_secrets() {
        let secret = "p<4 ss&w\"ö/rd=";
        assert!(gives_away(secret, &serde_json::to_string(secret).unwrap()));
        assert!(gives_away(secret, r#""p\u003c4 ss\u0026w\"ö/rd=""#));
        assert!(gives_away(secret, r#""p<4 ss&w\"\u00f6\/rd=""#), "as PHP's `json_encode` writes it");
        assert!(gives_away(secret, r#""p<4 ss&w\"\u00f6/rd=""#));
        assert!(gives_away(secret, r#"{\"x\":\"p<4 ss&w\\\"ö/rd=\"}"#));
        assert!(gives_away(secret, "https://u:p%3C4%20ss%26w%22%C3%B6%2Frd%3D@host"));
        assert!(gives_away(secret, "a=p%3c4+ss%26w%22%c3%b6%2frd%3d"));
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{secret}xyz");
            assert!(gives_away(secret, &STANDARD_NO_PAD.encode(&text)), "{before}");
            assert!(gives_away(secret, &URL_SAFE_NO_PAD.encode(&text)), "{before}");
        }
        assert!(!gives_away(secret, "nothing of it in here"));
    }

    /// What the programs themselves print of `x` and this secret.
    #[test]
    fn every_usual_way_of_writing_a_secret_is_known() {
        let secret = r#"a/b+c=d'e"f$g&h i\j~k"#;
        for (writer, output) in [
            ("python: quote", "xa/b%2Bc%3Dd%27e%22f%24g%26h%20i%5Cj~k"),
            ("python: quote(safe='')", "xa%2Fb%2Bc%3Dd%27e%22f%24g%26h%20i%5Cj~k"),
            ("python: quote_plus", "xa%2Fb%2Bc%3Dd%27e%22f%24g%26h+i%5Cj~k"),
            ("javascript: encodeURI", "xa/b+c=d'e%22f$g&h%20i%5Cj~k"),
            ("javascript: encodeURIComponent", "xa%2Fb%2Bc%3Dd'e%22f%24g%26h%20i%5Cj~k"),
            ("go: url.PathEscape", "xa%2Fb+c=d%27e%22f$g&h%20i%5Cj~k"),
            ("go: url.URL", "xa/b+c=d%27e%22f$g&h%20i%5Cj~k"),
            ("java: URLEncoder", "xa%2Fb%2Bc%3Dd%27e%22f%24g%26h+i%5Cj%7Ek"),
            ("a browser's path", r"xa/b+c=d'e%22f$g&h%20i\j~k"),
            ("bash: printf %q", r#"xa/b+c=d\'e\"f\$g\&h\ i\\j~k"#),
            ("bash: set -x", r#"'xa/b+c=d'\''e"f$g&h i\j~k'"#),
            ("python: shlex.quote", r#"'xa/b+c=d'"'"'e"f$g&h i\j~k'"#),
            ("bash: ${x@Q} with a control character", r#"$'\x01a/b+c=d\'e"f$g&h i\\j~k'"#),
            ("bash: declare -p", r#"declare -- x="a/b+c=d'e\"f\$g&h i\\j~k""#),
            ("json", r#"{"x":"a/b+c=d'e\"f$g&h i\\j~k"}"#),
            ("php: json_encode", r#"{"x":"a\/b+c=d'e\"f$g&h i\\j~k"}"#),
            ("sql", r#"'xa/b+c=d''e"f$g&h i\j~k'"#),
            ("json, for html", r#"{"x":"a/b+c=d'e\"f$g\u0026h i\\j~k"}"#),
            ("go: html.EscapeString", "xa/b+c=d&#39;e&#34;f$g&amp;h i\\j~k"),
            ("python: html.escape", "xa/b+c=d&#x27;e&quot;f$g&amp;h i\\j~k"),
        ] {
            assert!(gives_away(secret, output), "{writer}: {output}");
        }
        assert!(gives_away("#begin(s)", r"\#begin\(s\)"));
        assert!(gives_away("~home*", r"\~home\*"));
        // None of it costs anything where there is nothing to write in another way.
        assert!(of("correct-horse-battery-staple").len() <= 8, "{}", of("correct-horse-battery-staple").len());
    }

    #[test]
    fn short_secrets_are_none() {
        for short in ["", "abc", "  abc \n", "öäü"] {
            assert!(of(short).is_empty(), "{short:?}");
        }
        assert!(!of("abcd").is_empty());
    }

    #[test]
    fn a_secret_of_many_lines_is_found_line_by_line() {
        let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n";
        assert!(gives_away(pem, "    MIIEvQIBADANBgkq"));
        assert!(gives_away(pem, r"...\nhkiG9w0BAQEFAASC\n..."));
        assert!(gives_away(pem, &STANDARD_NO_PAD.encode(pem)));
        assert!(gives_away("ab\ncd", "xx ab\ncd yy"), "lines too short for themselves count together");
    }

    #[test]
    fn a_huge_secret_costs_a_bounded_window() {
        let huge = "0123456789abcdeFö".repeat(5_000);
        let forms = of(&huge);
        assert!(forms.iter().all(|form| form.len() <= 6 * PIECE));
        assert!(pieces(&huge).all(|piece| piece.len() <= PIECE));
    }
}
