//! A parsed file that remembers where everything stood: one tree for JSON, TOML and YAML.
//!
//! Typed readers work on this tree (see [`crate::fields`]), so a bad cron expression in the third element of an array
//! is reported at its own line and column, in whichever format it was written.

mod json;
mod stack;
mod toml;
mod yaml;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Place};

/// No declaration needs more; larger files are refused before they are read.
pub(crate) const MAX_BYTES: u64 = 4 << 20;

/// Deeper nesting is refused, so that no reader's recursion can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// The text formats a declaration may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Toml,
    Yaml,
}

impl Format {
    /// The format that the file's extension stands for.
    pub(crate) fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "json" => Some(Format::Json),
            "toml" => Some(Format::Toml),
            "yaml" | "yml" => Some(Format::Yaml),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::Toml => "TOML",
            Format::Yaml => "YAML",
        }
    }
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Byte offset of its first character.
    pub(crate) start: usize,
}

/// What all three formats can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A member of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Byte offset of the key.
    pub(crate) key_start: usize,
    pub(crate) node: Node,
}

impl Value {
    /// What kind of value it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The value without its places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) => serde_json::Value::Number(number.clone()),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Value::Table(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.node.value.to_json())).collect()
            }
        }
    }
}

/// Why a text is not a document: a sentence, where, and what to do.
#[derive(Debug)]
struct SyntaxError {
    at: Option<usize>,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl SyntaxError {
    fn new(at: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError { at: Some(at), code: "syntax", message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> SyntaxError {
        self.hint = Some(hint.into());
        self
    }
}

/// A parsed text.
#[derive(Debug)]
pub(crate) struct Document {
    text: Text,
    pub(crate) root: Node,
}

impl Document {
    /// Whether nothing at all is written in it.
    pub(crate) fn is_blank(&self) -> bool {
        self.text.is_blank()
    }

    /// Parses the bytes of a file.
    pub(crate) fn parse(file: &Path, bytes: Vec<u8>, format: Format) -> Result<Document, Box<Diagnostic>> {
        let source = match String::from_utf8(bytes) {
            Ok(source) => source,
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(valid);
                let text = Text::new(String::from_utf8(bytes).unwrap_or_default());
                let found = Diagnostic::error(file, "invalid_utf8", "the text is not UTF-8 from here on");
                return Err(Box::new(found.at(text.place(valid)).hint("save the file as UTF-8")));
            }
        };
        let text = Text::new(source);
        if text.is_blank() && format == Format::Json {
            let found = Diagnostic::error(file, "empty_file", "the file is empty");
            return Err(Box::new(found.hint("a file that is still being written is read again when it changes")));
        }
        let parsed = match format {
            Format::Json => json::parse(&text.source),
            Format::Toml => toml::parse(&text.source),
            Format::Yaml => yaml::parse(&text),
        };
        match parsed {
            Ok(root) => Ok(Document { text, root }),
            Err(SyntaxError { at, code, message, hint }) => {
                let mut diagnostic = Diagnostic::error(file, code, format!("invalid {}: {message}", format.name()));
                diagnostic.hint = hint;
                Err(Box::new(match at {
                    Some(at) => diagnostic.at(text.place(at)),
                    None => diagnostic,
                }))
            }
        }
    }

    /// Line and column of a byte offset.
    pub(crate) fn place(&self, offset: usize) -> Place {
        self.text.place(offset)
    }

    /// Line and column of byte `offset` within the text that `node` holds, as far as the file spells it literally;
    /// the beginning of the node where it does not (escapes, folded lines).
    pub(crate) fn place_within(&self, node: &Node, offset: usize) -> Place {
        let Value::Text(value) = &node.value else { return self.place(node.start) };
        let literal = [node.start, node.start + 1].into_iter().find(|start| {
            self.text.source.get(*start..).is_some_and(|rest| rest.starts_with(value.as_str()) && !value.is_empty())
        });
        match literal {
            Some(start) if value.is_char_boundary(offset) => self.place(start + offset),
            _ => self.place(node.start),
        }
    }
}

/// A source text, and what it takes to find a place in it without walking through long lines.
#[derive(Debug)]
struct Text {
    source: String,
    /// Byte offsets at which lines begin.
    lines: Vec<usize>,
    /// How many characters begin before each block of [`BLOCK`] bytes.
    blocks: Vec<usize>,
}

const BLOCK: usize = 256;

impl Text {
    fn is_blank(&self) -> bool {
        self.source.trim_start_matches('\u{feff}').trim().is_empty()
    }

    fn new(source: String) -> Text {
        let lines = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut characters = 0;
        let mut blocks = vec![0];
        for block in source.as_bytes().chunks(BLOCK) {
            characters += count_characters(block);
            blocks.push(characters);
        }
        Text { source, lines, blocks }
    }

    fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.source.len());
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(0);
        // The byte order mark is a character that nobody sees.
        let mark = usize::from(line == 0 && offset > 0 && self.source.starts_with('\u{feff}'));
        let column = self.characters_before(offset).saturating_sub(self.characters_before(start) + mark);
        Place { line: saturate(line + 1), column: saturate(column + 1) }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        let rest = self.source.as_bytes().get(block * BLOCK..offset).unwrap_or_default();
        self.blocks.get(block).copied().unwrap_or(0) + count_characters(rest)
    }

    /// The byte offset of a line and a column, both from 1.
    fn offset(&self, line: u64, column: u64) -> usize {
        let line = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        let column = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
        let Some(start) = self.lines.get(line).copied() else { return self.source.len() };
        let rest = self.source.get(start..).unwrap_or_default();
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }
}

/// Continuation bytes do not begin a character.
fn count_characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The bytes of a regular file that is not too large.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, Box<Diagnostic>> {
    let failed = |error: std::io::Error| {
        let found = Diagnostic::error(path, "unreadable", format!("the file cannot be read: {error}"));
        Box::new(found.hint("check that it exists and that its permissions allow this user to read it"))
    };
    let too_large = || {
        let found = Diagnostic::error(path, "too_large", format!("the file is larger than {} MiB", MAX_BYTES >> 20));
        Box::new(found.hint("keep large data in a file of its own and name it in the declaration"))
    };
    // Asked before opening: opening a named pipe would wait for somebody to write to it.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Box::new(Diagnostic::error(path, "unreadable", "this is not a regular file")));
    }
    if metadata.len() > MAX_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large());
    }
    Ok(bytes)
}
