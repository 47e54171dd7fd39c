//! What others said, as people may read it: in a terminal, in a log, in a database.
//!
//! A target may answer with any bytes. A NUL is in no text of PostgreSQL, an escape sequence paints over the terminal of
//! whoever lists what failed, and marks that turn the direction of writing make a message say something else.

/// In a message, which is one line.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { shown(c) }).collect()
}

/// In what is kept of an answer, which may have many.
pub(crate) fn lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { c } else { shown(c) }).collect()
}

fn shown(c: char) -> char {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    if c.is_control() || turns || breaks { char::REPLACEMENT_CHARACTER } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_character_to_read_is_shown_as_such() {
        for (said, shown) in [
            ("bad\0body", "bad\u{fffd}body"),
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("\u{202e}drawkcab\u{2069}", "\u{fffd}drawkcab\u{fffd}"),
            ("a\u{85}b\u{2028}c\u{7f}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("Größe 漢字 😀 אב", "Größe 漢字 😀 אב"),
        ] {
            assert_eq!((line(said), lines(said)), (shown.to_owned(), shown.to_owned()));
        }
        assert_eq!((line("a\r\n\tb"), lines("a\r\n\tb")), ("a   b".to_owned(), "a\r\n\tb".to_owned()));
    }
}
