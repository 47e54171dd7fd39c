//! The daemon.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use piton_engine::Shutdown;
use piton_keeper::footprint::{self, Burst, Ebb};
use piton_spec::{LogOutput, Severity};
use piton_supervisor::Supervisor;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::activation::Activation;
use crate::args::{Global, ServeArgs, WorkerArgs};
use crate::error::{CommandError, Exit};
use crate::inlet::Taking;
use crate::keeping::History;
use crate::listeners::Listeners;
use crate::logging::LogFile;
use crate::pause::pause;
use crate::place::Place;
use crate::scaffolding::{self, Reports};
use crate::waiting::{self, Waited};
use crate::wiring::{self, DataLock, LockRefused, Opened};
use crate::{identity, keeping, logging, session};

/// How long `--daemonize` waits for the daemon to answer.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long the end waits for a control plane that does not hear.
const LAST_REPORTS: Duration = Duration::from_secs(10);

/// How often it is looked whether the data directory is still there.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// At which look what the start needed is given back.
const SETTLED: u64 = 2;

/// What there is beside the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The API.
    Server,
    /// The API and the message queue.
    Both,
    /// The message queue, and nothing but health and metrics.
    Worker,
}

/// Takes jobs from the message queue until it is told to end.
pub async fn work(global: &Global, options: &WorkerArgs) -> Result<(), CommandError> {
    let flags = [("server.listen", options.health_listen.clone())];
    let mut place = Place::resolve_with(global, &flags)?;
    // They are for whoever watches workers, over an address that is for nothing else.
    place.config.server.tls = None;
    place.config.server.pidfile = None;
    crate::inlet::address(&place)?;
    Box::pin(start(global, place, Activation::default(), Role::Worker)).await
}

/// Runs the daemon until it is told to end.
pub async fn serve(global: &Global, options: &ServeArgs) -> Result<(), CommandError> {
    if options.detached {
        // Fails only for who leads a group of processes already, and nobody has given this one a group.
        let _ = rustix::process::setsid();
    }
    let mut place = resolve(global, options)?;
    let activation = Activation::take()?;
    if let Some(listen) = activation.listen()? {
        place.config.server.listen = listen;
    }
    if let Some(exposure) = place.config.exposure() {
        return Err(CommandError::new(Exit::BadConfig, exposure.to_string()));
    }
    identity::check(&mut place)?;
    if options.daemonize {
        return daemonize(&place).await;
    }
    if options.detached && !matches!(place.config.logging.output, LogOutput::File(_)) {
        // Its outputs are this file already, but not one that is begun anew when it has been moved.
        place.config.logging.output = LogOutput::File(log_in_the_background(&place));
    }
    let role = if options.worker { Role::Both } else { Role::Server };
    if options.worker {
        crate::inlet::address(&place)?;
    }
    Box::pin(start(global, place, activation, role)).await
}

async fn start(global: &Global, place: Place, activation: Activation, role: Role) -> Result<(), CommandError> {
    let started = tokio::time::Instant::now();
    let lock = lock(&place).await?;
    let log = logging::start(&place.config.logging, global.quiet, global.verbose)
        .map_err(|error| CommandError::new(Exit::BadConfig, logging::fault(&place.config, &error).to_string()))?;
    for warning in &place.warnings {
        tracing::warn!("{warning}");
    }
    let mut signals = Signals::new(log)?;
    let listeners = Listeners::bind(&place, activation).await?;
    // The address of the database is a secret.
    piton_process::confinement::hide_this_process();
    if waiting::for_database(&place, &listeners, signals.end()).await? == Waited::Ended {
        tracing::info!("piton has ended, before there was a database");
        return Ok(());
    }
    let opened = wiring::open(&place, lock, listeners.address()).await?;
    if role != Role::Worker {
        identity::first_admin(&place, &opened.app.auth).await?;
    }
    scaffolding::sweep(&place);
    opened.engine.start().await?;
    let _pidfile = place.config.server.pidfile.as_deref().map(PidFile::write).transpose()?;
    run(&place, opened, listeners, role, &mut signals, started.elapsed()).await
}

/// The configuration, with the options of the command line.
fn resolve(global: &Global, options: &ServeArgs) -> Result<Place, CommandError> {
    let logfile = options.logfile.as_ref().map(std::path::absolute).transpose();
    let logfile = logfile.map_err(|error| CommandError::new(Exit::UsageOs, format!("--logfile: {error}")))?;
    let mut flags = vec![];
    flags.extend(options.listen.iter().map(|listen| ("server.listen", listen.clone())));
    flags.extend(logfile.map(|file| ("server.logfile", file.display().to_string())));
    let mut place = Place::resolve_with(global, &flags)?;
    let listen = place.config.server.listen;
    // Their samples listen everywhere and ask nobody who they are. What they document goes on working on this host.
    if options.narrow && options.listen.is_none() && listen.address.is_none() && place.config.exposure().is_some() {
        let narrowed = format!("127.0.0.1:{}", listen.port);
        let hint = "set `auth.enabled = true`, or accept it with `server.insecure = true`";
        let message = format!("nobody has to log in, so only this host is listened to, at {narrowed}");
        let mut warning = place.config.fault("server.listen", "insecure_listen", message).hint(hint);
        warning.severity = Severity::Warning;
        flags.push(("server.listen", narrowed));
        place = Place::resolve_with(global, &flags)?;
        place.warnings.push(warning);
    }
    Ok(place)
}

/// Takes the data directory; a process that was just killed may still hold it for a moment.
async fn lock(place: &Place) -> Result<DataLock, CommandError> {
    let mut tries = 10;
    loop {
        match DataLock::take(&place.data_dir, "piton serve") {
            Err(LockRefused::Held { .. }) if tries > 0 => tries -= 1,
            taken => return Ok(taken?),
        }
        pause(Duration::from_millis(50)).await;
    }
}

async fn run(
    place: &Place,
    opened: Opened,
    listeners: Listeners,
    role: Role,
    signals: &mut Signals,
    took: Duration,
) -> Result<(), CommandError> {
    let Opened { app, engine, loader, router, runner, admission, shutdown, upkeep, lock, warnings: _ } = opened;
    let over = CancellationToken::new();
    let loading = tokio::spawn(loader.run(over.clone()));
    let history = place.config.history.enabled.then(|| {
        let history = History {
            store: engine.store().clone(),
            node: engine.worker().to_string(),
            clock: engine.clock().clone(),
            retention: place.config.history.retention,
        };
        tokio::spawn(keeping::write_history(app.supervisor.clone(), history, over.clone()))
    });
    // Before anybody is told that this is ready; those who ask find every process that is declared.
    if let Err(error) = app.applier.apply().await {
        tracing::error!(%error, "the declared processes are not kept running");
    }
    let applying = tokio::spawn(app.applier.clone().run(over.clone()));
    let keeping_up = tokio::spawn(upkeep.run(engine.clone(), over.clone()));
    let address = listeners.address().map(|address| address.to_string()).unwrap_or_default();
    let reports = Reports::begin(place, &engine).await?;
    let mut taking = match role {
        Role::Server => None,
        Role::Both | Role::Worker => {
            Some(Taking::begin(place, &engine, &app.front.metrics, engine.worker().as_str()).await?)
        }
    };
    let outward = match (&taking, role) {
        (Some(taking), Role::Worker) => listeners.serve_health(place, &app, taking.status()),
        _ => listeners.serve(place, &app, &router),
    };
    let (socket, closing, front) = (place.socket(), over.clone(), app.front.clone());
    let mut serving =
        tokio::spawn(async move { piton_server::serve_unix(&front, &socket, admission, router, closing).await });

    let loaded = engine.loaded();
    tracing::info!(
        directory = %place.root.display(),
        data = %place.data_dir.display(),
        %address,
        workspaces = loaded.catalog.workspaces.len(),
        jobs = loaded.catalog.jobs.len(),
        processes = loaded.catalog.processes.len(),
        took_ms = took.as_millis(),
        "piton {} is serving",
        env!("CARGO_PKG_VERSION"),
    );
    drop(loaded);
    if let Some(listen) = app.about.listen {
        // What those wait for who come from the runner that this one replaces.
        tracing::info!("Runner HTTP server starting on {listen}");
    }
    notify(&[NotifyState::Ready]);

    let mut looking = tokio::time::interval(LOOK_AFTER);
    let mut looks = 0_u64;
    let (mut burst, mut happened) = (Burst::default(), 0);
    let mut ebb = Ebb::default();
    let mut failure = None;
    let how = loop {
        tokio::select! {
            () = shutdown.cancelled() => break Shutdown::Drain,
            () = took_all(taking.as_mut()) => {
                taking = None;
                if role == Role::Worker {
                    break Shutdown::Drain;
                }
            }
            at = looking.tick() => {
                looks += 1;
                // A thousand processes may still be starting when the daemon itself is through.
                let before = std::mem::replace(&mut happened, app.supervisor.happened());
                burst.note(happened.saturating_sub(before), at.into_std());
                let is_over = burst.is_over(at.into_std());
                if looks == SETTLED || is_over {
                    footprint::give_back();
                }
                // A load of many declarations, or a great answer.
                ebb.give_back();
                if !lock.is_in_place() {
                    let message = format!("the data directory {} is gone", place.data_dir.display());
                    tracing::error!("{message}");
                    failure = Some(CommandError::new(Exit::Failed, message)
                        .hint("put it back and start piton again; an empty one knows nothing of what is deployed"));
                    break Shutdown::Detach;
                }
            },
            what = signals.next() => match what {
                // What it has taken nobody else knows of, and it may never be started again.
                Asked::End if role == Role::Worker => break Shutdown::Drain,
                Asked::End => break Shutdown::Detach,
                Asked::Reload => app.reload.soon(),
            },
            ended = &mut serving => {
                let error = ended.map_or_else(|panic| panic.to_string(), |ended| format!("{ended:?}"));
                tracing::error!(%error, "the socket is gone");
                break Shutdown::Detach;
            }
        }
    };
    notify(&[NotifyState::Stopping]);
    if let Some(taking) = &mut taking {
        taking.end().await;
    }
    if role == Role::Worker && how == Shutdown::Drain {
        finish(&engine, signals).await;
    }
    // Whoever sends requests here shall learn that it is over before nobody answers any more.
    app.front.ending.cancel();
    if let Some(delay) = place.config.server.shutdown_delay {
        tokio::time::timeout(delay, signals.end()).await.ok();
    }
    if how == Shutdown::Drain && end(&engine, how, signals).await {
        stop_processes(&app.supervisor, signals).await;
    }
    app.templates.stop_fetching();
    app.front.closing.cancel();
    outward.close().await;
    if how == Shutdown::Detach {
        end(&engine, how, signals).await;
    }
    // What ended up to here is still told; the rest after the next start.
    if let Some(taking) = taking {
        taking.leave().await;
    }
    if let Some(reports) = reports {
        reports.finish(LAST_REPORTS).await;
    }
    over.cancel();
    let _ = loading.await;
    let _ = applying.await;
    if let Some(history) = history {
        let _ = history.await;
    }
    // What it was at is done again at the next start.
    keeping_up.abort();
    if !serving.is_finished() {
        let _ = serving.await;
    }
    app.supervisor.leave();
    // A keeper that holds nothing has nothing to stay for; one that does refuses.
    if let Err(error) = runner.stop_if_idle().await {
        tracing::debug!(%error, "the keeper stays");
    }
    let (store, accounts) = (engine.store().clone(), app.auth.store().clone());
    drop((app, engine));
    accounts.close().await;
    store.close().await;
    tracing::info!("piton has ended");
    drop(lock);
    failure.map_or(Ok(()), Err)
}

/// Waits for the end of the batch; for ever where there is none.
async fn took_all(taking: Option<&mut Taking>) {
    match taking {
        Some(taking) => taking.ended().await,
        None => std::future::pending().await,
    }
}

/// Does what was taken from the queue. A signal cuts it short: it is kept, and done after the next start.
async fn finish(engine: &piton_engine::Engine, signals: &mut Signals) {
    tokio::select! {
        done = engine.finish_work() => {
            if let Err(error) = done {
                tracing::error!(%error, "not all that was taken from the queue is done");
            }
        }
        () = signals.end() => tracing::info!("the rest is done after the next start"),
    }
}

/// Detaches, but for calls that have begun, or drains until nothing runs; a signal while draining detaches, and while calls
/// come to their end it ends the waiting. Whether it drained to the end.
async fn end(engine: &piton_engine::Engine, how: Shutdown, signals: &mut Signals) -> bool {
    let running = engine.driving();
    match how {
        Shutdown::Detach if running > 0 => {
            tracing::info!(
                running,
                "ending; calls come to their end, other runs go on without the daemon, and the next one takes them back"
            );
        }
        Shutdown::Detach => tracing::info!("ending"),
        Shutdown::Drain => tracing::info!(running, "draining: waiting for runs to end"),
    }
    if how == Shutdown::Drain {
        let drained = tokio::select! {
            () = engine.shutdown(Shutdown::Drain) => true,
            () = signals.end() => false,
        };
        if drained {
            return true;
        }
        tracing::info!(running = engine.driving(), "draining was cut short; runs go on without the daemon");
    }
    tokio::select! {
        () = engine.shutdown(Shutdown::Detach) => {}
        () = signals.end() => {
            engine.end_calls();
            engine.shutdown(Shutdown::Detach).await;
        }
    }
    false
}

/// Stops what is kept running, the keeper's last children. A signal cuts it short, and the rest goes on.
async fn stop_processes(supervisor: &Supervisor, signals: &mut Signals) {
    tracing::info!("stopping processes");
    let stopped = tokio::select! {
        stopped = supervisor.stop_all() => stopped,
        () = signals.end() => {
            tracing::info!("stopping processes was cut short; they go on without the daemon");
            return;
        }
    };
    if let Err(error) = stopped {
        tracing::error!(%error, "not every process could be stopped");
    }
}

/// A file with the id of this process, for as long as it serves.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> Result<PidFile, CommandError> {
        let partial = path.with_extension("new");
        std::fs::write(&partial, format!("{}\n", std::process::id()))
            .and_then(|()| std::fs::rename(&partial, path))
            .map_err(|error| CommandError::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

enum Asked {
    End,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// It may have been moved when somebody hangs up.
    log: Option<Arc<LogFile>>,
}

impl Signals {
    fn new(log: Option<Arc<LogFile>>) -> Result<Signals, CommandError> {
        let listen = |kind| {
            signal(kind).map_err(|error| CommandError::new(Exit::Failed, format!("cannot listen for signals: {error}")))
        };
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            log,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hangup.recv() => {
                if let Some(log) = &self.log {
                    log.look_again();
                }
                Asked::Reload
            }
        }
    }

    async fn end(&mut self) {
        while let Asked::Reload = self.next().await {}
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "no service manager was told");
    }
}

/// Where a daemon in the background logs to that would otherwise log to a terminal.
fn log_in_the_background(place: &Place) -> PathBuf {
    place.config.server.logfile.clone().unwrap_or_else(|| place.config.log_dir.join("piton.log"))
}

/// Starts the daemon in the background and waits until it answers.
async fn daemonize(place: &Place) -> Result<(), CommandError> {
    if session::answers(place).await {
        return Err(CommandError::new(Exit::Running, "piton is already serving this directory"));
    }
    let failed = |error: io::Error| CommandError::new(Exit::Failed, format!("cannot start the daemon: {error}"));
    let exe = std::env::current_exe().map_err(failed)?;
    let log = log_in_the_background(place);
    if let Some(directory) = log.parent() {
        crate::place::create_private_dir(directory).map_err(failed)?;
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&log).map_err(failed)?;
    let mut arguments: Vec<OsString> = std::env::args_os().filter(|argument| argument != "--daemonize").collect();
    // By the name of another program it is called in that program's manner.
    let called = if arguments.is_empty() { OsString::from("piton") } else { arguments.remove(0) };
    #[expect(clippy::disallowed_methods, reason = "the daemon is nobody's child")]
    let mut command = std::process::Command::new(exe);
    command
        .arg0(called)
        .args(arguments)
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(failed)?)
        .stderr(file);
    let mut child = command.spawn().map_err(failed)?;
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        if session::answers(place).await {
            return crate::output::line(&format!("piton serves {} as process {}", place.root.display(), child.id()));
        }
        if let Ok(Some(status)) = child.try_wait() {
            let message = format!("the daemon ended at once ({status}); see {}", log.display());
            let exit = status.code().and_then(Exit::of_code).unwrap_or(Exit::Failed);
            return Err(CommandError::new(exit, message));
        }
        if tokio::time::Instant::now() >= deadline {
            let message = format!("the daemon does not answer yet; see {}", log.display());
            return Err(CommandError::new(Exit::TimedOut, message));
        }
        pause(Duration::from_millis(20)).await;
    }
}

/// The keeper: called before there is any thread or runtime.
pub fn keeper(dir: &Path) -> ExitCode {
    match piton_keeper::run(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever starts a keeper reads its last words.
            use io::Write;
            let _ = writeln!(io::stderr(), "piton keeper: {error}");
            match error {
                piton_keeper::Error::Held { .. } => ExitCode::from(piton_keeper::EX_TEMPFAIL),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
