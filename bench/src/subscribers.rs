//! Many subscribers to the log of one run: how late its lines come, and what each subscriber costs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use http_body_util::BodyExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Ask, Client};
use crate::daemon::{Daemon, Place, program};
use crate::process_use::memory;
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// Ten lines in a second, each with its number and its time in nanoseconds. They go on until the run is cancelled.
const JOB: &str = r#"{"name": "ticker", "type": "command", "schedule": "0 0 1 1 *",
    "command": "i=0; while :; do i=$((i+1)); echo tick $i $(date +%s%N); sleep 0.1; done"}"#;

const PATIENCE: Duration = Duration::from_secs(120);

pub async fn measure(binaries: &Path, subscribers: usize, seconds: u64, table: &mut Table) -> anyhow::Result<()> {
    say(&format!("subscribers: {subscribers} of one log at 10 lines/s, {seconds} s"));
    raise_limit(subscribers)?;
    let program = program(binaries)?;
    let place = Place::new()?;
    let settings = "[server]\nrate_limit = 0\nmax_connections = 100000\nmax_connections_per_address = 100000\n\
                    max_streams = 100000\n[scheduler]\ncatch_up = \"skip\"\n";
    std::fs::write(place.dir.path().join("piton.toml"), settings)?;
    std::fs::create_dir(place.dir.path().join("jobs"))?;
    std::fs::write(place.dir.path().join("jobs/ticker.json"), JOB)?;
    let daemon = Daemon::start(&program, &place)?;
    let address = place.address(&program)?;
    let said = place.command(&program, ["job", "run", "ticker", "--detach"]).output()?;
    ensure!(said.status.success(), "the job cannot be run: {}", String::from_utf8_lossy(&said.stderr));
    let run = String::from_utf8(said.stdout)?.trim().to_owned();

    let before = memory(&daemon.id())?;
    let listening = Arc::new(Listening::default());
    let mut all = JoinSet::new();
    // Connected in turns, as the queue of a listening socket is short.
    let turns = Arc::new(Semaphore::new(64));
    for _ in 0..subscribers {
        let (listening, turns, address) = (listening.clone(), turns.clone(), address.clone());
        let ask = Ask::get(format!("/api/runs/{run}/logs"));
        all.spawn(async move {
            let turn = turns.acquire_owned().await?;
            let mut client = Client::connect(&address).await?;
            let answer = client.begin(&ask, "text/event-stream").await?;
            ensure!(answer.status().is_success(), "a subscriber was answered {}", answer.status());
            drop(turn);
            listening.follow(answer.into_body()).await
        });
    }
    let begun = Instant::now();
    while listening.connected.load(Ordering::Relaxed) < subscribers {
        if let Some(ended) = all.try_join_next() {
            ended??;
            anyhow::bail!("a stream ended before all were there");
        }
        ensure!(begun.elapsed() < PATIENCE, "not all subscribers are there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say(&format!("  all are there after {} s", shown(begun.elapsed().as_secs_f64())));
    // What was late while they came is not counted.
    tokio::time::sleep(Duration::from_secs(2)).await;
    listening.from.store(now(), Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let with = memory(&daemon.id())?;
    listening.until.store(now(), Ordering::Relaxed);
    // The last of them are under way.
    tokio::time::sleep(Duration::from_secs(2)).await;
    listening.over.cancel();
    let mut late = vec![];
    while let Some(found) = all.join_next().await {
        late.extend(found??);
    }
    place.command(&program, ["run", "cancel", &run]).output()?;
    daemon.end()?;

    let expected = subscribers as f64 * seconds as f64 * 10.0;
    ensure!(late.len() as f64 > expected * 0.5, "only {} of about {expected} lines came", late.len());
    let received = late.len();
    let late = Spread::of(late);
    let what = format!("{subscribers} subscribers of a log");
    let milliseconds = Figure { value: late.percentile(99.0), unit: "ms" };
    let note = format!(" (median {}, max {}, {received} lines)", shown(late.median()), shown(late.max()));
    table.add(&format!("{what}: a line comes after, p99"), milliseconds, &note, Goal::AtMost(500.0), "");
    let each = (with.rss - before.rss) * 1e3 / subscribers as f64;
    let note = format!(" (RSS {} to {} MB)", shown(before.rss), shown(with.rss));
    table.add(&format!("{what}: memory of each"), Figure { value: each, unit: "KB" }, &note, Goal::AtMost(40.0), "");
    Ok(())
}

#[derive(Debug, Default)]
struct Listening {
    connected: AtomicUsize,
    /// Lines written between these two are counted; nanoseconds.
    from: AtomicUsize,
    until: AtomicUsize,
    over: tokio_util::sync::CancellationToken,
}

impl Listening {
    /// Milliseconds after which each line came. No line may be missing or come twice.
    async fn follow(&self, mut body: hyper::body::Incoming) -> anyhow::Result<Vec<f64>> {
        let (mut late, mut rest, mut last) = (vec![], String::new(), None::<u64>);
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame.context("the stream ended")??,
                () = self.over.cancelled() => return Ok(late),
            };
            let came = now();
            rest.push_str(std::str::from_utf8(frame.data_ref().map_or(b"".as_slice(), |data| data))?);
            while let Some((line, tail)) = rest.split_once('\n') {
                if let Some(tick) = line.strip_prefix("data: tick ") {
                    let (number, written) = tick.split_once(' ').context("half a line")?;
                    let (number, written): (u64, usize) = (number.parse()?, written.parse()?);
                    match last.replace(number) {
                        None => drop(self.connected.fetch_add(1, Ordering::Relaxed)),
                        Some(last) => ensure!(last + 1 == number, "line {number} came after line {last}"),
                    }
                    let (from, until) = (self.from.load(Ordering::Relaxed), self.until.load(Ordering::Relaxed));
                    if from > 0 && written >= from && (until == 0 || written < until) {
                        late.push(came.saturating_sub(written) as f64 / 1e6);
                    }
                }
                rest = tail.to_owned();
            }
        }
    }
}

fn now() -> usize {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as usize)
}

/// As many files as may be: each subscriber is one here and one in the daemon, which inherits this.
fn raise_limit(subscribers: usize) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let enough = limit.maximum.is_none_or(|most| most > subscribers as u64 + 200);
    ensure!(enough, "{:?} open files are allowed (ulimit -Hn), too few", limit.maximum);
    Ok(())
}
