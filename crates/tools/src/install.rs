//! Fetching a release: sums, signature, archive, program, in that order and never further than the first doubt.
//!
//! Everything is written under `TOOLS_DIR/.partial` and the finished program is renamed into the cache, so a program
//! that exists in the cache is whole and verified. A lock file for each version makes a second installation of it, in
//! this process or another, wait for the first and use what that brought.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use crate::error::Error;
use crate::fetch::{Fetcher, network};
use crate::index;
use crate::inventory::{self, Found, Installed};
use crate::mirror::{Release, Source};
use crate::signature::Keyring;
use crate::sums;
use crate::tool::{Platform, Tool};
use crate::unpack;
use crate::version::Version;

/// How much is accepted from a server before it is called too much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a list of releases.
    pub index: u64,
    /// For a list of checksums, and for a signature.
    pub document: u64,
    /// For an archive.
    pub archive: u64,
    /// For what an archive unpacks to.
    pub unpacked: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { index: 64 << 20, document: 1 << 20, archive: 512 << 20, unpacked: 1 << 30 }
    }
}

/// What an installation is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Reading the list of releases.
    ReadingIndex(Tool),
    /// Another installation of the same version is under way; its result will be used.
    Waiting(Tool, Version),
    /// Fetching checksums and signature.
    CheckingSignature(Tool, Version),
    /// Fetching the archive.
    Downloading {
        /// The archive's name.
        file: String,
        /// Bytes so far.
        received: u64,
        /// Bytes in all, if the server said so.
        total: Option<u64>,
    },
    /// Taking the program out of the archive.
    Unpacking(String),
    /// Done.
    Installed(Installed),
}

/// Where progress is reported to.
pub(crate) type Report<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// One installation.
pub(crate) struct Installation<'a> {
    pub(crate) tool: Tool,
    pub(crate) version: &'a Version,
    pub(crate) platform: Platform,
    pub(crate) source: &'a Source,
    pub(crate) keyring: &'a Keyring,
    pub(crate) tools_dir: &'a Path,
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) limits: Limits,
}

impl Installation<'_> {
    /// Installs, unless that was done before.
    pub(crate) async fn run(&self, report: Report<'_>) -> Result<Installed, Error> {
        if let Some(installed) = self.cached() {
            return Ok(installed);
        }
        let _lock = self.lock(report).await?;
        if let Some(installed) = self.cached() {
            return Ok(installed);
        }
        let partial = self.prepare_partial_dir()?;
        report(Progress::CheckingSignature(self.tool, self.version.clone()));
        let release = Release::new(self.tool, self.version, self.source);
        let digest = self.signed_digest(&release).await?;
        let archive = self.download(&release, digest, &partial, report).await?;
        let name = release.archive_name(self.platform);
        report(Progress::Unpacking(name.clone()));
        let installed = self.unpack(name, archive, partial).await?;
        report(Progress::Installed(installed.clone()));
        Ok(installed)
    }

    fn cached(&self) -> Option<Installed> {
        inventory::cached(self.tools_dir, self.tool, self.version, self.platform)
    }

    /// Takes this version's lock; it is let go when the file is closed.
    async fn lock(&self, report: Report<'_>) -> Result<fs::File, Error> {
        let dir = self.tools_dir.join(self.tool.program());
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let path = dir.join(format!("{}.lock", self.version));
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
        report(Progress::Waiting(self.tool, self.version.clone()));
        blocking("lock", &path.clone(), move || match file.lock() {
            Ok(()) => Ok(file),
            Err(error) => Err(Error::io("lock", &path)(error)),
        })
        .await
    }

    /// Makes the directory for unfinished files, and clears it of what a killed installation of this version left.
    fn prepare_partial_dir(&self) -> Result<PathBuf, Error> {
        let dir = self.tools_dir.join(".partial");
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let prefix = self.partial_prefix();
        for entry in fs::read_dir(&dir).map_err(Error::io("read", &dir))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                // Whoever wrote it held the lock that we hold now. If it stays, it costs only space.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(dir)
    }

    fn partial_prefix(&self) -> String {
        format!("{}_{}_", self.tool, self.version)
    }

    fn partial_file(&self, dir: &Path) -> Result<NamedTempFile, Error> {
        tempfile::Builder::new().prefix(&self.partial_prefix()).tempfile_in(dir).map_err(Error::io("write to", dir))
    }

    /// The digest that the vendor signed for this platform's archive.
    async fn signed_digest(&self, release: &Release<'_>) -> Result<sums::Digest, Error> {
        let name = release.sums_name();
        let sums = match self.document(&release.url(&name)).await {
            Err(Error::Http { status: 404 | 410, .. }) => return Err(self.not_found().await),
            result => result?,
        };
        self.check_signature(release, &name, &sums).await?;
        sums::find(&name, &sums, &release.archive_name(self.platform))?.ok_or_else(|| self.no_build())
    }

    async fn check_signature(&self, release: &Release<'_>, name: &str, sums: &[u8]) -> Result<(), Error> {
        let mut failure = None;
        for signature_name in release.signature_names() {
            let url = release.url(&signature_name);
            let error = match self.document(&url).await {
                Ok(signature) => match self.keyring.verify(self.tool, name, sums, &signature) {
                    Ok(_) => return Ok(()),
                    Err(error) => error,
                },
                Err(Error::Http { status: 404 | 410, .. }) => {
                    Error::MissingSignature { file: name.to_owned(), url: url.into() }
                }
                Err(error) => error,
            };
            // Only a key that is not ours, or no file at all, lets the next name have its say: the first name of old
            // releases carries a signature by a retired key.
            failure = match (failure, error) {
                (Some(earlier), Error::MissingSignature { .. }) => Some(earlier),
                (_, error @ (Error::UnknownKey { .. } | Error::MissingSignature { .. })) => Some(error),
                (_, error) => return Err(error),
            };
        }
        Err(failure.unwrap_or_else(|| Error::MissingSignature { file: name.to_owned(), url: String::new() }))
    }

    async fn document(&self, url: &Url) -> Result<Vec<u8>, Error> {
        self.fetcher.document(url, self.source.authorization.as_ref(), self.limits.document).await
    }

    /// Says which versions there are instead, if the list of releases can be had.
    async fn not_found(&self) -> Error {
        let releases = releases(self.tool, self.source, self.fetcher, self.limits).await.unwrap_or_default();
        crate::choose::not_found(self.tool, self.version, &releases)
    }

    fn no_build(&self) -> Error {
        Error::NoBuild { tool: self.tool, version: self.version.clone(), platform: self.platform }
    }

    /// Fetches the archive and compares its digest; the file is gone again if that fails.
    async fn download(
        &self,
        release: &Release<'_>,
        expected: sums::Digest,
        dir: &Path,
        report: Report<'_>,
    ) -> Result<NamedTempFile, Error> {
        let name = release.archive_name(self.platform);
        let url = release.url(&name);
        let limit = self.limits.archive;
        let too_large = || Error::TooLarge { what: url.to_string(), limit };
        let mut response = match self.fetcher.get(&url, self.source.authorization.as_ref()).await {
            Err(Error::Http { status: 404 | 410, .. }) => return Err(self.no_build()),
            result => result?,
        };
        let total = response.content_length();
        if total.is_some_and(|total| total > limit) {
            return Err(too_large());
        }
        let file = self.partial_file(dir)?;
        let write_error = |error| Error::io("write", file.path())(error);
        let mut writer = tokio::fs::File::from_std(file.as_file().try_clone().map_err(write_error)?);
        let mut hasher = Sha256::new();
        let mut received = 0;
        report(Progress::Downloading { file: name.clone(), received, total });
        while let Some(chunk) = response.chunk().await.map_err(|error| network(&url, &error))? {
            received += chunk.len() as u64;
            if received > limit {
                return Err(too_large());
            }
            hasher.update(&chunk);
            writer.write_all(&chunk).await.map_err(write_error)?;
            report(Progress::Downloading { file: name.clone(), received, total });
        }
        writer.flush().await.map_err(write_error)?;
        let actual: sums::Digest = hasher.finalize().into();
        if actual != expected {
            let (expected, actual) = (hex::encode(expected), hex::encode(actual));
            return Err(Error::ChecksumMismatch { file: name, expected, actual });
        }
        Ok(file)
    }

    /// Puts the program into the cache: written whole, made durable, then renamed.
    async fn unpack(&self, name: String, archive: NamedTempFile, dir: PathBuf) -> Result<Installed, Error> {
        let (tool, limit) = (self.tool, self.limits.unpacked);
        let path = inventory::cache_path(self.tools_dir, tool, self.version, self.platform);
        let installed = Installed { tool, version: self.version.clone(), path: path.clone(), found: Found::Cache };
        let mut program = self.partial_file(&dir)?;
        blocking("unpack", &path.clone(), move || {
            let archive = archive.reopen().map_err(Error::io("read", archive.path()))?;
            unpack::unpack(tool, &name, archive, &mut program, limit)?;
            place(program, &path)
        })
        .await?;
        Ok(installed)
    }
}

/// Reads a vendor's list of releases, newest first.
pub(crate) async fn releases(
    tool: Tool,
    source: &Source,
    fetcher: &Fetcher,
    limits: Limits,
) -> Result<Vec<Version>, Error> {
    let url = source.index.url();
    let text = fetcher.document(url, source.authorization.as_ref(), limits.index).await?;
    index::parse(tool, &text).map_err(|error| Error::InvalidIndex { url: url.to_string(), reason: error.to_string() })
}

/// Makes `program` durable under its final name.
fn place(mut program: NamedTempFile, path: &Path) -> Result<(), Error> {
    let failed = |error| Error::io("write", path)(error);
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    program.flush().map_err(failed)?;
    program.as_file().set_permissions(fs::Permissions::from_mode(0o755)).map_err(failed)?;
    program.as_file().sync_all().map_err(failed)?;
    // The handle must be closed before the program can be run, and `into_temp_path` closes it.
    program.into_temp_path().persist(path).map_err(|error| failed(error.error))?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("write", dir))
}

/// Does blocking work apart from the async threads.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // Joining fails only when the work panicked or the runtime is shutting down.
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::io(action, path)(io::Error::other(error))))
}
