//! Just enough of Rust's lexical grammar to tell code, string literals and comments apart.
//!
//! A rule such as "no SQL outside the store" must look into string literals and nowhere else, and one such as "no
//! unfinished code" must not stumble over a comment that mentions the macro. Each view has the length and the lines of
//! the source, with everything that does not belong to it blanked, so an offset means the same in all of them.

/// Three views of one source text.
#[derive(Debug)]
pub struct RustText {
    /// What the compiler executes: everything outside literals and comments.
    pub code: String,
    /// The contents of string literals, prefixes and quotes excluded.
    pub strings: String,
}

impl RustText {
    /// Splits a source text. Text that is not valid Rust gives some split, never a panic.
    pub fn split(source: &str) -> Self {
        let bytes = source.as_bytes();
        let mut kinds = vec![Kind::Code; bytes.len()];
        let mut at = 0;
        while at < bytes.len() {
            let end = match bytes[at] {
                b'/' if bytes.get(at + 1) == Some(&b'/') => mark(&mut kinds, at, line_end(bytes, at), Kind::Comment),
                b'/' if bytes.get(at + 1) == Some(&b'*') => mark(&mut kinds, at, block_end(bytes, at), Kind::Comment),
                b'"' => string(bytes, &mut kinds, at),
                b'r' if starts_word(bytes, at) => raw_string(bytes, &mut kinds, at).unwrap_or(at + 1),
                b'\'' => mark(&mut kinds, at, char_end(bytes, at), Kind::Comment),
                _ => at + 1,
            };
            at = end.max(at + 1);
        }
        Self { code: view(bytes, &kinds, Kind::Code), strings: view(bytes, &kinds, Kind::String) }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    String,
    /// Comments, and character literals, which no rule asks about.
    Comment,
}

fn view(bytes: &[u8], kinds: &[Kind], wanted: Kind) -> String {
    let kept = bytes.iter().zip(kinds).map(|(byte, kind)| match byte {
        b'\n' => b'\n',
        byte if *kind == wanted => *byte,
        _ => b' ',
    });
    // Kinds change at ASCII characters only, so whole characters are kept or blanked.
    String::from_utf8_lossy(&kept.collect::<Vec<_>>()).into_owned()
}

fn mark(kinds: &mut [Kind], from: usize, to: usize, kind: Kind) -> usize {
    kinds[from..to].fill(kind);
    to
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| from + length)
}

fn block_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" if depth == 1 => return at + 2,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    bytes.len()
}

/// An ordinary string; `at` is its opening quote.
fn string(bytes: &[u8], kinds: &mut [Kind], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    let end = end.min(bytes.len());
    mark(kinds, at, (end + 1).min(bytes.len()), Kind::Comment);
    mark(kinds, at + 1, end, Kind::String);
    end + 1
}

/// A raw string whose `r` is at `at`; none where the `r` begins something else.
fn raw_string(bytes: &[u8], kinds: &mut [Kind], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let closing = |quote: usize| {
        bytes[quote] == b'"' && bytes[quote + 1..].iter().take_while(|byte| **byte == b'#').count() >= hashes
    };
    let close = (open + 1..bytes.len()).find(|quote| closing(*quote)).unwrap_or(bytes.len());
    let end = (close + 1 + hashes).min(bytes.len());
    mark(kinds, at, end, Kind::Comment);
    mark(kinds, open + 1, close, Kind::String);
    Some(end)
}

/// Is `at` the first character of a word, or preceded by nothing but a `b` or `c` prefix?
fn starts_word(bytes: &[u8], at: usize) -> bool {
    let is_word = |index: usize| bytes[index].is_ascii_alphanumeric() || bytes[index] == b'_';
    let prefixed = at > 0 && matches!(bytes[at - 1], b'b' | b'c');
    let first = if prefixed { at - 1 } else { at };
    first == 0 || !is_word(first - 1)
}

/// The end of a character literal, or just behind the quote where it is a lifetime.
fn char_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at + 1) {
        Some(b'\\') => bytes[(at + 3).min(bytes.len())..]
            .iter()
            .position(|byte| *byte == b'\'')
            .map_or(at + 1, |length| at + 3 + length + 1),
        Some(_) => {
            // One character, of at most four bytes, then the closing quote; `'a, 'b` has a word in between.
            let closing = (2..=5).find(|ahead| bytes.get(at + ahead) == Some(&b'\''));
            match closing {
                Some(2) => at + 3,
                Some(ahead) if bytes[at + 1] >= 0x80 => at + ahead + 1,
                _ => at + 1,
            }
        }
        None => at + 1,
    }
}

/// The line, counted from 1, of an offset.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Offsets at which `word` stands by itself, not as part of a longer word.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).map(|index| text.as_bytes()[index]);
        let after = text.as_bytes().get(at + word.len()).copied();
        let ends_in_word = word.as_bytes().last().copied().is_some_and(is_word);
        !(before.is_some_and(is_word) || ends_in_word && after.is_some_and(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(source: &str) -> Vec<String> {
        RustText::split(source).strings.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn literals_and_comments_are_told_apart() {
        let source = r##"let a = "one"; // "two"
/* "three" /* nested */ "four" */ let b = r#"fi"ve"#; let c = b"six"; let d = '"'; let e = "s\"even";"##;
        assert_eq!(strings(source), ["one", "fi\"ve", "six", "s\\\"even"]);
        let code = RustText::split(source).code;
        assert!(code.contains("let e =") && code.contains("let d =") && !code.contains("three"));
    }

    #[test]
    fn lifetimes_are_not_characters() {
        let source = "fn f<'a>(x: &'a str, y: &'a str) { g(\"in\", 'x', '\\'', 'é', '\\u{1F600}') } // out";
        assert_eq!(strings(source), ["in"]);
        assert!(RustText::split(source).code.contains("y: &"));
    }

    #[test]
    fn views_keep_lines_and_lengths() {
        let source = "let a = \"é\n\";\nlet for_ = br\"x\";\n";
        let text = RustText::split(source);
        assert_eq!(text.code.len(), source.len());
        assert_eq!(text.code.lines().count(), source.lines().count());
        assert_eq!(line_of(&text.code, text.code.find("for_").unwrap()), 3);
    }

    #[test]
    fn broken_sources_do_not_panic() {
        for source in ["\"", "'", "'\\", "r#\"", "/*", "\"\\", "r", "b'", "'é"] {
            RustText::split(source);
        }
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("mod a; mod ab; xmod a", "mod a").collect::<Vec<_>>(), [0]);
        assert_eq!(words("todo!() my_todo!()", "todo!").collect::<Vec<_>>(), [0]);
    }
}
