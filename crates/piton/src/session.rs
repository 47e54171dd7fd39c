//! How a command reaches Piton: the daemon of the data directory, or the data directory itself.

mod neighbour;
mod traces;

use std::path::{Path, PathBuf};
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
use neighbour::Neighbour;
use traces::Traces;

/// What a command is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It reads only: no run is begun.
    Look,
    /// It reads, and waits for the end of a run, which somebody has to bring about. Where there are no runs yet, it is a
    /// look.
    Follow,
    /// It may begin runs.
    Act,
}

/// How a command reaches Piton.
pub struct Session {
    client: Client,
    /// How long every answer may take, where somebody said so.
    patience: Option<Duration>,
    /// What whoever asks should know, and no daemon has told.
    warnings: Vec<Diagnostic>,
    /// The data directory, where it is on this machine.
    data_dir: Option<PathBuf>,
    local: Option<Local>,
}

struct Local {
    engine: Engine,
    accounts: Store,
    runner: Runner,
    templates: Templates,
    purpose: Purpose,
    /// Made by this for a look, and of no use where that is all that becomes of it.
    for_a_look: Option<Traces>,
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

impl Purpose {
    /// What it comes to at this place.
    fn at(self, place: &Place) -> Purpose {
        let database = place.config.store_url.expose().strip_prefix("sqlite:").map(Path::new);
        let is_within = database.is_some_and(|database| database.starts_with(&place.data_dir));
        match self {
            Purpose::Follow if is_within && Traces::expected(place).is_some() => Purpose::Look,
            Purpose::Follow => Purpose::Act,
            Purpose::Look | Purpose::Act => self,
        }
    }
}

impl Session {
    /// A session with a server elsewhere.
    pub fn elsewhere(client: Client, patience: Option<Duration>) -> Session {
        let client = patience.map_or_else(|| client.clone(), |patience| client.with_patience(patience));
        Session { client, patience, warnings: vec![], data_dir: None, local: None }
    }

    /// A session with the daemon that holds a data directory.
    fn with_daemon(client: Client, data_dir: PathBuf, warnings: Vec<Diagnostic>) -> Session {
        Session { client, patience: None, warnings, data_dir: Some(data_dir), local: None }
    }

    /// Reaches the daemon, or else opens the data directory.
    pub async fn open(global: &Global, purpose: Purpose) -> Result<Session, CommandError> {
        let place = Place::resolve(global)?;
        let client = Client::new(Transport::Unix(place.socket()), piton_server::BASE);
        let deadline = Instant::now() + PATIENCE;
        let mut sought = false;
        let mut warnings = vec![];
        loop {
            if tokio::time::timeout_at(deadline, answers(&place)).await == Ok(true) {
                return Ok(Session::with_daemon(client, place.data_dir, vec![]));
            }
            // Whether anybody has ever used this data directory.
            let is_new = !place.data_dir.join("lock").exists();
            if !sought {
                sought = true;
                match Neighbour::find(global, &place).await {
                    // Another one beside it would do the same things a second time.
                    Some(found) if is_new => {
                        let told = vec![found.answers(&place)];
                        return Ok(Session::with_daemon(found.client(), found.data_dir, told));
                    }
                    Some(found) => warnings.push(found.runs(&place)),
                    None if is_new => warnings.extend(Box::pin(neighbour::at_address(global, &place)).await),
                    None => {}
                }
            }
            let purpose = purpose.at(&place);
            let for_a_look = if purpose == Purpose::Look { Traces::expected(&place) } else { None };
            match DataLock::take(&place.data_dir, "a piton command") {
                Ok(lock) => {
                    // Somebody may have come and gone after nothing was seen there.
                    let for_a_look = for_a_look.filter(|_| lock.is_new());
                    return Session::open_locally(&place, lock, purpose, for_a_look, warnings).await;
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
        for_a_look: Option<Traces>,
        mut warnings: Vec<Diagnostic>,
    ) -> Result<Session, CommandError> {
        let Opened { app, engine, loader, router, runner, lock, admission, warnings: found, .. } =
            wiring::open(place, lock, None).await?;
        warnings.extend(found);
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
            warnings,
            data_dir: Some(place.data_dir.clone()),
            local: Some(Local {
                engine,
                accounts: app.auth.store().clone(),
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

    /// What whoever asks should know, such as what was found while the data directory was opened here.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The data directory, where it is on this machine.
    pub fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// There was no data directory: nobody has been here before.
    pub fn is_first(&self) -> bool {
        self.local.as_ref().is_some_and(|local| local.for_a_look.is_some())
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
        if let Some(traces) = local.for_a_look.filter(|_| !local.changed.load(Ordering::Relaxed))
            && let Err(error) = traces.remove()
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
