//! A request that is held, so that something can happen meanwhile.

use tokio::sync::watch;

/// Holds a request. Clones hold the same one.
#[derive(Debug, Clone)]
pub struct Hold {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Default for Hold {
    fn default() -> Hold {
        Hold { reached: watch::Sender::new(false), open: watch::Sender::new(false) }
    }
}

impl Hold {
    /// Whether the request is there.
    pub fn is_reached(&self) -> bool {
        *self.reached.borrow()
    }

    /// Lets it go.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    pub(super) async fn wait(&self) {
        self.reached.send_replace(true);
        // The sender is in this very value.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}
