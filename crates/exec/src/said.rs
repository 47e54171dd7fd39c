//! What a tool said when it failed, in one sentence. Pure.

use std::fmt::Write as _;

use regex_lite::Regex;

/// Messages longer than this are cut: they are stored with the run, and the log has them whole.
const LONGEST: usize = 500;

/// The tool's errors at the end of `output`, as one sentence; none where it said nothing at all.
///
/// Both tools draw a box around each error (`╷ │ ╵`), or print `Error: …` where they cannot. The first error is the
/// one that is told, because later ones often follow from it.
pub fn error(output: &str) -> Option<String> {
    let plain = strip_ansi(output);
    let lines: Vec<&str> = plain.lines().map(unbox).collect();
    let starts: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.strip_prefix("Error: ").is_some_and(|rest| !rest.trim().is_empty()))
        .map(|(i, _)| i)
        .collect();
    // A headline over the real errors.
    let (headlines, told): (Vec<usize>, Vec<usize>) = starts
        .into_iter()
        .partition(|start| lines.get(*start).is_some_and(|line| line.contains("encountered problems during initiali")));
    let starts = if told.is_empty() { headlines } else { told };
    let sentence = match starts.as_slice() {
        [] => last_line(&lines)?.to_owned(),
        [first, others @ ..] => {
            let end = others.first().copied().unwrap_or(lines.len());
            let mut sentence = one_error(&lines[*first..end]);
            match others.len() {
                0 => {}
                1 => sentence.push_str(" (and 1 more error)"),
                more => {
                    let _ = write!(sentence, " (and {more} more errors)");
                }
            }
            sentence
        }
    };
    Some(cut(&sentence))
}

/// `text` without ANSI escapes and without the carriage returns of progress displays.
pub fn strip_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // CSI: parameters, then one final byte.
                Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
                // OSC: until BEL or ST.
                Some(']') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\r' => {}
            c => plain.push(c),
        }
    }
    plain
}

/// A line without the frame that the tools draw.
fn unbox(line: &str) -> &str {
    let line = line.trim_end();
    match line.strip_prefix('│') {
        Some(rest) => rest.strip_prefix(' ').unwrap_or(rest),
        None if line == "╷" || line == "╵" => "",
        None => line,
    }
}

/// `Error: SUMMARY`, the place, and the prose; the quoted code between them stays in the log.
fn one_error(lines: &[&str]) -> String {
    let Some((head, body)) = lines.split_first() else { return String::new() };
    let mut sentence = head.strip_prefix("Error: ").unwrap_or(head).trim().to_owned();
    if let Some(place) = body.iter().find_map(|line| place(line)) {
        let _ = write!(sentence, " ({place})");
    }
    // Prose starts at the margin; code, context and lists are indented.
    let prose: Vec<&str> = body
        .iter()
        .take_while(|line| !line.starts_with("Warning: "))
        .filter(|line| !line.is_empty() && !line.starts_with(char::is_whitespace))
        .map(|line| line.trim())
        .collect();
    if !prose.is_empty() {
        sentence.push_str(": ");
        sentence.push_str(&prose.join(" "));
    }
    sentence
}

/// `on main.tf line 3, in …` as `main.tf:3`.
fn place(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("on ")?;
    let (file, rest) = rest.split_once(" line ")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!number.is_empty() && !file.contains(' ')).then(|| format!("{file}:{number}"))
}

fn last_line<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty())
}

fn cut(sentence: &str) -> String {
    let sentence: String = sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if sentence.chars().count() <= LONGEST {
        return sentence;
    }
    let mut short: String = sentence.chars().take(LONGEST - 1).collect();
    short.push('…');
    short
}

/// Who holds a state lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// The lock's id, for `force-unlock`.
    pub id: String,
    /// `user@host`.
    pub who: Option<String>,
    /// What the holder does.
    pub operation: Option<String>,
    /// Since when.
    pub created: Option<String>,
}

impl LockHolder {
    /// Finds the holder in the tool's "Error acquiring the state lock".
    pub fn in_output(output: &str) -> Option<LockHolder> {
        let plain = strip_ansi(output);
        if !plain.contains("Error acquiring the state lock") {
            return None;
        }
        let field = |name: &str| {
            let pattern = Regex::new(&format!(r"(?m)^[│\s]*{name}:[ \t]*(\S.*?)\s*$")).ok()?;
            pattern.captures(&plain)?.get(1).map(|found| found.as_str().to_owned())
        };
        Some(LockHolder {
            id: field("ID")?,
            who: field("Who"),
            operation: field("Operation"),
            created: field("Created"),
        })
    }

    /// Reads the `.NAME.tfstate.lock.info` that the local backend leaves behind.
    pub fn in_lock_file(text: &str) -> Option<LockHolder> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let field = |name: &str| {
            value.get(name).and_then(|field| field.as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Some(LockHolder {
            id: field("ID")?,
            who: field("Who"),
            operation: field("Operation"),
            created: field("Created"),
        })
    }

    /// `lock ID, held by WHO since WHEN (OPERATION)`.
    pub fn sentence(&self) -> String {
        let mut sentence = format!("lock {}", self.id);
        if let Some(who) = &self.who {
            let _ = write!(sentence, ", held by {who}");
        }
        if let Some(created) = &self.created {
            let _ = write!(sentence, " since {created}");
        }
        if let Some(operation) = &self.operation {
            let _ = write!(sentence, " ({operation})");
        }
        sentence
    }
}

#[cfg(test)]
mod tests;
