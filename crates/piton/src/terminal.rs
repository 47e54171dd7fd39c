//! What may reach a terminal: text and colours, nothing that moves the cursor, sets a title or hides what it says.

/// What the text is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A terminal that shows colours.
    Colours,
    /// A terminal that shall show none.
    Plain,
    /// A file or a pipe: escape sequences are left out, other bytes are somebody else's business.
    File,
}

/// `text` as it may be written to `target`. Lines stay lines.
pub fn clean(text: &str, target: Target) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            cleaned.push('\n');
        }
        clean_line(line, target, &mut cleaned);
    }
    cleaned
}

fn clean_line(line: &str, target: Target, cleaned: &mut String) {
    let mut coloured = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some(introducer) = Introducer::of(rest) {
            let (sequence, after) = introducer.split(rest);
            if target == Target::Colours
                && let Some(parameters) = colour(sequence)
            {
                cleaned.push_str("\x1b[");
                cleaned.push_str(parameters);
                cleaned.push('m');
                coloured = !matches!(parameters, "" | "0");
            }
            rest = after;
            continue;
        }
        match c {
            c if target == Target::File => cleaned.push(c),
            '\t' => cleaned.push(c),
            // A line that ends as on Windows.
            '\r' => {}
            c if c.is_control() || reorders(c) => cleaned.push(char::REPLACEMENT_CHARACTER),
            c => cleaned.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    if coloured {
        cleaned.push_str("\x1b[0m");
    }
}

/// Characters that make text read in another order than it is written in.
fn reorders(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How an escape sequence begins, which decides how it ends.
#[derive(Clone, Copy)]
enum Introducer {
    /// `ESC [`, or its single character: ends with a letter or a sign.
    Control(usize),
    /// A title, a clipboard, a device string: ends with BEL or `ESC \`.
    Text(usize),
    /// `ESC` and what is left of it.
    Escape,
}

impl Introducer {
    fn of(text: &str) -> Option<Introducer> {
        let mut chars = text.chars();
        match chars.next()? {
            '\u{9b}' => Some(Introducer::Control(2)),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => Some(Introducer::Text(2)),
            '\x1b' => Some(match chars.next() {
                Some('[') => Introducer::Control(2),
                Some(']' | 'P' | 'X' | '^' | '_') => Introducer::Text(2),
                _ => Introducer::Escape,
            }),
            _ => None,
        }
    }

    /// The sequence that `text` begins with, and what comes after it.
    fn split(self, text: &str) -> (&str, &str) {
        let end = match self {
            Introducer::Control(begin) => {
                let body = &text[begin..];
                let stop = body.find(|c: char| !matches!(c, ' '..='?'));
                // A character that cannot stand in a sequence ends it without belonging to it.
                stop.map_or(text.len(), |at| begin + at + usize::from(matches!(body.as_bytes()[at], b'@'..=b'~')))
            }
            Introducer::Text(begin) => {
                let body = &text[begin..];
                let ends = [("\x07", 1), ("\x1b\\", 2), ("\u{9c}", 2)];
                let first = ends.iter().filter_map(|(end, length)| Some((body.find(end)?, length))).min();
                first.map_or(text.len(), |(at, length)| begin + at + length)
            }
            Introducer::Escape => {
                let body = &text[1..];
                let letters = body.find(|c: char| !matches!(c, ' '..='/')).unwrap_or(body.len());
                let last = body[letters..].chars().next().filter(|c| matches!(c, '0'..='~'));
                1 + letters + last.map_or(0, char::len_utf8)
            }
        };
        text.split_at(end)
    }
}

/// The parameters of a sequence that only sets colours and the like.
fn colour(sequence: &str) -> Option<&str> {
    let body = sequence.strip_prefix("\x1b[").or_else(|| sequence.strip_prefix('\u{9b}'))?;
    let parameters = body.strip_suffix('m')?;
    parameters.bytes().all(|b| b.is_ascii_digit() || matches!(b, b';' | b':')).then_some(parameters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_stay_on_a_terminal_and_nothing_else_does() {
        for (text, shown) in [
            ("plain", "plain"),
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            ("\x1b[1;38:5:9mred", "\x1b[1;38:5:9mred\x1b[0m"),
            ("\u{9b}31mred\u{9b}m", "\x1b[31mred\x1b[m"),
            ("a\x1b[2Jb", "ab"),
            ("a\x1b[1Ab\x1b[?25lc", "abc"),
            ("a\x1b]0;title\x07b", "ab"),
            ("a\x1b]52;c;aGk=\x1b\\b", "ab"),
            ("a\x1bPq#0\x1b\\b", "ab"),
            ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
            ("a\x1b(Bb", "ab"),
            ("a\x1bcb", "ab"),
            ("a\x1b", "a"),
            ("a\x1b]never ends", "a"),
            ("a\x1b[31", "a"),
            ("a\x1b[31\u{e9}", "a\u{e9}"),
            ("a\tb", "a\tb"),
            ("over\rwritten", "overwritten"),
            ("bell\x07 back\x08", "bell\u{fffd} back\u{fffd}"),
            ("ab\u{202e}cd", "ab\u{fffd}cd"),
            ("one\ntwo\x1b[K", "one\ntwo"),
        ] {
            assert_eq!(clean(text, Target::Colours), shown, "{text:?}");
        }
    }

    #[test]
    fn without_colours_nothing_is_left_of_them() {
        assert_eq!(clean("\x1b[31mred\x1b[0m", Target::Plain), "red");
        assert_eq!(clean("\x1b[31mred\x1b[0m\r\x08", Target::File), "red\r\x08");
    }

    proptest! {
        #[test]
        fn no_text_gets_an_escape_through(text in "(\\PC|[\u{1b}\u{9b}\u{9d}\u{90}\\[\\]0-9;mPh\\\\\u{7}\n\r\u{202e}]){0,40}") {
            let plain = clean(&text, Target::Plain);
            let forbidden = ['\x1b', '\u{9b}', '\u{9d}', '\u{90}', '\r', '\u{202e}'];
            prop_assert!(!plain.contains(forbidden));
            prop_assert_eq!(plain.matches('\n').count(), text.matches('\n').count());
            let coloured = clean(&text, Target::Colours);
            for piece in coloured.split('\x1b').skip(1) {
                let end = piece.find('m').unwrap();
                prop_assert!(piece[1..end].bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':'));
            }
        }
    }
}
