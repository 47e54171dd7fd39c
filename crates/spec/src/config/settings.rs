//! The value of every key, and where it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use super::keys::{KEYS, Key, Mask, children, find};
use super::kind::Mismatch;
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::document::{Document, Value};
use crate::duration::parse_duration;
use crate::fields::{Fields, Findings, Item, shown};
use crate::suggest::nearest;

/// Where the value of a key comes from; a later one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u32,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
    /// An option of the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment { variable } => write!(f, "${variable}"),
            Origin::Flag => f.write_str("command line"),
        }
    }
}

/// One key, as `config show --origin` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Sections and name, joined with dots.
    pub key: &'static str,
    /// The value as text; secrets are `***`.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

#[derive(Clone, PartialEq)]
struct Setting {
    value: Json,
    origin: Origin,
    /// Where each element of a list stands, if in a file.
    places: Vec<Place>,
}

impl Setting {
    fn new(value: Json, origin: Origin) -> Setting {
        Setting { value, origin, places: Vec::new() }
    }
}

/// The value of every key that has one. `Debug` shows what [`Settings::explain`] shows, so no secrets.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, Setting>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.explain().into_iter().map(|explained| (explained.key, explained.value))).finish()
    }
}

impl Settings {
    /// The defaults.
    pub(crate) fn defaults() -> Settings {
        let mut settings = Settings::default();
        for key in KEYS {
            let value = key.default.and_then(|text| key.kind.check(&key.kind.value_of_text(text)).ok());
            if let Some(value) = value {
                settings.values.insert(key.path, Setting::new(value, Origin::Default));
            }
        }
        settings
    }

    /// Takes the values of a file over.
    pub(crate) fn read_file(&mut self, file: &Path, document: &Document) -> Vec<Diagnostic> {
        let findings = Findings::new(file, document);
        // YAML in which everything is a comment.
        if document.root.value == Value::Null {
            return Vec::new();
        }
        if let Some(fields) = findings.table() {
            self.read_section(&fields, file, document);
        }
        findings.into_diagnostics()
    }

    fn read_section(&mut self, fields: &Fields<'_, '_>, file: &Path, document: &Document) {
        for (word, item) in fields.all() {
            self.read_item(word, fields, &item, file, document);
        }
    }

    fn read_item(
        &mut self,
        word: &str,
        around: &Fields<'_, '_>,
        item: &Item<'_, '_>,
        file: &Path,
        document: &Document,
    ) {
        let section = around.item.path.as_str();
        if item.node.value == Value::Null {
            return;
        }
        // A quoted key with a dot in it is not the path of a section and a key.
        if let Some(key) = find(&item.path).filter(|_| !word.contains('.')) {
            match key.kind.check(&item.node.value) {
                Ok(value) => {
                    let line = document.place(item.node.start).line;
                    let places = match &item.node.value {
                        Value::List(nodes) => nodes.iter().map(|node| document.place(node.start)).collect(),
                        _ => Vec::new(),
                    };
                    let origin = Origin::File { path: file.to_path_buf(), line };
                    self.values.insert(key.path, Setting { value, origin, places });
                }
                Err(Mismatch { message, hint, element }) => {
                    // A list may be written as one text, which is all that can be pointed at then.
                    let culprit = element.and_then(|index| item.one_or_many().into_iter().nth(index));
                    let mut found = culprit.as_ref().unwrap_or(item).error("invalid_value", message);
                    found.hint = hint;
                    item.report(found);
                }
            }
            return;
        }
        if children(&item.path).is_empty() || word.contains('.') {
            let words = children(section);
            let place = match section {
                "" => "at the top level".to_owned(),
                section => format!("in [{section}]"),
            };
            let found = around.key_error(word, "unknown_key", format!("unknown key `{}` {place}", shown(word)));
            let found = found.field(item.path.as_str());
            item.report(match nearest(word, words) {
                Some(near) => found.hint(format!("did you mean `{near}`?")),
                None => found.hint("`piton config schema` lists every key"),
            });
            return;
        }
        if let Some(fields) = item.table() {
            self.read_section(&fields, file, document);
        }
    }

    /// Takes the variables over: first what other programs document, then Piton's own.
    pub(crate) fn read_environment(&mut self, environment: &BTreeMap<String, String>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for key in KEYS {
            let own = key.variable();
            let variables = key.aliases.iter().rev().copied().chain([own.as_str()]);
            for variable in variables {
                if let Some(text) = environment.get(variable).filter(|text| !text.trim().is_empty()) {
                    let origin = Origin::Environment { variable: variable.to_owned() };
                    found.extend(self.read_text(key, text, origin, "environment", variable));
                }
            }
        }
        for variable in environment.keys() {
            let Some(rest) = variable.strip_prefix("PITON_").filter(|rest| rest.contains("__")) else { continue };
            let path = rest.to_ascii_lowercase().replace("__", ".");
            if find(&path).is_none() {
                let names: Vec<String> = KEYS.iter().map(Key::variable).collect();
                let unknown =
                    Diagnostic::error("environment", "unknown_key", format!("unknown key `{}`", shown(&path)));
                let unknown = unknown.field(variable.as_str());
                found.push(match nearest(variable, names.iter().map(String::as_str)) {
                    Some(near) => unknown.hint(format!("did you mean `{near}`?")),
                    None => unknown.hint("`piton config schema` lists every key"),
                });
            }
        }
        found
    }

    /// Takes options of the command line over, by the path of their key.
    pub(crate) fn read_flags(&mut self, flags: &BTreeMap<String, String>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (path, text) in flags {
            match find(path) {
                Some(key) => found.extend(self.read_text(key, text, Origin::Flag, "command line", path)),
                None => found.push(
                    Diagnostic::error("command line", "unknown_key", format!("unknown key `{}`", shown(path)))
                        .field(path.as_str()),
                ),
            }
        }
        found
    }

    fn read_text(&mut self, key: &Key, text: &str, origin: Origin, file: &str, field: &str) -> Option<Diagnostic> {
        match key.kind.check(&key.kind.value_of_text(text)) {
            Ok(value) => {
                self.values.insert(key.path, Setting::new(value, origin));
                None
            }
            Err(Mismatch { message, hint, .. }) => {
                let mut found = Diagnostic::error(file, "invalid_value", message).field(field);
                found.hint = hint;
                Some(found)
            }
        }
    }

    /// Where the value of a key comes from; none where it has no value.
    pub(crate) fn origin(&self, path: &str) -> Option<&Origin> {
        self.values.get(path).map(|setting| &setting.origin)
    }

    /// Whether somebody said something about a key.
    pub(crate) fn is_given(&self, path: &str) -> bool {
        self.origin(path).is_some_and(|origin| *origin != Origin::Default)
    }

    /// A key that somebody said something about and whose path begins so.
    pub(crate) fn given_below(&self, section: &str) -> Option<&'static str> {
        self.values.keys().copied().find(|path| path.starts_with(section) && self.is_given(path))
    }

    /// Keys that say something else than `before`, but for those that take effect at once. What follows from another key
    /// is not named beside it.
    pub(crate) fn changed_for_next_start(&self, before: &Settings) -> Vec<&'static str> {
        let waits = |path: &&'static str| {
            (self.is_given(path) || before.is_given(path)) && self.json(path) != before.json(path)
        };
        KEYS.iter().filter(|key| !key.read_again).map(|key| key.path).filter(waits).collect()
    }

    pub(crate) fn json(&self, path: &str) -> Option<&Json> {
        self.values.get(path).map(|setting| &setting.value)
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.json(path)?.as_str().filter(|text| !text.is_empty())
    }

    pub(crate) fn flag(&self, path: &str) -> bool {
        self.json(path).and_then(Json::as_bool).unwrap_or(false)
    }

    pub(crate) fn integer(&self, path: &str) -> Option<i64> {
        self.json(path)?.as_i64()
    }

    /// Every duration that is asked for has a default, which a test reads.
    pub(crate) fn duration(&self, path: &str) -> Duration {
        self.text(path).and_then(|text| parse_duration(text).ok()).unwrap_or_default()
    }

    pub(crate) fn texts(&self, path: &str) -> Vec<String> {
        let items = self.json(path).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// A path: relative to the file that says it, else to `root`.
    pub(crate) fn path(&self, path: &str, root: &Path) -> Option<PathBuf> {
        let text = self.text(path)?;
        let base = match self.origin(path)? {
            Origin::File { path, .. } => path.parent().unwrap_or(root),
            Origin::Default | Origin::Environment { .. } | Origin::Flag => root,
        };
        Some(root.join(base).join(text))
    }

    /// A mistake in what a key says, at the place that says it.
    pub(crate) fn error(&self, key: &str, message: &str) -> Diagnostic {
        let (file, line) = match self.origin(key) {
            Some(Origin::File { path, line }) => (path.clone(), Some(*line)),
            Some(Origin::Environment { .. }) => (PathBuf::from("environment"), None),
            Some(Origin::Flag | Origin::Default) | None => (PathBuf::from("command line"), None),
        };
        let mut error = Diagnostic::error(file, "invalid_value", message).field(key);
        error.line = line;
        error
    }

    /// Where an element of a list stands, if in a file.
    pub(crate) fn place_in(&self, key: &str, index: usize) -> Option<Place> {
        self.values.get(key)?.places.get(index).copied()
    }

    /// A mistake in an element of a list.
    pub(crate) fn error_in(&self, key: &str, index: usize, message: &str) -> Diagnostic {
        let error = self.error(key, message).field(format!("{key}[{index}]"));
        match self.place_in(key, index) {
            Some(place) => error.at(place),
            None => error,
        }
    }

    /// Every key that has a value, in the order of the table.
    pub(crate) fn explain(&self) -> Vec<Explained> {
        let explain = |key: &'static Key| {
            let setting = self.values.get(key.path)?;
            Some(Explained { key: key.path, value: masked(key, &setting.value), origin: setting.origin.clone() })
        };
        KEYS.iter().filter_map(explain).collect()
    }

    /// Adds a value that was derived, so that it is explained like the others.
    pub(crate) fn derive(&mut self, path: &'static str, value: impl Into<Json>) {
        self.values.entry(path).or_insert_with(|| Setting::new(value.into(), Origin::Default));
    }
}

fn masked(key: &Key, value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    match key.mask {
        Mask::Open => text,
        Mask::Whole => "***".to_owned(),
        Mask::UrlPassword => mask_url_password(&text),
    }
}

/// `postgres://user:***@host/name`
pub(crate) fn mask_url_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may hold an unescaped `@` or `/`; hiding too much is the better mistake.
    let at = rest.rfind('@').filter(|at| *at < authority_end || rest[..authority_end].contains(':'));
    let masked = match at {
        Some(at) => {
            let (credentials, host) = rest.split_at(at);
            let user = credentials.split(':').next().unwrap_or_default();
            if credentials.contains(':') { format!("{scheme}://{user}:***{host}") } else { url.to_owned() }
        }
        None => url.to_owned(),
    };
    match masked.split_once("password=") {
        Some((before, after)) => {
            let end = after.find('&').unwrap_or(after.len());
            format!("{before}password=***{}", &after[end..])
        }
        None => masked,
    }
}

/// A warning that one of two keys has no effect.
pub(crate) fn has_no_effect(file: &Path, path: &str, because: &str) -> Diagnostic {
    let found = Diagnostic::warning(file, "unused_field", format!("this has no effect, because {because}"));
    Diagnostic { severity: Severity::Warning, ..found.field(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_of_its_kind_and_every_path_is_there_once() {
        let mut seen = std::collections::BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert(key.path), "{} is there twice", key.path);
            if let Some(default) = key.default {
                assert!(key.kind.check(&key.kind.value_of_text(default)).is_ok(), "{}: {default}", key.path);
            }
            assert!(KEYS.iter().all(|other| !other.path.starts_with(&format!("{}.", key.path))), "{}", key.path);
        }
    }

    #[test]
    fn passwords_in_urls_are_masked() {
        for (url, shown) in [
            ("postgres://piton:hunter2@db:5432/piton", "postgres://piton:***@db:5432/piton"),
            ("postgres://piton@db/piton", "postgres://piton@db/piton"),
            ("postgres://piton:a/b@c@db/piton", "postgres://piton:***@db/piton"),
            ("postgres://db/piton?user=x&password=hunter2&a=b", "postgres://db/piton?user=x&password=***&a=b"),
            ("sqlite:/var/lib/piton/piton.db", "sqlite:/var/lib/piton/piton.db"),
        ] {
            assert_eq!(mask_url_password(url), shown);
        }
    }
}
