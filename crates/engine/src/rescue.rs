//! Renews the leases of this worker; ends those of workers that are gone, and gates that nobody answered.
//!
//! Whether another worker is gone is not judged by comparing its clock with this one's: its lease is over when it was
//! not renewed for as long as a lease lasts, while this worker looked. A wall clock that is set, or runs ahead, takes
//! nobody's runs away; nor does a database that was away, since nobody could renew then.
//!
//! A worker that could not renew a lease stops what it does before another one may give it up, without asking anybody: it
//! may have been cut off from the database, or have been stopped itself. Where nobody else was there when it looked last,
//! it goes on: there is nobody to take the run, and an outage of the database need not cost an apply.
//!
//! Scheduled provisions are given up sooner, when a few renewals are missing: people wait for them, and
//! to be wrong about it costs little. The one who was only slow is fenced, and the target knows both calls by one key.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use piton_model::{AttemptNo, By, Decision, Event, Lease, Run, RunId, RunState, SubjectKind};
use piton_store::{Guard, RecordError, grown};

use crate::clock::{Moment, after};
use crate::{Error, Shared};

/// How many overdue runs one round takes care of.
const BATCH: usize = 2_000;
/// How long nobody looks while nothing is under way anywhere, and how soon after that changed somebody does.
const QUIET: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(1);
/// How long the holder of a scheduled provision may be silent at most, however long a lease is.
const PROMPT: Duration = Duration::from_secs(9);
/// How long to wait before what is over is tried to be ended again.
const AGAIN: Duration = Duration::from_millis(250);

pub(crate) struct Rescuer {
    shared: Arc<Shared>,
    /// The leases of others as they were last seen, and since when they look like that.
    watched: HashMap<RunId, Watched>,
    /// When this worker looked last.
    looked: Option<Moment>,
    /// There was nothing then that could be overdue soon.
    quiet: bool,
}

/// A lease that was not renewed since a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watched {
    attempt: AttemptNo,
    until: Timestamp,
    since: Moment,
    /// For how long it may look like that.
    patience: Duration,
}

impl Watched {
    fn new(lease: &Lease, since: Moment, patience: Duration) -> Watched {
        Watched { attempt: lease.attempt, until: lease.until, since, patience }
    }

    /// When it is over, if it is not renewed.
    fn over(&self) -> Moment {
        self.since.after(self.patience)
    }

    /// Whether it is the lease that was seen `before`.
    fn is_as(&self, before: &Watched) -> bool {
        (self.attempt, self.until) == (before.attempt, before.until)
    }
}

/// Extends the leases of this worker, and stops what it does not hold any more.
pub(crate) async fn renew(shared: &Shared) -> Result<(), Error> {
    let driven: Vec<(RunId, AttemptNo)> = shared.drivers().iter().map(|(run, driver)| (*run, driver.attempt)).collect();
    let (now, asked) = (shared.clock.now(), shared.clock.moment());
    let held = shared.store.renew(&shared.config.worker, after(now, shared.config.lease), now).await?;
    let held: BTreeSet<RunId> = held.into_iter().collect();
    shared.keep(&driven, &held, asked);
    look_for_peers(shared).await
}

/// Sees whether another node works on the same database.
pub(crate) async fn look_for_peers(shared: &Shared) -> Result<(), Error> {
    let peers = shared.store.has_peers().await?;
    if shared.has_peers.swap(peers, Ordering::Relaxed) != peers {
        let told =
            if peers { "another daemon works on this database" } else { "no other daemon works on this database" };
        tracing::info!("{told}");
    }
    Ok(())
}

/// When a worker stops what it does under a lease that it has not renewed since: after two renewals have failed, so that
/// the rest of the lease is left for the stop.
fn gives_up(kept: Moment, lease: Duration) -> Moment {
    kept.after(lease / 3 * 2)
}

/// Whether nobody can have given up yet what was held then, also where it is a scheduled provision. Pure.
pub(crate) fn is_fresh(kept: Moment, lease: Duration, now: Moment) -> bool {
    now < kept.after(prompt(lease) / 3 * 2)
}

/// Stops, without a look at the store, what is driven here under leases that were not renewed in time.
pub(crate) async fn guard_leases(shared: Arc<Shared>) {
    loop {
        let now = shared.clock.moment();
        let next = shared.stop_unrenewed(now);
        let wake = now.after(shared.config.lease / 3);
        tokio::select! {
            () = shared.stages.over.cancelled() => return,
            () = shared.clock.sleep_to(next.map_or(wake, |next| next.min(wake))) => {}
        }
    }
}

impl Shared {
    /// Takes note of which of what was driven is held still, as of when that was asked; the rest stops.
    pub(crate) fn keep(&self, driven: &[(RunId, AttemptNo)], held: &BTreeSet<RunId>, asked: Moment) {
        let mut drivers = self.drivers();
        for (run, attempt) in driven {
            // A later attempt of the same run may have begun here since.
            let Some(driver) = drivers.get_mut(run).filter(|driver| driver.attempt == *attempt) else { continue };
            if held.contains(run) {
                driver.kept = driver.kept.max(asked);
            } else {
                // Either it ended just now, or another worker took it: whatever that attempt still does must stop.
                driver.stop.cancel();
            }
        }
        self.renewed.notify_waiters();
    }

    /// Stops what is to be given up by now; when to look again.
    fn stop_unrenewed(&self, now: Moment) -> Option<Moment> {
        if !self.has_peers.load(Ordering::Relaxed) {
            return None;
        }
        let mut next = None;
        for (run, driver) in &*self.drivers() {
            let until = gives_up(driver.kept, self.config.lease);
            if until > now {
                next = Some(next.map_or(until, |next: Moment| next.min(until)));
            } else if !driver.unrenewed.is_cancelled() {
                tracing::warn!(%run, "its lease could not be renewed in time: the run is stopped here");
                driver.unrenewed.cancel();
            }
        }
        next
    }

    /// Whether this very attempt is driven here.
    fn is_driving(&self, run: &Run) -> bool {
        let attempt = run.lease().filter(|lease| lease.worker == self.config.worker).map(|lease| lease.attempt);
        attempt.is_some() && self.drivers().get(&run.id).map(|driver| driver.attempt) == attempt
    }
}

impl Rescuer {
    pub(crate) fn new(shared: Arc<Shared>) -> Rescuer {
        Rescuer { shared, watched: HashMap::new(), looked: None, quiet: false }
    }

    /// Ends what is overdue; how many runs that were.
    pub(crate) async fn handle(&mut self) -> Result<usize, Error> {
        let shared = self.shared.clone();
        let (now, moment, lease) = (shared.clock.now(), shared.clock.moment(), shared.config.lease);
        // All leases end within the length of one, by the clock of whoever renewed them.
        let mut near = shared.store.overdue(after(now, lease.max(QUIET)), BATCH).await?;
        let looked = self.looked.replace(moment);
        if looked.is_none_or(|looked| looked.after(lease) < moment) {
            self.watched.clear();
        }
        if looked.is_none_or(|looked| looked.after(pause(lease) * 3 / 2) < moment) {
            self.wait_anew();
        }
        self.quiet = near.is_empty();
        // What is driven here is not lost, however late its lease was renewed; only others may think so.
        near.retain(|run| !shared.is_driving(run));
        self.watch(&near, moment);
        let ends = near.iter().filter_map(|run| {
            let silent = self.watched.get(&run.id).is_some_and(|seen| seen.over() <= moment);
            let (event, guard) = verdict(run, silent, now)?;
            tracing::warn!(run = %run.id, subject = %run.subject, event = event.as_str(), "overdue");
            Some(shared.store.record(run.id, event, guard, now))
        });
        let (mut rescued, mut failed) = (0, None);
        // In one transaction, where it can be: a worker that is gone may have held many.
        for ended in join_all(ends).await {
            match ended {
                Ok(run) => {
                    rescued += 1;
                    if run.outcome().is_some() {
                        shared.executor.ended(&run).await;
                    }
                }
                // Somebody else was faster, or it was renewed meanwhile.
                Err(RecordError::NotFound(_) | RecordError::Fenced { .. } | RecordError::Illegal(_)) => {}
                Err(RecordError::Store(error)) => failed = Some(error),
            }
        }
        failed.map_or(Ok(rescued), |error| Err(error.into()))
    }

    /// This worker was kept from looking or writing, and others perhaps from renewing: who would be given up soon gets
    /// all of that time once more.
    fn wait_anew(&mut self) {
        let lease = self.shared.config.lease;
        self.watched.retain(|_, seen| seen.patience >= lease);
    }

    /// Remembers since when each lease has looked as it does.
    fn watch(&mut self, near: &[Run], moment: Moment) {
        let seen = near.iter().filter_map(|run| {
            let lease = Watched::new(run.lease()?, moment, patience(run, self.shared.config.lease));
            let before = self.watched.get(&run.id).copied().filter(|before| lease.is_as(before));
            Some((run.id, before.unwrap_or(lease)))
        });
        self.watched = seen.collect();
    }

    /// When a lease is over next, if it is not renewed.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.watched.values().map(Watched::over).min()
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let pause = pause(shared.config.lease);
        let mut changes = shared.store.changes();
        loop {
            let seen = *changes.borrow_and_update();
            // Also where it holds nothing itself, as long as others may: to see whether one can.
            let (asked, mut could) = (shared.clock.moment(), true);
            let idle = self.quiet && shared.drivers().is_empty();
            let looked = if idle { look_for_peers(&shared).await } else { renew(&shared).await };
            if let Err(error) = looked {
                tracing::error!(%error, "could not renew leases");
                could = false;
            }
            if !could || asked.after(pause) < shared.clock.moment() {
                self.wait_anew();
            }
            match self.handle().await {
                Ok(BATCH..) => continue,
                Ok(_) => {}
                Err(error) => {
                    self.quiet = false;
                    tracing::error!(%error, "could not rescue runs");
                }
            }
            let quiet = self.quiet && shared.drivers().is_empty();
            let wake = shared.clock.moment().after(if quiet { pause.max(QUIET) } else { pause });
            // What is over already could not be ended just now, and is not tried at once.
            let again = shared.clock.moment().after(AGAIN);
            let wake = self.next().map_or(wake, |next| next.max(again).min(wake));
            let something = async {
                grown(&mut changes, seen).await;
                shared.clock.sleep(SOON).await;
            };
            tokio::select! {
                () = shared.stages.over.cancelled() => return,
                () = shared.clock.sleep_to(wake) => {}
                () = something, if quiet => {}
            }
        }
    }
}

/// How often leases are renewed, and looked at: often enough for those who are given up soon.
fn pause(lease: Duration) -> Duration {
    (lease / 5).min(PROMPT / 3)
}

/// How long the holder of a scheduled provision may be silent. Pure.
fn prompt(lease: Duration) -> Duration {
    (lease * 3 / 5).min(PROMPT)
}

/// How long the holder of a run may be silent. Pure.
fn patience(run: &Run, lease: Duration) -> Duration {
    match run.subject.kind() {
        SubjectKind::Provision => prompt(lease),
        SubjectKind::Workspace | SubjectKind::Job | SubjectKind::Deployment | SubjectKind::Scaffold => lease,
    }
}

/// What becomes of a run whose holder was silent for the length of a lease, or whose question has lapsed. Pure.
fn verdict(run: &Run, silent: bool, now: Timestamp) -> Option<(Event, Guard)> {
    match &run.state {
        RunState::Running { lease, .. } if silent => Some((Event::LeaseLost, Guard::Attempt(lease.attempt))),
        RunState::Gated { expires, .. } if *expires <= now => {
            Some((Event::Decided { decision: Decision::Expire, by: By::System }, Guard::Any))
        }
        RunState::Running { .. } | RunState::Gated { .. } | RunState::Pending { .. } | RunState::Ended { .. } => None,
    }
}
