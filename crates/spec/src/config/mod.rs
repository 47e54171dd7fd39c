//! The configuration of the daemon: `piton.toml` (or YAML, or JSON), the environment, the command line.
//!
//! One table ([`keys`]) says what there is. Sources are laid over one another, each value keeping its origin, and the
//! result is given out typed. Keys that a later part of Piton reads are checked here all the same.

mod access;
mod archive;
mod auth;
mod deployments;
mod http;
mod keys;
mod kind;
mod listen;
mod lookup;
mod processes;
mod provisioning;
mod render;
mod scaffolding;
mod settings;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use piton_cron::Schedule;
use piton_model::{Secret, ToolChoice};

use crate::diagnostic::Diagnostic;
use crate::document::{Document, Format, read_bounded};
use crate::schedule::find_time_zone;
use crate::{CatchUp, Configuration, Defaults, Layout};

pub use access::{EncryptionKeys, GitSettings};
pub use archive::ArchiveSettings;
pub use auth::{AuthConfig, Named};
pub use deployments::Deployments;
pub use http::{Metrics, Server};
pub(crate) use kind::parse_size;
pub use listen::Listen;
pub use processes::{History, ProcessMetrics, Processes};
pub use provisioning::{GoogleProvider, MicrosoftProvider, Provisioning};
pub use scaffolding::{ControlPlane, Forges, GitRemote, HostedForge, Worker};
pub(crate) use settings::Settings;
pub use settings::{Explained, Origin};
pub use tls::{ClientAuth, Tls, TlsIdentity, TlsSubject, TlsVersion};

/// What the configuration is made from. Nothing else of the process is looked at.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The directory of the process, absolute.
    pub current_dir: PathBuf,
    /// `--dir`
    pub dir: Option<PathBuf>,
    /// `--config`
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Options of the command line, by the path of their key, such as `server.listen`.
    pub flags: BTreeMap<String, String>,
    /// Whether the process runs as the superuser.
    pub superuser: bool,
    /// Directory of the system's configuration files; none for `/etc`.
    pub system_dir: Option<PathBuf>,
}

impl fmt::Debug for Sources {
    /// With the names of the environment alone: its values are passwords and keys as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sources { current_dir, dir, file, environment, flags, superuser, system_dir } = self;
        f.debug_struct("Sources")
            .field("current_dir", current_dir)
            .field("dir", dir)
            .field("file", file)
            .field("environment", &environment.keys())
            .field("flags", flags)
            .field("superuser", superuser)
            .field("system_dir", system_dir)
            .finish()
    }
}

/// The configuration of the daemon, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory that holds `workspaces`, `jobs` and the rest.
    pub root: PathBuf,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Where Piton keeps everything that it writes.
    pub data_dir: PathBuf,
    /// Where log files lie.
    pub log_dir: PathBuf,
    /// The database: `sqlite:PATH` or `postgres://…`.
    pub store_url: Secret<String>,
    /// `[server]`
    pub server: Server,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[scheduler]`
    pub scheduler: Scheduler,
    /// `[iac]`
    pub iac: IacSettings,
    /// What of `[iac]` is about deployments that people ask for.
    pub deployments: Deployments,
    /// `[provisioning]`
    pub provisioning: Provisioning,
    /// `[worker]`
    pub worker: Worker,
    /// `[gitlab]`, `[github]`, `[gitea]` and `[git_remote]`
    pub forges: Forges,
    /// `[control_plane]`
    pub control_plane: ControlPlane,
    /// `[archive]`
    pub archive: Option<ArchiveSettings>,
    /// `[logging]`
    pub logging: Logging,
    /// `[git]`
    pub git: GitSettings,
    /// `[security] blocked_networks`
    pub blocked_networks: Vec<String>,
    /// `[security] encryption_key` and `encryption_key_file`
    pub encryption: EncryptionKeys,
    /// `[auth]`, `[server.auth]`
    pub auth: AuthConfig,
    /// What is said about all processes.
    pub processes: Processes,
    /// `[history]`
    pub history: History,
    sources: Arc<Sources>,
    settings: Settings,
}

/// Shorter ones would end while a busy machine renews them.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// `[scheduler]`
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduler {
    /// Zone of schedules that name none; none for the system's.
    pub time_zone: Option<TimeZone>,
    /// When everything is looked over.
    pub check_interval: Schedule,
    /// What workspaces do about missed fires.
    pub catch_up: CatchUp,
    /// How many runs may be active at once; none for four per core.
    pub max_concurrent_runs: Option<NonZeroU32>,
    /// How long a daemon holds a run without a word to the others.
    pub lease: Duration,
}

/// `[iac]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IacSettings {
    /// Which tool.
    pub tool: ToolChoice,
    /// Which version of it.
    pub version: Option<String>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long a plan waits for approval.
    pub approval_timeout: Duration,
    /// How long working directories of ended runs are kept.
    pub retention: Duration,
    /// Share downloaded providers.
    pub plugin_cache: bool,
    /// Whether deployed code is kept from what Piton keeps.
    pub confine: Confine,
    /// Private registry.
    pub registry_host: Option<String>,
    /// Where tools are downloaded from.
    pub mirror: Option<String>,
}

/// Whether deployed code is kept from what Piton keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confine {
    /// Where the kernel can do it, and code misses nothing: the data directory is apart from the declarations.
    Auto,
    /// Runs fail where it cannot.
    Always,
    /// Not even where it can.
    Never,
}

/// `[logging]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// How much is said.
    pub level: LogLevel,
    /// How it is said.
    pub format: LogFormat,
    /// Where.
    pub output: LogOutput,
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Config {
    /// Reads everything. `Err` holds what is wrong, with at least one error; beside a configuration there are only
    /// warnings.
    pub fn load(sources: &Sources) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (config, mut found) = Config::read(sources)?;
        found.extend(config.processes.check_env_files().into_iter().map(|found| found.relative_to(&config.root)));
        config.unless_wrong(found)
    }

    /// The same, whatever environment files hold: they change without the configuration, and are looked at apart.
    pub(crate) fn load_alone(sources: &Sources) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (config, found) = Config::read(sources)?;
        config.unless_wrong(found)
    }

    fn unless_wrong(self, found: Vec<Diagnostic>) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
        if found.iter().any(Diagnostic::is_error) { Err(found) } else { Ok((self, found)) }
    }

    /// Reads all but environment files. There may be errors beside what was read; `Err` where nothing was.
    fn read(sources: &Sources) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut found = Vec::new();
        let mut settings = Settings::defaults();
        let root = lookup::root(sources);
        let file = match lookup::file(sources, &root) {
            Ok((file, warnings)) => {
                found.extend(warnings);
                file
            }
            Err(error) => return Err(vec![*error]),
        };
        if let Some(file) = &file {
            let format = Format::of(file).unwrap_or(Format::Toml);
            match read_bounded(file).and_then(|bytes| Document::parse(file, bytes, format)) {
                Ok(document) => found.extend(settings.read_file(file, &document)),
                Err(error) => return Err(vec![error.relative_to(&root)]),
            }
        }
        found.extend(settings.read_environment(&sources.environment));
        found.extend(settings.read_flags(&sources.flags));
        let config = Config::from_settings(settings, root, file, sources, &mut found);
        let found = found.into_iter().map(|d| d.relative_to(&config.root)).collect();
        Ok((config, found))
    }

    fn from_settings(
        mut settings: Settings,
        root: PathBuf,
        file: Option<PathBuf>,
        sources: &Sources,
        found: &mut Vec<Diagnostic>,
    ) -> Config {
        let usual = if sources.superuser { PathBuf::from("/var/lib/piton") } else { root.join(".piton") };
        let data_dir = settings.path("data.dir", &root).unwrap_or(usual);
        let log_dir = settings.path("log.dir", &root).unwrap_or_else(|| data_dir.join("logs"));
        settings.derive("data.dir", data_dir.to_string_lossy());
        settings.derive("log.dir", log_dir.to_string_lossy());
        let store_url = store_url(&settings, &root, &data_dir, found);
        settings.derive("store.url", store_url.as_str());
        let auth = auth::read(&settings, &root, found);
        let processes = Processes::read(&settings, &root, file.as_deref(), &sources.environment, found);
        let history = History::read(&settings, found);
        let s = &settings;
        Config {
            store_url: Secret::new(store_url),
            server: Server::read(s, &root, found),
            metrics: Metrics::read(s),
            scheduler: Scheduler {
                time_zone: s.text("scheduler.timezone").and_then(find_time_zone),
                check_interval: s
                    .text("scheduler.check_interval")
                    .and_then(|text| Schedule::parse(text).ok())
                    .unwrap_or_else(|| Schedule::every(Duration::from_secs(60))),
                catch_up: match s.text("scheduler.catch_up") {
                    Some("skip") => CatchUp::Skip,
                    _ => CatchUp::Latest,
                },
                max_concurrent_runs: s
                    .integer("scheduler.max_concurrent_runs")
                    .and_then(|number| u32::try_from(number).ok())
                    .and_then(NonZeroU32::new),
                lease: s.duration("scheduler.lease").max(SHORTEST_LEASE),
            },
            iac: IacSettings {
                tool: match s.text("iac.tool") {
                    Some("tofu") => ToolChoice::Tofu,
                    Some("terraform") => ToolChoice::Terraform,
                    _ => ToolChoice::Auto,
                },
                version: s.text("iac.version").map(str::to_owned),
                timeout: s.duration("iac.timeout"),
                approval_timeout: s.duration("iac.approval_timeout"),
                retention: s.duration("iac.retention"),
                plugin_cache: s.flag("iac.plugin_cache"),
                confine: match s.text("iac.confine") {
                    Some("always") => Confine::Always,
                    Some("never") => Confine::Never,
                    _ => Confine::Auto,
                },
                registry_host: s.text("iac.registry_host").map(str::to_owned),
                mirror: s.text("iac.mirror").map(str::to_owned),
            },
            deployments: Deployments::read(s),
            provisioning: Provisioning::read(s, &root, found),
            worker: Worker::read(s, &root, found),
            forges: Forges::read(s, &root, found),
            control_plane: ControlPlane::read(s),
            archive: ArchiveSettings::read(s),
            logging: Logging {
                level: match s.text("logging.level") {
                    Some("error") => LogLevel::Error,
                    Some("warn") => LogLevel::Warn,
                    Some("debug") => LogLevel::Debug,
                    Some("trace") => LogLevel::Trace,
                    _ => LogLevel::Info,
                },
                format: match s.text("logging.format") {
                    Some("json") => LogFormat::Json,
                    _ => LogFormat::Text,
                },
                output: match s.text("logging.output") {
                    None | Some("stderr") => LogOutput::Stderr,
                    Some("stdout") => LogOutput::Stdout,
                    Some(_) => LogOutput::File(s.path("logging.output", &root).unwrap_or_else(|| log_dir.clone())),
                },
            },
            git: GitSettings::read(s, &root),
            blocked_networks: s.texts("security.blocked_networks"),
            encryption: EncryptionKeys::read(s, &root),
            auth,
            processes,
            history,
            sources: Arc::new(Sources { file: file.clone().or_else(|| sources.file.clone()), ..sources.clone() }),
            root,
            file,
            data_dir,
            log_dir,
            settings,
        }
    }

    /// Where declarations lie, and what holds where they say nothing. `system_zone` is the zone of the host.
    pub fn layout(&self, system_zone: TimeZone) -> Layout {
        let defaults = Defaults {
            time_zone: self.scheduler.time_zone.clone().unwrap_or(system_zone),
            timeout: self.iac.timeout,
            approval_timeout: self.iac.approval_timeout,
            catch_up: self.scheduler.catch_up,
            tool: self.iac.tool,
            version: self.iac.version.clone(),
            ..Defaults::default()
        };
        let configuration = self.file.clone().map(|file| Configuration {
            file,
            sources: Arc::clone(&self.sources),
            in_force: Arc::new(self.settings.clone()),
        });
        Layout {
            defaults,
            programs: self.processes.programs.clone(),
            configuration,
            processes: self.processes.defaults.clone(),
            ..Layout::new(&self.root, &self.data_dir)
        }
    }

    /// Keys that say something else than what is in force, and take effect with the next start only.
    pub(crate) fn waits_for_restart(&self, in_force: &Settings) -> Vec<&'static str> {
        self.settings.changed_for_next_start(in_force)
    }

    /// What forbids serving: an API that others can reach without authentication.
    pub fn exposure(&self) -> Option<Diagnostic> {
        if self.server.listen.is_loopback() || self.auth.enabled || self.server.insecure {
            return None;
        }
        let message = format!("`{}` can be reached from other hosts, but nobody has to log in", self.server.listen);
        let hint = "listen on 127.0.0.1, set `auth.enabled = true`, or accept it with `server.insecure = true`";
        Some(self.fault("server.listen", "insecure_listen", message).hint(hint))
    }

    /// Something that is wrong with the value of a key, said where the key stands.
    pub fn fault(&self, key: &str, code: &'static str, message: impl Into<String>) -> Diagnostic {
        let mut found = self.settings.error(key, &message.into());
        found.code = code;
        found.relative_to(&self.root)
    }

    /// The checked value of any key, for parts of Piton that read their own sections.
    pub fn value(&self, key: &str) -> Option<&serde_json::Value> {
        self.settings.json(key)
    }

    /// Every key that has a value, with its origin; secrets are masked.
    pub fn explain(&self) -> Vec<Explained> {
        self.settings.explain()
    }

    /// A JSON schema of the configuration file.
    pub fn schema() -> String {
        render::schema()
    }

    /// An example file in which every key stands as a comment, with its default.
    pub fn init() -> String {
        render::example()
    }

    /// The tables of the reference page, in Markdown.
    pub fn reference() -> String {
        render::reference()
    }
}

/// Escaped in a part of a URL: all but what is always allowed there.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const LOCAL: Listen = Listen { address: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)), port: 8080 };

/// The file in which a key stands, or what stands for one.
fn settings_file(settings: &Settings, key: &str) -> PathBuf {
    match settings.origin(key) {
        Some(Origin::File { path, .. }) => path.clone(),
        _ => PathBuf::from("environment"),
    }
}

/// The URL of the database: as it is given, or made from its parts, or a file in the data directory.
fn store_url(settings: &Settings, root: &Path, data_dir: &Path, found: &mut Vec<Diagnostic>) -> String {
    const PARTS: [&str; 6] =
        ["database.host", "database.port", "database.user", "database.password", "database.dbname", "database.sslmode"];
    let given: Vec<&str> = PARTS.into_iter().filter(|part| settings.is_given(part)).collect();
    if let Some(url) = settings.text("store.url") {
        if let Some(part) = given.first() {
            let file = settings_file(settings, part);
            found.push(settings::has_no_effect(&file, part, "`store.url` says which database is used"));
        }
        return absolute_sqlite(settings, url, root);
    }
    if given.is_empty() {
        return format!("sqlite:{}", data_dir.join("piton.db").display());
    }
    let text = |part: &str, default: &str| settings.text(part).unwrap_or(default).to_owned();
    let user = percent_encode(&text("database.user", "postgres"));
    let password = settings.text("database.password").map(|password| format!(":{}", percent_encode(password)));
    let host = text("database.host", "localhost");
    // The path of a directory with the server's socket is a host too, but not one that a URL can hold as it is.
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { percent_encode(&host) };
    let port = settings.integer("database.port").unwrap_or(5432);
    // Whose form this is. Who names no more than a host and a password wants the database that is there.
    let name = percent_encode(&text("database.dbname", "oneclick"));
    let sslmode = text("database.sslmode", "prefer");
    format!("postgres://{user}{}@{host}:{port}/{name}?sslmode={sslmode}", password.unwrap_or_default())
}

/// `sqlite:piton.db` is relative to the file that says so, like every path.
fn absolute_sqlite(settings: &Settings, url: &str, root: &Path) -> String {
    let Some(path) = url.strip_prefix("sqlite:") else { return url.to_owned() };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(['/', ':']) {
        return format!("sqlite:{path}");
    }
    let base = match settings.origin("store.url") {
        Some(Origin::File { path, .. }) => path.parent().unwrap_or(root),
        _ => root,
    };
    format!("sqlite:{}", root.join(base).join(path).display())
}

/// Escapes whatever is not always allowed in a part of a URL.
fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}
