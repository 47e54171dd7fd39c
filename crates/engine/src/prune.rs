//! Removes the runs of jobs that are to go before retention takes them: those beyond the limits of a history, and those
//! that are over for as long as their jobs say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use piton_model::{Action, By, Outcome, Record, Run, RunId, RunState, Seq, Subject, SubjectKind};
use piton_spec::RunRules;
use piton_store::{Ended, grown};

use crate::catalog::Loaded;
use crate::clock::{RETRY, after};
use crate::follow::BATCH;
use crate::leap::Doubt;
use crate::{Error, Shared};

pub(crate) struct Pruner {
    shared: Arc<Shared>,
    /// Up to where the ledger was read; none before the first round.
    seen: Option<Seq>,
    known: Option<Arc<Loaded>>,
    /// Jobs whose history may have grown beyond its limits.
    grown: BTreeSet<Subject>,
    /// When runs are to go, and the entries of the ledger that tell of their ends, where they were read.
    expiring: BTreeMap<(Timestamp, RunId), Option<Seq>>,
    doubt: Doubt,
    /// Whether the wall clock was believed in the last round.
    trusts: bool,
}

impl Pruner {
    pub(crate) fn new(shared: Arc<Shared>) -> Pruner {
        Pruner {
            shared,
            seen: None,
            known: None,
            grown: BTreeSet::new(),
            expiring: BTreeMap::new(),
            doubt: Doubt::default(),
            trusts: true,
        }
    }

    /// When the next run is to go; none as long as the wall clock is not believed.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.expiring.keys().next().map(|(at, _)| *at).filter(|_| self.trusts)
    }

    /// Removes what is to go; how many runs that were.
    pub(crate) async fn handle(&mut self) -> Result<usize, Error> {
        self.take_over_catalog();
        self.follow().await?;
        self.trusts = self.doubt.believes(&self.shared.clock);
        let is_limited = |subject: &Subject| {
            let rules = self.known.as_ref().and_then(|loaded| loaded.catalog.jobs.get(subject)).map(|job| &job.rules);
            rules.is_some_and(|rules| is_limited(rules))
        };
        self.grown.retain(is_limited);
        if self.grown.is_empty() && self.next().is_none_or(|next| next > self.shared.clock.now()) {
            return Ok(0);
        }
        let followed = self.shared.store.followed().await?.unwrap_or(0);
        let mut go = self.expired(followed).await?;
        let mut settled = vec![];
        for subject in self.grown.clone() {
            let rules =
                self.known.as_ref().and_then(|loaded| loaded.catalog.jobs.get(&subject)).map(|job| job.rules.clone());
            let ended = self.shared.store.ended_of(&subject).await?;
            let too_many = rules.map_or(vec![], |rules| excess(&ended, &rules));
            // What a follower has yet to act on goes in a later round.
            let (ready, waiting): (Vec<&Ended>, Vec<&Ended>) =
                too_many.into_iter().partition(|ended| ended.seq <= followed);
            go.extend(ready.into_iter().map(|ended| ended.run.id));
            if waiting.is_empty() {
                settled.push(subject);
            }
        }
        let removed = if go.is_empty() {
            vec![]
        } else {
            self.shared.store.remove(go, By::System, self.shared.clock.now()).await?
        };
        // Only now: what could not be removed is looked at once more.
        for subject in settled {
            self.grown.remove(&subject);
        }
        let count = removed.len();
        self.expiring.retain(|(_, run), _| !removed.contains(run));
        // The log goes after the run: a crash in between leaves a log that nobody finds, not a run without one.
        self.shared.executor.forget(removed).await;
        Ok(count)
    }

    fn take_over_catalog(&mut self) {
        let loaded = self.shared.catalog.borrow().clone();
        if self.known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &loaded)) {
            let limited = loaded.catalog.jobs.values().filter(|job| is_limited(&job.rules));
            self.grown.extend(limited.map(|job| job.subject.clone()));
            self.known = Some(loaded);
        }
    }

    /// Notes the ends since the last round.
    async fn follow(&mut self) -> Result<(), Error> {
        let store = &self.shared.store;
        let mut seen = match self.seen {
            Some(seen) => seen,
            None => {
                let head = store.head().await?;
                self.expiring.extend(store.with_ttl().await?.iter().filter_map(expiry).map(|key| (key, None)));
                *self.seen.insert(head)
            }
        };
        while *store.changes().borrow() != seen {
            let entries = store.entries(seen, BATCH).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            let mut ended = BTreeMap::new();
            for entry in &entries {
                let Record::Run { run, subject, outcome: Some(_), .. } = &entry.record else { continue };
                if subject.kind() == SubjectKind::Job {
                    self.grown.insert(subject.clone());
                    ended.insert(*run, entry.seq);
                }
            }
            // Hardly any run expires, and all would be read for it.
            let ids: Vec<RunId> = ended.keys().copied().collect();
            let expiring = store.with_ttl_among(&ids).await?;
            let of_run = |key: (Timestamp, RunId)| (key, ended.get(&key.1).copied());
            self.expiring.extend(expiring.iter().filter_map(expiry).map(of_run));
            seen = last.seq;
            self.seen = Some(seen);
        }
        Ok(())
    }

    /// What is to go by now, and of whose end every follower knows.
    async fn expired(&mut self, followed: Seq) -> Result<Vec<RunId>, Error> {
        if !self.trusts {
            return Ok(vec![]);
        }
        let now = self.shared.clock.now();
        let mut expired = vec![];
        let due = self.expiring.iter().take_while(|((at, _), _)| *at <= now);
        for ((at, run), ended) in due.map(|(key, ended)| (*key, *ended)).collect::<Vec<_>>() {
            if self.shared.store.run(run).await?.is_none() {
                self.expiring.remove(&(at, run));
                continue;
            }
            let ended = match ended {
                Some(ended) => ended,
                // From before the first round: looked up once.
                None => {
                    let ended = self.shared.store.entries_of(run).await?.last().map_or(0, |entry| entry.seq);
                    self.expiring.insert((at, run), Some(ended));
                    ended
                }
            };
            if ended <= followed {
                expired.push(run);
            }
        }
        Ok(expired)
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut changes = shared.store.changes();
        let mut catalog = shared.catalog.clone();
        loop {
            let seen = *changes.borrow_and_update();
            catalog.mark_unchanged();
            let now = shared.clock.now();
            let backstop = match self.handle().await {
                Ok(removed) => {
                    if removed > 0 {
                        tracing::debug!(removed, "runs of jobs removed");
                    }
                    after(now, shared.config.check_interval)
                }
                Err(error) => {
                    tracing::error!(%error, "could not remove runs of jobs");
                    after(now, RETRY)
                }
            };
            // What has to wait for a follower is looked at when that has moved, which shows in the ledger or soon.
            let wake = self.next().map_or(backstop, |next| next.max(after(now, RETRY)).min(backstop));
            tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = shared.clock.sleep_until(wake) => {}
                _ = catalog.changed() => {}
                () = grown(&mut changes, seen) => {}
            }
        }
    }
}

fn is_limited(rules: &RunRules) -> bool {
    rules.successful_history.is_some() || rules.failed_history.is_some()
}

/// When a run is to go, if it has ended and its job says so.
fn expiry(run: &Run) -> Option<(Timestamp, RunId)> {
    match (&*run.action, &run.state) {
        (Action::Batch(batch), RunState::Ended { at, .. }) => {
            batch.ttl_after_finished.map(|ttl| (after(*at, ttl), run.id))
        }
        _ => None,
    }
}

/// The runs beyond the limits of a history, of all that have ended, the newest first. Pure.
fn excess<'a>(ended: &'a [Ended], rules: &RunRules) -> Vec<&'a Ended> {
    let succeeded = |ended: &&Ended| ended.run.outcome() == Some(&Outcome::Succeeded);
    let beyond = |kept: Option<u32>| kept.map_or(usize::MAX, |kept| usize::try_from(kept).unwrap_or(usize::MAX));
    let successful = ended.iter().filter(succeeded).skip(beyond(rules.successful_history));
    let failed = ended.iter().filter(|run| !succeeded(run)).skip(beyond(rules.failed_history));
    successful.chain(failed).collect()
}
