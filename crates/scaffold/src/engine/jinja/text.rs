//! What Python's libraries do to texts.

/// markupsafe's escaping; a slash is left alone.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            char => out.push(char),
        }
    }
    out
}

/// python-slugify: letters of all scripts in ASCII, everything else one separator.
pub(super) fn slugify(text: &str, separator: &str, lowercase: bool) -> String {
    let plain = deunicode::deunicode(text).replace('\'', "-");
    let plain = if lowercase { plain.to_lowercase() } else { plain };
    let words = plain.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(separator)
}

/// `str.center`.
pub(super) fn center(text: &str, width: usize, fill: char) -> String {
    let length = text.chars().count();
    let missing = width.saturating_sub(length);
    let left = missing / 2 + (missing & width & 1);
    let pad = |count| std::iter::repeat_n(fill, count);
    pad(left).chain(text.chars()).chain(pad(missing - left)).collect()
}

/// Jinja2's `truncate`.
pub(super) fn truncate(text: &str, length: usize, whole_words: bool, end: &str, leeway: usize) -> String {
    if text.chars().count() <= length.saturating_add(leeway) {
        return text.to_owned();
    }
    let start: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let start = match start.rsplit_once(' ') {
        Some((words, _)) if whole_words => words,
        _ => &start,
    };
    format!("{start}{end}")
}

/// Runs of letters, digits and underscores.
pub(super) fn count_words(text: &str) -> usize {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|word| !word.is_empty()).count()
}

/// Jinja2's `filesizeformat`.
pub(super) fn file_size(bytes: f64, binary: bool) -> String {
    let (base, prefixes): (f64, [&str; 8]) = if binary {
        (1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"])
    } else {
        (1000.0, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
    };
    if (bytes - 1.0).abs() < f64::EPSILON {
        return "1 Byte".to_owned();
    }
    if bytes < base {
        return format!("{} Bytes", bytes.trunc());
    }
    let mut unit = base;
    let mut prefix = prefixes[0];
    for next in prefixes {
        prefix = next;
        if bytes < unit * base {
            break;
        }
        unit *= base;
    }
    // Past the last prefix the unit has grown once too often.
    let unit = if bytes >= base.powi(9) { base.powi(8) } else { unit };
    format!("{:.1} {prefix}", bytes / unit)
}

/// How `wrap` may break.
#[derive(Clone, Copy)]
pub(super) struct Breaks {
    pub(super) long_words: bool,
    pub(super) hyphens: bool,
}

/// Jinja2's `wordwrap`: Python's `textwrap.wrap` of each line.
pub(super) fn wrap(text: &str, width: usize, breaks: Breaks, newline: &str) -> String {
    let lines = text.lines().map(|line| wrap_line(line, width.max(1), breaks).join(newline));
    lines.collect::<Vec<_>>().join(newline)
}

/// A piece of a line with the number of its characters. Words may be cut a million times, so nothing is copied or counted
/// twice.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    text: &'a str,
    width: usize,
}

impl Chunk<'_> {
    fn is_blank(self) -> bool {
        self.text.starts_with(char::is_whitespace)
    }
}

fn wrap_line(line: &str, width: usize, breaks: Breaks) -> Vec<String> {
    let mut chunks = chunks(line, breaks.hyphens);
    chunks.reverse();
    let mut lines: Vec<String> = Vec::new();
    while let Some(last) = chunks.last() {
        if !lines.is_empty() && last.is_blank() {
            chunks.pop();
            if chunks.is_empty() {
                break;
            }
        }
        let mut current: Vec<Chunk<'_>> = Vec::new();
        let mut length = 0;
        while let Some(chunk) = chunks.last() {
            if length + chunk.width > width {
                break;
            }
            length += chunk.width;
            current.extend(chunks.pop());
        }
        if let Some(chunk) = chunks.last().copied().filter(|chunk| chunk.width > width) {
            if breaks.long_words {
                chunks.pop();
                let (head, tail) = cut(chunk, (width - length).max(1), breaks.hyphens);
                current.push(head);
                chunks.push(tail);
            } else if current.is_empty() {
                current.extend(chunks.pop());
            }
        }
        if current.last().is_some_and(|chunk| chunk.is_blank()) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.iter().map(|chunk| chunk.text).collect());
        }
    }
    lines
}

/// The first `room` characters, or fewer if there is a hyphen to break at, and what is left.
fn cut(chunk: Chunk<'_>, room: usize, hyphens: bool) -> (Chunk<'_>, Chunk<'_>) {
    let end = chunk.text.char_indices().nth(room).map_or(chunk.text.len(), |(end, _)| end);
    let start = &chunk.text[..end];
    let hyphen = start.rfind('-').filter(|at| hyphens && start[..*at].chars().any(|char| char != '-'));
    let (text, width) = match hyphen {
        Some(at) => (&start[..=at], start[..=at].chars().count()),
        None => (start, room),
    };
    (Chunk { text, width }, Chunk { text: &chunk.text[text.len()..], width: chunk.width - width })
}

/// Words, the blanks between them, and the parts of words with hyphens.
fn chunks(line: &str, hyphens: bool) -> Vec<Chunk<'_>> {
    let chars: Vec<(usize, char)> = line.char_indices().collect();
    let is_letter = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|(_, char)| char.is_alphabetic());
    let mut chunks = Vec::new();
    let (mut start, mut first) = (0, 0);
    for (at, &(offset, char)) in chars.iter().enumerate() {
        let turns = at > first && chars[at - 1].1.is_whitespace() != char.is_whitespace();
        // As in `well-known`: two letters before the hyphen, and behind it two letters, or one and another hyphen.
        let hyphen = hyphens
            && at >= first + 3
            && chars[at - 1].1 == '-'
            && is_letter(at.checked_sub(2))
            && is_letter(at.checked_sub(3))
            && is_letter(Some(at))
            && (is_letter(Some(at + 1)) || chars.get(at + 1).is_some_and(|(_, char)| *char == '-'));
        if turns || hyphen {
            chunks.push(Chunk { text: &line[start..offset], width: at - first });
            (start, first) = (offset, at);
        }
    }
    if start < line.len() {
        chunks.push(Chunk { text: &line[start..], width: chars.len() - first });
    }
    chunks
}
