//! How a command reaches Piton: the daemon of the data directory, or the data directory itself.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use piton_api::{Client, Transport};
use piton_engine::{Engine, Shutdown};
use piton_exec::Templates;
use piton_process::Runner;
use piton_spec::Diagnostic;
use piton_store::Store;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::Global;
use crate::error::{CommandError, Exit};
use crate::pause::pause;
use crate::place::Place;
use crate::wiring::{self, DataLock, LockRefused, Opened};

/// What a command is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It reads only: no run is begun.
    Look,
    /// It may begin runs.
    Act,
}

/// How a command reaches Piton.
pub struct Session {
    client: Client,
    /// How long every answer may take, where somebody said so.
    patience: Option<Duration>,
    local: Option<Local>,
}

struct Local {
    warnings: Vec<Diagnostic>,
    engine: Engine,
    accounts: Store,
    runner: Runner,
    templates: Templates,
    purpose: Purpose,
    /// Made by this for a look, and of no use where that is all that becomes of it.
    for_a_look: Option<PathBuf>,
    /// Something other than a look was asked for.
    changed: Arc<AtomicBool>,
    /// Held as long as this lives.
    _lock: DataLock,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// How long whoever holds the data directory is waited for: it may be starting, ending or busy, or it may be stopped.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long repositories are fetched and code is checked, at most.
const LONG: Duration = Duration::from_secs(15 * 60);
const PAUSE: Duration = Duration::from_millis(50);

impl Session {
    /// A session with a server elsewhere.
    pub fn elsewhere(client: Client, patience: Option<Duration>) -> Session {
        let client = patience.map_or_else(|| client.clone(), |patience| client.with_patience(patience));
        Session { client, patience, local: None }
    }

    /// Reaches the daemon, or else opens the data directory.
    pub async fn open(global: &Global, purpose: Purpose) -> Result<Session, CommandError> {
        let place = Place::resolve(global)?;
        let client = Client::new(Transport::Unix(place.socket()), piton_server::BASE);
        let deadline = Instant::now() + PATIENCE;
        // What an older scheduler has left is taken over at the first look, and has to stay.
        let for_a_look = purpose == Purpose::Look
            && global.config.is_some()
            && !place.data_dir.exists()
            && !place.root.join("state").exists();
        loop {
            if tokio::time::timeout_at(deadline, answers(&place)).await == Ok(true) {
                return Ok(Session { client, patience: None, local: None });
            }
            match DataLock::take(&place.data_dir, "a piton command") {
                Ok(lock) => {
                    let made = for_a_look.then(|| place.data_dir.clone());
                    return Session::open_locally(&place, lock, purpose, made).await;
                }
                Err(LockRefused::Held { .. }) if Instant::now() < deadline => {
                    pause(PAUSE).await;
                }
                Err(LockRefused::Held { holder }) => {
                    let message = format!("the data directory is in use by {holder}, which does not answer");
                    return Err(CommandError::new(Exit::Unreachable, message)
                        .hint("look whether that process is stopped or overloaded"));
                }
                Err(refused) => return Err(refused.into()),
            }
        }
    }

    async fn open_locally(
        place: &Place,
        lock: DataLock,
        purpose: Purpose,
        for_a_look: Option<PathBuf>,
    ) -> Result<Session, CommandError> {
        let Opened { app, engine, loader, router, runner, lock, admission, mut warnings, .. } =
            wiring::open(place, lock, None).await?;
        // Two configuration files are easily taken for one.
        warnings.extend(place.warnings.iter().filter(|warning| warning.code == "ignored_file").cloned());
        let changed = Arc::new(AtomicBool::new(false));
        let transport = noticing(piton_server::local(&app.front, router.clone()), &changed);
        let client = Client::new(transport, piton_server::BASE);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(loader.run(stop.clone()));
        if purpose == Purpose::Act {
            engine.start_for_command().await?;
            // Whoever comes while this runs talks to it, as if it were the daemon.
            let (socket, stop, front) = (place.socket(), stop.clone(), app.front.clone());
            tasks.spawn(async move {
                if let Err(error) = piton_server::serve_unix(&front, &socket, admission, router, stop).await {
                    tracing::warn!(%error, "other commands cannot reach this one");
                }
            });
        }
        tasks.close();
        Ok(Session {
            client,
            patience: None,
            local: Some(Local {
                engine,
                accounts: app.auth.store().clone(),
                warnings,
                runner,
                templates: app.templates.clone(),
                purpose,
                for_a_look,
                changed,
                _lock: lock,
                stop,
                tasks,
            }),
        })
    }

    /// What was found while the data directory was opened here, which no daemon has told.
    pub fn warnings(&self) -> &[Diagnostic] {
        self.local.as_ref().map_or(&[], |local| &local.warnings)
    }

    /// Talks to Piton.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Talks to Piton about something that takes its time before it is answered.
    pub fn patient_client(&self) -> Client {
        self.client.with_patience(self.patience.unwrap_or(LONG))
    }

    /// Does something that fetches templates. An interrupt ends it, and what it started in this process; then there is
    /// nothing.
    pub async fn fetching<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        tokio::select! {
            done = &mut work => return Some(done),
            _ = tokio::signal::ctrl_c() => {}
        }
        if let Some(local) = &self.local {
            local.templates.stop_fetching();
            // It ends now, with all that it started.
            work.await;
        }
        None
    }

    /// The server runs elsewhere, and sees none of the files of this machine.
    pub fn is_elsewhere(&self) -> bool {
        self.client.server_url().is_some()
    }

    /// There is no daemon: this process executes the runs.
    pub fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Waits for the runs that were begun here, then lets go of the data directory.
    pub async fn close(self) -> Result<(), CommandError> {
        let Some(local) = self.local else { return Ok(()) };
        if local.purpose == Purpose::Act {
            local.engine.finish_work().await?;
            local.engine.shutdown(Shutdown::Drain).await;
            // Nothing runs any more, so the keeper has nothing to keep.
            if let Err(error) = local.runner.stop_if_idle().await {
                tracing::debug!(%error, "the keeper stays");
            }
        }
        local.stop.cancel();
        local.tasks.wait().await;
        local.accounts.close().await;
        local.engine.store().clone().close().await;
        if let Some(directory) = local.for_a_look.filter(|_| !local.changed.load(Ordering::Relaxed))
            && let Err(error) = std::fs::remove_dir_all(&directory)
        {
            tracing::debug!(%error, "the data directory of a look stays");
        }
        Ok(())
    }
}

/// The same, and `changed` tells whether anything but a look was asked for.
fn noticing(transport: Transport, changed: &Arc<AtomicBool>) -> Transport {
    let Transport::Local(call) = transport else { return transport };
    let changed = Arc::clone(changed);
    Transport::Local(Arc::new(move |request| {
        if !request.method().is_safe() {
            changed.store(true, Ordering::Relaxed);
        }
        call(request)
    }))
}

/// Whether somebody serves the data directory.
pub async fn answers(place: &Place) -> bool {
    let health = Client::new(Transport::Unix(place.socket()), "");
    health.get::<serde_json::Value>("/health").await.is_ok()
}
