//! Makes what is declared what is supervised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use piton_engine::Loaded;
use piton_supervisor::{Declared, Error, Supervisor};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

/// Makes what is declared what is supervised. Clones share it.
#[derive(Debug, Clone)]
pub struct Applier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    supervisor: Supervisor,
    loaded: watch::Receiver<Arc<Loaded>>,
    /// What is loaded is read and applied under this, so that nothing older is ever applied after something newer.
    turn: Mutex<()>,
    applied: AtomicBool,
}

impl Applier {
    /// For this supervisor, from what a loader publishes.
    pub fn new(supervisor: Supervisor, loaded: watch::Receiver<Arc<Loaded>>) -> Applier {
        Applier(Arc::new(Inner { supervisor, loaded, turn: Mutex::new(()), applied: AtomicBool::new(false) }))
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
