//! What the writers, readers and followers of one log share within a process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use piton_model::RunId;
use tokio::sync::watch;

use crate::error::{During, Error};
use crate::layout::Layout;
use crate::read::Reader;
use crate::run_log::blocking;
use crate::writer::Writer;

/// The logs in use, by run.
#[derive(Default)]
pub(crate) struct Hub {
    runs: Mutex<HashMap<RunId, Weak<Shared>>>,
}

/// One log in use.
pub(crate) struct Shared {
    run: RunId,
    hub: Weak<Hub>,
    length: watch::Sender<u64>,
    reader: Mutex<Option<Arc<File>>>,
    writer: Mutex<Weak<Mutex<Writer>>>,
    is_local: AtomicBool,
}

impl Hub {
    /// What is shared about this run's log, for as long as somebody holds it.
    pub(crate) fn run(self: &Arc<Hub>, run: RunId) -> Arc<Shared> {
        let mut runs = unpoisoned(&self.runs);
        if let Some(shared) = runs.get(&run).and_then(Weak::upgrade) {
            return shared;
        }
        let shared = Arc::new(Shared {
            run,
            hub: Arc::downgrade(self),
            length: watch::Sender::new(0),
            reader: Mutex::default(),
            writer: Mutex::default(),
            is_local: AtomicBool::new(false),
        });
        runs.insert(run, Arc::downgrade(&shared));
        shared
    }
}

impl Shared {
    /// The writer of this process, opened if need be. Blocks.
    pub(crate) fn writer(self: &Arc<Self>, layout: &Layout) -> Result<Arc<Mutex<Writer>>, Error> {
        let mut slot = unpoisoned(&self.writer);
        if let Some(writer) = slot.upgrade() {
            return Ok(writer);
        }
        let writer = Arc::new(Mutex::new(Writer::open(layout, Arc::clone(self))?));
        *slot = Arc::downgrade(&writer);
        self.is_local.store(true, Ordering::Relaxed);
        Ok(writer)
    }

    /// Whether the log is, or was, written in this process, so that [`Shared::changes`] tells.
    pub(crate) fn is_local(&self) -> bool {
        self.is_local.load(Ordering::Relaxed)
    }

    /// Tells the followers how long the log is now.
    pub(crate) fn grown(&self, len: u64) {
        self.length.send_replace(len);
    }

    /// Changes whenever this process writes to the log.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.length.subscribe()
    }

    /// A reader; all share one descriptor.
    pub(crate) async fn reader(self: Arc<Self>, layout: Layout) -> Result<Reader, Error> {
        let path = layout.log();
        let open = unpoisoned(&self.reader).clone();
        if open.is_some() {
            return Ok(Reader { file: open, path });
        }
        blocking(move || {
            let file = match File::open(&path) {
                Ok(file) => Some(Arc::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error).during("open", &path),
            };
            unpoisoned(&self.reader).clone_from(&file);
            Ok(Reader { file, path })
        })
        .await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut runs = unpoisoned(&hub.runs);
        // Somebody may have made a new one in the meantime.
        if runs.get(&self.run).is_some_and(|shared| shared.strong_count() == 0) {
            runs.remove(&self.run);
        }
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_runs_that_nobody_uses() {
        let hub = Arc::new(Hub::default());
        let run = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        let first = hub.run(run);
        assert!(Arc::ptr_eq(&first, &hub.run(run)));
        drop(first);
        assert!(unpoisoned(&hub.runs).is_empty());
    }
}
