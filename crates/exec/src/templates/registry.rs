//! `registry.json`, in the format of the workspace scheduler.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use piton_model::Name;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Error, Origin};
use crate::durable;

pub(super) const FILE: &str = "registry.json";

/// All registered templates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    #[serde(default)]
    templates: BTreeMap<Name, Registered>,
    /// Members that this version does not know, kept as they are.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One registered template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its name.
    pub name: Name,
    /// The repository. Old registries have passwords in it: [`Registered::shown_url`] is for people.
    pub source_url: String,
    /// The directory in the repository; empty for its root.
    #[serde(default)]
    pub source_path: String,
    /// Branch, tag or commit; empty for the default branch.
    #[serde(default)]
    pub source_ref: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When its files last changed.
    pub updated_at: Timestamp,
    /// SHA-256 over its files.
    #[serde(default)]
    pub content_hash: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The ref, or the commit where no ref was given.
    #[serde(default)]
    pub version: String,
    /// The commit that its files come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Members that this version does not know, kept as they are.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Registered {
    /// The repository, without a password.
    pub fn shown_url(&self) -> String {
        crate::git::masked(&self.source_url)
    }

    /// Where its files come from.
    pub fn origin(&self) -> Origin {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        Origin { url: self.source_url.clone(), path: given(&self.source_path), reference: given(&self.source_ref) }
    }
}

impl Registry {
    /// Reads the registry of a templates directory; one without it has no templates.
    pub fn read(directory: &Path) -> Result<Registry, Error> {
        let path = directory.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::Registry { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Registry::default()),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// One template.
    pub fn get(&self, name: &Name) -> Option<&Registered> {
        self.templates.get(name)
    }

    pub(super) fn insert(&mut self, registered: Registered) {
        self.templates.insert(registered.name.clone(), registered);
    }

    pub(super) fn remove(&mut self, name: &Name) -> Option<Registered> {
        self.templates.remove(name)
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(FILE);
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| Error::io("write", &path)(error.into()))?;
        text.push(b'\n');
        durable::write(&path, &text, 0o644).map_err(Error::io("write", &path))
    }

    pub(super) fn unknown(&self, name: &Name) -> Error {
        let nearest = crate::nearest::nearest(name.as_str(), self.templates.keys().map(Name::as_str));
        Error::Unknown { name: name.clone(), nearest }
    }
}

impl IntoIterator for Registry {
    type Item = Registered;
    type IntoIter = std::collections::btree_map::IntoValues<Name, Registered>;

    fn into_iter(self) -> Self::IntoIter {
        self.templates.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = r#"{
      "templates": {
        "web-app-v2": {
          "name": "web-app-v2",
          "source_url": "https://github.com/org/terraform-templates",
          "source_path": "workspaces/web-app",
          "source_ref": "v2.1.0",
          "created_at": "2025-01-15T10:30:00Z",
          "updated_at": "2025-01-15T10:30:00+02:00",
          "content_hash": "abc123...",
          "description": "Modern web application template",
          "version": "v2.1.0",
          "owner": "ops"
        }
      },
      "schema": 1
    }"#;

    #[test]
    fn a_registry_of_the_scheduler_is_read_and_nothing_of_it_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), SEED).unwrap();
        let registry = Registry::read(directory.path()).unwrap();
        let name = Name::parse("web-app-v2").unwrap();
        assert_eq!(registry.get(&name).unwrap().origin().path.as_deref(), Some("workspaces/web-app"));
        registry.write(directory.path()).unwrap();
        let text = fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(text.contains(r#""owner": "ops""#) && text.contains(r#""schema": 1"#), "{text}");
        assert_eq!(Registry::read(directory.path()).unwrap(), registry);
    }

    #[test]
    fn a_broken_registry_is_reported_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "{\"templates\": {\n").unwrap();
        let error = Registry::read(directory.path()).unwrap_err();
        assert_eq!(error.code(), "registry_invalid");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn an_unknown_name_comes_with_those_that_are_near() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), SEED).unwrap();
        let registry = Registry::read(directory.path()).unwrap();
        let error = registry.unknown(&Name::parse("web-app").unwrap());
        assert_eq!(error.to_string(), "template 'web-app' not found");
        assert!(error.hint().unwrap().contains("web-app-v2"));
    }
}
