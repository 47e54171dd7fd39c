//! Schemes of URLs, which may be written in capitals (RFC 3986).

use std::borrow::Cow;

/// A URL with its scheme in small letters: one spelling for whoever compares it or hands it on.
///
/// `end` is what follows the scheme: `://`, or `:` where nothing else with a colon may stand.
pub fn with_lower_scheme<'a>(text: &'a str, end: &str) -> Cow<'a, str> {
    match text.split_once(end) {
        Some((scheme, rest)) if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Cow::Owned(format!("{}{end}{rest}", scheme.to_ascii_lowercase()))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scheme_is_lowered() {
        for (text, end, spelt) in [
            ("HTTPS://Git.example.org/X://Y", "://", "https://Git.example.org/X://Y"),
            ("http://Host/X", "://", "http://Host/X"),
            ("Host:X", "://", "Host:X"),
            ("SQLite:Runs.db", ":", "sqlite:Runs.db"),
            ("/srv/X", ":", "/srv/X"),
            ("", "://", ""),
        ] {
            assert_eq!(with_lower_scheme(text, end), spelt, "{text}");
        }
    }
}
