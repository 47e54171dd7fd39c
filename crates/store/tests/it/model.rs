//! Random operations against the simplest thing that could be right: a list of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use piton_model::{AttemptNo, Backoff, Event, FailureClass, NewRun, Phase, Projection, Run, RunId, Subject, WorkerId};
use piton_store::{Guard, RecordError, Room, Store, Submitted};
use proptest::prelude::*;

use crate::fixture::{Fixture, at, cancel, done, failed, job, keyed_run, locked_run, new_run, worker};

/// What may be done next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Move {
    Submit { lock: u8, priority: i8, delay: u8, key: Option<u8> },
    Claim { limit: u8, ahead: u8 },
    Record { which: u8, event: u8, stale: bool },
    Renew,
    Wait { seconds: u8 },
    Reopen,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..5_u8, -2..3_i8, 0..20_u8, proptest::option::weighted(0.3, 0..6_u8))
            .prop_map(|(lock, priority, delay, key)| Move::Submit { lock, priority, delay, key }),
        4 => (1..5_u8, 0..12_u8).prop_map(|(limit, ahead)| Move::Claim { limit, ahead }),
        6 => (any::<u8>(), 0..5_u8, proptest::bool::weighted(0.1))
            .prop_map(|(which, event, stale)| Move::Record { which, event, stale }),
        1 => Just(Move::Renew),
        3 => (1..15_u8).prop_map(|seconds| Move::Wait { seconds }),
        1 => Just(Move::Reopen),
    ];
    proptest::collection::vec(one, 1..80)
}

struct Kept {
    run: Run,
    queue_at: Timestamp,
}

/// The model: runs in the order in which they were submitted.
#[derive(Default)]
struct List {
    runs: Vec<Kept>,
    projections: BTreeMap<Subject, Projection>,
    entries: usize,
}

impl List {
    fn submit(&mut self, new: NewRun, now: Timestamp) -> Result<Run, RunId> {
        let taken = |kept: &&Kept| kept.run.dedup_key.is_some() && kept.run.dedup_key == new.dedup_key;
        if let Some(existing) = self.runs.iter().find(taken) {
            return Err(existing.run.id);
        }
        let due = new.due;
        let run = Run::submitted(new, now);
        self.see(&run, &Event::Submitted { due }, now);
        self.runs.push(Kept { run: run.clone(), queue_at: due });
        Ok(run)
    }

    fn see(&mut self, run: &Run, event: &Event, now: Timestamp) {
        let before = self.projections.remove(&run.subject).or_else(|| Projection::empty(&run.subject));
        if let Some(before) = before {
            self.projections.insert(run.subject.clone(), before.after(run, event, now));
        }
        self.entries += 1;
    }

    fn is_first_of_its_lock(&self, index: usize) -> bool {
        let this = &self.runs[index];
        this.run.lock_key.is_none()
            || self.runs.iter().enumerate().all(|(other, kept)| {
                kept.run.lock_key != this.run.lock_key
                    || match kept.run.phase() {
                        Phase::Running | Phase::Gated => false,
                        Phase::Pending => (kept.queue_at, other) >= (this.queue_at, index),
                        Phase::Ended => true,
                    }
            })
    }

    fn claimable(&self) -> Vec<usize> {
        let pending = |index: &usize| self.runs[*index].run.phase() == Phase::Pending;
        (0..self.runs.len()).filter(pending).filter(|index| self.is_first_of_its_lock(*index)).collect()
    }

    /// What is due, then what will be by the `horizon`, each in the order of priority and time.
    fn claim(
        &mut self,
        worker: &WorkerId,
        limit: usize,
        until: Timestamp,
        horizon: Timestamp,
        now: Timestamp,
    ) -> Vec<Run> {
        let due = |index: &usize| self.runs[*index].run.due();
        let mut near: Vec<usize> = self.claimable().into_iter().filter(|index| due(index) <= Some(horizon)).collect();
        near.sort_by_key(|index| (due(index) > Some(now), -self.runs[*index].run.priority, due(index), *index));
        near.truncate(limit);
        if near.len() < limit {
            // There is room for all of them.
            near.sort_by_key(|index| (-self.runs[*index].run.priority, due(index), *index));
        }
        near.into_iter()
            .map(|index| {
                let attempt = AttemptNo::after(self.runs[index].run.attempts);
                let event = Event::Claimed { worker: worker.clone(), attempt, lease_until: until, uptime: None };
                self.change(index, &event, now).unwrap()
            })
            .collect()
    }

    fn change(&mut self, index: usize, event: &Event, now: Timestamp) -> Result<Run, piton_model::IllegalTransition> {
        let run = self.runs[index].run.apply(event, now)?;
        self.see(&run, event, now);
        self.runs[index].run = run.clone();
        Ok(run)
    }

    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let claims = self.claimable().into_iter().filter_map(|index| self.runs[index].run.due());
        let active = |kept: &&Kept| matches!(kept.run.phase(), Phase::Running | Phase::Gated);
        let deadlines = self.runs.iter().filter(active).filter_map(|kept| kept.run.due());
        claims.chain(deadlines).min().map(|due| due.max(now))
    }
}

async fn play(fixture: &Fixture, moves: Vec<Move>) {
    let mut store = fixture.open().await;
    let mut list = List::default();
    let mut now = at(0);
    let me = worker("me");
    for step in moves {
        match step {
            Move::Submit { lock, priority, delay, key } => {
                let due = now + Duration::from_secs(u64::from(delay));
                let subject = job(&format!("j{lock}"));
                let mut new = match key {
                    Some(key) => keyed_run(&subject, due, &format!("k{key}")),
                    None => new_run(&subject, due),
                };
                // The lock 0 is none.
                new.lock_key = (lock > 0).then(|| locked_run(&subject, due).lock_key).flatten();
                new.priority = i32::from(priority);
                new.retry = Backoff { max_attempts: 3, first: Duration::from_secs(5), cap: Duration::from_secs(8) };
                let expected = match list.submit(new.clone(), now) {
                    Ok(run) => Submitted::New(run),
                    Err(id) => Submitted::Existing(id),
                };
                assert_eq!(store.submit(vec![new], now).await.unwrap(), [expected]);
            }
            Move::Claim { limit, ahead } => {
                let (until, limit) = (now + Duration::from_secs(15), usize::from(limit));
                // Every other time without looking ahead.
                let horizon = now + Duration::from_secs(u64::from(ahead.saturating_sub(6)));
                let expected = list.claim(&me, limit, until, horizon, now);
                let room = Room { runs: limit, deployments: limit, scaffolds: 0 };
                let claimed = store.claim_ahead(&me, room, until, horizon, now, None).await.unwrap();
                assert_eq!(claimed, expected);
            }
            Move::Record { which, event, stale } if !list.runs.is_empty() => {
                let index = usize::from(which) % list.runs.len();
                record(&store, &mut list, index, event, stale, now).await;
            }
            Move::Renew => {
                let until = now + Duration::from_secs(15);
                let mut held = BTreeSet::new();
                for kept in &mut list.runs {
                    if let piton_model::RunState::Running { lease, .. } = &mut kept.run.state {
                        lease.until = until;
                        held.insert(kept.run.id);
                    }
                }
                let renewed = store.renew(&me, until, now).await.unwrap();
                assert_eq!(renewed, held.into_iter().collect::<Vec<_>>());
            }
            Move::Wait { seconds } => now += Duration::from_secs(u64::from(seconds)),
            Move::Reopen => {
                store.close().await;
                store = fixture.open().await;
            }
            Move::Record { .. } => {}
        }
        assert_eq!(store.next_due(now).await.unwrap(), list.next_due(now));
    }
    for kept in &list.runs {
        assert_eq!(store.run(kept.run.id).await.unwrap().as_ref(), Some(&kept.run));
    }
    let live = list.runs.iter().filter(|kept| kept.run.phase() != Phase::Ended).count();
    assert_eq!(store.live().await.unwrap().len(), live);
    assert_eq!(store.projections(piton_model::SubjectKind::Job).await.unwrap(), list.projections);
    assert_eq!(usize::try_from(store.head().await.unwrap()).unwrap(), list.entries);
    store.close().await;
}

async fn record(store: &Store, list: &mut List, index: usize, event: u8, stale: bool, now: Timestamp) {
    let event = match event {
        0 => done(),
        1 => failed(FailureClass::Transient),
        2 => failed(FailureClass::Permanent),
        3 => cancel(),
        _ => Event::LeaseLost,
    };
    let run = list.runs[index].run.clone();
    let holder = run.lease().map(|lease| lease.attempt);
    let guard = if stale { Guard::Attempt(AttemptNo::after(run.attempts)) } else { Guard::Any };
    let expected = if stale {
        Err(RecordError::Fenced { run: run.id, holder })
    } else {
        list.change(index, &event, now).map_err(RecordError::Illegal)
    };
    assert_eq!(store.record(run.id, event, guard, now).await, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_what_the_list_does(moves in moves()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::sqlite();
            play(&fixture, moves).await;
            fixture.audited().await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn postgres_does_what_the_list_does(moves in moves()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::postgres().await;
            play(&fixture, moves).await;
            fixture.audited().await;
        });
    }
}
