//! What is done with what ended runs leave behind: logs are copied to the archive, and directories of deployments that
//! people asked for are removed when they have been kept long enough.
//!
//! Nothing here has to be remembered over a crash: what is there to do is read from the directories.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use piton_engine::{Clock, Engine};
use piton_exec::Exec;
use piton_exec::archive::Archive;
use piton_logs::LogStore;
use piton_model::{Run, RunId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The safety poll.
const PAUSE: Duration = Duration::from_secs(3600);

/// When an archive that was away is asked again.
const RETRY: Duration = Duration::from_secs(120);

/// The loop, ready to run.
pub struct Upkeep {
    pub exec: Exec,
    pub logs: LogStore,
    pub archive: Option<Archive>,
    /// How long directories are kept.
    pub retention: Duration,
    /// Where directories of deployments and of runs lie.
    pub data_dir: PathBuf,
    /// Runs that just ended.
    pub ended: mpsc::UnboundedReceiver<RunId>,
}

impl Upkeep {
    /// Runs until `stop`.
    pub async fn run(mut self, engine: Engine, stop: CancellationToken) {
        let mut next = self.look_around(&engine).await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(id) = self.ended.recv() => {
                    let due = self.look_after(&engine, id).await;
                    next = due.map_or(next, |due| next.min(due));
                }
                () = engine.clock().sleep_until(next) => next = self.look_around(&engine).await,
            }
        }
    }

    /// Does what is due, and says when to look again.
    async fn look_around(&self, engine: &Engine) -> Timestamp {
        let mut next = later(engine.clock(), PAUSE);
        let archiving = self.archive.is_some();
        let mut ids = runs_in(&self.data_dir.join("deployments"), |_| true);
        ids.extend(runs_in(&self.data_dir.join("runs"), |directory| archiving && !Archive::has(directory)));
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            if let Some(due) = self.look_after(engine, id).await {
                next = next.min(due);
            }
        }
        next
    }

    /// Does what is due for one run; when there is more to do for it, if that is known.
    async fn look_after(&self, engine: &Engine, id: RunId) -> Option<Timestamp> {
        let run = match engine.store().run(id).await {
            Ok(Some(run)) => run,
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(run = %id, %error, "cannot look after what a run left behind");
                return Some(later(engine.clock(), RETRY));
            }
        };
        let removable = removable_at(&run, self.retention)?;
        let archived = self.keep_log(&run).await;
        let again = (!archived).then(|| later(engine.clock(), RETRY));
        if removable > engine.clock().now() {
            return Some(again.map_or(removable, |again| again.min(removable)));
        }
        match self.exec.retire(&run).await {
            Ok(true) => tracing::info!(run = %id, "the directory of an old deployment was removed"),
            Ok(false) => {}
            Err(error) => tracing::warn!(run = %id, %error, "the directory of an old deployment cannot be removed"),
        }
        again
    }

    /// Whether the log need not be looked at again.
    async fn keep_log(&self, run: &Run) -> bool {
        let Some(archive) = &self.archive else { return true };
        match archive.keep(&self.logs, run).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(run = %run.id, %error, "a log was not copied to the archive; it will be tried again");
                false
            }
        }
    }
}

/// When the directory of a run may go; none while it has not ended. Pure.
fn removable_at(run: &Run, retention: Duration) -> Option<Timestamp> {
    run.known_to_have_ended().map(|known| known.checked_add(retention).unwrap_or(Timestamp::MAX))
}

fn later(clock: &Clock, pause: Duration) -> Timestamp {
    clock.now().checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// Directories that are named by a run. What cannot be read holds nothing that could be done.
fn runs_in(directory: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<RunId> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let named = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    named.filter(|(_, path)| wanted(path)).map(|(id, _)| id).collect()
}
