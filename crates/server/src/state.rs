//! What handlers share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use piton_engine::{Engine, Reload};
use piton_exec::Templates;
use piton_logs::LogStore;
use piton_spec::Layout;
use piton_tools::Manager;
use tokio_util::sync::CancellationToken;

/// What handlers share; cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// Runs and declarations.
    pub engine: Engine,
    /// Logs of runs.
    pub logs: LogStore,
    /// The registered templates.
    pub templates: Templates,
    /// Tools to validate them with.
    pub tools: Arc<Manager>,
    /// Makes the catalog look at the files at once.
    pub reload: Reload,
    /// Cancelled by whoever asks the daemon to end.
    pub shutdown: CancellationToken,
    /// Facts about this process.
    pub about: Arc<About>,
}

/// Facts about the process that answers.
#[derive(Debug)]
pub struct About {
    /// `0.1.0`
    pub version: &'static str,
    /// The commit it was built from.
    pub commit: Option<&'static str>,
    /// `daemon` or `local`.
    pub served_by: &'static str,
    /// The address that it listens on, if it does.
    pub listen: Option<SocketAddr>,
    /// When it started.
    pub started_at: Timestamp,
    /// The directory of the declarations.
    pub directory: PathBuf,
    /// Where the declarations lie.
    pub layout: Layout,
    /// The directory of what Piton writes.
    pub data_directory: PathBuf,
    /// `sqlite` or `postgres`.
    pub store: &'static str,
}
