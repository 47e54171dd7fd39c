//! The only place where the parts are put together.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::tz::TimeZone;
use piton_api::ServedBy;
use piton_engine::{Clock, Engine, Heartbeat, Loader};
use piton_exec::archive::{Archive, ArchiveError, ArchivePlace};
use piton_exec::request::Rules;
use piton_exec::{Confine, Exec, Git, Templates};
use piton_jobs::Tasks;
use piton_keeper::client::Client;
use piton_logs::LogStore;
use piton_model::WorkerId;
use piton_process::{Environment, Runner};
use piton_server::{About, Admission, App, Applier, Auth, Front, Parts, Probes, ScheduleRules};
use piton_spec::Diagnostic;
use piton_store::{Options, Store};
use piton_supervisor::{Declared, Supervisor};
use piton_tools::Manager;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::access;
use crate::admission::admission;
use crate::error::{CommandError, Exit};
use crate::executor::Real;
use crate::identity;
use crate::keeping::StoredWishes;
use crate::place::{Place, create_private_dir, environment};
use crate::provisioning::{self, Provisioning};
use crate::scaffolding::Scaffolding;
use crate::upkeep::Upkeep;

/// How often it is looked whether logs of processes were rotated.
const KEEP_LOGS: Duration = Duration::from_secs(60);

/// What children may know of the daemon's environment besides the usual: the credentials that providers of OpenTofu and
/// Terraform look for, and what is meant for the tools themselves.
const PASSED_ON: [&str; 34] = [
    "ALICLOUD_*",
    "ARM_*",
    "AWS_*",
    "AZURE_*",
    "CLOUDFLARE_*",
    "CLOUDSDK_*",
    "CONSUL_*",
    "DATADOG_*",
    "DD_*",
    "DIGITALOCEAN_*",
    "DOCKER_*",
    "FASTLY_*",
    "GITHUB_*",
    "GOOGLE_*",
    "GRAFANA_*",
    "HCLOUD_*",
    "HEROKU_*",
    "IBMCLOUD_*",
    "KUBE_*",
    "KUBECONFIG",
    "LINODE_*",
    "NOMAD_*",
    "OCI_*",
    "OS_*",
    "OVH_*",
    "PROXMOX_*",
    "SCW_*",
    "SPACES_*",
    "SSH_AUTH_SOCK",
    "TF_ENCRYPTION",
    "TF_TOKEN_*",
    "TF_VAR_*",
    "VAULT_*",
    "VULTR_*",
];

/// Everything of one data directory, opened exclusively.
pub struct Opened {
    pub app: App,
    pub engine: Engine,
    pub loader: Loader,
    pub router: Router,
    pub runner: Runner,
    pub admission: Admission,
    pub shutdown: CancellationToken,
    pub upkeep: Upkeep,
    /// What whoever opened it should hear; the log has it, where there is one.
    pub warnings: Vec<Diagnostic>,
    /// Held as long as this lives.
    pub lock: DataLock,
}

/// How much is executed at once.
pub struct Concurrency {
    pub runs: usize,
    pub deployments: usize,
}

impl Concurrency {
    /// As it is configured, or else as the host has it.
    pub fn of(config: &piton_spec::Config) -> Concurrency {
        let usual = piton_engine::Config::new(WorkerId::new(""));
        let number = |limit: std::num::NonZeroU32| usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let configured = config.scheduler.max_concurrent_runs.map(number);
        let half = configured.map_or(usual.max_concurrent_deployments, |runs| runs.div_ceil(2));
        Concurrency {
            runs: configured.unwrap_or(usual.max_concurrent_runs),
            deployments: config.deployments.max_concurrent.map_or(half, number),
        }
    }
}

/// The lock of a data directory. It ends with the process, whatever happens to it.
#[derive(Debug)]
pub struct DataLock {
    path: PathBuf,
    file: File,
    is_new: bool,
}

impl DataLock {
    /// Takes the lock, or tells who holds it.
    pub fn take(data_dir: &Path, what: &str) -> Result<DataLock, LockRefused> {
        let io = |source| LockRefused::Io { path: data_dir.to_owned(), source };
        create_private_dir(data_dir).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => io(std::io::ErrorKind::NotADirectory.into()),
            _ => io(error),
        })?;
        let path = data_dir.join("lock");
        let open = |is_new: bool| {
            let mut options = OpenOptions::new();
            options.create(true).create_new(is_new).truncate(false).read(true).write(true).mode(0o600).open(&path)
        };
        let (mut file, is_new) = match open(true) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => (open(false).map_err(io)?, false),
            made => (made.map_err(io)?, true),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(LockRefused::Held { holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{what}, process {}", std::process::id()).map_err(io)?;
        let lock = DataLock { path, file, is_new };
        // Whoever had it before may have removed the directory, which was made for nothing but a look.
        if !lock.is_in_place() {
            return Err(LockRefused::Held { holder: "a command that has just ended".to_owned() });
        }
        Ok(lock)
    }

    /// Whether nobody has locked the directory before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether the directory that was locked is still where it was. If it is not, somebody else can lock what is there
    /// now, and would know nothing of what this process does.
    pub fn is_in_place(&self) -> bool {
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        match (std::fs::metadata(&self.path).map(identity), self.file.metadata().map(identity)) {
            (Ok(found), Ok(locked)) => found == locked,
            (Err(error), _) => error.kind() != std::io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => true,
        }
    }
}

/// Why a data directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockRefused {
    #[error("the data directory is in use by {holder}")]
    Held { holder: String },
    #[error("cannot use {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl From<LockRefused> for CommandError {
    fn from(refused: LockRefused) -> CommandError {
        match &refused {
            LockRefused::Held { .. } => CommandError::new(Exit::Running, refused.to_string())
                .hint("stop it with `piton shutdown`, or use another directory with --dir"),
            LockRefused::Io { .. } => CommandError::new(Exit::Failed, refused.to_string()),
        }
    }
}

/// Opens the data directory of `place`, whose lock is held, and puts the parts together. No loop runs yet. A daemon
/// names the address that it listens on.
pub async fn open(place: &Place, lock: DataLock, listens_on: Option<SocketAddr>) -> Result<Opened, CommandError> {
    // From here on it knows secrets.
    piton_process::confinement::hide_this_process();
    let config = &place.config;
    let data_dir = &place.data_dir;
    let clock = Clock::system();
    let worker = worker_id(data_dir)?;
    let vault = access::vault(config, data_dir)?;
    let options = Options { node: worker.to_string(), vault: vault.clone(), ..Options::default() };
    let store = Store::open(config.store_url.expose(), options).await.map_err(store_error)?;
    let logs = LogStore::new(data_dir.join("runs"));
    let runner = Runner::new(data_dir.clone(), keeper_argv(data_dir)?, logs.clone());
    let tools = Arc::new(Manager::new(tools_config(place)?));
    let inherited = Environment::inherit(environment(), &PASSED_ON);
    let guard = access::guard(config)?;
    let git = git(place)?;
    let templates = Templates::new(data_dir.join("templates"), git.clone());
    let settings = piton_exec::Config {
        plugin_cache: config.iac.plugin_cache,
        registry: access::registry(config)?,
        guard,
        whole_environment: Environment::inherit(environment(), &["*"]),
        work_dir: place.root.clone(),
        confine: access::confine(place)?,
        vault,
        ..piton_exec::Config::new(data_dir.clone(), inherited)
    };
    let admission = match &settings.confine {
        Confine::Hide { .. } => admission(runner.clone(), data_dir.clone()),
        // Whoever may read all there is needs no socket.
        Confine::Never | Confine::Unavailable | Confine::Impossible => Admission::default(),
    };
    let exec = Exec::new(settings, runner.clone(), logs.clone(), tools.clone(), templates.clone());
    exec.seal_what_lies_open().await;
    let warnings = import_legacy(place, &store, &clock).await?;

    let layout = config.layout(TimeZone::system());
    let loader = Loader::new(layout.clone(), clock.clone(), Duration::from_secs(60));
    let mut settings = piton_engine::Config::new(worker.clone());
    let concurrency = Concurrency::of(config);
    settings.max_concurrent_runs = concurrency.runs;
    settings.max_concurrent_deployments = concurrency.deployments;
    settings.max_concurrent_scaffolds = config.worker.concurrency;
    settings.lease = config.scheduler.lease;
    settings.keep_secrets = config.iac.retention;
    settings.max_queued_deployments = config.deployments.max_queued;
    settings.max_queued_deployments_each = config.deployments.max_queued_each;
    settings.self_approval = config.deployments.self_approval;
    settings.provisions = provisioning::rules(&config.provisioning);
    settings.call_grace = config.server.drain_timeout;
    settings.boot_id = piton_keeper::BootId::current().map(|id| id.as_str().to_owned());
    settings.heartbeat = watchdog();
    let (tell_ended, ended) = mpsc::unbounded_channel();
    let upkeep = Upkeep {
        exec: exec.clone(),
        logs: logs.clone(),
        archive: archive(config).map_err(|error| CommandError::new(Exit::BadConfig, format!("archive: {error}")))?,
        retention: config.iac.retention,
        data_dir: data_dir.clone(),
        ended,
    };
    let provisioning = Provisioning::new(config, access::guard(config)?, &clock)?;
    let scaffolding = Scaffolding::new(place, &access::guard(config)?, git, &clock, logs.clone(), worker.as_str())?;
    let executor = Arc::new(Real {
        tasks: Tasks { exec, runner: runner.clone(), logs: logs.clone() },
        provisioning,
        scaffolding,
        tell_ended,
    });
    let accounts = match &config.auth.store_url {
        Some(url) if url != &config.store_url => {
            Store::open(url.expose(), Options::default()).await.map_err(store_error)?
        }
        _ => store.clone(),
    };
    let auth = Auth::new(accounts, clock.clone(), identity::settings(place));
    if listens_on.is_some() {
        renew_keeper(data_dir).await;
    }
    let supervisor = supervisor(place, &store, worker.as_str(), &loader, listens_on.is_some()).await?;
    let applier = Applier::new(supervisor.clone(), loader.subscribe());
    let engine = Engine::new(settings, store, clock.clone(), executor, loader.subscribe());
    let shutdown = CancellationToken::new();
    let app = App::new(Parts {
        engine: engine.clone(),
        auth,
        logs,
        templates,
        tools,
        reload: loader.reload(),
        supervisor,
        applier,
        rules: Arc::new(Rules { guard: access::guard(config)?, allow_http: config.git.allow_http }),
        schedules: Arc::new(ScheduleRules {
            allow_past: config.provisioning.allow_past,
            approval_required: config.provisioning.approval_required.clone(),
        }),
        shutdown: shutdown.clone(),
        front: Front::new(&config.server, config.auth.enabled, config.metrics.public),
        probes: keeper_probe(runner.clone()),
        about: Arc::new(About {
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("PITON_COMMIT"),
            served_by: if listens_on.is_some() { ServedBy::Daemon } else { ServedBy::Local },
            listen: listens_on,
            started_at: clock.now(),
            directory: place.root.clone(),
            layout,
            data_directory: data_dir.clone(),
            store: engine.store().dialect().as_str(),
            measures: config.processes.metrics.enabled,
            history: config.history.enabled,
        }),
    });
    let router = piton_server::router(&app, piton_server::BASE);
    Ok(Opened { app, engine, loader, router, runner, admission, shutdown, upkeep, warnings, lock })
}

/// What fetches from git with the access of whoever runs this.
pub fn git(place: &Place) -> Result<Git, CommandError> {
    let inherited = Environment::inherit(environment(), &PASSED_ON);
    let known_hosts = place.config.git.known_hosts.clone();
    Ok(Git::new(inherited).guarded(access::guard(&place.config)?).knowing_hosts_of(known_hosts))
}

/// A keeper of an earlier version goes on as this one, with the children it holds.
async fn renew_keeper(data_dir: &Path) {
    // Where none answers, a new one is started when it is needed.
    let Ok(keeper) = Client::connect(data_dir).await else { return };
    let renewed = match std::env::current_exe() {
        Ok(exe) => keeper.ensure_current(data_dir, &exe).await.map(drop).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = renewed {
        tracing::warn!(%error, "the keeper of an earlier version stays, which cannot do all that this one can");
    }
}

/// Takes back the processes that the keeper holds. A command only looks at them.
async fn supervisor(
    place: &Place,
    store: &Store,
    node: &str,
    loader: &Loader,
    serves: bool,
) -> Result<Supervisor, CommandError> {
    let (processes, data_dir) = (&place.config.processes, &place.data_dir);
    let settings = piton_supervisor::Settings {
        keeper_dir: data_dir.clone(),
        keeper_argv: keeper_argv(data_dir)?,
        work_dir: place.root.clone(),
        log_dir: place.config.log_dir.clone(),
        pid_dir: processes.pid_dir.clone().unwrap_or_else(|| data_dir.join("pids")),
        environment: environment(),
        measure_every: processes.metrics.enabled.then_some(processes.metrics.interval),
        measurements: processes.metrics.history,
        keep_logs_every: Some(KEEP_LOGS),
    };
    let memory = Arc::new(StoredWishes::new(store.clone(), node.to_owned()));
    let supervisor = if serves {
        Supervisor::open(settings, memory).await
    } else {
        let loaded = loader.subscribe().borrow().clone();
        let (processes, groups) = (loaded.catalog.supervised(), loaded.catalog.groups.clone());
        Supervisor::look(settings, memory, &Declared { processes, groups }).await
    };
    supervisor.map_err(|error| CommandError::new(Exit::Failed, format!("cannot keep processes running: {error}")))
}

/// The service manager restarts a daemon of which it hears nothing: it hears of it twice in the time that it waits.
fn watchdog() -> Option<Heartbeat> {
    let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())?;
    Some(Heartbeat::new(patience / 2, || {
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
            tracing::debug!(%error, "the watchdog could not be told");
        }
    }))
}

/// A keeper that was not needed yet does not run, and holds nothing.
fn keeper_probe(runner: Runner) -> Probes {
    Probes::new(move || {
        let runner = runner.clone();
        Box::pin(async move { runner.held().await.ok().map(|held| held.len()) })
    })
}

fn archive(config: &piton_spec::Config) -> Result<Option<Archive>, ArchiveError> {
    let Some(settings) = config.archive.clone() else { return Ok(None) };
    let piton_spec::ArchiveSettings { url, endpoint, region, account, key } = settings;
    Archive::open(&ArchivePlace { url, endpoint, region, account, key }).map(Some)
}

fn keeper_argv(data_dir: &Path) -> Result<Vec<OsString>, CommandError> {
    let exe = std::env::current_exe()
        .map_err(|error| CommandError::new(Exit::Failed, format!("cannot tell the path of this program: {error}")))?;
    Ok(vec![exe.into(), "keeper".into(), "--dir".into(), data_dir.into()])
}

/// Stable over restarts, so that a restarted daemon takes its own leases back.
fn worker_id(data_dir: &Path) -> Result<WorkerId, CommandError> {
    let path = data_dir.join("worker-id");
    let failed = |error| CommandError::new(Exit::Failed, format!("cannot use {}: {error}", path.display()));
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(WorkerId::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // The host's name is for people; the rest tells two data directories of one host apart.
    let mut random = [0; 8];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random)).map_err(failed)?;
    let text = format!("{host}-{:016x}", u64::from_ne_bytes(random));
    let partial = data_dir.join("worker-id.new");
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&partial, &path)).map_err(failed)?;
    Ok(WorkerId::new(text))
}

/// How tools are chosen and where they come from.
pub fn tools_config(place: &Place) -> Result<piton_tools::Config, CommandError> {
    let mut config = piton_tools::Config::new(place.data_dir.join("tools"));
    if let Some(mirror) = &place.config.iac.mirror {
        config.mirror = piton_tools::Mirror::at(mirror, None)
            .map_err(|error| CommandError::new(Exit::BadConfig, format!("iac.mirror: {error}")))?;
    }
    Ok(config)
}

impl From<piton_engine::Error> for CommandError {
    fn from(error: piton_engine::Error) -> CommandError {
        CommandError::new(Exit::Failed, error.to_string())
    }
}

fn store_error(error: piton_store::Error) -> CommandError {
    let exit = match &error {
        piton_store::Error::Corrupt { .. } | piton_store::Error::NewerSchema { .. } => Exit::BadConfig,
        _ => Exit::Failed,
    };
    let hint = error.hint();
    let failed = CommandError::new(exit, error.to_string());
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

/// The state files of a workspace scheduler that was here before are taken over once.
async fn import_legacy(place: &Place, store: &Store, clock: &Clock) -> Result<Vec<Diagnostic>, CommandError> {
    type Parse = fn(&Path, &[u8]) -> piton_spec::legacy::Imported;
    let files: [(&str, Parse); 2] =
        [("scheduler.json", piton_spec::legacy::parse_scheduler), ("jobs.json", piton_spec::legacy::parse_jobs)];
    let mut warnings = Vec::new();
    for (name, parse) in files {
        for directory in [&place.data_dir, &place.root.join("state")] {
            let path = directory.join(name);
            let Ok(text) = std::fs::read(&path) else { continue };
            let (found, diagnostics) = parse(&path, &text);
            if let Some(error) = diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
                return Err(CommandError::new(Exit::BadConfig, error.to_string())
                    .hint("repair the file, or move it away to start without what it says"));
            }
            let is_understood = !found.is_empty() || diagnostics.is_empty();
            for warning in &diagnostics {
                tracing::warn!("{warning}");
            }
            warnings.extend(diagnostics);
            if !is_understood {
                tracing::warn!(file = %path.display(), "nothing of a state file was understood; it stays where it is");
                let told = "nothing in this file was understood, so it stays where it is";
                warnings.push(Diagnostic::warning(path, "not_imported", told));
                continue;
            }
            let count = found.len();
            store.import(found, clock.now()).await.map_err(store_error)?;
            if let Err(error) = std::fs::rename(&path, path.with_extension("json.imported")) {
                tracing::warn!(%error, file = %path.display(), "an imported state file could not be renamed");
            }
            tracing::info!(count, file = %path.display(), "state of a workspace scheduler taken over");
        }
    }
    Ok(warnings)
}
