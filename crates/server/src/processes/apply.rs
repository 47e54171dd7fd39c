//! Makes what is declared what is supervised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use piton_engine::Loaded;
use piton_supervisor::{Declared, Error, Supervisor};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

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
        let task = tokio::spawn(async move {
            let _turn = changing.lock_owned().await;
            change.await
        });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    /// Applies whatever is loaded anew, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut loaded = self.0.loaded.clone();
        loop {
            loaded.mark_unchanged();
            if let Err(error) = self.apply().await {
                tracing::warn!(%error, "what is declared could not be put in force for processes");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = loaded.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whether the declarations have been put in force since the start.
    pub fn has_applied(&self) -> bool {
        self.0.applied.load(Ordering::Acquire)
    }
}
