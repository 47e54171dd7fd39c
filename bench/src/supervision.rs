//! Many processes kept running: how soon, at what cost, how soon again, beside other supervisors.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Ask, Client};
use crate::daemon::{self, Daemon, Place};
use crate::process_use::{busy_seconds, memory};
use crate::python::python_of;
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// How long everything is left alone before it is measured.
const SETTLED: Duration = Duration::from_secs(10);
/// How long the processor time is counted: longer than anything is put off.
const IDLE: Duration = Duration::from_secs(65);
const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is looked whether all of them run; more seldom where looking takes long, or it would be what is measured.
const LOOK: Duration = Duration::from_millis(50);
/// How many processes the goals speak of.
const GOALS_FOR: usize = 1_000;
/// How often the daemon is killed, and must find everything again.
const KILLS: usize = 3;

pub async fn measure(
    binaries: &Path,
    sources: &Path,
    children: usize,
    rounds: usize,
    peers: bool,
    table: &mut Table,
) -> anyhow::Result<()> {
    say(&format!("supervision: {children} processes"));
    let program = daemon::program(binaries)?;
    let others = if peers { Other::all(sources, binaries, children, rounds) } else { vec![] };
    let beside = |pick: fn(&Figures) -> f64, unit: &str| {
        let told = others.iter().map(|(name, figures)| match figures {
            Ok(figures) => format!("{name} {} {unit}", shown(pick(figures))),
            Err(why) => format!("{name}: {why}"),
        });
        told.collect::<Vec<_>>().join("; ")
    };

    let goal = |most| if children == GOALS_FOR { Goal::AtMost(most) } else { Goal::None };
    let place = Place::new()?;
    declare(&place, children)?;
    let begun = Instant::now();
    let mut daemon = Daemon::start(&program, &place)?;
    let address = place.address(&program)?;
    let mut client = Client::connect(&address).await?;
    let all = until_all_run(&mut client, children).await?;
    let seconds = |value| Figure { value, unit: "s" };
    let milliseconds = |value| Figure { value, unit: "ms" };
    let start = begun.elapsed().as_secs_f64();
    let what = format!("{children} processes running, from the start of the daemon");
    table.add(&what, seconds(start), "", goal(2.5), &beside(|f| f.start_s, "s"));

    tokio::time::sleep(SETTLED).await;
    let keeper = daemon.keeper()?.context("there is no keeper")?.to_string();
    let (held, kept) = (memory(&daemon.id())?, memory(&keeper)?);
    let megabytes = |value| Figure { value, unit: "MB" };
    let note = format!(" (daemon {}, keeper {})", shown(held.pss), shown(kept.pss));
    let both = megabytes(held.pss + kept.pss);
    table.add("daemon and keeper, PSS", both, &note, goal(24.0), &beside(|f| f.pss_mb, "MB"));
    table.add("keeper, PSS", megabytes(kept.pss), "", goal(4.0), "");
    let used = busy_seconds(&daemon.id())? + busy_seconds(&keeper)?;
    tokio::time::sleep(IDLE).await;
    let share = 100.0 * (busy_seconds(&daemon.id())? + busy_seconds(&keeper)? - used) / IDLE.as_secs_f64();
    // Nobody keeps a connection for so long on which nothing is asked.
    client = Client::connect(&address).await?;
    let percent = Figure { value: share, unit: "%" };
    table.add("idle, share of a core", percent, "", goal(0.05), &beside(|f| f.idle_percent, "%"));

    let mut waits = vec![];
    for name in all.iter().map(|(name, _)| name).take(rounds.max(8)) {
        waits.push(replaced_after(&mut client, name).await?.as_secs_f64() * 1e3);
    }
    let waits = Spread::of(waits);
    let note = format!(" (max {})", shown(waits.max()));
    table.add("killed to replaced", milliseconds(waits.median()), &note, goal(5.0), &beside(|f| f.replaced_ms, "ms"));

    let status = Ask::get("/api/status?base=sleeper");
    let mut answers = vec![];
    for _ in 0..rounds.max(8) {
        let begun = Instant::now();
        client.ask(&status).await?;
        answers.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let answers = Spread::of(answers).median();
    table.add("status of all, API", milliseconds(answers), "", goal(10.0), &beside(|f| f.status_ms, "ms"));
    let mut commands = vec![];
    for _ in 0..rounds.max(8) {
        let begun = Instant::now();
        let done = place.command(&program, ["process", "list"]).stdout(Stdio::null()).status()?;
        ensure!(done.success(), "`piton process list` failed");
        commands.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let commands = Spread::of(commands).median();
    let peers = beside(|f| f.status_command_ms, "ms");
    table.add("status of all, command", milliseconds(commands), "", goal(30.0), &peers);

    let before: BTreeSet<(String, u64)> = running(&mut client).await?.into_iter().collect();
    let mut address = address;
    for _ in 0..KILLS {
        daemon.kill()?;
        daemon = Daemon::start(&program, &place)?;
        address = place.address(&program)?;
        client = Client::connect(&address).await?;
        until_all_run(&mut client, children).await?;
    }
    let after: BTreeSet<(String, u64)> = running(&mut client).await?.into_iter().collect();
    let lost = Figure { value: before.difference(&after).count() as f64, unit: "processes" };
    table.add(&format!("started anew by {KILLS} times `kill -9` of the daemon"), lost, "", Goal::AtMost(0.0), "");

    let begun = Instant::now();
    let mut stopping = Client::connect(&address).await?;
    stopping.ask(&Ask { method: "POST", path: "/api/stop?base=sleeper".to_owned(), body: Bytes::default() }).await?;
    let stop = begun.elapsed().as_secs_f64();
    table.add("stop all", seconds(stop), "", goal(0.3), &beside(|f| f.stop_s, "s"));
    ensure!(running(&mut client).await?.is_empty(), "some processes still run");
    daemon.end()
}

fn declare(place: &Place, children: usize) -> anyhow::Result<()> {
    let programs = place.dir.path().join("programs");
    std::fs::create_dir(&programs)?;
    let text = format!(
        "type = \"process\"\n[spec]\nname = \"sleeper\"\ncommand = \"/bin/sleep 100000\"\ninstances = {children}\n\
         auto_restart = true\nrestart_interval = \"0s\"\n"
    );
    Ok(std::fs::write(programs.join("sleeper.toml"), text)?)
}

/// Name and process id of those that run.
async fn running(client: &mut Client) -> anyhow::Result<Vec<(String, u64)>> {
    let all = client.json(&Ask::get("/api/status?base=sleeper")).await?;
    let all = all.as_array().context("the status is no array")?;
    let runs = all.iter().filter(|one| one["state"] == "running");
    Ok(runs.filter_map(|one| Some((one["name"].as_str()?.to_owned(), one["pid"].as_u64()?))).collect())
}

async fn until_all_run(client: &mut Client, children: usize) -> anyhow::Result<Vec<(String, u64)>> {
    let begun = Instant::now();
    loop {
        let looked = Instant::now();
        let found = running(client).await?;
        if found.len() == children {
            return Ok(found);
        }
        ensure!(begun.elapsed() < PATIENCE, "only {} of {children} run", found.len());
        tokio::time::sleep(LOOK.max(looked.elapsed() * 4)).await;
    }
}

/// Kills a process and waits until another one is there in its place.
async fn replaced_after(client: &mut Client, name: &str) -> anyhow::Result<Duration> {
    let ask = Ask::get(format!("/api/status?name={name}"));
    let pid = |status: &Value| status["pid"].as_u64().unwrap_or_default();
    let victim = pid(&client.json(&ask).await?);
    let process = i32::try_from(victim).ok().and_then(Pid::from_raw).context("it has no process id")?;
    let begun = Instant::now();
    kill_process(process, Signal::KILL)?;
    loop {
        let status = client.json(&ask).await?;
        if pid(&status) != 0 && pid(&status) != victim {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "{name} is not replaced");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// What another supervisor does.
#[derive(Debug, Deserialize)]
struct Figures {
    start_s: f64,
    pss_mb: f64,
    idle_percent: f64,
    replaced_ms: f64,
    status_ms: f64,
    status_command_ms: f64,
    stop_s: f64,
}

/// Other supervisors, from PyPI.
struct Other;

impl Other {
    fn all(
        sources: &Path,
        binaries: &Path,
        children: usize,
        rounds: usize,
    ) -> Vec<(&'static str, Result<Figures, String>)> {
        let python = python_of("supervisors", sources, binaries);
        ["supervisord", "circus"]
            .map(|name| {
                let figures = match &python {
                    Ok(python) => Other::run(python, sources, name, children, rounds),
                    Err(error) => Err(anyhow::anyhow!("{error:#}")),
                };
                (name, figures.map_err(|error| format!("{error:#}")))
            })
            .into()
    }

    fn run(python: &Path, sources: &Path, name: &str, children: usize, rounds: usize) -> anyhow::Result<Figures> {
        say(&format!("  {name} …"));
        let script = sources.join("bench/peers/supervisors/measure.py");
        let output = Command::new(python)
            .arg(script)
            .args([name, &children.to_string(), &rounds.max(8).to_string()])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        ensure!(output.status.success(), "it could not be measured ({}): {last}", output.status);
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
