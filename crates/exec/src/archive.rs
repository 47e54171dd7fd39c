//! Logs of ended runs, copied to where they stay: S3 or what speaks like it, Azure Blob Storage, or a directory.
//!
//! A log becomes the object `DATE/RUN.log`, of the day on which the run was submitted. `DATE/RUN.json` beside it says what
//! run that was; it is written last, so where it is, the log is whole. A copy that was cut off is made again, under the
//! same names.

mod connector;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{ObjectStore, PutOptions, PutPayload};
use piton_logs::LogStore;
use piton_model::{Run, RunId, RunState, Secret};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::durable;

/// How much of a log is read at once.
const PIECE: usize = 1024 * 1024;

/// The file beside a log that says that it was copied, and where to.
const MARKER: &str = "archived";

/// Where logs are copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivePlace {
    /// `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `file:///DIRECTORY`.
    pub url: String,
    /// The server, where it is none of the makers' own.
    pub endpoint: Option<String>,
    /// The region of S3.
    pub region: Option<String>,
    /// Id of the key of S3, or name of the account of Azure.
    pub account: Option<String>,
    /// The key. Without one, the environment and the host's own identity are asked.
    pub key: Option<Secret<String>>,
}

/// Where logs are copied to, ready for use.
#[derive(Debug, Clone)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    prefix: Name,
}

/// Why a log was not copied.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The place is none.
    #[error("`{url}` is no place for an archive: {problem}")]
    Place {
        /// As it is configured.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The place does not take it.
    #[error("the archive does not take the log: {0}")]
    Refused(#[source] object_store::Error),
    /// The copy broke off.
    #[error("the copy to the archive broke off: {0}")]
    Broken(#[source] io::Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] piton_logs::Error),
    /// That it was copied cannot be noted.
    #[error("cannot write {}: {source}", path.display())]
    Marker {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Archive {
    /// Makes ready; nothing is asked of the place yet.
    pub fn open(place: &ArchivePlace) -> Result<Archive, ArchiveError> {
        let wrong = |problem: String| ArchiveError::Place { url: place.url.clone(), problem };
        let (scheme, rest) = place.url.split_once("://").ok_or_else(|| wrong("it has no scheme".to_owned()))?;
        if scheme == "file" {
            fs::create_dir_all(rest).map_err(|error| wrong(error.to_string()))?;
            let store = LocalFileSystem::new_with_prefix(rest).map_err(|error| wrong(error.to_string()))?;
            return Ok(Archive { store: Arc::new(store.with_fsync(true)), prefix: Name::default() });
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let store = match scheme {
            "s3" => s3(place, bucket),
            "az" => azure(place, bucket),
            other => return Err(wrong(format!("the scheme `{other}` is none of s3, az and file"))),
        };
        let prefix = Name::parse(prefix.trim_matches('/')).map_err(|error| wrong(error.to_string()))?;
        Ok(Archive { store: store.map_err(|error| wrong(error.to_string()))?, prefix })
    }

    /// Whether the log in this directory was copied.
    pub fn has(directory: &Path) -> bool {
        directory.join(MARKER).exists()
    }

    /// Copies the log of an ended run, unless that was done before. A run without a log has nothing to copy.
    pub async fn keep(&self, logs: &LogStore, run: &Run) -> Result<(), ArchiveError> {
        let directory = logs.run_dir(run.id);
        let marker = directory.join(MARKER);
        if Archive::has(&directory) || !directory.is_dir() {
            return Ok(());
        }
        let date = run.submitted_at.strftime("%Y-%m-%d").to_string();
        let name = |ending: &str| self.prefix.clone().join(date.as_str()).join(format!("{}.{ending}", run.id));
        let size = self.copy(logs, run.id, name("log")).await?;
        let about = PutPayload::from(about(run, size).into_bytes());
        let put = self.store.put_opts(&name("json"), about, PutOptions::default()).await;
        put.map_err(ArchiveError::Refused)?;
        let text = format!("{}\n", name("log"));
        durable::write(&marker, text.as_bytes(), 0o600).map_err(|source| ArchiveError::Marker { path: marker, source })
    }

    async fn copy(&self, logs: &LogStore, run: RunId, name: Name) -> Result<u64, ArchiveError> {
        let mut writer = BufWriter::new(self.store.clone(), name);
        let mut at = 0;
        loop {
            let chunk = logs.read(run, at, PIECE).await?;
            if chunk.bytes.is_empty() {
                break;
            }
            at = chunk.next();
            if let Err(error) = writer.write_all(&chunk.bytes).await {
                // What is there of it goes; if that cannot be had either, the place forgets it by its own rules.
                let _ = writer.abort().await;
                return Err(ArchiveError::Broken(error));
            }
        }
        writer.shutdown().await.map_err(ArchiveError::Broken)?;
        Ok(at)
    }
}

fn s3(place: &ArchivePlace, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    // The environment of the daemon, as other programs read it, has what the configuration does not say.
    let mut builder =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_http_connector(connector::Connector::default());
    if let Some(region) = &place.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(account) = &place.account {
        builder = builder.with_access_key_id(account);
    }
    if let Some(key) = &place.key {
        builder = builder.with_secret_access_key(key.expose());
    }
    Ok(Arc::new(builder.build()?))
}

fn azure(place: &ArchivePlace, container: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let connector = connector::Connector::default();
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container).with_http_connector(connector);
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint.clone()).with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(account) = &place.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &place.key {
        builder = builder.with_access_key(key.expose());
    }
    Ok(Arc::new(builder.build()?))
}

/// What run a log is of. Nothing of what it was told to do, which may be secret.
fn about(run: &Run, size: u64) -> String {
    let ended_at = match &run.state {
        RunState::Ended { at, .. } => Some(*at),
        RunState::Pending { .. } | RunState::Running { .. } | RunState::Gated { .. } => None,
    };
    let about = json!({
        "run": run.id.to_string(),
        "subject": run.subject.to_string(),
        "outcome": run.outcome().map(|outcome| outcome.kind().as_str()),
        "submitted_by": run.origin.by().to_string(),
        "submitted_at": run.submitted_at,
        "started_at": run.started_at,
        "ended_at": ended_at,
        "commit": run.report.commit,
        "log_bytes": size,
    });
    format!("{about:#}\n")
}
