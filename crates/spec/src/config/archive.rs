//! `[archive]`: where logs of ended runs are copied to.

use piton_model::Secret;

use super::settings::Settings;

/// `[archive]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `file:///DIRECTORY`.
    pub url: String,
    /// The server, where it is none of the makers' own.
    pub endpoint: Option<String>,
    /// The region of S3.
    pub region: Option<String>,
    /// Id of the key of S3, or name of the account of Azure.
    pub account: Option<String>,
    /// The key.
    pub key: Option<Secret<String>>,
}

impl ArchiveSettings {
    /// None where nothing is to be copied.
    pub(super) fn read(settings: &Settings) -> Option<ArchiveSettings> {
        let text = |key: &str| settings.text(key).map(str::to_owned);
        Some(ArchiveSettings {
            url: text("archive.url")?,
            endpoint: text("archive.endpoint"),
            region: text("archive.region"),
            account: text("archive.account"),
            key: text("archive.key").map(Secret::new),
        })
    }
}
