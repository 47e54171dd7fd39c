//! What handlers share.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_api::ServedBy;
use piton_engine::{Engine, Reload};
use piton_exec::Templates;
use piton_exec::request::Rules;
use piton_logs::LogStore;
use piton_spec::Layout;
use piton_supervisor::Supervisor;
use piton_tools::Manager;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::front::Front;
use crate::processes::Applier;
use crate::schedule::ScheduleRules;

/// What handlers share. Each layer around a handler clones it for each request, so it must cost next to nothing.
#[derive(Debug, Clone)]
pub struct App {
    parts: Arc<Parts>,
    /// What the paths of the API begin with.
    pub(crate) base: Arc<str>,
}

impl App {
    /// With paths that begin with [`BASE`](crate::BASE).
    pub fn new(parts: Parts) -> App {
        App { parts: Arc::new(parts), base: crate::BASE.into() }
    }

    /// The same, with paths that begin with `base`.
    pub(crate) fn below(&self, base: &str) -> App {
        App { parts: self.parts.clone(), base: base.trim_end_matches('/').into() }
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// What an [`App`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// Runs and declarations.
    pub engine: Engine,
    /// Who is who.
    pub auth: Auth,
    /// Logs of runs.
    pub logs: LogStore,
    /// The registered templates.
    pub templates: Templates,
    /// Tools to validate them with.
    pub tools: Arc<Manager>,
    /// Makes the catalog look at the files at once.
    pub reload: Reload,
    /// Processes that are kept running.
    pub supervisor: Supervisor,
    /// Makes what is declared of them what is supervised.
    pub applier: Applier,
    /// What requests for deployments must keep to.
    pub rules: Arc<Rules>,
    /// What requests for scheduled provisions must keep to.
    pub schedules: Arc<ScheduleRules>,
    /// Cancelled by whoever asks the daemon to end.
    pub shutdown: CancellationToken,
    /// What all requests share.
    pub front: Front,
    /// Questions to parts that the server does not know.
    pub probes: Probes,
    /// Facts about this process.
    pub about: Arc<About>,
}

/// How many children the keeper holds; none where it does not answer.
pub type Children = Pin<Box<dyn Future<Output = Option<usize>> + Send>>;

/// Questions to parts that the server does not know.
#[derive(Clone)]
pub struct Probes(Arc<dyn Fn() -> Children + Send + Sync>);

impl Probes {
    /// Asks the keeper by this function.
    pub fn new(keeper: impl Fn() -> Children + Send + Sync + 'static) -> Probes {
        Probes(Arc::new(keeper))
    }

    /// How many children the keeper holds, if it answers in time.
    pub(crate) async fn keeper_children(&self) -> Option<usize> {
        tokio::time::timeout(Duration::from_secs(2), (self.0)()).await.ok().flatten()
    }
}

impl About {
    /// Whether processes are kept running here.
    pub(crate) fn supervises(&self) -> bool {
        self.served_by == ServedBy::Daemon
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

/// Facts about the process that answers.
#[derive(Debug)]
pub struct About {
    /// `0.1.0`
    pub version: &'static str,
    /// The commit it was built from.
    pub commit: Option<&'static str>,
    /// What kind of process this is.
    pub served_by: ServedBy,
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
    /// Whether what processes use is measured.
    pub measures: bool,
    /// Whether it is written down what happens to processes.
    pub history: bool,
}
