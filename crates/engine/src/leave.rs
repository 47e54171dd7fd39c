//! Whether a step may begin what nobody can take back.
//!
//! A call of a scheduled provision dies with its daemon, and waits for its turn before it begins. A worker that slept
//! meanwhile, or was kept from the database, may have lost the run to another one, which made the call: what it knows by
//! itself is when it renewed the lease last, and where that is too long ago it waits until it has seen what holds. And a
//! worker that ends lets a call that has begun come to its end, because the next one would make it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use piton_model::{AttemptNo, RunId};

use crate::Shared;
use crate::rescue::is_fresh;

/// Asked by a step before it begins what nobody can take back; clones are one.
#[derive(Debug, Clone)]
pub struct Leave {
    shared: Arc<Shared>,
    run: RunId,
    attempt: AttemptNo,
    taken: Arc<AtomicBool>,
}

/// What a worker knows by itself of a run that it drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Held,
    /// It was held a while ago.
    Doubtful,
    Lost,
}

impl Leave {
    pub(crate) fn new(shared: Arc<Shared>, run: RunId, attempt: AttemptNo) -> Leave {
        Leave { shared, run, attempt, taken: Arc::default() }
    }

    /// Whether the step may begin, which it knows when the lease was renewed just now. There is no answer any more where the
    /// worker is ending and the step has not begun.
    pub async fn take(&self) -> bool {
        loop {
            let renewed = self.shared.renewed.notified();
            if self.shared.stages.detach.is_cancelled() && !self.is_taken() {
                std::future::pending::<()>().await;
            }
            match self.standing() {
                Standing::Held => {
                    self.taken.store(true, Ordering::SeqCst);
                    return true;
                }
                Standing::Lost => return false,
                Standing::Doubtful => renewed.await,
            }
        }
    }

    /// Whether the step has begun.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::SeqCst)
    }

    fn standing(&self) -> Standing {
        let drivers = self.shared.drivers();
        let Some(driver) = drivers.get(&self.run).filter(|driver| driver.attempt == self.attempt) else {
            return Standing::Lost;
        };
        if driver.stop.is_cancelled() || driver.unrenewed.is_cancelled() {
            Standing::Lost
        } else if is_fresh(driver.kept, self.shared.config.lease, self.shared.clock.moment()) {
            Standing::Held
        } else {
            Standing::Doubtful
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use jiff::Timestamp;
    use piton_model::WorkerId;
    use piton_store::{Options, Store};
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::drive::Driver;
    use crate::idle::Idle;
    use crate::{Config, Engine, Loaded, Shutdown, VirtualClock};

    struct Scene {
        engine: Engine,
        hand: VirtualClock,
        run: RunId,
        _dir: tempfile::TempDir,
    }

    impl Scene {
        /// A worker that has just taken a run.
        async fn new() -> Scene {
            let dir = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", dir.path().join("piton.db").display());
            let store = Store::open(&url, Options::default()).await.unwrap();
            let loaded = watch::Sender::<Arc<Loaded>>::default();
            let hand = VirtualClock::at(Timestamp::UNIX_EPOCH);
            let config = Config::new(WorkerId::new("w"));
            let engine = Engine::new(config, store, hand.clock(), Arc::new(Idle), loaded.subscribe());
            let run = RunId::new(Timestamp::UNIX_EPOCH, [1; 10]);
            let driver = Driver {
                attempt: AttemptNo::FIRST,
                stop: CancellationToken::new(),
                kept: engine.0.clock.moment(),
                unrenewed: CancellationToken::new(),
                suspended: watch::Sender::new(false),
                heeds: None,
            };
            engine.0.drivers().insert(run, driver);
            Scene { engine, hand, run, _dir: dir }
        }

        fn leave(&self) -> Leave {
            Leave::new(self.engine.0.clone(), self.run, AttemptNo::FIRST)
        }

        fn sleeps(&self, seconds: u64) {
            self.hand.set(self.hand.now() + Duration::from_secs(seconds));
        }

        /// It has seen which runs it holds.
        fn sees(&self, held: &BTreeSet<RunId>) {
            let shared = &self.engine.0;
            shared.keep(&[(self.run, AttemptNo::FIRST)], held, shared.clock.moment());
        }
    }

    #[tokio::test]
    async fn who_slept_sees_first_what_it_holds() {
        let scene = Scene::new().await;
        scene.sleeps(5);
        assert!(scene.leave().take().await, "it was renewed a moment ago");
        for is_held in [true, false] {
            scene.sleeps(60);
            let leave = scene.leave();
            let mut take = std::pin::pin!(leave.take());
            assert!(futures_util::poll!(&mut take).is_pending());
            assert!(!leave.is_taken());
            scene.sees(&is_held.then_some(scene.run).into_iter().collect());
            assert_eq!(take.await, is_held);
        }
    }

    #[tokio::test]
    async fn a_worker_that_ends_begins_nothing_and_goes_on_with_what_it_began() {
        let scene = Scene::new().await;
        let (begun, waiting) = (scene.leave(), scene.leave());
        assert!(begun.take().await);
        scene.engine.shutdown(Shutdown::Detach).await;
        assert!(begun.take().await, "what it began may take several calls");
        let mut take = std::pin::pin!(waiting.take());
        assert!(futures_util::poll!(&mut take).is_pending());
    }
}
