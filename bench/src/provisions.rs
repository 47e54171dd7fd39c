//! Scheduled provisions on PostgreSQL: how late a delivery begins, how many are made, how fast rows are inserted, what an idle
//! daemon asks of the database, and how soon the rows of a dead one are taken over.
//!
//! The target is a server in this process that answers at once; what it costs counts. The peers deliver to it too, from
//! a process of their own.

mod bench;
mod peers;
mod target;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};

use crate::databases::{Databases, Engine as Database};
use crate::peers::Peers;
use crate::report::{Figure, Goal, Table, say};
use crate::spread::Spread;
use bench::Bench;
use peers::Theirs;
use target::Target;

/// How many rows are due one after the other, how far apart, and when the first of them is.
const ROWS: usize = 300;
const APART: Duration = Duration::from_millis(20);
const AHEAD: Duration = Duration::from_secs(3);
/// How many rows wait for another day meanwhile.
const WAITING: usize = 100_000;
/// How many rows are due at once.
pub const DUE: usize = 10_000;
/// How many calls of the target may be under way at once.
const AT_ONCE: u32 = 16;
/// What must remain of the clean rate after many rows have been delivered.
const SHARE: f64 = 80.0;
/// How long it is counted what an idle daemon asks.
const IDLE: Duration = Duration::from_secs(60);
/// After so long the server has counted everything.
const COUNTED: Duration = Duration::from_secs(12);
/// How many rows a dead worker leaves behind, and how often that is tried.
const LEFT: usize = 64;
const DEATHS: u32 = 3;

pub async fn measure(databases: &mut Databases, peers: &Peers, churn: usize, table: &mut Table) -> anyhow::Result<()> {
    say(&format!("provisions: {WAITING} rows wait, {ROWS} are due one after the other, then {DUE} at once"));
    let target = Target::start().await?;
    let theirs = Theirs::measure(databases, peers, &target.url, DUE, churn, ROWS).await;
    let url = databases.fresh(Database::Postgres).await?;
    let bench = Bench::open(&url, "bench", &target.url, AT_ONCE).await?;
    let per_second = |value| Figure { value, unit: "/s" };

    let another_day = bench.clock.now() + Duration::from_secs(24 * 3600);
    let rows = bench.rows(&vec![another_day; WAITING]);
    let begun = Instant::now();
    bench.insert(rows).await?;
    let inserted = WAITING as f64 / begun.elapsed().as_secs_f64();
    table.add("rows inserted in bulk", per_second(inserted), "", Goal::AtLeast(80_000.0), &theirs.inserted);

    bench.engine.start().await?;
    // The first calls open connections and prepare statements.
    bench.deliver(100, 0).await?;
    let late = lateness(&bench, &target).await?;
    let milliseconds = |value| Figure { value, unit: "ms" };
    let what = "delivery begins after the due time, p50";
    table.add(what, milliseconds(late.median()), "", Goal::AtMost(2.0), &theirs.late);
    let (what, note) = ("delivery begins after the due time, p99", format!(" (max {:.2})", late.max()));
    table.add(what, milliseconds(late.percentile(99.0)), &note, Goal::AtMost(10.0), "");

    let mut ended = 100 + ROWS;
    let clean = rate(&bench, &mut ended, DUE).await?;
    table.add("deliveries, inserted and done", per_second(clean), "", Goal::AtLeast(2_500.0), &theirs.delivered);
    let queries = idle(&url).await?;
    table.add("queries while nothing is due", per_second(queries), "", Goal::AtMost(0.2), "");
    if churn > 0 {
        rate(&bench, &mut ended, churn).await?;
        let after = rate(&bench, &mut ended, DUE).await?;
        table.add(&format!("deliveries after {churn}"), per_second(after), "", Goal::None, &theirs.after);
        let share = Figure { value: 100.0 * after / clean, unit: "%" };
        table.add("- of the clean rate", share, "", Goal::AtLeast(SHARE), "");
    }
    bench.close().await;
    let taken = takeovers(databases).await?;
    let seconds = Figure { value: taken.max(), unit: "s" };
    let note = format!(" (the longest of {})", taken.len());
    table.add("rows of a dead worker are done by another", seconds, &note, Goal::AtMost(15.0), "");
    Ok(())
}

async fn lateness(bench: &Bench, target: &Target) -> anyhow::Result<Spread> {
    let first = bench.clock.now() + AHEAD;
    let times: Vec<Timestamp> = (0..u32::try_from(ROWS)?).map(|row| first + APART * row).collect();
    let rows = bench.rows(&times);
    let due: HashMap<String, Timestamp> = rows.iter().map(|row| (row.id.to_string(), row.schedule_time)).collect();
    bench.insert(rows).await?;
    bench.caller.ended(100 + ROWS).await?;
    Ok(target.lateness(&due))
}

/// Deliveries per second.
async fn rate(bench: &Bench, ended: &mut usize, rows: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    bench.deliver(rows, *ended).await?;
    *ended += rows;
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}

/// How many transactions the server has counted in a database.
async fn transactions(server: &mut PgConnection, database: &str) -> anyhow::Result<i64> {
    for row in sqlx::query("TABLE pg_stat_database").fetch_all(server).await? {
        if row.try_get::<Option<String>, _>("datname")?.as_deref() == Some(database) {
            return Ok(row.try_get::<i64, _>("xact_commit")? + row.try_get::<i64, _>("xact_rollback")?);
        }
    }
    anyhow::bail!("the server knows no database {database}")
}

/// How many transactions a second there are in this database while nobody wants anything.
async fn idle(url: &str) -> anyhow::Result<f64> {
    let mut server = PgConnection::connect(url).await?;
    let options: PgConnectOptions = url.parse()?;
    let name = options.get_database().context("the address names no database")?;
    tokio::time::sleep(COUNTED).await;
    let before = transactions(&mut server, name).await?;
    tokio::time::sleep(IDLE).await;
    let after = transactions(&mut server, name).await?;
    server.close().await?;
    // The first of the two counted itself afterwards.
    Ok((after - before - 1) as f64 / IDLE.as_secs_f64())
}

/// Seconds from the death of a worker in the midst of its calls until another one has made them.
async fn takeovers(databases: &mut Databases) -> anyhow::Result<Spread> {
    let mut taken = Vec::new();
    for round in 0..DEATHS {
        let (url, target) = (databases.fresh(Database::Postgres).await?, Target::start().await?);
        target.hold(true);
        // A runtime of its own: it is gone at once, with all that runs in it and all its connections.
        let life = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (address, place) = (url.clone(), target.url.clone());
        let living = life.spawn(async move {
            let dying = Bench::open(&address, "dying", &place, 64).await?;
            dying.engine.start().await?;
            dying.insert(dying.rows(&[dying.clock.now(); LEFT])).await?;
            anyhow::Ok(dying)
        });
        let dying = living.await??;
        while target.called() < LEFT {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let heir = Bench::open(&url, "heir", &target.url, 64).await?;
        heir.engine.start().await?;
        // Between two renewals, a little later each time.
        tokio::time::sleep(Duration::from_secs(7) + Duration::from_millis(900) * round).await;
        target.hold(false);
        let begun = Instant::now();
        life.shutdown_background();
        // The lost tries have ended too, when they were given up.
        heir.caller.ended(2 * LEFT).await?;
        taken.push(begun.elapsed().as_secs_f64());
        // Its engine has no runtime any more, so that nothing of it goes on.
        drop(dying);
        heir.close().await;
    }
    Ok(Spread::of(taken))
}
