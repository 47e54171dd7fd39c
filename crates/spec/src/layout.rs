//! Where declarations lie, and what holds where they say nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use piton_model::{Name, ToolChoice};

use crate::config::Settings;
use crate::provisr::ProcessDefaults;
use crate::{CatchUp, Sources};

/// Where declarations lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Paths in diagnostics are shown relative to this directory.
    pub root: PathBuf,
    /// One directory per workspace.
    pub workspaces: PathBuf,
    /// One file per standalone job.
    pub jobs: PathBuf,
    /// `registry.json`, and one directory per registered template.
    pub templates: PathBuf,
    /// One file per process, job or cronjob, as provisr has them.
    pub programs: PathBuf,
    /// The configuration, which declares processes too; none where there is no file of it.
    pub configuration: Option<Configuration>,
    /// What the configuration says about all processes, as long as its file does not say otherwise.
    pub processes: ProcessDefaults,
    /// What holds where a declaration says nothing.
    pub defaults: Defaults,
}

/// A file of the configuration. What it says about processes is read again when it changes; the rest of it is in force
/// from one start of the daemon to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// The file.
    pub file: PathBuf,
    /// What the configuration is made from beside it.
    pub sources: Arc<Sources>,
    /// What it said when the daemon started.
    pub(crate) in_force: Arc<Settings>,
}

/// What holds where a declaration says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// The zone of schedules.
    pub time_zone: TimeZone,
    /// How long one attempt of a deploy or destroy may take.
    pub timeout: Duration,
    /// How long one attempt of a job may take.
    pub job_timeout: Duration,
    /// How long a plan waits for approval.
    pub approval_timeout: Duration,
    /// What workspaces do about missed fires.
    pub catch_up: CatchUp,
    /// Which tool workspaces use.
    pub tool: ToolChoice,
    /// Which version of it.
    pub version: Option<String>,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            time_zone: TimeZone::UTC,
            timeout: Duration::from_secs(60 * 60),
            job_timeout: Duration::from_secs(30 * 60),
            approval_timeout: Duration::from_secs(24 * 60 * 60),
            catch_up: CatchUp::Latest,
            tool: ToolChoice::Auto,
            version: None,
        }
    }
}

impl Layout {
    /// The usual places: `workspaces` and `jobs` below `root`, `templates` below `data_dir`.
    pub fn new(root: &Path, data_dir: &Path) -> Layout {
        Layout {
            root: root.to_path_buf(),
            workspaces: root.join("workspaces"),
            jobs: root.join("jobs"),
            templates: data_dir.join("templates"),
            programs: root.join("programs"),
            configuration: None,
            processes: ProcessDefaults::new(root),
            defaults: Defaults::default(),
        }
    }

    /// The directories and files in which a change can change a declaration.
    pub fn watched(&self) -> Vec<PathBuf> {
        let directories = [&self.workspaces, &self.jobs, &self.templates, &self.programs];
        let file = self.configuration.as_ref().map(|configuration| &configuration.file);
        directories.into_iter().chain(file).chain(&self.processes.env_files).cloned().collect()
    }

    /// The file that registers templates.
    pub fn registry(&self) -> PathBuf {
        self.templates.join("registry.json")
    }

    /// The directory that holds the files of a registered template.
    pub fn template_dir(&self, name: &Name) -> PathBuf {
        self.templates.join(name.as_str())
    }
}
