//! Output of a child through the keeper into the log: by itself (the example `capture_rate` of `piton-process`), and
//! through the daemon beside the same command that writes to a file.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::daemon::{Daemon, Place, program};
use crate::process_use::memory;
use crate::report::{Figure, Goal, Table, say, shown};

#[derive(Deserialize)]
struct Rate {
    mib_per_s: f64,
    mib_per_s_with_50_secrets: f64,
    peak_rss_mib: f64,
}

pub fn measure(binaries: &Path, megabytes: u64, table: &mut Table) -> anyhow::Result<()> {
    say(&format!("capture: {megabytes} MB of output"));
    let mebibytes = (megabytes * 1_000_000) >> 20;
    let program = binaries.join("examples/capture_rate");
    let output =
        Command::new(&program).arg(mebibytes.to_string()).output().with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "capture_rate failed: {}", String::from_utf8_lossy(&output.stderr));
    let rate: Rate = serde_json::from_slice(&output.stdout)?;
    let per_second = |mebibytes: f64| Figure { value: mebibytes * 1.048_576, unit: "MB/s" };
    let peak = Figure { value: rate.peak_rss_mib * 1.048_576, unit: "MB" };
    table.add("capture of output", per_second(rate.mib_per_s), "", Goal::AtLeast(200.0), "");
    table.add("capture of output, 50 secrets", per_second(rate.mib_per_s_with_50_secrets), "", Goal::None, "");
    table.add("capture of output, peak RSS", peak, "", Goal::None, "");
    through_the_daemon(binaries, megabytes, table)
}

/// A job that prints so much, from its start until the command that waits for it ends.
fn through_the_daemon(binaries: &Path, megabytes: u64, table: &mut Table) -> anyhow::Result<()> {
    let program = program(binaries)?;
    let place = Place::new()?;
    let line = "module.network.aws_subnet.private[3]: Refreshing state... [id=subnet-0a1b2c3d4e5f]";
    let print = format!("yes '{line}' | head -c {}", megabytes * 1_000_000);
    let job = serde_json::json!({ "name": "long", "type": "command", "schedule": "0 0 1 1 *", "command": print });
    std::fs::create_dir(place.dir.path().join("jobs"))?;
    std::fs::write(place.dir.path().join("jobs/long.json"), job.to_string())?;
    let daemon = Daemon::start(&program, &place)?;
    // The keeper is there before anything is measured.
    let mut wait = place.command(&program, ["job", "run", "long", "--detach"]).output()?;
    ensure!(wait.status.success(), "the job cannot be run: {}", String::from_utf8_lossy(&wait.stderr));
    let address = place.address(&program)?;
    let run = String::from_utf8(std::mem::take(&mut wait.stdout))?.trim().to_owned();
    let (keeper, before) = (daemon.keeper()?, memory(&daemon.id())?);
    let (mut peak, mut keeper_peak) = (before.rss, 0.0_f64);
    let begun = Instant::now();
    let shown_run = loop {
        let text = place.command(&program, ["run", "show", &run, "-o", "json"]).output()?;
        let found: serde_json::Value = serde_json::from_slice(&text.stdout)?;
        peak = peak.max(memory(&daemon.id())?.rss);
        if let Some(keeper) = keeper {
            keeper_peak = keeper_peak.max(memory(&keeper.to_string())?.rss);
        }
        if found["state"] == "ended" {
            break found;
        }
        ensure!(begun.elapsed() < Duration::from_secs(600), "the job does not end");
        std::thread::sleep(Duration::from_millis(100));
    };
    ensure!(shown_run["outcome"] == "succeeded", "the job failed: {shown_run:#}");
    let instant = |member: &str| -> anyhow::Result<jiff::Timestamp> {
        Ok(shown_run[member].as_str().with_context(|| format!("no {member}"))?.parse()?)
    };
    let took = instant("ended_at")?.duration_since(instant("started_at")?).as_secs_f64();
    drop(address);
    daemon.end()?;

    let begun = Instant::now();
    let file = std::fs::File::create(place.dir.path().join("by-hand"))?;
    ensure!(Command::new("sh").args(["-c", &print]).stdout(file).status()?.success(), "sh failed");
    let by_hand = begun.elapsed().as_secs_f64();
    let per_second = |seconds: f64| Figure { value: megabytes as f64 / seconds, unit: "MB/s" };
    let peers = format!("sh into a file {} MB/s", shown(per_second(by_hand).value));
    table.add("capture through the daemon", per_second(took), "", Goal::AtLeast(200.0), &peers);
    let growth = Figure { value: peak - before.rss, unit: "MB" };
    let note = format!(" (peak {}, keeper {})", shown(peak), shown(keeper_peak));
    table.add("capture through the daemon: growth of its RSS", growth, &note, Goal::AtMost(20.0), "");
    Ok(())
}
