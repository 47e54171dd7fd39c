//! Takes runs that are due or will be in a moment, as many as there are free slots.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_model::{AttemptNo, Phase, Run, RunId, SubjectKind};
use piton_store::Room;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ahead::{Look, horizon, next_look};
use crate::clock::after;
use crate::drive::Drive;
use crate::follow::grown;
use crate::{Error, Shared};

/// How long to wait before the next look when something is due that could not be claimed: it is another loop's or
/// another node's turn.
const NOT_MINE: Duration = Duration::from_secs(1);

pub(crate) struct Claimer {
    shared: Arc<Shared>,
    /// The answer to a claim was lost: this worker may hold runs of which nothing is known here.
    unsure: bool,
}

impl Claimer {
    pub(crate) fn new(shared: Arc<Shared>) -> Claimer {
        Claimer { shared, unsure: false }
    }

    /// Claims what is due at `now`, or in a moment, and fits, ready to be driven.
    pub(crate) async fn take(&mut self, now: Timestamp) -> Result<Vec<Drive>, Error> {
        let mut drives = vec![];
        if self.unsure {
            drives.extend(overlooked(&self.shared, |kind| kind != SubjectKind::Provision).await?);
            self.unsure = false;
        }
        let shared = &self.shared;
        let room = shared.room();
        if room.runs == 0 {
            return Ok(drives);
        }
        let lease_until = after(now, shared.config.lease);
        let (worker, horizon) = (&shared.config.worker, horizon(now, shared.config.ahead));
        match shared.store.claim_ahead(worker, room, lease_until, horizon, now, shared.uptime()).await {
            Ok(runs) => drives.extend(runs.into_iter().filter_map(|run| drive(shared, run, false))),
            Err(error) => {
                self.unsure = true;
                if drives.is_empty() {
                    return Err(error.into());
                }
            }
        }
        Ok(drives)
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut changes = shared.store.changes();
        let mut why = Why::Due;
        loop {
            let seen = *changes.borrow_and_update();
            let now = shared.clock.now();
            let next = match self.round(why).await {
                Ok(Look::Now) if !shared.stages.closing.is_cancelled() => {
                    why = Why::Due;
                    continue;
                }
                Ok(Look::Now | Look::NotMine) => Some(after(now, NOT_MINE)),
                Ok(Look::At(next)) => next,
                Err(error) => {
                    tracing::error!(%error, "could not claim runs");
                    Some(after(now, NOT_MINE))
                }
            };
            let backstop = after(now, shared.config.check_interval);
            let wake = next.map_or(backstop, |next| next.min(backstop));
            let room = shared.room();
            let full = room.runs == 0;
            why = tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = free_slot(&shared.slots), if full => Why::Due,
                () = free_slot(&shared.deployment_slots), if !full && room.deployments == 0 => Why::Due,
                () = shared.clock.sleep_until(wake), if !full => Why::Due,
                () = grown(&mut changes, seen), if !full => Why::News,
            };
        }
    }

    /// Claims what there may be, and looks when there is something next.
    async fn round(&mut self, why: Why) -> Result<Look, Error> {
        let shared = self.shared.clone();
        let ahead = shared.config.ahead;
        if why == Why::News && !self.unsure {
            // A claim is a transaction, and most of what happens makes nothing claimable.
            let now = shared.clock.now();
            let next = shared.store.next_claim(now, shared.room().deployments > 0).await?;
            if let later @ Look::At(_) = next_look(next, None, now, ahead) {
                return Ok(later);
            }
        }
        let free = shared.room().runs;
        let looked = shared.clock.now();
        let drives = self.take(looked).await?;
        let claimed = drives.len();
        for drive in drives {
            shared.drives.spawn(drive.run());
        }
        if claimed >= free {
            // There may be more than there were slots for; whether one is free by now shows in a moment.
            let freed = shared.slots.available_permits() > 0;
            return Ok(if freed { Look::Now } else { Look::At(None) });
        }
        let now = shared.clock.now();
        let deployments = shared.room().deployments > 0;
        let in_vain = (claimed == 0).then(|| horizon(looked, ahead));
        let next = shared.store.next_claim(now, deployments).await?;
        Ok(next_look(next, in_vain, now, ahead))
    }
}

/// Runs of some kind that this worker holds and that nobody drives. Only the loop that asks begins drives of that kind, so
/// what was not driven before the look at the store, and is held then, is held by mistake.
pub(crate) async fn overlooked(
    shared: &Arc<Shared>,
    of_kind: impl Fn(SubjectKind) -> bool,
) -> Result<Vec<Drive>, Error> {
    let driven: BTreeSet<(RunId, AttemptNo)> =
        shared.drivers().iter().map(|(run, driver)| (*run, driver.attempt)).collect();
    let held = shared.store.held_by(&shared.config.worker).await?;
    let known = |run: &Run| run.lease().is_some_and(|lease| driven.contains(&(run.id, lease.attempt)));
    let unknown = held.into_iter().filter(|run| of_kind(run.subject.kind()) && !known(run));
    Ok(unknown.filter_map(|run| drive(shared, run, true)).collect())
}

/// Why the claimer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Something is due, or there is room again for what was.
    Due,
    /// The ledger has grown.
    News,
}

pub(crate) async fn free_slot(slots: &Semaphore) {
    // Taken and given back at once: it only tells that there is one.
    let _ = slots.acquire().await;
}

/// What a drive takes up. Given back when the drive ends.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    _run: Option<OwnedSemaphorePermit>,
    _more: Option<OwnedSemaphorePermit>,
}

impl Shared {
    fn room(&self) -> Room {
        let runs = self.slots.available_permits();
        Room { runs, deployments: self.deployment_slots.available_permits().min(runs) }
    }

    fn take_slots(&self, run: &Run) -> Slots {
        let take = |slots: &Arc<Semaphore>| slots.clone().try_acquire_owned().ok();
        match run.subject.kind() {
            SubjectKind::Workspace | SubjectKind::Job => Slots { _run: take(&self.slots), _more: None },
            SubjectKind::Deployment => Slots { _run: take(&self.slots), _more: take(&self.deployment_slots) },
            // Whoever submits them takes care that there are not too many, and that they do not wait for others.
            SubjectKind::Scaffold => Slots::default(),
            // A call waits more than it works, and must not keep others from working.
            SubjectKind::Provision => Slots { _run: take(&self.provision_slots), _more: None },
        }
    }
}

/// Makes ready to drive a leased run. Only the claimer takes slots, so as many are free as it has counted; a run that
/// is taken back waits for none, because its child runs already.
pub(crate) fn drive(shared: &Arc<Shared>, run: Run, resumed: bool) -> Option<Drive> {
    let slots = shared.take_slots(&run);
    Drive::new(shared.clone(), run, slots, resumed)
}

/// Takes back what this worker still holds after a restart.
pub(crate) async fn take_back(shared: &Arc<Shared>) -> Result<Vec<Drive>, Error> {
    let held = shared.store.held_by(&shared.config.worker).await?;
    // What a run that waits for a person has printed is still needed when that person has decided.
    let gated = shared.store.live().await?.into_iter().filter(|run| run.phase() == Phase::Gated).map(|run| run.id);
    let ids: Vec<RunId> = held.iter().map(|run| run.id).chain(gated).collect();
    shared.executor.reconcile(&ids).await;
    // The lease of a run that is driven again must not be rescued by another node meanwhile.
    let now = shared.clock.now();
    shared.store.renew(&shared.config.worker, after(now, shared.config.lease), now).await?;
    for run in &held {
        tracing::info!(run = %run.id, subject = %run.subject, step = run.step().map(tracing::field::display), "taking back a run");
    }
    Ok(held.into_iter().filter_map(|run| drive(shared, run, true)).collect())
}
