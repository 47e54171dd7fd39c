//! Replaces secrets by `***` in a stream of bytes, wherever its chunks are cut.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, Match, MatchKind};

use crate::forms;

const MASK: &[u8] = b"***";

/// Knows the secrets of one run, and takes them out of whatever is logged of it.
///
/// Besides the text itself it finds its JSON-escaped, URL-encoded and base64-encoded forms, the last at each of the
/// three places in a group where a secret inside a longer text may start. A secret of several lines is found line by
/// line. Texts of fewer than four characters are ignored: they would blot out ordinary words. Base64 that a tool breaks
/// into lines inside the secret is not found.
#[derive(Clone, Default)]
pub struct Redactor {
    patterns: Option<Arc<Patterns>>,
}

struct Patterns {
    automaton: AhoCorasick,
    sorted: Vec<Vec<u8>>,
    longest: usize,
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
        Redactor { patterns: Some(Arc::new(Patterns { automaton, sorted, longest })) }
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
    /// What was fed and has not left yet.
    held: Vec<u8>,
    /// How many of the first held bytes belong to a mask that has left already.
    masked: usize,
}

impl Masking {
    pub(crate) fn new(redactor: &Redactor) -> Masking {
        Masking { patterns: redactor.patterns.clone(), held: Vec::new(), masked: 0 }
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
        let window = len.saturating_sub(patterns.longest - 1)..len;
        let limit = window.into_iter().find(|at| patterns.may_start_with(&self.held[*at..])).unwrap_or(len);
        self.release(&patterns, limit, out);
    }

    /// The stream is over: lets out the rest.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let Some(patterns) = self.patterns.clone() else { return };
        self.release(&patterns, self.held.len(), out);
    }

    /// Lets the first `limit` bytes out. Every occurrence that starts in them has to be complete.
    fn release(&mut self, patterns: &Patterns, limit: usize, out: &mut Vec<u8>) {
        if limit == 0 {
            return;
        }
        let mut done = self.masked;
        for found in patterns.occurrences(&self.held, limit) {
            if found.start() >= done {
                out.extend_from_slice(&self.held[done..found.start()]);
                out.extend_from_slice(MASK);
            }
            done = done.max(found.end());
        }
        if done < limit {
            out.extend_from_slice(&self.held[done..limit]);
            done = limit;
        }
        self.held.drain(..limit);
        self.masked = done - limit;
    }
}

impl Patterns {
    /// The occurrences that start before `limit`, in the order of their starts.
    fn occurrences(&self, text: &[u8], limit: usize) -> Vec<Match> {
        // This search has a fast path for text without any; the overlapping one has not.
        if self.automaton.find(text).is_none() {
            return Vec::new();
        }
        let mut found: Vec<Match> =
            self.automaton.find_overlapping_iter(text).filter(|found| found.start() < limit).collect();
        found.sort_unstable_by_key(|found| (found.start(), found.end()));
        found
    }

    /// Whether a pattern starts with this text.
    fn may_start_with(&self, text: &[u8]) -> bool {
        let at = self.sorted.partition_point(|pattern| pattern.as_slice() < text);
        self.sorted.get(at).is_some_and(|pattern| pattern.starts_with(text))
    }
}

#[cfg(test)]
mod tests {
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
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for start in 0..text.len() {
            for pattern in patterns.iter().filter(|pattern| text[start..].starts_with(pattern)) {
                let end = start + pattern.len();
                match spans.last_mut() {
                    Some(last) if start < last.1 => last.1 = last.1.max(end),
                    _ => spans.push((start, end)),
                }
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

    proptest! {
        #[test]
        fn the_cuts_do_not_matter(
            secrets in prop::collection::vec("[ab]{3,8}", 0..4),
            text in "[abc\\n]{0,200}",
            cuts in prop::collection::vec((0usize..20, any::<bool>()), 1..60),
        ) {
            let redactor = Redactor::new(secrets);
            let mut stream = Masking::new(&redactor);
            let (mut out, mut rest) = (Vec::new(), text.as_bytes());
            for (len, settle) in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (now, later) = rest.split_at((*len).max(1).min(rest.len()));
                stream.feed(now, &mut out);
                if *settle { stream.settle(&mut out) }
                rest = later;
            }
            stream.finish(&mut out);
            prop_assert_eq!(out, by_definition(&redactor, text.as_bytes()));
        }
    }
}
