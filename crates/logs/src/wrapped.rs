//! Texts that were broken into lines in the middle, as `base64` and `openssl` do with what they write.
//!
//! A line that ends in a long run of the characters of base64 goes on in the next one, if that begins as it does itself
//! before the run (with the same indentation, or the same `resource (local-exec): `) and then has such a character.
//! Whether a place is a break is decided by what stands within [`LOOKBACK`] bytes before it and right after it, so it does
//! not depend on how a stream is cut.

use std::ops::Range;

use memchr::{memchr_iter, memrchr};

/// How much of what is over has to be at hand to judge what comes.
pub(crate) const LOOKBACK: usize = LONGEST_LINE + 2;

/// Of a longer line nobody knows where it began.
const LONGEST_LINE: usize = 256;

/// What is shorter is a word at the end of a line. Nobody wraps at less.
const SHORTEST_RUN: usize = 40;

/// The places in a text where a line goes on in the next one: line end, and what is alike before both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaks {
    /// Those that are certain.
    pub(crate) certain: Vec<Range<usize>>,
    /// Where one begins that may become certain with what follows the text.
    pub(crate) pending: Option<usize>,
}

impl Breaks {
    /// Those of a text. It is the beginning of its stream, or its first [`LOOKBACK`] bytes are not judged.
    pub(crate) fn find(text: &[u8]) -> Breaks {
        let mut breaks = Breaks::default();
        for newline in memchr_iter(b'\n', text) {
            let end = newline - usize::from(newline > 0 && text[newline - 1] == b'\r');
            let Some(before) = before_run(text, end) else { continue };
            let rest = &text[newline + 1..];
            match rest.get(before.len()) {
                Some(next) if rest.starts_with(before) && is_base64(*next) => {
                    breaks.certain.push(end..newline + 1 + before.len());
                }
                None if before.starts_with(rest) => breaks.pending = Some(end),
                _ => {}
            }
        }
        // The line end may be cut in two.
        if let [rest @ .., b'\r'] = text
            && before_run(text, rest.len()).is_some()
        {
            breaks.pending = Some(rest.len());
        }
        breaks
    }

    /// How many more bytes than `length` a stretch can have that has so many without its breaks.
    pub(crate) fn most(length: usize) -> usize {
        (length / SHORTEST_RUN + 1) * (2 + LONGEST_LINE - SHORTEST_RUN)
    }
}

/// What stands before the run with which the line ends that ends at `end`; nothing where there is no such run.
fn before_run(text: &[u8], end: usize) -> Option<&[u8]> {
    // Most lines end here.
    if end < SHORTEST_RUN || !is_base64(text[end - 1]) {
        return None;
    }
    let from = end.saturating_sub(LONGEST_LINE);
    let begin = match memrchr(b'\n', &text[from..end]) {
        Some(newline) => from + newline + 1,
        None if from == 0 => 0,
        None => return None,
    };
    let line = &text[begin..end];
    let before = line.iter().rposition(|byte| !is_base64(*byte)).map_or(0, |last| last + 1);
    (line.len() - before >= SHORTEST_RUN).then(|| &line[..before])
}

fn is_base64(byte: u8) -> bool {
    IN_BASE64[usize::from(byte)]
}

/// Looked up, since this is asked for every byte of such lines.
const IN_BASE64: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'+' | b'/' | b'-' | b'_' | b'=');
        byte += 1;
    }
    table
};

/// A text without its breaks.
#[derive(Debug)]
pub(crate) struct Joined<'a> {
    breaks: &'a [Range<usize>],
    pub(crate) bytes: Vec<u8>,
    /// Where each break was, in `bytes`, and how long they were together up to it.
    at: Vec<(usize, usize)>,
}

impl<'a> Joined<'a> {
    /// `text` up to `end`, without these breaks.
    pub(crate) fn new(text: &[u8], breaks: &'a [Range<usize>], end: usize) -> Joined<'a> {
        let mut joined = Joined { breaks, bytes: Vec::with_capacity(text.len()), at: Vec::with_capacity(breaks.len()) };
        let (mut done, mut length) = (0, 0);
        for gap in breaks {
            joined.bytes.extend_from_slice(&text[done..gap.start]);
            length += gap.len();
            joined.at.push((joined.bytes.len(), length));
            done = gap.end;
        }
        joined.bytes.extend_from_slice(&text[done..end.max(done)]);
        joined
    }

    /// Where a byte was in the text.
    pub(crate) fn position(&self, index: usize) -> usize {
        let gaps = self.at.partition_point(|(at, _)| *at <= index);
        index + self.length(gaps)
    }

    /// How long the first breaks are together.
    fn length(&self, gaps: usize) -> usize {
        gaps.checked_sub(1).map_or(0, |last| self.at[last].1)
    }

    /// What follows in it from a place of the text on; nothing for a place within a break.
    pub(crate) fn from(&self, position: usize) -> Option<&[u8]> {
        let gaps = self.breaks.partition_point(|gap| gap.start <= position);
        if gaps > 0 && position < self.breaks[gaps - 1].end {
            return None;
        }
        self.bytes.get(position - self.length(gaps)..).filter(|rest| !rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> String {
        let breaks = Breaks::find(text.as_bytes());
        let joined = Joined::new(text.as_bytes(), &breaks.certain, text.len());
        for index in 0..joined.bytes.len() {
            assert_eq!(text.as_bytes()[joined.position(index)], joined.bytes[index]);
            assert_eq!(joined.from(joined.position(index)), Some(&joined.bytes[index..]));
        }
        String::from_utf8(joined.bytes).unwrap()
    }

    #[test]
    fn long_lines_that_go_on_are_one() {
        let run = "QUJD".repeat(15);
        assert_eq!(joined(&format!("{run}\n{run}\nQUI=\nend\n")), format!("{run}{run}QUI=\nend\n"));
        assert_eq!(joined(&format!("{run}\r\n{run}\r\n")), format!("{run}{run}\r\n"));
        let said = |text: &str| format!("null.x (local-exec): {text}\n");
        assert_eq!(joined(&format!("{}{}", said(&run), said(&run))), said(&format!("{run}{run}")));
        assert_eq!(joined(&format!("  {run}\n  {run}")), format!("  {run}{run}"));
    }

    #[test]
    fn lines_of_words_stay_lines() {
        let run = "QUJD".repeat(15);
        for text in [
            "one\ntwo\n".to_owned(),
            format!("{}\nmore\n", &run[..39]),
            format!("{run}\n more\n"),
            format!("  {run}\nmore\n"),
            format!("{run}\n\nmore\n"),
            format!("{run} \nmore\n"),
            format!("{}\nmore\n", run.repeat(5)),
        ] {
            assert_eq!(joined(&text), text);
        }
    }

    #[test]
    fn what_may_still_go_on_is_pending() {
        let run = "QUJD".repeat(15);
        let pending = |text: &str| Breaks::find(text.as_bytes()).pending;
        assert_eq!(pending(&run), None, "nothing has to be known yet");
        for end in ["\n", "\r", "\r\n"] {
            assert_eq!(pending(&format!("{run}{end}")), Some(60), "{end:?}");
        }
        assert_eq!(pending(&format!("x: {run}\nx:")), Some(63));
        assert_eq!(pending(&format!("x: {run}\nx: ")), Some(63));
        assert_eq!(pending(&format!("x: {run}\ny")), None);
        assert_eq!(pending(&format!("{run}\nmore")), None, "that is certain");
    }
}
