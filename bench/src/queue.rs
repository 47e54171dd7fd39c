//! No-op runs per second: each is submitted, claimed, driven and recorded by the real engine, and each end is durable.
//!
//! As for the peers, all runs are there before the engine starts, and the time counts until the last end is durable.

use std::time::Instant;

use piton_engine::Clock;

use crate::databases::{Databases, Engine};
use crate::noop::{Bench, new_run};
use crate::peers::{Peer, Peers, Queue};
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// Runs in one round, unless that is a filling round.
const ROUND: usize = 20_000;
/// Runs that are executed at once.
const AT_ONCE: usize = 256;
/// What must remain of the clean rate after many runs have finished.
const SHARE: f64 = 80.0;

pub async fn measure(
    databases: &mut Databases,
    peers: &Peers,
    finished: usize,
    rounds: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    say("queue: no-op runs");
    let their = their_rates(databases, peers, finished).await;
    for (engine, goal) in [(Engine::Sqlite, 3_000.0), (Engine::Postgres, 5_000.0)] {
        if let Err(error) = measure_engine(engine, goal, databases, finished, rounds, &their, table).await {
            table.not_measured(&format!("no-op runs, {engine}"), &format!("{error:#}"));
        }
    }
    Ok(())
}

async fn measure_engine(
    engine: Engine,
    goal: f64,
    databases: &mut Databases,
    finished: usize,
    rounds: usize,
    their: &Theirs,
    table: &mut Table,
) -> anyhow::Result<()> {
    let full = databases.fresh(engine).await?;
    fill(&full, finished, engine).await?;
    let (mut submits, mut clean, mut churned) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        // In turns: whatever else the machine does disturbs both.
        let new = round(&databases.fresh(engine).await?, ROUND).await?;
        submits.push(new.submit);
        clean.push(new.execute);
        churned.push(round(&full, ROUND).await?.execute);
    }
    let (submits, clean, churned) = (Spread::of(submits), Spread::of(clean), Spread::of(churned));
    let on_postgres = |text: &str| if engine == Engine::Postgres { text.to_owned() } else { String::new() };
    let rate = |spread: &Spread| Figure { value: spread.median(), unit: "/s" };
    let range = |spread: &Spread| format!(" ({} to {})", shown(spread.min()), shown(spread.max()));
    table.add(
        &format!("runs submitted in bulk, {engine}"),
        rate(&submits),
        &range(&submits),
        Goal::None,
        &on_postgres(&their.inserted),
    );
    table.add(
        &format!("no-op runs, {engine}, clean"),
        rate(&clean),
        &range(&clean),
        Goal::AtLeast(goal),
        &on_postgres(&their.clean),
    );
    let what = format!("no-op runs, {engine}, after {} finished", shown(finished as f64));
    table.add(
        &what,
        rate(&churned),
        &range(&churned),
        Goal::AtLeast(goal * SHARE / 100.0),
        &on_postgres(&their.churned),
    );
    let share = Figure { value: 100.0 * churned.median() / clean.median(), unit: "%" };
    table.add(&format!("- of the clean rate, {engine}"), share, "", Goal::AtLeast(SHARE), "");
    Ok(())
}

async fn fill(url: &str, finished: usize, engine: Engine) -> anyhow::Result<()> {
    let (begun, mut left) = (Instant::now(), finished);
    while left > 0 {
        let some = left.min(50_000);
        round(url, some).await?;
        left -= some;
    }
    say(&format!("  {engine}: {finished} runs finished in {:.0} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

struct Rates {
    submit: f64,
    execute: f64,
}

async fn round(url: &str, runs: usize) -> anyhow::Result<Rates> {
    let bench = Bench::open(url, AT_ONCE).await?;
    let now = Clock::system().now();
    let begun = Instant::now();
    for first in (0..runs).step_by(1_000) {
        let batch = (first..runs.min(first + 1_000)).map(|number| new_run(number, now)).collect::<Result<_, _>>()?;
        bench.engine.store().submit(batch, now).await?;
    }
    let submit = runs as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    bench.engine.start().await?;
    bench.executor.ended(runs).await?;
    let execute = runs as f64 / begun.elapsed().as_secs_f64();
    bench.close().await;
    Ok(Rates { submit, execute })
}

/// What peers did on the same server, in words.
#[derive(Debug, Default)]
struct Theirs {
    inserted: String,
    clean: String,
    churned: String,
}

async fn their_rates(databases: &mut Databases, peers: &Peers, finished: usize) -> Theirs {
    let mut theirs = Theirs::default();
    for peer in peers.each() {
        let found = their_queue(databases, peer, finished).await;
        let (inserted, clean, churned) = match found {
            Ok((default, tuned)) => (
                format!("{} {}", peer.name(), shown(tuned.inserts_per_s)),
                format!("{} {}, tuned {}", peer.name(), shown(default.jobs_per_s), shown(tuned.jobs_per_s)),
                format!("{} tuned {}", peer.name(), shown(tuned.after_finished_per_s.unwrap_or(f64::NAN))),
            ),
            Err(error) => {
                let why = format!("{} not available: {error:#}", peer.name());
                (why.clone(), why.clone(), why)
            }
        };
        for (all, one) in [(&mut theirs.inserted, inserted), (&mut theirs.clean, clean), (&mut theirs.churned, churned)]
        {
            if !all.is_empty() {
                all.push_str("; ");
            }
            all.push_str(&one);
        }
    }
    say(&format!("  peers, clean: {}; after {finished}: {}", theirs.clean, theirs.churned));
    theirs
}

async fn their_queue(databases: &mut Databases, peer: &Peer, finished: usize) -> anyhow::Result<(Queue, Queue)> {
    // With default settings a peer is slow: fewer jobs say the same.
    let default = peer.queue(&databases.fresh(Engine::Postgres).await?, false, ROUND / 4, 0)?;
    let tuned = peer.queue(&databases.fresh(Engine::Postgres).await?, true, ROUND, finished)?;
    Ok((default, tuned))
}
