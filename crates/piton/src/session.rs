//! How a command reaches Piton: the daemon of the data directory, or the data directory itself.

use std::time::Duration;

use piton_api::{Client, Transport};
use piton_engine::{Engine, Shutdown};
use piton_process::Runner;
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
    engine: Engine,
    accounts: Store,
    runner: Runner,
    purpose: Purpose,
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
        loop {
            if tokio::time::timeout_at(deadline, answers(&place)).await == Ok(true) {
                return Ok(Session { client, patience: None, local: None });
            }
            match DataLock::take(&place.data_dir, "a piton command") {
                Ok(lock) => return Session::open_locally(&place, lock, purpose).await,
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

    async fn open_locally(place: &Place, lock: DataLock, purpose: Purpose) -> Result<Session, CommandError> {
        let Opened { app, engine, loader, router, runner, lock, admission, .. } =
            wiring::open(place, lock, None).await?;
        let client = Client::new(piton_server::local(&app.front, router.clone()), piton_server::BASE);
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
                runner,
                purpose,
                _lock: lock,
                stop,
                tasks,
            }),
        })
    }

    /// Talks to Piton.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Talks to Piton about something that takes its time before it is answered.
    pub fn patient_client(&self) -> Client {
        self.client.with_patience(self.patience.unwrap_or(LONG))
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
        Ok(())
    }
}

/// Whether somebody serves the data directory.
pub async fn answers(place: &Place) -> bool {
    let health = Client::new(Transport::Unix(place.socket()), "");
    health.get::<serde_json::Value>("/health").await.is_ok()
}
