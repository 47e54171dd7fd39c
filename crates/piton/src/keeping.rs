//! What processes that are kept running need of the rest: where wishes are remembered, and where it is written down what
//! happened.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::try_join_all;
use piton_engine::Clock;
use piton_store::{ProcessEvent, Store};
use piton_supervisor::{Change, InstanceState, Memory, Supervisor, Wish};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

type Remembering<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Remembers wishes in the database, those of this node apart from those of others.
#[derive(Debug)]
pub struct StoredWishes {
    store: Store,
    node: String,
}

impl StoredWishes {
    /// For the processes of `node`.
    pub fn new(store: Store, node: String) -> StoredWishes {
        StoredWishes { store, node }
    }
}

impl Memory for StoredWishes {
    fn load(&self) -> Remembering<'_, BTreeMap<String, Wish>> {
        Box::pin(async move {
            let wishes = self.store.wishes(&self.node).await.map_err(|error| error.to_string())?;
            let read = |(process, text): (String, String)| match serde_json::from_str(&text) {
                Ok(wish) => Some((process, wish)),
                Err(error) => {
                    tracing::warn!(process, %error, "what was wanted of a process cannot be read; it is as declared");
                    None
                }
            };
            Ok(wishes.into_iter().filter_map(read).collect())
        })
    }

    fn save<'a>(&'a self, process: &'a str, wish: &'a Wish) -> Remembering<'a, ()> {
        Box::pin(async move {
            let text = (wish != &Wish::default()).then(|| serde_json::to_string(wish)).transpose();
            let text = text.map_err(|error| error.to_string())?;
            self.store.save_wish(&self.node, process, text).await.map_err(|error| error.to_string())
        })
    }

    fn save_all<'a>(&'a self, wishes: &'a BTreeMap<String, Wish>) -> Remembering<'a, ()> {
        // What is written at once shares one commit.
        let each = wishes.iter().map(|(process, wish)| self.save(process, wish));
        Box::pin(async move { try_join_all(each).await.map(drop) })
    }
}

/// So many changes are written together at most.
const BATCH: usize = 500;

/// What happens shortly after one another is written together.
const GATHER: Duration = Duration::from_millis(250);

/// How often it is looked what is too old.
const FORGET: Duration = Duration::from_secs(3600);

/// Where it is written down what happens, and for how long.
#[derive(Debug)]
pub struct History {
    /// The database.
    pub store: Store,
    /// Whose processes these are.
    pub node: String,
    /// What time it is.
    pub clock: Clock,
    /// How long it is kept, beside the number of what is kept; none for as long as that allows.
    pub retention: Option<Duration>,
}

/// Writes down what happens to processes, until `stop`. Nothing waits for it.
pub async fn write_history(supervisor: Supervisor, history: History, stop: CancellationToken) {
    let History { store, node, clock, retention } = history;
    let mut changes = supervisor.changes();
    let mut forgetting = tokio::time::interval(FORGET);
    let mut events = vec![];
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => true,
            _ = forgetting.tick() => {
                let before = retention.and_then(|retention| clock.now().checked_sub(retention).ok());
                if let Some(before) = before
                    && let Err(error) = store.forget_process_events(before).await
                {
                    tracing::warn!(%error, "old history of processes could not be forgotten");
                }
                false
            }
            change = changes.recv() => match change {
                Ok(change) => {
                    events.push(event(&change));
                    gather(&mut changes, &mut events).await;
                    false
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "more happened to processes than could be written down");
                    false
                }
                Err(RecvError::Closed) => true,
            },
        };
        if ended {
            while let Ok(change) = changes.try_recv() {
                events.push(event(&change));
            }
        }
        if let Err(error) = store.record_process_events(&node, std::mem::take(&mut events)).await {
            tracing::warn!(%error, "what happened to processes could not be written down");
        }
        if ended {
            return;
        }
    }
}

async fn gather(changes: &mut tokio::sync::broadcast::Receiver<Change>, events: &mut Vec<ProcessEvent>) {
    let until = tokio::time::Instant::now() + GATHER;
    while events.len() < BATCH
        && let Ok(Ok(change)) = tokio::time::timeout_at(until, changes.recv()).await
    {
        events.push(event(&change));
    }
}

/// What is written of a change.
fn event(change: &Change) -> ProcessEvent {
    let now = &change.now;
    let ended = match now.state {
        InstanceState::Stopped | InstanceState::Backoff | InstanceState::Exited | InstanceState::Fatal => {
            now.last_exit.as_ref().filter(|exit| !exit.status.success()).map(|exit| exit.status.to_string())
        }
        InstanceState::Waiting | InstanceState::Starting | InstanceState::Running | InstanceState::Stopping => None,
    };
    ProcessEvent {
        at: change.at,
        name: now.name.clone(),
        process: now.process.clone(),
        pid: now.pid,
        status: now.state.as_str().to_owned(),
        error: now.reason.clone().or(ended),
    }
}
