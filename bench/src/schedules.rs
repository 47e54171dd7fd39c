//! Many schedules held by the trigger of the engine: memory, processor time, lateness.

use std::path::Path;
use std::time::{Duration, Instant};

use piton_engine::{Clock, Loader};
use piton_keeper::footprint::Ebb;
use piton_model::Origin;
use piton_spec::Layout;
use tokio_util::sync::CancellationToken;

use crate::databases::{Databases, Engine};
use crate::noop::{Begun, Bench};
use crate::process_use::{cpu_seconds, memory};
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(60);
/// How often it is looked what they take meanwhile.
const LOOKS: Duration = Duration::from_secs(5);
/// How often the daemon looks over all declarations, whether or not it was told of a change.
const LOADS: Duration = Duration::from_secs(60);

pub async fn measure(databases: &mut Databases, count: usize, table: &mut Table) -> anyhow::Result<()> {
    say(&format!("schedules: {count} held"));
    let dir = tempfile::tempdir()?;
    write_jobs(&dir.path().join("jobs"), count)?;
    let url = databases.fresh(Engine::Sqlite).await?;
    let clock = Clock::system();
    let before = memory("self")?;

    let begun = Instant::now();
    let ebb = tokio::spawn(give_back(clock.clone()));
    let layout = Layout::new(dir.path(), &dir.path().join("data"));
    let loader = Loader::new(layout, clock.clone(), LOADS);
    let catalog = loader.subscribe();
    let declared = catalog.borrow().catalog.jobs.len();
    anyhow::ensure!(declared == count, "{declared} of {count} jobs were loaded");
    let loading = begun.elapsed().as_secs_f64();

    let bench = Bench::with_catalog(&url, 256, catalog).await?;
    let begun = Instant::now();
    bench.engine.start().await?;
    while bench.engine.store().cursors().await?.len() < count {
        clock.sleep(Duration::from_millis(200)).await;
    }
    let first_round = begun.elapsed().as_secs_f64();
    let stop = CancellationToken::new();
    let reload = loader.reload();
    let watching = tokio::spawn(loader.run(stop.clone()));
    // What the start has left to do is not what holding them costs.
    reload.now().await;
    clock.sleep(Duration::from_secs(2)).await;
    bench.executor.take();

    let (cpu, begun) = (cpu_seconds("self")?, Instant::now());
    let mut held = vec![];
    while begun.elapsed() < WATCHED {
        clock.sleep(LOOKS).await;
        held.push((memory("self")?.rss - before.rss) * 1_000.0 / count as f64);
    }
    let share = 100.0 * (cpu_seconds("self")? - cpu) / begun.elapsed().as_secs_f64();
    let held = Spread::of(held);
    let late = Spread::of(bench.executor.take().iter().filter_map(lateness).collect());
    stop.cancel();
    ebb.abort();
    watching.await?;
    bench.close().await;

    let what = |figure: &str| format!("{} schedules: {figure}", shown(count as f64));
    let seconds = |value| Figure { value, unit: "s" };
    table.add(&what("loaded from files in"), seconds(loading), "", Goal::None, "");
    table.add(&what("first round, cursors durable in"), seconds(first_round), "", Goal::None, "");
    let per_thousand = Figure { value: held.median(), unit: "MB" };
    let note = format!(" (max {}, while the files are looked at)", shown(held.max()));
    table.add(&what("memory per 1,000"), per_thousand, &note, Goal::AtMost(1.0), "");
    table.add(&what("share of a core"), Figure { value: share, unit: "%" }, "", Goal::AtMost(5.0), "");
    let note = format!(" (max {} s, {} fires)", shown(late.max()), late.len());
    table.add(&what("lateness, p99"), seconds(late.percentile(99.0)), &note, Goal::AtMost(1.0), "");
    Ok(())
}

/// Gives memory back as the daemon does.
async fn give_back(clock: Clock) {
    let mut ebb = Ebb::default();
    loop {
        clock.sleep(Duration::from_secs(2)).await;
        ebb.give_back();
    }
}

/// From the fire of the schedule to the executor, in seconds.
fn lateness(begun: &Begun) -> Option<f64> {
    match begun.origin {
        Origin::Cron { fire, .. } => (begun.at - fire).total(jiff::Unit::Second).ok(),
        _ => None,
    }
}

/// Nine in ten fire once a day, one in ten every hour, spread over the minutes: about 230 fires in each minute of
/// 100,000 schedules, all at its beginning.
fn write_jobs(dir: &Path, count: usize) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    for number in 0..count {
        let (minute, hour) = (number / 10 % 60, number / 600 % 24);
        let schedule = if number % 10 == 0 { format!("{minute} * * * *") } else { format!("{minute} {hour} * * *") };
        let name = format!("job-{number:06}");
        let job = serde_json::json!({ "name": name, "type": "command", "schedule": schedule, "command": "true" });
        std::fs::write(dir.join(format!("{name}.json")), job.to_string())?;
    }
    Ok(())
}
