//! Templates on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A registered template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// The git repository.
    pub source_url: String,
    /// The directory in the repository.
    #[serde(default)]
    pub source_path: String,
    /// Branch, tag or commit.
    #[serde(default)]
    pub source_ref: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// When it was added.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// When its content last changed.
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
    /// Digest of its content.
    pub content_hash: String,
    /// Version, as the registry has it.
    #[serde(default)]
    pub version: String,
    /// Its files.
    #[serde(default)]
    pub files: Vec<String>,
    /// What is made from it: `workspace/NAME`, `job/…`.
    #[serde(default)]
    pub used_by: Vec<String>,
}

/// A template to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTemplate {
    /// Its name.
    pub name: String,
    /// The git repository.
    pub url: String,
    /// The directory in the repository.
    #[serde(default)]
    pub path: String,
    /// Branch, tag or commit; the default branch where empty.
    #[serde(default, rename = "ref")]
    pub reference: String,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// What an update found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TemplateUpdate {
    /// The template.
    pub name: String,
    /// Whether its content changed.
    pub changed: bool,
    /// Digest of its content now.
    pub content_hash: String,
    /// What will be deployed anew with its next deployment.
    #[serde(default)]
    pub used_by: Vec<String>,
}

/// What a validation found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validation {
    /// The template.
    pub name: String,
    /// Whether it can be used.
    pub valid: bool,
    /// What is wrong or doubtful.
    #[serde(default)]
    pub findings: Vec<ValidationFinding>,
}

/// Something that is wrong or doubtful in a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidationFinding {
    /// `error` or `warning`.
    pub severity: String,
    /// What.
    pub message: String,
    /// The file, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}
