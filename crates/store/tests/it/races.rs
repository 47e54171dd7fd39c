//! What many callers do at once, on as many nodes as the engine allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use piton_model::{By, Decision, Event, LockKey, OutcomeKind, Record, RunId};
use piton_store::{Fire, FireResult, Guard, RecordError, Store};
use tokio::task::JoinSet;

use crate::fixture::{
    Fixture, at, cancel, claim_one, cron_run, deployment, end, gate_digest, job, keyed_run, locked_run, new_run,
    on_both_engines, submit_one, to_the_gate, worker, workspace,
};

on_both_engines!(
    every_run_is_claimed_once_and_in_the_order_of_its_lock,
    positions_appear_in_order_and_without_gaps,
    a_fire_happens_once_on_all_nodes,
    a_follower_acts_on_each_entry_once,
    of_an_approval_and_a_cancel_one_wins,
    the_same_key_from_everywhere_makes_one_run,
);

const RUNS: usize = 600;
const LOCKS: usize = 37;

async fn every_run_is_claimed_once_and_in_the_order_of_its_lock(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    let mut order: BTreeMap<LockKey, Vec<RunId>> = BTreeMap::new();
    let runs: Vec<_> = (0..RUNS)
        .map(|number| {
            let mut run = locked_run(&job(&format!("j{}", number % LOCKS)), at(0));
            run.priority = i32::try_from(number % 3).unwrap();
            order.entry(run.lock_key.clone().unwrap()).or_default().push(run.id);
            run
        })
        .collect();
    nodes[0].submit(runs, at(0)).await.unwrap();

    let ended = Arc::new(AtomicUsize::new(0));
    let clock = Arc::new(AtomicI64::new(1));
    let mut claimers = JoinSet::new();
    for number in 0..8 {
        let store = nodes[number % nodes.len()].clone();
        let (ended, clock) = (Arc::clone(&ended), Arc::clone(&clock));
        claimers.spawn(async move {
            let me = worker(&format!("w{number}"));
            let mut mine = Vec::new();
            while ended.load(Ordering::Relaxed) < RUNS {
                let now = at(clock.fetch_add(1, Ordering::Relaxed));
                let limit = if number % 2 == 0 { 1 } else { 6 };
                let claimed = store.claim(&me, limit, now + Duration::from_secs(1_000_000), now, None).await.unwrap();
                for run in claimed {
                    end(&store, &run, now).await;
                    ended.fetch_add(1, Ordering::Relaxed);
                    mine.push(run.id);
                }
                tokio::task::yield_now().await;
            }
            mine
        });
    }
    let mut claimed: Vec<RunId> = claimers.join_all().await.into_iter().flatten().collect();
    claimed.sort_unstable();
    assert_eq!(claimed.len(), RUNS);
    claimed.dedup();
    assert_eq!(claimed.len(), RUNS, "a run was claimed twice");

    let mut taken: BTreeMap<LockKey, Vec<RunId>> = BTreeMap::new();
    for entry in nodes[0].entries(0, 10_000).await.unwrap() {
        if let Record::Run { run, subject, event: Event::Claimed { .. }, .. } = entry.record {
            taken.entry(subject.lock_key()).or_default().push(run);
        }
    }
    assert_eq!(taken, order);
}

async fn positions_appear_in_order_and_without_gaps(fixture: &Fixture) {
    const TASKS: i64 = 6;
    const EACH: i64 = 60;
    let nodes = fixture.nodes().await;
    let mut writers = JoinSet::new();
    for task in 0..TASKS {
        let store = nodes[usize::try_from(task).unwrap() % nodes.len()].clone();
        writers.spawn(async move {
            for _ in 0..EACH {
                submit_one(&store, new_run(&job(&format!("j{task}")), at(0)), at(0)).await;
            }
        });
    }
    // A follower that reads all the time never sees a position before an earlier one.
    let reader = nodes[nodes.len() - 1].clone();
    let mut seen = 0;
    while seen < TASKS * EACH {
        for entry in reader.entries(seen, 50).await.unwrap() {
            assert_eq!(entry.seq, seen + 1);
            seen = entry.seq;
        }
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    assert_eq!(reader.head().await.unwrap(), TASKS * EACH);
}

async fn a_fire_happens_once_on_all_nodes(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    let mut tickers = JoinSet::new();
    for number in 0..6 {
        let store = nodes[number % nodes.len()].clone();
        tickers.spawn(async move {
            let subject = job("backup");
            let (mut expect, mut fired) = (None, 0);
            while expect < Some(at(40)) {
                let cursor = expect.map_or(at(1), |last| last + Duration::from_secs(1));
                let fire = Fire {
                    subject: subject.clone(),
                    expect,
                    cursor,
                    submit: vec![cron_run(&subject, cursor)],
                    cancel: Vec::new(),
                    skipped: Vec::new(),
                };
                expect = match store.fire(fire, cursor).await.unwrap() {
                    FireResult::Fired(_) => {
                        fired += 1;
                        Some(cursor)
                    }
                    FireResult::Moved(cursor) => cursor,
                };
            }
            fired
        });
    }
    assert_eq!(tickers.join_all().await.into_iter().sum::<usize>(), 40);
    assert_eq!(nodes[0].live().await.unwrap().len(), 40);
}

async fn a_follower_acts_on_each_entry_once(fixture: &Fixture) {
    const SOURCES: usize = 60;
    let nodes = fixture.nodes().await;
    let mut tasks = JoinSet::new();
    let source = nodes[0].clone();
    tasks.spawn(async move {
        for number in 0..SOURCES {
            submit_one(&source, new_run(&workspace("source"), at(number as i64)), at(number as i64)).await;
        }
    });
    for number in 0..4 {
        let store = nodes[number % nodes.len()].clone();
        tasks.spawn(async move { follow(&store, SOURCES).await });
    }
    tasks.join_all().await;
    assert_eq!(nodes[0].active_of(&job("echo")).await.unwrap().len(), SOURCES);
}

/// Answers every run of a workspace with a run of a job, until there are `answers`.
async fn follow(store: &Store, answers: usize) {
    while store.active_of(&job("echo")).await.unwrap().len() < answers {
        let from = store.follow_cursor("echo").await.unwrap();
        let entries = store.entries(from, 10).await.unwrap();
        let Some(last) = entries.last() else {
            tokio::task::yield_now().await;
            continue;
        };
        let follows = entries.iter().filter_map(|entry| match &entry.record {
            Record::Run { subject, event: Event::Submitted { due }, .. } if *subject == workspace("source") => {
                // No key: nothing but the cursor keeps it from happening twice.
                Some(new_run(&job("echo"), *due))
            }
            _ => None,
        });
        store.advance("echo", from, last.seq, follows.collect(), Vec::new(), last.at).await.unwrap();
    }
}

async fn of_an_approval_and_a_cancel_one_wins(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    for round in 0..20 {
        let now = at(round * 100);
        let name = format!("w{round}");
        let run = submit_one(&nodes[0], deployment(&name, now), now).await;
        let running = claim_one(&nodes[0], &worker("me"), now).await;
        to_the_gate(&nodes[0], &running, now).await;
        let approve = Event::Decided { decision: Decision::Approve { digest: gate_digest() }, by: By::System };
        let (approved, rejected) = tokio::join!(
            nodes[0].record(run.id, approve, Guard::Any, now),
            nodes[nodes.len() - 1].record(
                run.id,
                Event::Decided { decision: Decision::Reject { reason: None }, by: By::System },
                Guard::Any,
                now
            ),
        );
        match (&approved, &rejected) {
            (Ok(_), Err(RecordError::Illegal(_))) => {
                nodes[0].record(run.id, cancel(), Guard::Any, now).await.unwrap();
            }
            (Err(RecordError::Illegal(_)), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
        let outcome = nodes[0].run(run.id).await.unwrap().unwrap().outcome().map(piton_model::Outcome::kind);
        assert!(matches!(outcome, Some(OutcomeKind::Cancelled | OutcomeKind::Rejected)), "{outcome:?}");
    }
}

async fn the_same_key_from_everywhere_makes_one_run(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = nodes[task % nodes.len()].clone();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for number in 0..30 {
                let run = keyed_run(&job("j"), at(0), &format!("key-{number}"));
                ids.push(store.submit(vec![run], at(0)).await.unwrap()[0].id());
            }
            ids
        });
    }
    let answers: BTreeSet<Vec<RunId>> = tasks.join_all().await.into_iter().collect();
    assert_eq!(answers.len(), 1, "everybody was told the same runs");
    assert_eq!(nodes[0].head().await.unwrap(), 30);
}
