//! Makes what is declared what is supervised.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use piton_engine::Loaded;
use piton_store::hurried;
use piton_supervisor::{Declared, Error, Supervisor};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::front::hurry;
use crate::problem::{Answer, Refusal};

/// Makes what is declared what is supervised. Clones share it.
#[derive(Debug, Clone)]
pub struct Applier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    supervisor: Supervisor,
    loaded: watch::Receiver<Arc<Loaded>>,
    /// What is loaded is read and applied under this, so that nothing older is ever applied after something newer.
    turn: Mutex<()>,
    /// Held by whoever changes a declaration, until the change is in force or undone.
    changing: Arc<Mutex<()>>,
    applied: AtomicBool,
}

impl Applier {
    /// For this supervisor, from what a loader publishes.
    pub fn new(supervisor: Supervisor, loaded: watch::Receiver<Arc<Loaded>>) -> Applier {
        let (turn, changing, applied) = (Mutex::new(()), Arc::default(), AtomicBool::new(false));
        Applier(Arc::new(Inner { supervisor, loaded, turn, changing, applied }))
    }

    /// Applies what is loaded now, and comes back when that is under way.
    pub async fn apply(&self) -> Result<(), Error> {
        let _turn = self.0.turn.lock().await;
        let loaded = self.0.loaded.borrow().clone();
        let catalog = &loaded.catalog;
        let declared = Declared { processes: catalog.supervised(), groups: catalog.groups.clone() };
        self.0.supervisor.apply(declared).await?;
        self.0.applied.store(true, Ordering::Release);
        Ok(())
    }

    /// Does what changes declarations: one change at a time, and to its end, whether or not somebody waits for that. Each
    /// may have to undo what it did, and finds the files as it left them.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        change: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Answer<T> {
        let changing = Arc::clone(&self.0.changing);
        let change = async move {
            let _turn = changing.lock_owned().await;
            change.await
        };
        let change = hurried(hurry::PATIENCE, change).in_current_span();
        tokio::spawn(change).await.map_err(|error| Refusal::internal(&error))?
    }

    /// Applies whatever is loaded anew, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let loaded = self.0.loaded.clone();
        let applier = &self;
        keep_applied(loaded, stop, || applier.apply()).await;
    }

    /// Whether the declarations have been put in force since the start.
    pub fn has_applied(&self) -> bool {
        self.0.applied.load(Ordering::Acquire)
    }
}

/// How long it takes until what failed is tried again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Applies what is loaded now and whatever is loaded anew, until `stop`. What cannot be applied is tried again: what was in
/// the way may pass without anybody changing a file.
async fn keep_applied<L, E: Display, Applying: Future<Output = Result<(), E>>>(
    mut loaded: watch::Receiver<L>,
    stop: CancellationToken,
    mut apply: impl FnMut() -> Applying,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        loaded.mark_unchanged();
        let again = match apply().await {
            Ok(()) => {
                pause = FIRST_PAUSE;
                None
            }
            Err(error) => {
                tracing::warn!(%error, "what is declared could not be put in force for processes");
                let again = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                Some(again)
            }
        };
        let changed = async {
            match again {
                Some(pause) => timeout(pause, loaded.changed()).await.unwrap_or(Ok(())),
                None => loaded.changed().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changed => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// When it was tried, in seconds from the begin, as long as the first `failures` tries fail.
    async fn tries(failures: usize, until: Duration) -> Vec<u64> {
        let (_publish, loaded) = watch::channel(());
        let (begun, stop) = (Instant::now(), CancellationToken::new());
        let mut tried = vec![];
        let applied = keep_applied(loaded, stop, || {
            tried.push(begun.elapsed().as_secs());
            std::future::ready(if tried.len() > failures { Ok(()) } else { Err("the database is away") })
        });
        assert!(timeout(until, applied).await.is_err(), "it goes on until it is stopped");
        tried
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_applied_is_tried_again() {
        assert_eq!(tries(0, Duration::from_secs(600)).await, [0]);
        assert_eq!(tries(3, Duration::from_secs(600)).await, [0, 1, 3, 7]);
        assert_eq!(tries(100, Duration::from_secs(200)).await, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_loaded_anew_is_applied_at_once() {
        let (publish, loaded) = watch::channel(());
        let stop = CancellationToken::new();
        let mut tried = 0;
        keep_applied(loaded, stop.clone(), || {
            tried += 1;
            match tried {
                1 => publish.send_replace(()),
                _ => stop.cancel(),
            }
            std::future::ready(Ok::<(), &str>(()))
        })
        .await;
        assert_eq!(tried, 2);
    }
}
