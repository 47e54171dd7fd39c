//! Replaces secrets by `***` in a stream of bytes, wherever its chunks are cut.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::forms;
use crate::wrapped::{Breaks, Joined, LOOKBACK};

const MASK: &[u8] = b"***";

/// Knows the secrets of one run, and takes them out of whatever is logged of it.
///
/// Besides the text itself it finds its JSON-escaped, URL-encoded, shell-quoted, HTML-escaped and base64-encoded forms, the
/// last at each of the three places in a group where a secret inside a longer text may start, and broken into lines
/// ([`wrapped`](crate::wrapped)). A secret of several lines is found line by line. Texts of fewer than four characters are
/// ignored: they would blot out ordinary words.
#[derive(Clone, Default)]
pub struct Redactor {
    patterns: Option<Arc<Patterns>>,
}

struct Patterns {
    automaton: AhoCorasick,
    sorted: Vec<Vec<u8>>,
    /// How long an occurrence can be, line breaks included.
    longest: usize,
    /// Whether one of them has a line end of its own.
    has_line_ends: bool,
}

impl Redactor {
    /// Knows these secrets.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Redactor {
        let forms: BTreeSet<Vec<u8>> = secrets.into_iter().flat_map(|secret| forms::of(&secret)).collect();
        let sorted: Vec<Vec<u8>> = forms.into_iter().collect();
        let Some(longest) = sorted.iter().map(Vec::len).max() else { return Redactor::default() };
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&sorted)
            .expect("the forms of a run's secrets are far fewer than 2^31 bytes");
        let longest = longest + Breaks::most(longest);
        let has_line_ends = sorted.iter().any(|form| form.contains(&b'\n'));
        Redactor { patterns: Some(Arc::new(Patterns { automaton, sorted, longest, has_line_ends })) }
    }

    /// `text` without the secrets. For messages; the logs do it for themselves.
    pub fn redact(&self, text: &str) -> String {
        let mut stream = Masking::new(self);
        let mut out = Vec::with_capacity(text.len());
        stream.feed(text.as_bytes(), &mut out);
        stream.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.patterns.as_ref().map_or(0, |patterns| patterns.sorted.len());
        f.debug_struct("Redactor").field("patterns", &patterns).finish_non_exhaustive()
    }
}

/// The redaction of one stream.
///
/// Each maximal stretch of bytes covered by overlapping occurrences of secrets becomes one mask. That is a property of
/// the whole stream, so the output does not depend on how the input is cut: a byte leaves only when no occurrence can
/// start at it any more.
pub(crate) struct Masking {
    patterns: Option<Arc<Patterns>>,
    /// What was fed and has not left yet, and before it what is needed to judge it.
    held: Vec<u8>,
    /// Which occurrences are dealt with: all that start before this held byte.
    judged: usize,
    /// How many of the first held bytes have left, as they are or within a mask. Never less than `judged`.
    left: usize,
}

impl Masking {
    pub(crate) fn new(redactor: &Redactor) -> Masking {
        Masking { patterns: redactor.patterns.clone(), held: Vec::new(), judged: 0, left: 0 }
    }

    /// Takes the next bytes, and lets out what is certain. Cheap: meant for a stream in full flow.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(patterns) = self.patterns.clone() else { return out.extend_from_slice(bytes) };
        self.held.extend_from_slice(bytes);
        let limit = self.held.len().saturating_sub(patterns.longest - 1);
        self.release(&patterns, limit, out);
    }

    /// Lets out all that no secret can start in, for a stream that pauses: people see a line as soon as it is written.
    pub(crate) fn settle(&mut self, out: &mut Vec<u8>) {
        let Some(patterns) = self.patterns.clone() else { return };
        let len = self.held.len();
        let breaks = Breaks::find(&self.held);
        let joined = Joined::new(&self.held, &breaks.certain, breaks.pending.unwrap_or(len));
        let mut window = len.saturating_sub(patterns.longest - 1).max(self.judged)..len;
        let may_start = |at: &usize| {
            let rest = joined.from(*at).filter(|rest| rest.len() < len - at);
            patterns.may_start_with(&self.held[*at..]) || rest.is_some_and(|rest| patterns.may_start_with(rest))
        };
        let limit = window.find(may_start).unwrap_or(len);
        self.release(&patterns, limit, out);
    }

    /// The stream is over: lets out the rest.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let Some(patterns) = self.patterns.clone() else { return };
        self.release(&patterns, self.held.len(), out);
    }

    /// Lets the first `limit` held bytes out. Every occurrence that starts in them has to be complete.
    fn release(&mut self, patterns: &Patterns, limit: usize, out: &mut Vec<u8>) {
        if limit <= self.judged {
            return;
        }
        let mut done = self.left;
        for found in patterns.occurrences(&self.held, self.judged..limit) {
            if found.start >= done {
                out.extend_from_slice(&self.held[done..found.start]);
                out.extend_from_slice(MASK);
            }
            done = done.max(found.end);
        }
        if done < limit {
            out.extend_from_slice(&self.held[done..limit]);
            done = limit;
        }
        let needless = limit.saturating_sub(LOOKBACK);
        self.held.drain(..needless);
        self.judged = limit - needless;
        self.left = done - needless;
    }
}

impl Patterns {
    /// The occurrences that start within `starts`, in the order of their starts.
    fn occurrences(&self, text: &[u8], starts: Range<usize>) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let breaks = Breaks::find(text).certain;
        // Without its breaks the text has the same occurrences and more, but for those that have line ends of their own.
        if breaks.is_empty() || self.has_line_ends {
            // What starts earlier was found earlier.
            let (before, after) = text.split_at(starts.start);
            let all = self.all(after);
            found.extend(all.map(|range| range.start + before.len()..range.end + before.len()));
        }
        if !breaks.is_empty() {
            let joined = Joined::new(text, &breaks, text.len());
            let all = self.all(&joined.bytes);
            found.extend(all.map(|range| joined.position(range.start)..joined.position(range.end - 1) + 1));
        }
        found.retain(|range| starts.contains(&range.start));
        found.sort_unstable_by_key(|range| (range.start, range.end));
        found
    }

    fn all(&self, text: &[u8]) -> impl Iterator<Item = Range<usize>> {
        // This search has a fast path for text without any; the overlapping one has not.
        let any = self.automaton.find(text).is_some();
        any.then(|| self.automaton.find_overlapping_iter(text)).into_iter().flatten().map(|found| found.range())
    }

    /// Whether a pattern starts with this text.
    fn may_start_with(&self, text: &[u8]) -> bool {
        let at = self.sorted.partition_point(|pattern| pattern.as_slice() < text);
        self.sorted.get(at).is_some_and(|pattern| pattern.starts_with(text))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| (*secret).to_owned()))
    }

    #[test]
    fn overlapping_secrets_leave_nothing_behind() {
        let both = redactor(&["abcd1234", "1234wxyz", "d123"]);
        assert_eq!(both.redact("<abcd1234wxyz>"), "<***>");
        assert_eq!(both.redact("abcd1234abcd1234"), "******");
        assert_eq!(both.redact("abcd123"), "abc***");
        assert_eq!(redactor(&["", "abc"]).redact("abc"), "abc");
        assert_eq!(redactor(&["aaaa"]).redact("aaaaaaaaab"), "***b");
        assert!(!format!("{both:?}").contains("abcd"));
    }

    #[test]
    fn a_pausing_stream_shows_all_but_what_may_become_a_secret() {
        let mut stream = Masking::new(&redactor(&["hunter2hunter2"]));
        let mut out = Vec::new();
        stream.feed(b"login hunt", &mut out);
        stream.settle(&mut out);
        assert_eq!(out, b"login ");
        stream.feed(b"ing season\n", &mut out);
        stream.settle(&mut out);
        assert_eq!(out, b"login hunting season\n");
    }

    /// What the redaction means, in the most obvious code.
    fn by_definition(redactor: &Redactor, text: &[u8]) -> Vec<u8> {
        let patterns = redactor.patterns.as_ref().map_or(&[][..], |patterns| &patterns.sorted);
        let mut all: Vec<(usize, usize)> = Vec::new();
        for start in 0..text.len() {
            for pattern in patterns.iter().filter(|pattern| text[start..].starts_with(pattern)) {
                all.push((start, start + pattern.len()));
            }
        }
        let breaks = Breaks::find(text).certain;
        let joined = Joined::new(text, &breaks, text.len());
        for start in 0..joined.bytes.len() {
            for pattern in patterns.iter().filter(|pattern| joined.bytes[start..].starts_with(pattern)) {
                all.push((joined.position(start), joined.position(start + pattern.len() - 1) + 1));
            }
        }
        all.sort_unstable();
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for (start, end) in all {
            match spans.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => spans.push((start, end)),
            }
        }
        let mut out = Vec::new();
        let mut done = 0;
        for (start, end) in spans {
            out.extend_from_slice(&text[done..start]);
            out.extend_from_slice(MASK);
            done = end;
        }
        out.extend_from_slice(&text[done..]);
        out
    }

    /// The output of a stream that is fed, and pauses, in these pieces.
    fn in_pieces(redactor: &Redactor, text: &[u8], cuts: &[(usize, bool)]) -> Vec<u8> {
        let mut stream = Masking::new(redactor);
        let (mut out, mut rest) = (Vec::new(), text);
        for (len, settle) in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*len).max(1).min(rest.len()));
            stream.feed(now, &mut out);
            if *settle {
                stream.settle(&mut out);
            }
            rest = later;
        }
        stream.finish(&mut out);
        out
    }

    #[test]
    fn a_secret_in_wrapped_base64_is_found() {
        let secret = "correct-horse-battery-staple";
        let redactor = redactor(&[secret]);
        for lead in 0..120 {
            let text = format!("{}{secret}{}", "x".repeat(lead), "y".repeat(70));
            let encoded = STANDARD.encode(&text);
            for (width, before) in [(76, ""), (64, "    "), (60, "terraform_data.x (local-exec): ")] {
                let lines: Vec<&str> =
                    encoded.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
                let printed = lines.iter().fold(String::new(), |printed, line| printed + before + line + "\n");
                let told = redactor.redact(&printed).replace(before, "").replace('\n', "");
                assert!(told.contains("***"), "{lead}, {width}: {told}");
                // Whoever puts the lines together again does not find it either.
                assert_eq!(redactor.redact(&told), told, "{lead}, {width}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_cuts_do_not_matter_to_wrapped_lines_either(
            secret in "[a-f]{4,60}",
            lines in prop::collection::vec(("(  |x: )?", 0usize..3, 0usize..90, "\\r?\\n"), 1..12),
            cuts in prop::collection::vec((0usize..150, any::<bool>()), 1..30),
        ) {
            let redactor = Redactor::new([secret.clone()]);
            let encoded = STANDARD.encode(secret.repeat(400));
            let mut from = encoded.as_str();
            let mut text = String::new();
            let prefix = lines[0].0.clone();
            for (before, same, width, end) in &lines {
                let (line, rest) = from.split_at(*width.min(&from.len()));
                from = rest;
                let before = if *same > 0 { &prefix } else { before };
                text.extend([before.as_str(), line, end]);
            }
            let out = in_pieces(&redactor, text.as_bytes(), &cuts);
            prop_assert_eq!(out, by_definition(&redactor, text.as_bytes()));
        }

        #[test]
        fn the_cuts_do_not_matter(
            secrets in prop::collection::vec("[ab]{3,8}", 0..4),
            text in "[abc\\n]{0,200}",
            cuts in prop::collection::vec((0usize..20, any::<bool>()), 1..60),
        ) {
            let redactor = Redactor::new(secrets);
            let out = in_pieces(&redactor, text.as_bytes(), &cuts);
            prop_assert_eq!(out, by_definition(&redactor, text.as_bytes()));
        }
    }
}
