//! Sees to the secrets that lie in the ledger: those of deployments go some time after the end, and after a change of the
//! key the rest is sealed with the new one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_store::Tended;

use crate::clock::before;
use crate::{Error, Shared};

const PAUSE: Duration = Duration::from_secs(600);

pub(crate) struct Custodian {
    shared: Arc<Shared>,
    /// Runs that ended before this were looked at. None before the first round, which looks at all.
    seen: Option<Timestamp>,
}

impl Custodian {
    pub(crate) fn new(shared: Arc<Shared>) -> Custodian {
        Custodian { shared, seen: None }
    }

    /// One round.
    pub(crate) async fn handle(&mut self) -> Result<Tended, Error> {
        let Shared { store, clock, config, .. } = &*self.shared;
        let now = clock.now();
        let old = before(now, config.keep_secrets);
        let tended = match self.seen {
            Some(seen) if seen >= old => Tended::default(),
            Some(seen) => store.tend_history(seen..old, old).await?,
            None => {
                let mut all = store.reseal_live().await?;
                all.add(store.tend_history(Timestamp::MIN..now, old).await?);
                all
            }
        };
        self.seen = Some(self.seen.map_or(old, |seen| seen.max(old)));
        Ok(tended)
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            // A long history takes its time, and nothing is lost when it is cut short.
            let tended = tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                tended = self.handle() => tended,
            };
            match tended {
                Ok(tended) => tell(&tended),
                Err(error) => tracing::error!(%error, "could not look after the secrets of runs"),
            }
            tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = shared.clock.sleep(PAUSE) => {}
            }
        }
    }
}

fn tell(tended: &Tended) {
    let Tended { forgotten, resealed, unknown } = tended;
    if *forgotten > 0 {
        tracing::info!(runs = forgotten, "secrets of ended deployments forgotten");
    }
    if *resealed > 0 {
        tracing::info!(runs = resealed, "secrets sealed anew with the first key; older keys are not needed for them");
    }
    for (key, runs) in unknown {
        tracing::warn!(key, runs, hint = crate::error::SEALED, "runs are sealed with a key that is not known here");
    }
}
