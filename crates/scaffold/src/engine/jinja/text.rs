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

fn wrap_line(line: &str, width: usize, breaks: Breaks) -> Vec<String> {
    let mut chunks = chunks(line, breaks.hyphens);
    chunks.reverse();
    let mut lines: Vec<String> = Vec::new();
    while let Some(last) = chunks.last() {
        if !lines.is_empty() && last.trim().is_empty() {
            chunks.pop();
            if chunks.is_empty() {
                break;
            }
        }
        let mut current: Vec<String> = Vec::new();
        let mut length = 0;
        while let Some(chunk) = chunks.last() {
            let size = chunk.chars().count();
            if length + size > width {
                break;
            }
            length += size;
            current.extend(chunks.pop());
        }
        if let Some(chunk) = chunks.last().filter(|chunk| chunk.chars().count() > width).cloned() {
            if breaks.long_words {
                let room = (width - length).max(1);
                // A hyphen is a better place to break, if there is one.
                let cut = chunk.chars().take(room).collect::<String>();
                let at = cut.rfind('-').filter(|at| breaks.hyphens && *at > 0 && !cut[..*at].chars().all(|c| c == '-'));
                let at = at.map_or(cut.len(), |at| at + 1);
                current.push(chunk[..at].to_owned());
                chunks.pop();
                chunks.push(chunk[at..].to_owned());
            } else if current.is_empty() {
                current.extend(chunks.pop());
            }
        }
        if current.last().is_some_and(|chunk| chunk.trim().is_empty()) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.concat());
        }
    }
    lines
}

/// Words, the blanks between them, and the parts of words with hyphens.
fn chunks(line: &str, hyphens: bool) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    let mut current = String::new();
    let chars: Vec<char> = line.chars().collect();
    for (at, &char) in chars.iter().enumerate() {
        let blank = char.is_whitespace();
        if current.chars().next_back().is_some_and(|last| last.is_whitespace() != blank) {
            chunks.push(std::mem::take(&mut current));
        }
        current.push(char);
        let letter = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|char| char.is_alphabetic());
        // As in `well-known`: two letters before it, or one and another hyphen further on, and a letter behind.
        let breaks = hyphens
            && char == '-'
            && letter(at.checked_sub(1))
            && letter(at.checked_sub(2))
            && letter(Some(at + 1))
            && (letter(Some(at + 2)) || chars.get(at + 2) == Some(&'-'));
        if breaks {
            chunks.push(std::mem::take(&mut current));
        }
    }
    if !current.is_empty() {
        chunks.push(current);
    }
    chunks
}
