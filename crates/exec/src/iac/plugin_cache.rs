//! The plugin cache that all runs share.
//!
//! Terraform, and OpenTofu before 1.10, write to it without a lock, so two `init` at once may spoil each other's
//! downloads. They take turns: by a mutex within this process, and by a file lock between processes. An `init` that was
//! already running when the daemon was restarted is attached to without a turn; at worst one that runs beside it fails
//! and is run again.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use piton_model::Failure;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::failing;

/// How often another process's turn is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Whose turn it is in this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct PluginCache {
    turn: Arc<Mutex<()>>,
}

/// Held while `init` runs.
#[derive(Debug)]
pub(crate) struct Turn {
    _turn: OwnedMutexGuard<()>,
    _file: File,
}

impl PluginCache {
    /// Waits for a turn; for ever, or until the step shall stop.
    pub(crate) async fn turn(&self, dir: &Path, stop: &CancellationToken) -> Result<Turn, Failure> {
        tokio::select! {
            turn = self.wait(dir) => turn,
            () = stop.cancelled() => Err(failing::stopped_before("init")),
        }
    }

    async fn wait(&self, dir: &Path) -> Result<Turn, Failure> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let path = dir.join(".piton-lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| failing::io("open", &path, &error))?;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _turn: turn, _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failing::io("lock", &path, &error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_turn_at_a_time_also_between_processes() {
        let dir = tempfile::tempdir().unwrap();
        let never = CancellationToken::new();
        // Another process has its own mutex, and shares the file.
        let (here, there) = (PluginCache::default(), PluginCache::default());
        let first = here.turn(dir.path(), &never).await.unwrap();
        for cache in [&here, &there] {
            let asked = cache.turn(dir.path(), &never);
            assert!(tokio::time::timeout(LOOK * 3, asked).await.is_err(), "two turns at once");
        }
        drop(first);
        let second = there.turn(dir.path(), &never).await.unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        let failure = here.turn(dir.path(), &stop).await.unwrap_err();
        assert_eq!(failure.code, "stopped");
        drop(second);
        here.turn(dir.path(), &never).await.unwrap();
    }
}
