//! `[server.tls]`: which certificate, which versions, which clients.

use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::diagnostic::Diagnostic;

/// `[server.tls]`, enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Where certificate and key come from.
    pub identity: TlsIdentity,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// Who signs the certificates of clients. Where it is not named, `tls_ca.crt` of the directory.
    pub client_ca: Option<PathBuf>,
    /// The lowest version that is spoken.
    pub min_version: TlsVersion,
    /// The highest.
    pub max_version: TlsVersion,
}

/// Where certificate and key come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsIdentity {
    /// Two files.
    Files {
        /// The certificate and what leads to its root, PEM.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
    /// `tls.crt` and `tls.key` in a directory.
    Directory(PathBuf),
    /// The same, made where they are missing or have expired.
    Generated {
        /// The directory.
        directory: PathBuf,
        /// What the certificate says.
        subject: TlsSubject,
    },
}

impl TlsIdentity {
    /// The file of the certificate.
    pub fn certificate(&self) -> PathBuf {
        match self {
            TlsIdentity::Files { certificate, .. } => certificate.clone(),
            TlsIdentity::Directory(directory) | TlsIdentity::Generated { directory, .. } => directory.join("tls.crt"),
        }
    }

    /// The file of the key.
    pub fn key(&self) -> PathBuf {
        match self {
            TlsIdentity::Files { key, .. } => key.clone(),
            TlsIdentity::Directory(directory) | TlsIdentity::Generated { directory, .. } => directory.join("tls.key"),
        }
    }
}

/// What a generated certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSubject {
    /// Common name.
    pub common_name: String,
    /// Organization.
    pub organization: String,
    /// Host names. One that is an address counts as one.
    pub dns_names: Vec<String>,
    /// Addresses.
    pub ip_addresses: Vec<String>,
    /// Days until it expires.
    pub valid_days: u32,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// One that is shown must be good.
    Optional,
    /// Without a good one nobody is let in.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    V12,
    /// 1.3
    V13,
}

impl TlsVersion {
    /// Reads `1.2`, `1.3` and the like.
    pub fn parse(text: &str) -> Option<TlsVersion> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix("tls").unwrap_or(&text);
        match text.trim_start_matches(['v', '_', '-', ' ']) {
            "1.2" | "12" => Some(TlsVersion::V12),
            "1.3" | "13" => Some(TlsVersion::V13),
            _ => None,
        }
    }
}

/// What provisr does about `valid_days` that are not positive.
const FIVE_YEARS: u32 = 5 * 365;

impl Tls {
    pub(super) fn read(s: &Settings, root: &Path, found: &mut Vec<Diagnostic>) -> Option<Tls> {
        if !s.flag("server.tls.enabled") {
            return None;
        }
        let directory = s.path("server.tls.dir", root);
        let identity =
            match (s.path("server.tls.cert_file", root), s.path("server.tls.key_file", root), directory.clone()) {
                (Some(certificate), Some(key), _) => TlsIdentity::Files { certificate, key },
                (Some(_), None, _) => return wrong(s, found, "server.tls.cert_file", "`key_file` is missing"),
                (None, Some(_), _) => return wrong(s, found, "server.tls.key_file", "`cert_file` is missing"),
                (None, None, Some(directory)) if s.flag("server.tls.auto_generate") => {
                    TlsIdentity::Generated { directory, subject: subject(s) }
                }
                (None, None, Some(directory)) => TlsIdentity::Directory(directory),
                (None, None, None) => {
                    return wrong(
                        s,
                        found,
                        "server.tls.enabled",
                        "neither `cert_file` and `key_file` nor `dir` say where the certificate is",
                    );
                }
            };
        let min_version = version(s, "min_version", TlsVersion::V12, found)?;
        let max_version = version(s, "max_version", TlsVersion::V13, found)?;
        if min_version > max_version {
            return wrong(s, found, "server.tls.min_version", "the lowest version is higher than the highest");
        }
        let named = s.path("server.tls.client_ca_file", root);
        let client_ca = named.clone().or_else(|| directory.map(|directory| directory.join("tls_ca.crt")));
        let client_auth = match s.text("server.tls.client_auth") {
            Some("none") => ClientAuth::None,
            Some("optional") => ClientAuth::Optional,
            Some("required") => ClientAuth::Required,
            _ if client_ca.as_ref().is_some_and(|ca| named.is_some() || ca.is_file()) => ClientAuth::Optional,
            _ => ClientAuth::None,
        };
        if client_auth != ClientAuth::None && client_ca.is_none() {
            return wrong(
                s,
                found,
                "server.tls.client_auth",
                "`client_ca_file` does not say who signs their certificates",
            );
        }
        Some(Tls { identity, client_auth, client_ca, min_version, max_version })
    }
}

/// `[server.tls]` wins over what an older provisr has right in `[server]`.
fn version(s: &Settings, name: &str, default: TlsVersion, found: &mut Vec<Diagnostic>) -> Option<TlsVersion> {
    for key in [format!("server.tls.{name}"), format!("server.tls_{name}")] {
        if let Some(text) = s.text(&key) {
            return TlsVersion::parse(text)
                .or_else(|| wrong(s, found, &key, "this is no version of TLS; it is `1.2` or `1.3`"));
        }
    }
    Some(default)
}

fn subject(s: &Settings) -> TlsSubject {
    let text = |key, default: &str| s.text(key).unwrap_or(default).to_owned();
    let days = s.integer("server.tls.auto_gen.valid_days").and_then(|days| u32::try_from(days).ok());
    TlsSubject {
        common_name: text("server.tls.auto_gen.common_name", "localhost"),
        organization: text("server.tls.auto_gen.organization", "Piton"),
        dns_names: s.texts("server.tls.auto_gen.dns_names"),
        ip_addresses: s.texts("server.tls.auto_gen.ip_addresses"),
        valid_days: days.filter(|days| *days > 0).unwrap_or(FIVE_YEARS),
    }
}

fn wrong<T>(s: &Settings, found: &mut Vec<Diagnostic>, key: &str, message: &str) -> Option<T> {
    found.push(s.error(key, message));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_people_write_them() {
        for (text, version) in [
            ("1.2", Some(TlsVersion::V12)),
            ("1.3", Some(TlsVersion::V13)),
            ("TLS1.3", Some(TlsVersion::V13)),
            ("tlsv1.2", Some(TlsVersion::V12)),
            ("TLS 1.2", Some(TlsVersion::V12)),
            ("1.1", None),
            ("", None),
        ] {
            assert_eq!(TlsVersion::parse(text), version, "{text}");
        }
    }
}
