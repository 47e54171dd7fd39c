//! How long a run that is due waits for the executor.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use piton_engine::Clock;
use piton_model::RunId;

use crate::databases::{Databases, Engine};
use crate::noop::{Bench, new_run};
use crate::peers::Peers;
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// How many runs.
const RUNS: usize = 200;
/// When the first of them is due.
const AHEAD: Duration = Duration::from_secs(3);
/// Between two due times.
const APART: Duration = Duration::from_millis(20);
/// Between two runs that are due when they are submitted.
const BETWEEN: Duration = Duration::from_millis(15);

pub async fn measure(databases: &mut Databases, peers: &Peers, table: &mut Table) -> anyhow::Result<()> {
    say("latency: from the due time to the executor");
    let their = their_waits(databases, peers).await;
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (due, immediate) = match engine_waits(&databases.fresh(engine).await?).await {
            Ok(waits) => waits,
            Err(error) => {
                table.not_measured(&format!("pick-up, {engine}"), &format!("{error:#}"));
                continue;
            }
        };
        let on_postgres = |text: &str| if engine == Engine::Postgres { text.to_owned() } else { String::new() };
        add(table, &format!("pick-up from due time, {engine}"), &due, Goals::Set, &on_postgres(&their.0));
        add(table, &format!("pick-up at once, {engine}"), &immediate, Goals::Tail, &on_postgres(&their.1));
    }
    Ok(())
}

enum Goals {
    /// Of the median and of the tail.
    Set,
    /// Of the tail only.
    Tail,
}

fn add(table: &mut Table, what: &str, waits: &Spread, goals: Goals, peers: &str) {
    let half = match goals {
        Goals::Set => Goal::AtMost(2.0),
        Goals::Tail => Goal::None,
    };
    table.add(&format!("{what}, p50"), Figure { value: waits.median(), unit: "ms" }, "", half, peers);
    let figure = Figure { value: waits.percentile(99.0), unit: "ms" };
    table.add(&format!("{what}, p99"), figure, &format!(" (max {})", shown(waits.max())), Goal::AtMost(10.0), "");
}

async fn engine_waits(url: &str) -> anyhow::Result<(Spread, Spread)> {
    let bench = Bench::open(url, 256).await?;
    bench.engine.start().await?;
    let clock = Clock::system();
    // The first statements are prepared, the caches warm.
    for number in 0..50 {
        let now = clock.now();
        bench.engine.store().submit(vec![new_run(number, now)?], now).await?;
    }
    bench.executor.ended(50).await?;
    bench.executor.take();

    let now = clock.now();
    let mut due = HashMap::new();
    let mut batch = vec![];
    for number in 0..RUNS {
        let run = new_run(number, now + AHEAD + APART * u32::try_from(number)?)?;
        due.insert(run.id, run.due);
        batch.push(run);
    }
    bench.engine.store().submit(batch, now).await?;
    bench.executor.ended(50 + RUNS).await?;
    let from_due = waits(&bench, &due);

    let mut asked = HashMap::new();
    for number in 0..RUNS {
        let now = clock.now();
        let run = new_run(number, now)?;
        asked.insert(run.id, now);
        bench.engine.store().submit(vec![run], now).await?;
        clock.sleep_until(now + BETWEEN).await;
    }
    bench.executor.ended(50 + 2 * RUNS).await?;
    let immediate = waits(&bench, &asked);
    bench.close().await;
    Ok((from_due, immediate))
}

fn waits(bench: &Bench, since: &HashMap<RunId, Timestamp>) -> Spread {
    let begun = bench.executor.take().into_iter();
    Spread::of(
        begun.filter_map(|begun| (begun.at - *since.get(&begun.run)?).total(jiff::Unit::Millisecond).ok()).collect(),
    )
}

async fn their_waits(databases: &mut Databases, peers: &Peers) -> (String, String) {
    let (mut due, mut immediate) = (vec![], vec![]);
    for peer in peers.each() {
        for tuned in [false, true] {
            let waits = match databases.fresh(Engine::Postgres).await {
                Ok(url) => peer.waits(&url, tuned, RUNS),
                Err(error) => Err(error),
            };
            let name = if tuned { "tuned".to_owned() } else { peer.name().to_owned() };
            match waits {
                Ok(waits) => {
                    due.push(format!("{name} {}", both(&Spread::of(waits.due_ms))));
                    immediate.push(format!("{name} {}", both(&Spread::of(waits.immediate_ms))));
                }
                Err(error) => due.push(format!("{} not available: {error:#}", peer.name())),
            }
        }
    }
    let both = |mut parts: Vec<String>| {
        if !parts.is_empty() {
            parts.insert(0, "p50 / p99:".to_owned());
        }
        parts.join(" ")
    };
    let (due, immediate) = (both(due), both(immediate));
    say(&format!("  peers, from due time: {due}; at once: {immediate}"));
    (due, immediate)
}

fn both(waits: &Spread) -> String {
    format!("{} / {}", shown(waits.median()), shown(waits.percentile(99.0)))
}
