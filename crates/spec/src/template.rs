//! Registered templates, and the file that registers them.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use piton_model::Name;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{Document, Format};
use crate::fields::{Fields, Findings, Item, shown};

/// A registered template. Its files lie in a directory of its name beside the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its name.
    pub name: Name,
    /// The repository it was cloned from.
    pub source_url: String,
    /// The directory within the repository; empty for its root.
    #[serde(default)]
    pub source_path: String,
    /// Branch, tag or commit; empty for the repository's default branch.
    #[serde(default)]
    pub source_ref: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// When it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When its files last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// Hash of its files, as whoever fetched them computed it.
    #[serde(default)]
    pub content_hash: String,
    /// The commit or version that was fetched.
    #[serde(default)]
    pub version: String,
}

/// The registered templates: `templates/registry.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// By name.
    pub templates: BTreeMap<Name, Template>,
}

impl Registry {
    /// Reads the text of a registry. Templates that are not valid are left out, each with a diagnostic; text that is
    /// not a registry at all yields none.
    pub fn parse(file: &Path, bytes: Vec<u8>) -> (Option<Registry>, Vec<Diagnostic>) {
        if bytes.trim_ascii().is_empty() {
            return (Some(Registry::default()), Vec::new());
        }
        match Document::parse(file, bytes, Format::Json) {
            Ok(document) => read(file, &document),
            Err(error) => (None, vec![*error]),
        }
    }

    /// The text of the file, ending in a line break.
    pub fn render(&self) -> String {
        #[derive(Serialize)]
        struct File<'a> {
            templates: &'a BTreeMap<Name, Template>,
        }
        // Strings and times only: serialising them cannot fail.
        let text = serde_json::to_string_pretty(&File { templates: &self.templates }).unwrap_or_default();
        text + "\n"
    }
}

fn read(file: &Path, document: &Document) -> (Option<Registry>, Vec<Diagnostic>) {
    let findings = Findings::new(file, document);
    let mut registry = None;
    if let Some(mut fields) = findings.table() {
        let templates = fields.get("templates").map_or_else(
            || Some(BTreeMap::new()),
            |item| {
                let table = item.table()?;
                Some(table.all().filter_map(|(key, item)| read_template(&table, key, &item)).collect())
            },
        );
        fields.finish(Severity::Warning);
        registry = templates.map(|templates| Registry { templates });
    }
    (registry, findings.into_diagnostics())
}

fn read_template(table: &Fields<'_, '_>, key: &str, item: &Item<'_, '_>) -> Option<(Name, Template)> {
    let name = match Name::parse(key) {
        Ok(name) => name,
        Err(error) => {
            item.report(table.key_error(key, "invalid_name", error.to_string()));
            return None;
        }
    };
    let mut fields = item.table()?;
    let mut words = |key| fields.get(key).and_then(|item| item.text()).unwrap_or_default().to_owned();
    let template = Template {
        source_url: words("source_url"),
        source_path: words("source_path"),
        source_ref: words("source_ref"),
        description: words("description"),
        content_hash: words("content_hash"),
        version: words("version"),
        created_at: fields.get("created_at").and_then(|item| read_time(&item)),
        updated_at: fields.get("updated_at").and_then(|item| read_time(&item)),
        name: name.clone(),
    };
    // Known, and only of interest to whoever updates the template.
    fields.get("commit");
    if let Some(inner) = fields.get("name")
        && inner.text().is_some_and(|text| text != key)
    {
        inner.report(inner.warning("name_differs", format!("the template is known as `{name}`, the key it is under")));
    }
    fields.finish(Severity::Warning);
    Some((name, template))
}

/// A point in time. The year 1 is how Go writes "never".
fn read_time(item: &Item<'_, '_>) -> Option<Timestamp> {
    let text = item.text()?;
    if text.is_empty() || text.starts_with("0001-01-01T") {
        return None;
    }
    match text.parse() {
        Ok(time) => Some(time),
        Err(_) => {
            let found = item.warning("invalid_time", format!("`{}` is not a point in time", shown(text)));
            item.report(found.hint("write it as `2026-11-20T09:00:00Z`"));
            None
        }
    }
}
