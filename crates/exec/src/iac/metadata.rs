//! `.provisioner-metadata.json`: what a deployment directory was made from, in the workspace scheduler's format.

use std::path::Path;

use jiff::Timestamp;
use piton_model::{Failure, Mode, Name};
use serde::{Deserialize, Serialize};

use crate::plain::read_plain;
use crate::templates::Registered;
use crate::{durable, failing};

pub(crate) const FILE: &str = ".provisioner-metadata.json";

/// Far more than anybody wrote.
const LARGEST: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Metadata {
    workspace_name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template_name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_ref: Option<String>,
    /// The mode of the last deployment: a destroy has none of its own, and the code may ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deployment_mode: Option<Mode>,
    last_updated: Timestamp,
    created_at: Timestamp,
}

/// What a layout knows.
pub(super) struct Change {
    pub(super) workspace: Name,
    pub(super) at: Timestamp,
    pub(super) mode: Option<Mode>,
}

/// What is recorded; none where nothing is, or nothing that can be read: it is only a record.
pub(super) fn read(dir: &Path) -> Option<Metadata> {
    serde_json::from_slice(&read_plain(&dir.join(FILE), LARGEST).ok()?).ok()
}

pub(super) fn write(dir: &Path, change: Change, template: Option<&Registered>) -> Result<(), Failure> {
    let before = read(dir);
    let metadata = Metadata {
        workspace_name: change.workspace,
        template_name: template.map(|template| template.name.clone()),
        template_hash: template.map(|template| template.content_hash.clone()),
        source_url: template.map(Registered::shown_url),
        source_ref: template.map(|template| template.version.clone()),
        deployment_mode: change.mode.or_else(|| before.as_ref()?.deployment_mode.clone()),
        last_updated: change.at,
        created_at: before.as_ref().map_or(change.at, |before| before.created_at),
    };
    let path = dir.join(FILE);
    let text = serde_json::to_vec_pretty(&metadata).map_err(|error| failing::io("write", &path, &error.into()))?;
    durable::replace(&path, &text, 0o600).map_err(|error| failing::io("write", &path, &error))
}
