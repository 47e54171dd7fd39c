//! The part of `show -json` that Piton reads. Whatever else is there is ignored: minor versions of the format add.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(super) struct Shape {
    #[serde(default)]
    pub(super) resource_changes: Vec<ResourceEntry>,
    #[serde(default)]
    pub(super) output_changes: BTreeMap<String, Change>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ResourceEntry {
    pub(super) address: String,
    #[serde(default)]
    pub(super) previous_address: Option<String>,
    #[serde(default)]
    pub(super) deposed: Option<String>,
    #[serde(default)]
    pub(super) provider_name: Option<String>,
    /// Kept as text: new versions of the tools add reasons.
    #[serde(default)]
    pub(super) action_reason: Option<String>,
    pub(super) change: Change,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    pub(super) actions: Vec<String>,
    #[serde(default)]
    pub(super) before: Value,
    #[serde(default)]
    pub(super) after: Value,
    #[serde(default)]
    pub(super) after_unknown: Value,
    #[serde(default)]
    pub(super) before_sensitive: Value,
    #[serde(default)]
    pub(super) after_sensitive: Value,
    #[serde(default)]
    pub(super) replace_paths: Value,
    #[serde(default)]
    pub(super) importing: Value,
}
