//! Typed reading of a [`Document`](crate::document::Document): each reader yields a value or records why it cannot,
//! and goes on, so that one look at a file finds everything that is wrong with it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use piton_model::{Name, Secret};

use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::document::{Document, Entry, Node, Value};
use crate::duration::{hint_for_number, parse_duration};
use crate::suggest::nearest;

/// Collects what is wrong with one file.
pub(crate) struct Findings<'d> {
    file: &'d Path,
    document: &'d Document,
    found: RefCell<Vec<Diagnostic>>,
    /// Errors and warnings that are not kept one by one, because there are too many.
    omitted: Cell<(usize, usize)>,
}

/// Beyond this nobody reads on, and a hostile file could fill the memory.
const MAX_FOUND: usize = 100;

impl<'d> Findings<'d> {
    pub(crate) fn new(file: &'d Path, document: &'d Document) -> Findings<'d> {
        Findings { file, document, found: RefCell::default(), omitted: Cell::default() }
    }

    pub(crate) fn push(&self, diagnostic: Diagnostic) {
        let mut found = self.found.borrow_mut();
        if found.len() < MAX_FOUND {
            found.push(diagnostic);
            return;
        }
        let (errors, warnings) = self.omitted.get();
        let error = usize::from(diagnostic.is_error());
        self.omitted.set((errors + error, warnings + 1 - error));
    }

    /// Whether further findings are only counted, so that they need not be worded.
    fn is_full(&self) -> bool {
        self.found.borrow().len() >= MAX_FOUND
    }

    pub(crate) fn any_error(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors there are so far.
    fn errors(&self) -> usize {
        self.omitted.get().0 + self.found.borrow().iter().filter(|found| found.is_error()).count()
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        let (errors, warnings) = self.omitted.get();
        if errors + warnings > 0 {
            let message = format!("{errors} more errors and {warnings} more warnings are not shown");
            let severity = if errors > 0 { Severity::Error } else { Severity::Warning };
            found.push(Diagnostic { severity, ..Diagnostic::error(self.file, "too_many_findings", message) });
        }
        found
    }

    /// The whole file as a table; anything else is an error.
    pub(crate) fn table<'r>(&'r self) -> Option<Fields<'r, 'd>> {
        let whole = Item { findings: self, path: String::new(), node: &self.document.root };
        if whole.node.value == Value::Null {
            let found = Diagnostic::error(self.file, "empty_file", "the file is empty");
            self.push(found.hint("a file that is still being written is read again when it changes"));
            return None;
        }
        whole.table()
    }
}

/// One value of a file, and its path from the top.
#[derive(Clone)]
pub(crate) struct Item<'r, 'd> {
    findings: &'r Findings<'d>,
    pub(crate) path: String,
    pub(crate) node: &'d Node,
}

impl<'r, 'd> Item<'r, 'd> {
    /// Begins an error about this value; [`Findings::push`] or [`Item::report`] records it.
    pub(crate) fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error(self.findings.file, code, message);
        let error = error.at(self.findings.document.place(self.node.start));
        if self.path.is_empty() { error } else { error.field(self.path.as_str()) }
    }

    /// How many errors the file has as far as it was read.
    pub(crate) fn errors_so_far(&self) -> usize {
        self.findings.errors()
    }

    /// Where it stands in the text, and its path.
    pub(crate) fn stands(&self) -> (Place, &str) {
        (self.findings.document.place(self.node.start), self.path.as_str())
    }

    /// The same as a warning.
    pub(crate) fn warning(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.error(code, message) }
    }

    /// The same about a byte within the text that this value is.
    pub(crate) fn error_within(&self, offset: usize, code: &'static str, message: impl Into<String>) -> Diagnostic {
        self.error(code, message).at(self.findings.document.place_within(self.node, offset))
    }

    pub(crate) fn report(&self, diagnostic: Diagnostic) {
        self.findings.push(diagnostic);
    }

    fn mismatch(&self, expected: &str) -> Diagnostic {
        self.error("wrong_type", format!("expected {expected}, found {}", self.node.value.kind()))
    }

    pub(crate) fn table(&self) -> Option<Fields<'r, 'd>> {
        match &self.node.value {
            Value::Table(entries) => Some(Fields {
                item: self.clone(),
                entries,
                by_key: entries.iter().map(|entry| (entry.key.as_str(), entry)).collect(),
                known: Vec::new(),
            }),
            _ => {
                self.report(self.mismatch("a table"));
                None
            }
        }
    }

    pub(crate) fn list(&self) -> Option<Vec<Item<'r, 'd>>> {
        match &self.node.value {
            Value::List(items) => Some(self.elements(items)),
            _ => {
                self.report(self.mismatch("a list"));
                None
            }
        }
    }

    fn elements(&self, items: &'d [Node]) -> Vec<Item<'r, 'd>> {
        let element = |(index, node)| Item { findings: self.findings, path: format!("{}[{index}]", self.path), node };
        items.iter().enumerate().map(element).collect()
    }

    /// One value, or a list of them: what the value means, one by one.
    pub(crate) fn one_or_many(&self) -> Vec<Item<'r, 'd>> {
        match &self.node.value {
            Value::List(items) => self.elements(items),
            _ => vec![self.clone()],
        }
    }

    pub(crate) fn text(&self) -> Option<&'d str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => {
                self.report(self.mismatch("text"));
                None
            }
        }
    }

    /// Text with something in it.
    pub(crate) fn filled(&self) -> Option<&'d str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.report(self.error("empty", "this must not be empty"));
            return None;
        }
        if text.contains('\0') {
            self.report(self.error("nul_character", "this must not hold a NUL character"));
            return None;
        }
        Some(text)
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(flag) => Some(*flag),
            Value::Text(text) if matches!(text.as_str(), "true" | "false") => {
                self.report(self.mismatch("a boolean").hint(format!("write {text} without quotes")));
                None
            }
            _ => {
                self.report(self.mismatch("a boolean (true or false)"));
                None
            }
        }
    }

    pub(crate) fn name(&self) -> Option<Name> {
        let text = self.text()?;
        match Name::parse(text) {
            Ok(name) => Some(name),
            Err(error) => {
                let hint = "a name has 1 to 100 of the characters A-Z a-z 0-9 . _ - and starts with a letter, a \
                            digit or `_`";
                self.report(self.error("invalid_name", error.to_string()).hint(hint));
                None
            }
        }
    }

    /// A duration above zero, such as `60m`.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let hint = "write a number and a unit (h, m, s), for example `60m`, `90s` or `1h30m`";
        let text = match &self.node.value {
            Value::Number(number) => {
                self.report(self.mismatch("a duration with its unit").hint(hint_for_number(number)));
                return None;
            }
            _ => self.text()?,
        };
        match parse_duration(text) {
            Ok(duration) if duration.is_zero() => {
                self.report(self.error("invalid_duration", "the duration must be longer than zero").hint(hint));
                None
            }
            Ok(duration) => Some(duration),
            Err(error) => {
                self.report(self.error("invalid_duration", error.to_string()).hint(hint));
                None
            }
        }
    }

    /// One word of a closed set.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let error = self.error("unknown_value", format!("`{}` is not one of {}", shown(text), words.join(", ")));
        self.report(match nearest(text, words) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        });
        None
    }

    pub(crate) fn tags(&self) -> BTreeSet<String> {
        let items = self.list().unwrap_or_default();
        items.iter().filter_map(|item| item.filled()).map(|tag| tag.trim().to_owned()).collect()
    }

    /// Names and values of environment variables. Numbers and booleans are taken as they are written.
    pub(crate) fn environment(&self) -> BTreeMap<String, Secret<String>> {
        let mut variables = BTreeMap::new();
        let Some(table) = self.table() else { return variables };
        for (name, item) in table.all() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("`{}` cannot be the name of an environment variable", shown(name));
                self.report(item.error("invalid_variable", message));
                continue;
            }
            let value = match &item.node.value {
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => match item.text() {
                    Some(text) => text.to_owned(),
                    None => continue,
                },
            };
            if value.contains('\0') {
                self.report(item.error("nul_character", "this must not hold a NUL character"));
                continue;
            }
            variables.insert(name.to_owned(), Secret::new(value));
        }
        variables
    }
}

/// A table whose keys are read one by one; what was not asked for is unknown.
pub(crate) struct Fields<'r, 'd> {
    pub(crate) item: Item<'r, 'd>,
    entries: &'d [Entry],
    by_key: BTreeMap<&'d str, &'d Entry>,
    known: Vec<&'static str>,
}

impl<'r, 'd> Fields<'r, 'd> {
    fn item_of(&self, entry: &'d Entry) -> Item<'r, 'd> {
        let path = match self.item.path.as_str() {
            "" => entry.key.clone(),
            path => format!("{path}.{}", entry.key),
        };
        Item { findings: self.item.findings, path, node: &entry.node }
    }

    /// The value of `key`; a null counts as absent.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Item<'r, 'd>> {
        self.known.push(key);
        let entry = self.by_key.get(key)?;
        (entry.node.value != Value::Null).then(|| self.item_of(entry))
    }

    /// All members, where the keys are the user's.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'d str, Item<'r, 'd>)> + '_ {
        self.entries.iter().map(|entry| (entry.key.as_str(), self.item_of(entry)))
    }

    /// An error about one of the user's own keys, at the key.
    pub(crate) fn key_error(&self, key: &str, code: &'static str, message: impl Into<String>) -> Diagnostic {
        let start = self.by_key.get(key).map_or(self.item.node.start, |entry| entry.key_start);
        self.item.error(code, message).at(self.item.findings.document.place(start))
    }

    /// Records every key that nobody asked for.
    pub(crate) fn finish(self, severity: Severity) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            if self.item.findings.is_full() {
                self.item.report(Diagnostic { severity, ..Diagnostic::error("", "unknown_field", "") });
                continue;
            }
            let found = self.key_error(&entry.key, "unknown_field", format!("unknown field `{}`", shown(&entry.key)));
            let found = Diagnostic { severity, ..found };
            self.item.report(match nearest(&entry.key, self.known.iter().copied()) {
                Some(near) => found.hint(format!("did you mean `{near}`?")),
                None => found,
            });
        }
    }
}

/// The beginning of a text, safe to show in one line.
pub(crate) fn shown(text: &str) -> String {
    let beginning: String = text.chars().take(60).collect();
    let beginning = beginning.escape_debug().to_string();
    if text.chars().nth(60).is_some() { format!("{beginning}…") } else { beginning }
}
