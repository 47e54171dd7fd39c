//! `[worker]`, `[gitlab]` and its like, `[control_plane]`: who makes repositories of blueprints, where, and who is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use piton_model::{Backoff, GitProvider, ScaffoldKind, Secret};
use serde_json::Value;

use super::settings::Settings;
use crate::diagnostic::Diagnostic;

/// How often a run that failed for a while is tried again.
const RETRIES: u32 = 3;
/// No delay between two tries is longer.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// `[worker]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The name of this worker.
    pub id: Option<String>,
    /// The message broker; none where nothing is consumed.
    pub rabbitmq_url: Option<Secret<String>>,
    /// The queue of job messages.
    pub queue: String,
    /// Messages of each queue that are held at once.
    pub prefetch: u16,
    /// How many runs are under way at once.
    pub concurrency: usize,
    /// Time before the first further try.
    pub retry_delay: Duration,
    /// The kinds that are taken; empty for all.
    pub types: BTreeSet<ScaffoldKind>,
    /// Ends after so many messages.
    pub batch: Option<u32>,
    /// Directory of what a run needs on a disk.
    pub workspace_dir: Option<PathBuf>,
    /// Directory of further blueprints.
    pub template_cache_dir: Option<PathBuf>,
    /// Bytes of one template.
    pub max_template_size: u64,
    /// Bytes of all files of a run.
    pub max_workspace_size: u64,
    /// How long one attempt may take.
    pub max_job_duration: Duration,
    /// How long a forge may be silent.
    pub forge_timeout: Duration,
    /// Who hosts repositories of messages that do not say.
    pub provider: GitProvider,
    /// The branch that is pushed.
    pub branch: String,
    /// Who makes commits: name and address.
    pub author: (String, String),
}

impl Worker {
    /// How often, and after how long, a run that failed for a while is tried again.
    pub fn retry(&self) -> Backoff {
        Backoff { max_attempts: RETRIES + 1, first: self.retry_delay, cap: LONGEST_DELAY }
    }
}

/// A forge with an interface for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedForge {
    /// Its address.
    pub url: String,
    /// The access token.
    pub token: Option<Secret<String>>,
    /// The group or organisation where a message names none.
    pub owner: Option<String>,
}

/// Servers that know nothing but git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRemote {
    /// The pattern of their addresses.
    pub url: String,
    /// Who asks.
    pub username: Option<String>,
    /// The password or token.
    pub password: Option<Secret<String>>,
    /// The file with the SSH key.
    pub ssh_key: Option<PathBuf>,
}

/// Where repositories can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forges {
    /// `[gitlab]`
    pub gitlab: HostedForge,
    /// `[github]`
    pub github: HostedForge,
    /// `[gitea]`
    pub gitea: Option<HostedForge>,
    /// `[git_remote]`
    pub git_remote: Option<GitRemote>,
}

/// `[control_plane]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlPlane {
    /// Where workers report; none for nowhere.
    pub url: Option<String>,
    /// The key with which they do, and which those that report here must show.
    pub api_key: Option<Secret<String>>,
}

impl Worker {
    pub(super) fn read(settings: &Settings, root: &Path, found: &mut Vec<Diagnostic>) -> Worker {
        let text = |key: &str| settings.text(key).map(str::to_owned);
        let number = |key: &str| settings.integer(key).and_then(|number| u64::try_from(number).ok());
        let concurrency =
            number("worker.concurrency").map_or(5, |number| usize::try_from(number).unwrap_or(usize::MAX));
        Worker {
            id: text("worker.id"),
            rabbitmq_url: text("worker.rabbitmq_url").map(Secret::new),
            queue: text("worker.queue").unwrap_or_default(),
            prefetch: number("worker.prefetch").map_or(1, |number| u16::try_from(number).unwrap_or(u16::MAX)),
            concurrency,
            retry_delay: settings.duration("worker.retry_delay"),
            types: types(settings, found),
            batch: number("worker.batch").and_then(|number| u32::try_from(number).ok()),
            workspace_dir: settings.path("worker.workspace_dir", root),
            template_cache_dir: settings.path("worker.template_cache_dir", root),
            max_template_size: number("worker.max_template_size").unwrap_or(10 << 20),
            max_workspace_size: number("worker.max_workspace_size").unwrap_or(500 << 20),
            max_job_duration: settings.duration("worker.max_job_duration"),
            forge_timeout: settings.duration("worker.forge_timeout"),
            provider: settings.text("worker.provider").and_then(GitProvider::from_word).unwrap_or_default(),
            branch: text("worker.branch").unwrap_or_default(),
            author: (text("worker.author_name").unwrap_or_default(), text("worker.author_email").unwrap_or_default()),
        }
    }
}

fn types(settings: &Settings, found: &mut Vec<Diagnostic>) -> BTreeSet<ScaffoldKind> {
    let mut types = BTreeSet::new();
    for word in settings.texts("worker.types") {
        match ScaffoldKind::from_word(word.trim()) {
            Some(kind) => drop(types.insert(kind)),
            None => found.push(
                settings.error("worker.types", &format!("`{}` is not one of system, component", word.escape_debug())),
            ),
        }
    }
    types
}

impl Forges {
    pub(super) fn read(settings: &Settings, root: &Path, found: &mut Vec<Diagnostic>) -> Forges {
        let text = |key: &str| settings.text(key).map(str::to_owned);
        let secret = |key: &str| text(key).map(Secret::new);
        let needed = |section: &str, url: &str, found: &mut Vec<Diagnostic>| {
            let given = settings.given_below(section)?;
            let address = text(url);
            if address.is_none() {
                let mut missing = settings.error(given, &format!("`{url}` is missing"));
                missing.code = "missing_value";
                found.push(missing);
            }
            address
        };
        Forges {
            gitlab: HostedForge {
                url: text("gitlab.url").unwrap_or_default(),
                token: secret("gitlab.token"),
                owner: group(settings),
            },
            github: HostedForge {
                url: text("github.url").unwrap_or_default(),
                token: secret("github.token"),
                owner: text("github.owner"),
            },
            gitea: needed("gitea.", "gitea.url", found).map(|url| HostedForge {
                url,
                token: secret("gitea.token"),
                owner: text("gitea.owner"),
            }),
            git_remote: needed("git_remote.", "git_remote.url", found).map(|url| GitRemote {
                url,
                username: text("git_remote.username"),
                password: secret("git_remote.password"),
                ssh_key: settings.path("git_remote.ssh_key", root),
            }),
        }
    }
}

/// A number or a path; files may hold either.
fn group(settings: &Settings) -> Option<String> {
    match settings.json("gitlab.group_id")? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

impl ControlPlane {
    pub(super) fn read(settings: &Settings) -> ControlPlane {
        ControlPlane {
            url: settings.text("control_plane.url").map(str::to_owned),
            api_key: settings.text("control_plane.api_key").map(|key| Secret::new(key.to_owned())),
        }
    }
}
