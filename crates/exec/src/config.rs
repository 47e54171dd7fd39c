//! What the installation decides.

use std::path::PathBuf;
use std::time::Duration;

use piton_model::Name;
use piton_model::batch::RetryDelay;
use piton_process::Environment;
use piton_vault::Vault;

use crate::confine::Confine;
use crate::guard::Guard;
use crate::registry::Registry;

/// What the installation decides about all runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Piton keeps everything; deployments and the plugin cache are below.
    pub data_dir: PathBuf,
    /// The environment that every child begins with, usually [`Environment::inherit`].
    pub environment: Environment,
    /// The daemon's whole environment, for jobs that ask for it.
    pub whole_environment: Environment,
    /// Where the tasks of jobs work that name no directory.
    pub work_dir: PathBuf,
    /// How long the tasks of jobs wait after failures.
    pub retry_delay: RetryDelay,
    /// Whether runs share downloaded providers.
    pub plugin_cache: bool,
    /// How long OpenTofu and Terraform wait for a state lock.
    pub lock_timeout: Duration,
    /// How long OpenTofu and Terraform may take to stop when they are asked to.
    pub interrupt_grace: Duration,
    /// The private registry of modules and providers, if there is one.
    pub registry: Option<Registry>,
    /// Which addresses may be reached.
    pub guard: Guard,
    /// What deployed code may see of this host.
    pub confine: Confine,
    /// The keys for what runs must remember in files. Without any it lies there in clear.
    pub vault: Vault,
}

impl Config {
    /// The defaults: a shared plugin cache, two minutes for locks, five to stop, and tasks that wait as long as those of Kubernetes
    /// and work in the data directory.
    pub fn new(data_dir: impl Into<PathBuf>, environment: Environment) -> Config {
        let data_dir = data_dir.into();
        Config {
            work_dir: data_dir.clone(),
            data_dir,
            whole_environment: environment.clone(),
            environment,
            retry_delay: RetryDelay::KUBERNETES,
            plugin_cache: true,
            lock_timeout: Duration::from_secs(120),
            interrupt_grace: Duration::from_secs(300),
            registry: None,
            guard: Guard::default(),
            confine: Confine::default(),
            vault: Vault::default(),
        }
    }

    /// The directory in which a deployment's tool or job works.
    pub fn deployment_dir(&self, deployment: &Name) -> PathBuf {
        self.data_dir.join("deployments").join(deployment.as_str())
    }

    pub(crate) fn cli_config(&self) -> PathBuf {
        self.data_dir.join("iac-cli.tfrc")
    }

    pub(crate) fn plugin_cache_dir(&self, tool: &str) -> PathBuf {
        self.plugin_caches_dir().join(tool)
    }

    pub(crate) fn plugin_caches_dir(&self) -> PathBuf {
        self.data_dir.join("plugin-cache")
    }

    /// Where the tools lie that Piton fetched.
    pub fn tools_dir(&self) -> PathBuf {
        self.data_dir.join("tools")
    }
}
