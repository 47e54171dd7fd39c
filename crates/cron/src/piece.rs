//! A piece of the expression that remembers where it stands, so that every error can point at its cause.

use std::ops::Range;

/// A slice of the source text and its byte offset there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    pub(crate) start: usize,
}

impl<'a> Piece<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    pub(crate) fn span(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// Without white space at either end.
    pub(crate) fn trim(self) -> Self {
        let text = self.text.trim_start();
        Self { text: text.trim_end(), start: self.start + self.text.len() - text.len() }
    }

    /// The parts between the occurrences of an ASCII separator.
    pub(crate) fn split(self, separator: char) -> impl Iterator<Item = Piece<'a>> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let piece = Piece { text, start };
            start += text.len() + separator.len_utf8();
            piece
        })
    }

    /// The words between runs of white space.
    pub(crate) fn words(self) -> impl Iterator<Item = Piece<'a>> {
        let base = self.text.as_ptr() as usize;
        self.text
            .split_whitespace()
            .map(move |text| Piece { text, start: self.start + (text.as_ptr() as usize - base) })
    }

    pub(crate) fn strip_prefix(self, prefix: &str) -> Option<Self> {
        let text = self.text.strip_prefix(prefix)?;
        Some(Self { text, start: self.start + prefix.len() })
    }

    /// Without its last character, when that is the ASCII letter given, in either case.
    pub(crate) fn strip_last_letter(self, letter: char) -> Option<Self> {
        let last = self.text.chars().next_back()?;
        last.eq_ignore_ascii_case(&letter)
            .then(|| Self { text: &self.text[..self.text.len() - last.len_utf8()], start: self.start })
    }

    /// The first word and what follows the white space after it.
    pub(crate) fn split_first_word(self) -> (Self, Self) {
        let end = self.text.find(char::is_whitespace).unwrap_or(self.text.len());
        let word = Self { text: &self.text[..end], start: self.start };
        let rest = Self { text: &self.text[end..], start: self.start + end };
        (word, rest.trim())
    }

    /// The text as an error message quotes it.
    pub(crate) fn excerpt(self) -> String {
        const LONGEST: usize = 40;
        match self.text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &self.text[..end]),
            None => self.text.to_owned(),
        }
    }

    pub(crate) fn is(self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }
}
