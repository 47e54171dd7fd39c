//! What must follow from the end of a run of the queue, also where this process was killed before it came to that.
//!
//! A follower reads the ledger from where it last stood, which the store remembers, and does its duty for each run that
//! this worker has ended. It goes on only when that is done, so that nothing is left out; what was done just before a
//! crash is done once more.

use std::time::Duration;

use piton_engine::Engine;
use piton_model::{Action, Event, Outcome, Record, Run, Seq, Subject};
use piton_store::grown;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How many entries are read at once.
const BATCH: usize = 500;
/// How far the remembered place may stay behind where there was nothing to do.
const CARELESS: Seq = 1_000;
/// The ledger says when it has grown; this is for what it could not say.
const BACKSTOP: Duration = Duration::from_secs(60);
/// Between two tries of what did not succeed, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is to be done for runs that have ended.
pub trait Duty: Send + Sync + 'static {
    /// What the store calls it.
    const NAME: &'static str;

    /// Whether there is something to do for a run that ended like this.
    fn concerns(&self, outcome: &Outcome) -> bool;

    /// Does it. What is not done for the reason in the error is tried again, and nothing else before.
    fn discharge(&self, run: &Run) -> impl Future<Output = Result<(), String>> + Send;
}

/// A follower at work.
pub struct Following {
    finish: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    /// Begins where it last stood; where there is no such place yet, with what happens from now on.
    pub async fn begin<D: Duty>(engine: &Engine, duty: D) -> Result<Following, piton_store::Error> {
        let name = format!("{}/{}", D::NAME, engine.worker());
        let (store, now) = (engine.store(), engine.clock().now());
        let mut place = store.follow_cursor(&name).await?;
        if place == 0 {
            // The first entry of a ledger ends no run, so that no follower needs to stand before it.
            place = store.head().await?.max(1);
            store.advance(&name, 0, place, vec![], vec![], now).await?;
        }
        let follower = Follower { engine: engine.clone(), duty, name, place, seen: place };
        let finish = CancellationToken::new();
        Ok(Following { finish: finish.clone(), task: tokio::spawn(follower.run(finish)) })
    }

    /// Waits until everything is done that there is to do by now, but no longer than that; the rest is done after the
    /// next start.
    pub async fn finish(mut self, patience: Duration) {
        self.finish.cancel();
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
            // So that nothing it holds is held any more.
            let _ = self.task.await;
        }
    }
}

struct Follower<D> {
    engine: Engine,
    duty: D,
    name: String,
    /// Up to where everything is done, as the store knows it.
    place: Seq,
    /// Up to where it was read.
    seen: Seq,
}

/// Why it does not go on.
#[derive(Debug, thiserror::Error)]
enum Undone {
    #[error(transparent)]
    Store(#[from] piton_store::Error),
    #[error("{0}")]
    Duty(String),
}

impl<D: Duty> Follower<D> {
    async fn run(mut self, finish: CancellationToken) {
        let clock = self.engine.clock().clone();
        let mut changes = self.engine.store().changes();
        let mut pause = FIRST_PAUSE;
        loop {
            let head = *changes.borrow_and_update();
            let ending = finish.is_cancelled();
            match self.handle().await {
                Ok(true) => {}
                Ok(false) if ending => return,
                Ok(false) => {
                    pause = FIRST_PAUSE;
                    tokio::select! {
                        () = finish.cancelled() => {}
                        () = grown(&mut changes, head) => {}
                        () = clock.sleep(BACKSTOP) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(duty = D::NAME, %error, "what follows from the end of a run is not done yet");
                    clock.sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Does what there is to do in the next entries; whether there may be more.
    async fn handle(&mut self) -> Result<bool, Undone> {
        if !self.engine.store().may_have_grown(self.seen) {
            return Ok(false);
        }
        let entries = self.engine.store().entries(self.seen, BATCH).await?;
        for entry in &entries {
            if let Record::Run { run, subject: Subject::Scaffold(_), outcome: Some(outcome), .. } = &entry.record
                && self.duty.concerns(outcome)
                // One that is gone by now is older than anything is kept.
                && let Some(run) = self.engine.store().run(*run).await?
                && self.is_ours(&run).await?
            {
                self.duty.discharge(&run).await.map_err(Undone::Duty)?;
                self.remember(entry.seq).await?;
            }
            self.seen = entry.seq;
        }
        if self.seen - self.place >= CARELESS {
            self.remember(self.seen).await?;
        }
        Ok(entries.len() == BATCH)
    }

    /// Workers that share a database each look after their own. What nobody has begun is everybody's; what somebody else
    /// has told of, nobody's.
    async fn is_ours(&self, run: &Run) -> Result<bool, piton_store::Error> {
        if let Action::Remote(_) = *run.action {
            return Ok(run.refused_by() == Some(self.engine.worker().as_str()));
        }
        let entries = self.engine.store().entries_of(run.id).await?;
        let holder = entries.iter().rev().find_map(|entry| match &entry.record {
            Record::Run { event: Event::Claimed { worker, .. }, .. } => Some(worker),
            _ => None,
        });
        Ok(holder.is_none_or(|holder| holder == self.engine.worker()))
    }

    async fn remember(&mut self, place: Seq) -> Result<(), piton_store::Error> {
        let now = self.engine.clock().now();
        // Nobody else has this name, so that nobody was faster.
        self.engine.store().advance(&self.name, self.place, place, vec![], vec![], now).await?;
        self.place = place;
        Ok(())
    }
}
