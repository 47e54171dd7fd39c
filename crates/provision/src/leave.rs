//! Whether a call may still begin, when its turn has come.
//!
//! It may have waited for long, and somebody else may have made it meanwhile. Who knows that goes with the task that makes
//! the call: nobody between it and the wire has a use for it.

use std::pin::Pin;
use std::sync::Arc;

/// Asked before each call; it answers when it knows, and may never.
pub type MayBegin = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

tokio::task_local! {
    static MAY_BEGIN: MayBegin;
}

/// Awaits `work`, whose calls begin only where `may_begin` says so.
pub async fn asking<F: Future>(may_begin: MayBegin, work: F) -> F::Output {
    MAY_BEGIN.scope(may_begin, work).await
}

pub(crate) async fn may_begin() -> bool {
    match MAY_BEGIN.try_with(Arc::clone) {
        Ok(ask) => ask().await,
        Err(_) => true,
    }
}
