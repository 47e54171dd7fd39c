//! `[git]` and `[security]`: what is reached, and what is kept secret.

use std::path::{Path, PathBuf};

use piton_model::Secret;

use super::settings::Settings;

/// `[git]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSettings {
    /// SSH hosts that are known, for requests that bring none of their own.
    pub known_hosts: Option<PathBuf>,
    /// Whether credentials may travel over plain HTTP.
    pub allow_http: bool,
}

/// The keys of `[security]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKeys {
    /// As they are written in the configuration, the one that seals first.
    pub given: Vec<Secret<String>>,
    /// The file with more of them.
    pub file: Option<PathBuf>,
}

impl GitSettings {
    pub(super) fn read(settings: &Settings, root: &Path) -> GitSettings {
        GitSettings { known_hosts: settings.path("git.known_hosts", root), allow_http: settings.flag("git.allow_http") }
    }
}

impl EncryptionKeys {
    pub(super) fn read(settings: &Settings, root: &Path) -> EncryptionKeys {
        EncryptionKeys {
            given: settings.texts("security.encryption_key").into_iter().map(Secret::new).collect(),
            file: settings.path("security.encryption_key_file", root),
        }
    }
}
