//! Everything that can go wrong, each with a stable code and a hint.

use std::io;
use std::path::{Path, PathBuf};

use crate::claim::{Claim, Place};
use crate::constraint::InvalidConstraint;
use crate::tool::{Platform, Tool};
use crate::version::Version;

/// Why no tool can be used, found or installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A constraint in code, a pin file or configuration does not follow the grammar.
    #[error("{place}: {problem}")]
    InvalidConstraint {
        /// Where it is written.
        place: Place,
        /// What is wrong with it.
        #[source]
        problem: InvalidConstraint,
    },
    /// A pin file holds nothing that names a version.
    #[error("{place}: {reason}")]
    InvalidPin {
        /// Where it is written.
        place: Place,
        /// What is wrong with it.
        reason: String,
    },
    /// Two or more demands exclude each other.
    #[error("no version of {} satisfies all of: {}", tool.title(), Claim::list(claims))]
    Conflict {
        /// The tool whose version is asked for.
        tool: Tool,
        /// The demands that exclude each other.
        claims: Vec<Claim>,
    },
    /// Nothing that was released satisfies the demands.
    #[error("no released version of {} satisfies {}", tool.title(), Claim::list(claims))]
    NoMatch {
        /// The tool whose version is asked for.
        tool: Tool,
        /// The demands.
        claims: Vec<Claim>,
        /// The newest release there is.
        newest: Option<Version>,
    },
    /// Nothing installed satisfies the demands, and the list of releases was not at hand.
    #[error("no installed {} satisfies {}", tool.title(), Claim::list(claims))]
    NoneInstalled {
        /// The tool whose version is asked for.
        tool: Tool,
        /// The demands.
        claims: Vec<Claim>,
    },
    /// The vendor never released this version.
    #[error("there is no {} {version}", tool.title())]
    NotFound {
        /// The tool.
        tool: Tool,
        /// The version that was asked for.
        version: Version,
        /// The released versions closest to it.
        nearest: Vec<Version>,
    },
    /// The version exists, but not for this machine.
    #[error("{} {version} was not built for {platform}", tool.title())]
    NoBuild {
        /// The tool.
        tool: Tool,
        /// The version that was asked for.
        version: Version,
        /// This machine.
        platform: Platform,
    },
    /// The archive is not the one that the vendor signed for.
    #[error("{file}: SHA-256 is {actual}, but the signed list says {expected}")]
    ChecksumMismatch {
        /// The archive's name.
        file: String,
        /// What the signed list says.
        expected: String,
        /// What arrived.
        actual: String,
    },
    /// The signed list of checksums is unreadable.
    #[error("{file}: {reason}")]
    InvalidSums {
        /// The list's name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The signature does not belong to the list of checksums.
    #[error("{file}: bad signature: {reason}")]
    BadSignature {
        /// The signed file's name.
        file: String,
        /// What is wrong with the signature.
        reason: String,
    },
    /// There is no signature to check.
    #[error("{file} has no signature at {url}")]
    MissingSignature {
        /// The unsigned file's name.
        file: String,
        /// Where the signature was looked for.
        url: String,
    },
    /// A well-formed signature by a key that is not trusted.
    #[error("{file} is signed by {issuer}, which is not a trusted key of {}", tool.title())]
    UnknownKey {
        /// The signed file's name.
        file: String,
        /// Key id or fingerprint of the signer.
        issuer: String,
        /// The tool whose keys are trusted here.
        tool: Tool,
    },
    /// A configured key cannot be used to verify anything.
    #[error("unusable OpenPGP key: {reason}")]
    InvalidKey {
        /// What is wrong with it.
        reason: String,
    },
    /// Plain HTTP to another machine, at once or after a redirect.
    #[error("refusing to use {url}: plain HTTP is allowed only to this machine")]
    InsecureUrl {
        /// The address.
        url: String,
    },
    /// A link-local or metadata address, at once, after a redirect, or behind a name.
    #[error("refusing to use {url}: {reason}")]
    ForbiddenAddress {
        /// The address.
        url: String,
        /// What it leads to.
        reason: String,
    },
    /// A mirror address that cannot be used.
    #[error("`{url}` cannot be a mirror: {reason}")]
    InvalidUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection failed or broke off.
    #[error("{url}: {reason}")]
    Network {
        /// The address.
        url: String,
        /// What happened, from the outside in.
        reason: String,
    },
    /// The server answered, but not with the file.
    #[error("{url}: HTTP {status}")]
    Http {
        /// The address.
        url: String,
        /// The status code.
        status: u16,
    },
    /// The list of releases is unreadable.
    #[error("{url}: not a list of releases: {reason}")]
    InvalidIndex {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The archive holds something that no release holds.
    #[error("{file}: unsafe archive: {reason}")]
    ArchiveUnsafe {
        /// The archive's name.
        file: String,
        /// What was found in it.
        reason: String,
    },
    /// The archive cannot be read, or lacks the program.
    #[error("{file}: broken archive: {reason}")]
    ArchiveBroken {
        /// The archive's name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More bytes than any release has.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What was read.
        what: String,
        /// How much would have been accepted.
        limit: u64,
    },
    /// A program on PATH that gave no version this time, though it may the next.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The program.
        path: PathBuf,
        /// How it failed.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as an infinitive.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The program did not install a TLS provider before the first request.
    #[error("no TLS provider is installed in this process")]
    NoTlsProvider,
}

impl Error {
    /// A stable name for this kind of error, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Error::InvalidConstraint { .. } => "invalid_constraint",
            Error::InvalidPin { .. } => "invalid_pin",
            Error::Conflict { .. } => "version_conflict",
            Error::NoMatch { .. } => "no_matching_version",
            Error::NoneInstalled { .. } => "none_installed",
            Error::NotFound { .. } => "version_not_found",
            Error::NoBuild { .. } => "no_build",
            Error::ChecksumMismatch { .. } => "checksum_mismatch",
            Error::InvalidSums { .. } => "invalid_sums",
            Error::BadSignature { .. } => "bad_signature",
            Error::MissingSignature { .. } => "missing_signature",
            Error::UnknownKey { .. } => "unknown_key",
            Error::InvalidKey { .. } => "invalid_key",
            Error::InsecureUrl { .. } => "insecure_url",
            Error::ForbiddenAddress { .. } => "forbidden_address",
            Error::InvalidUrl { .. } => "invalid_url",
            Error::Network { .. } => "network",
            Error::Http { .. } => "http_status",
            Error::InvalidIndex { .. } => "invalid_index",
            Error::ArchiveUnsafe { .. } => "archive_unsafe",
            Error::ArchiveBroken { .. } => "archive_broken",
            Error::TooLarge { .. } => "archive_too_large",
            Error::Unusable { .. } => "tool_unusable",
            Error::Io { .. } => "io",
            Error::NoTlsProvider => "no_tls_provider",
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Error::InvalidConstraint { problem, .. } => problem.hint(),
            Error::InvalidPin { .. } => {
                "write a version (`1.8.0`), a constraint (`~> 1.8`), `latest`, `latest:REGEX`, `latest-allowed`, \
                 `min-required` or `system`"
                    .to_owned()
            }
            Error::Conflict { claims, .. } => {
                let places: Vec<String> = claims.iter().map(|claim| claim.place.to_string()).collect();
                format!("change one of them so that they overlap: {}", places.join(", "))
            }
            Error::NoMatch { newest, .. } => match newest {
                Some(newest) => format!("the newest release is {newest}; pre-releases must be pinned exactly"),
                None => "the list of releases is empty; check the mirror".to_owned(),
            },
            Error::NoneInstalled { tool, .. } => {
                format!("install one with `piton tool install {tool} VERSION`, or put a suitable `{tool}` on PATH")
            }
            Error::NotFound { nearest, .. } if nearest.is_empty() => "check the version and the mirror".to_owned(),
            Error::NotFound { nearest, .. } => {
                let nearest: Vec<String> = nearest.iter().map(Version::to_string).collect();
                format!("the nearest releases are {}", nearest.join(", "))
            }
            Error::NoBuild { .. } => "choose another version, or put a build for this machine on PATH".to_owned(),
            Error::ChecksumMismatch { .. } | Error::BadSignature { .. } | Error::InvalidSums { .. } => {
                "the download was deleted and nothing was run; if a retry fails in the same way, treat the mirror or \
                 the connection as compromised"
                    .to_owned()
            }
            Error::MissingSignature { .. } => {
                "the mirror must also carry the signature file; nothing unsigned is installed".to_owned()
            }
            Error::UnknownKey { .. } => {
                "if this mirror signs with its own key, add that key to the configuration; otherwise do not trust it"
                    .to_owned()
            }
            Error::InvalidKey { .. } => "give an ASCII-armored public key with a signing-capable key".to_owned(),
            Error::InsecureUrl { .. } => "use https".to_owned(),
            Error::ForbiddenAddress { .. } => "such addresses are never asked; use the mirror's proper name".to_owned(),
            Error::InvalidUrl { .. } => {
                "give an address such as https://mirror.example/tools, credentials apart".to_owned()
            }
            Error::Network { .. } => {
                "check the connection; without one, put the program on PATH or configure a mirror".to_owned()
            }
            Error::Http { status: 401 | 403 | 407, .. } => "check the mirror's authorization".to_owned(),
            Error::Http { .. } => "check the mirror; the server's own logs may say more".to_owned(),
            Error::InvalidIndex { .. } => "check that the mirror serves the vendor's index unchanged".to_owned(),
            Error::ArchiveUnsafe { .. } | Error::ArchiveBroken { .. } | Error::TooLarge { .. } => {
                "the download was deleted and nothing was run; check the mirror".to_owned()
            }
            Error::Unusable { path, .. } => {
                format!("try again; if it stays so, run `{} version` by hand and repair or remove it", path.display())
            }
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space".to_owned(),
                io::ErrorKind::PermissionDenied => "check the owner and the mode of the file".to_owned(),
                _ => "check the file system".to_owned(),
            },
            Error::NoTlsProvider => "this is a defect of the calling program: install a provider at start".to_owned(),
        }
    }

    /// Whether trying again later may succeed with nothing else changed.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Network { .. } | Error::Unusable { .. } => true,
            Error::Http { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            _ => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }
}
