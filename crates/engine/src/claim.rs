//! Takes runs that are due or will be in a moment, as many as there are free slots.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_model::{AttemptNo, LedgerEntry, Phase, Record, Run, RunId, Seq, SubjectKind};
use piton_store::{Room, grown};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ahead::{Look, horizon, next_look};
use crate::clock::after;
use crate::drive::Drive;
use crate::provisions::stop_unwanted;
use crate::{Error, Shared};

/// How long to wait before the next look when something is due that could not be claimed: it is another loop's or
/// another node's turn.
const NOT_MINE: Duration = Duration::from_secs(1);

/// Which runs a claimer takes. Each lane has slots of its own, so that neither waits for the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Workspaces, jobs and deployments.
    Runs,
    /// Repositories that are made of blueprints.
    Scaffolds,
}

impl Lane {
    fn has(self, kind: SubjectKind) -> bool {
        match kind {
            SubjectKind::Workspace | SubjectKind::Job | SubjectKind::Deployment => self == Lane::Runs,
            SubjectKind::Scaffold => self == Lane::Scaffolds,
            // Their rows are taken by another loop.
            SubjectKind::Provision => false,
        }
    }

    /// Whether a run of it may be claimable since this entry that was not before.
    fn concerns(self, entry: &LedgerEntry) -> bool {
        match &entry.record {
            Record::Run { subject, .. } => self.has(subject.kind()),
            Record::Skipped { .. } | Record::Removed { .. } | Record::Audit(_) => false,
        }
    }
}

pub(crate) struct Claimer {
    shared: Arc<Shared>,
    lane: Lane,
    /// The answer to a claim was lost: this worker may hold runs of which nothing is known here.
    unsure: bool,
}

impl Claimer {
    pub(crate) fn new(shared: Arc<Shared>, lane: Lane) -> Claimer {
        Claimer { shared, lane, unsure: false }
    }

    /// Claims what is due at `now`, or in a moment, and fits, ready to be driven.
    pub(crate) async fn take(&mut self, now: Timestamp) -> Result<Vec<Drive>, Error> {
        let mut drives = vec![];
        if self.unsure {
            drives.extend(overlooked(&self.shared, |kind| self.lane.has(kind)).await?);
            self.unsure = false;
        }
        let shared = &self.shared;
        let room = shared.room(self.lane);
        if is_full(room) {
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
        let mut known: Option<Known> = None;
        loop {
            let seen = *changes.borrow_and_update();
            let now = shared.clock.now();
            let room = shared.room(self.lane);
            let is_fresh = |known: &Known| why != Why::News || now < after(known.looked, shared.config.check_interval);
            let still =
                known.filter(|known| known.room == room && is_fresh(known) && !self.may_find_more(why, known.seen));
            let looked = still.map_or(now, |known| known.looked);
            let look = match still {
                Some(known) => Ok(Look::At(known.next)),
                None => self.round(why).await,
            };
            known = match look {
                Ok(Look::At(next)) if !self.unsure && shared.room(self.lane) == room => {
                    Some(Known { seen, room, next, looked })
                }
                _ => None,
            };
            let next = match look {
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
            let room = shared.room(self.lane);
            let full = is_full(room);
            let slots = match self.lane {
                Lane::Runs => &shared.slots,
                Lane::Scaffolds => &shared.scaffold_slots,
            };
            let no_deployments = self.lane == Lane::Runs && !full && room.deployments == 0;
            why = tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = free_slot(slots), if full => Why::Due,
                () = free_slot(&shared.deployment_slots), if no_deployments => Why::Due,
                // Without anything that is known to be due, it is worth a look, but no transaction.
                () = shared.clock.sleep_until(wake), if !full => if wake == backstop { Why::Silence } else { Why::Due },
                () = grown(&mut changes, seen), if !full => Why::News,
            };
        }
    }

    /// Whether there may be something to claim that was not there when the ledger ended at `seen`.
    fn may_find_more(&self, why: Why, seen: Seq) -> bool {
        let store = &self.shared.store;
        match why {
            Why::Due => true,
            Why::News => !store.recent_are(seen, |entry| !self.lane.concerns(entry)),
            Why::Silence => store.may_have_grown(seen),
        }
    }

    /// Claims what there may be, and looks when there is something next.
    async fn round(&mut self, why: Why) -> Result<Look, Error> {
        let shared = self.shared.clone();
        let ahead = shared.config.ahead;
        if why != Why::Due && !self.unsure {
            // A claim is a transaction, and most of what happens makes nothing claimable.
            let now = shared.clock.now();
            let next = shared.store.next_claim(now, shared.room(self.lane)).await?;
            if let later @ Look::At(_) = next_look(next, None, now, ahead) {
                return Ok(later);
            }
        }
        let room = shared.room(self.lane);
        let looked = shared.clock.now();
        let drives = self.take(looked).await?;
        let claimed = drives.len();
        for drive in drives {
            shared.drives.spawn(drive.run());
        }
        if claimed >= room.runs + room.scaffolds {
            // There may be more than there were slots for; whether one is free by now shows in a moment.
            let freed = !is_full(shared.room(self.lane));
            return Ok(if freed { Look::Now } else { Look::At(None) });
        }
        let now = shared.clock.now();
        let in_vain = (claimed == 0).then(|| horizon(looked, ahead));
        let next = shared.store.next_claim(now, shared.room(self.lane)).await?;
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
    /// Nothing was heard for a while.
    Silence,
}

/// What a look has found.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// How long the ledger was.
    seen: Seq,
    /// What there was room for.
    room: Room,
    /// When there is something next, as far as that hangs on these.
    next: Option<Timestamp>,
    /// When the database was asked for that.
    looked: Timestamp,
}

fn is_full(room: Room) -> bool {
    room.runs == 0 && room.scaffolds == 0
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
    fn room(&self, lane: Lane) -> Room {
        match lane {
            Lane::Runs => {
                let runs = self.slots.available_permits();
                Room { runs, deployments: self.deployment_slots.available_permits().min(runs), scaffolds: 0 }
            }
            Lane::Scaffolds => Room { scaffolds: self.scaffold_slots.available_permits(), ..Room::default() },
        }
    }

    fn take_slots(&self, run: &Run) -> Slots {
        let take = |slots: &Arc<Semaphore>| slots.clone().try_acquire_owned().ok();
        match run.subject.kind() {
            SubjectKind::Workspace | SubjectKind::Job => Slots { _run: take(&self.slots), _more: None },
            SubjectKind::Deployment => Slots { _run: take(&self.slots), _more: take(&self.deployment_slots) },
            // What it takes is bounded apart, so that a flood of messages keeps nothing else from being done.
            SubjectKind::Scaffold => Slots { _run: take(&self.scaffold_slots), _more: None },
            // A call waits more than it works, and must not keep others from working.
            SubjectKind::Provision => Slots { _run: take(&self.provision_slots), _more: None },
        }
    }
}

/// Makes ready to drive a leased run. Only the claimer of its lane takes its slots, so as many are free as it has counted; a run that
/// is taken back waits for none, because its child runs already.
pub(crate) fn drive(shared: &Arc<Shared>, run: Run, resumed: bool) -> Option<Drive> {
    let slots = shared.take_slots(&run);
    Drive::new(shared.clone(), run, slots, resumed)
}

/// Takes back what this worker still holds after a restart.
pub(crate) async fn take_back(shared: &Arc<Shared>) -> Result<Vec<Drive>, Error> {
    // What was cancelled while this worker was away must not be called once more before that is seen.
    stop_unwanted(shared).await?;
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
