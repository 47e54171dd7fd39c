//! Cuts a template into words.

use std::borrow::Cow;

use memchr::memmem;

use super::token::{Kind, Token};
use crate::quote::{quote, unicode_shown};
use crate::unicode::{is_alphanumeric, is_print};

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];
/// A trim marker is a dash with a space on its inner side.
const TRIM_MARKER_LEN: usize = 2;

fn is_space(char: char) -> bool {
    SPACES.contains(&char)
}

/// Reads one template from its start to its end.
pub(crate) struct Lexer<'a> {
    input: &'a str,
    left: &'a str,
    right: &'a str,
    break_is_keyword: bool,
    continue_is_keyword: bool,
    at: usize,
    start: usize,
    line: usize,
    start_line: usize,
    paren_depth: usize,
    inside_action: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str, left: &'a str, right: &'a str) -> Lexer<'a> {
        Lexer {
            input,
            left,
            right,
            break_is_keyword: true,
            continue_is_keyword: true,
            at: 0,
            start: 0,
            line: 1,
            start_line: 1,
            paren_depth: 0,
            inside_action: false,
        }
    }

    /// Functions called `break` or `continue` take these words from the language.
    pub(crate) fn set_keywords(&mut self, break_is_keyword: bool, continue_is_keyword: bool) {
        self.break_is_keyword = break_is_keyword;
        self.continue_is_keyword = continue_is_keyword;
    }

    /// The next word; the end, once reached, again and again.
    pub(crate) fn next_token(&mut self) -> Token<'a> {
        if self.inside_action { self.inside() } else { self.text() }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        if char == '\n' {
            self.line += 1;
        }
        Some(char)
    }

    fn token(&mut self, kind: Kind) -> Token<'a> {
        let text = Cow::Borrowed(&self.input[self.start..self.at]);
        let token = Token { kind, at: self.start, text, line: self.start_line };
        self.start = self.at;
        self.start_line = self.line;
        token
    }

    /// Moves on without a word. Counts the lines of what was skipped without reading it.
    fn ignore(&mut self) {
        self.line += lines(&self.input[self.start..self.at]);
        self.start = self.at;
        self.start_line = self.line;
    }

    fn error(&mut self, message: impl Into<Cow<'a, str>>) -> Token<'a> {
        let token = Token { kind: Kind::Error, at: self.start, text: message.into(), line: self.start_line };
        // What follows an error is the end.
        self.input = "";
        self.at = 0;
        self.start = 0;
        self.inside_action = false;
        token
    }

    fn text(&mut self) -> Token<'a> {
        loop {
            let Some(found) = memmem::find(self.rest().as_bytes(), self.left.as_bytes()) else {
                self.at = self.input.len();
                if self.at > self.start {
                    self.line += lines(&self.input[self.start..self.at]);
                    return self.token(Kind::Text);
                }
                return self.token(Kind::Eof);
            };
            if found > 0 {
                let delimiter = self.at + found;
                let after = &self.input[delimiter + self.left.len()..];
                let mut end = delimiter;
                if has_left_trim_marker(after) {
                    end = self.start + self.input[self.start..delimiter].trim_end_matches(SPACES).len();
                }
                self.at = end;
                self.line += lines(&self.input[self.start..end]);
                let token = self.token(Kind::Text);
                self.at = delimiter;
                self.ignore();
                if !token.text.is_empty() {
                    return token;
                }
            }
            if let Some(token) = self.left_delimiter() {
                return token;
            }
        }
    }

    /// `None` after a comment, which is no word.
    fn left_delimiter(&mut self) -> Option<Token<'a>> {
        self.at += self.left.len();
        let marker = if has_left_trim_marker(self.rest()) { TRIM_MARKER_LEN } else { 0 };
        if self.input[self.at + marker..].starts_with("/*") {
            self.at += marker;
            self.ignore();
            return self.comment();
        }
        let token = self.token(Kind::LeftDelimiter);
        self.inside_action = true;
        self.at += marker;
        self.ignore();
        self.paren_depth = 0;
        Some(token)
    }

    fn comment(&mut self) -> Option<Token<'a>> {
        self.at += 2;
        let Some(end) = self.rest().find("*/") else {
            return Some(self.error("unclosed comment"));
        };
        self.at += end + 2;
        let Some(trims) = self.right_delimiter_here() else {
            return Some(self.error("comment ends before closing delimiter"));
        };
        if trims {
            self.at += TRIM_MARKER_LEN;
        }
        self.at += self.right.len();
        if trims {
            self.skip_spaces();
        }
        self.ignore();
        None
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(SPACES).len();
    }

    /// Whether a right delimiter is next, and if so, whether it trims.
    fn right_delimiter_here(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_trim_marker(rest) && rest[TRIM_MARKER_LEN..].starts_with(self.right) {
            return Some(true);
        }
        rest.starts_with(self.right).then_some(false)
    }

    fn right_delimiter(&mut self, trims: bool) -> Token<'a> {
        if trims {
            self.at += TRIM_MARKER_LEN;
            self.ignore();
        }
        self.at += self.right.len();
        let token = self.token(Kind::RightDelimiter);
        if trims {
            self.skip_spaces();
            self.ignore();
        }
        self.inside_action = false;
        token
    }

    fn inside(&mut self) -> Token<'a> {
        if let Some(trims) = self.right_delimiter_here() {
            if self.paren_depth == 0 {
                return self.right_delimiter(trims);
            }
            return self.error("unclosed left paren");
        }
        let Some(char) = self.peek() else {
            return self.error("unclosed action");
        };
        if is_space(char) {
            return self.space();
        }
        self.bump();
        match char {
            '=' => self.token(Kind::Assign),
            ':' => {
                if self.bump() == Some('=') {
                    self.token(Kind::Declare)
                } else {
                    self.error("expected :=")
                }
            }
            '|' => self.token(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '`' => self.raw_string(),
            '$' => self.field_or_variable(Kind::Variable),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '.' if self.at < self.input.len() && !self.rest().as_bytes()[0].is_ascii_digit() => {
                self.field_or_variable(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                self.number()
            }
            char if is_alphanumeric(char) => self.identifier(),
            '(' => {
                self.paren_depth += 1;
                self.token(Kind::LeftParen)
            }
            ')' => {
                if self.paren_depth == 0 {
                    return self.error("unexpected right paren");
                }
                self.paren_depth -= 1;
                self.token(Kind::RightParen)
            }
            char if char.is_ascii() && is_print(char) => self.token(Kind::Char),
            char => self.error(format!("unrecognized character in action: {}", unicode_shown(char))),
        }
    }

    fn space(&mut self) -> Token<'a> {
        let mut count = 0;
        let mut last = self.at;
        while self.peek().is_some_and(is_space) {
            last = self.at;
            self.bump();
            count += 1;
        }
        // The last space may belong to the trim marker of the delimiter that follows.
        let from_last = &self.input[last..];
        if has_right_trim_marker(from_last) && from_last[TRIM_MARKER_LEN..].starts_with(self.right) {
            if from_last.starts_with('\n') {
                self.line -= 1;
            }
            self.at = last;
            if count == 1 {
                return self.right_delimiter(true);
            }
        }
        self.token(Kind::Space)
    }

    fn skip_alphanumeric(&mut self) {
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
    }

    fn identifier(&mut self) -> Token<'a> {
        self.skip_alphanumeric();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.input[self.start..self.at] {
            "true" | "false" => Kind::Bool,
            word => match Kind::keyword(word) {
                Some(Kind::Break) if !self.break_is_keyword => Kind::Identifier,
                Some(Kind::Continue) if !self.continue_is_keyword => Kind::Identifier,
                Some(kind) => kind,
                None => Kind::Identifier,
            },
        };
        self.token(kind)
    }

    fn field_or_variable(&mut self, kind: Kind) -> Token<'a> {
        if self.at_terminator() {
            return self.token(if kind == Kind::Variable { kind } else { Kind::Dot });
        }
        self.skip_alphanumeric();
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.token(kind)
    }

    fn bad_character(&mut self) -> Token<'a> {
        let shown = self.peek().map(unicode_shown).unwrap_or_default();
        self.error(format!("bad character {shown}"))
    }

    /// Whether a name may end here.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(char) => is_space(char) || self.rest().starts_with(self.right),
        }
    }

    fn quoted(&mut self, end: char, kind: Kind, unterminated: &'static str) -> Token<'a> {
        loop {
            match self.bump() {
                Some('\\') if !matches!(self.bump(), None | Some('\n')) => {}
                None | Some('\\' | '\n') => return self.error(unterminated),
                Some(char) if char == end => return self.token(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Token<'a> {
        loop {
            match self.bump() {
                None => return self.error("unterminated raw quoted string"),
                Some('`') => return self.token(Kind::RawString),
                Some(_) => {}
            }
        }
    }

    fn number(&mut self) -> Token<'a> {
        if !self.scan_number() {
            return self.bad_number();
        }
        if matches!(self.peek(), Some('+' | '-')) {
            // The second half of a complex number, which has to end with an `i`.
            if !self.scan_number() || !self.input[..self.at].ends_with('i') {
                return self.bad_number();
            }
            return self.token(Kind::Complex);
        }
        self.token(Kind::Number)
    }

    fn bad_number(&mut self) -> Token<'a> {
        let shown = quote(&self.input.as_bytes()[self.start..self.at]);
        self.error(format!("bad number syntax: {shown}"))
    }

    fn accept(&mut self, chars: &str) -> bool {
        let accepted = self.peek().is_some_and(|char| chars.contains(char));
        if accepted {
            self.bump();
        }
        accepted
    }

    fn accept_run(&mut self, chars: &str) {
        while self.accept(chars) {}
    }

    /// Takes what looks like a number; whether it is one is found out later.
    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEXADECIMAL: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEXADECIMAL;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits {
            DECIMAL => self.accept("eE"),
            HEXADECIMAL => self.accept("pP"),
            _ => false,
        };
        if exponent {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.bump();
            return false;
        }
        true
    }
}

fn lines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

fn has_left_trim_marker(text: &str) -> bool {
    matches!(text.as_bytes(), [b'-', b' ' | b'\t' | b'\r' | b'\n', ..])
}

fn has_right_trim_marker(text: &str) -> bool {
    matches!(text.as_bytes(), [b' ' | b'\t' | b'\r' | b'\n', b'-', ..])
}
