//! What a keeper can do on this machine, as a line of JSON: `keeper_rates KEEPER_PROGRAM CHILDREN MEBIBYTES`.
//!
//! Starts so many children with two logs each and stops them again, and lets one child write so much into a log that is
//! rotated every 10 MiB.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails should end")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use piton_keeper::client::Client;
use piton_keeper::protocol::Target;
use piton_keeper::{Limits, LogFile, Output, Remembered, Signal, Spec, Token};

const MEBIBYTE: usize = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let keeper = fs::canonicalize(arguments.next().unwrap()).unwrap();
    let number = |text: Option<std::ffi::OsString>| text.unwrap().to_str().unwrap().parse::<usize>().unwrap();
    let (children, mebibytes) = (number(arguments.next()), number(arguments.next()));
    let dir = tempfile::tempdir().unwrap();
    let argv = [keeper.into(), "--dir".into(), dir.path().into()];
    let client = Client::connect_or_start(dir.path(), &argv).await.unwrap();

    let pid = client.keeper().keeper_pid;
    let cpu = |since: f64| cpu_seconds(pid) - since;
    let before = cpu(0.0);
    let plain = capture(&client, dir.path(), mebibytes, false).await;
    let plain_cpu = cpu(before);
    let before = cpu(0.0);
    let stamped = capture(&client, dir.path(), mebibytes, true).await;

    let stamped_cpu = cpu(before);

    let before = cpu(0.0);
    let begun = Instant::now();
    let each = |index: usize| {
        let client = client.clone();
        let spec = spec(dir.path(), &["sleep", "100000"], &format!("{index}"), 1 << 20, false);
        async move { client.spawn(&token(index), &spec).await.unwrap() }
    };
    all((0..children).map(each)).await;
    let started = begun.elapsed();
    let start_cpu = cpu(before);
    let memory = pss(client.keeper().keeper_pid);

    let mut latencies = Vec::new();
    for index in 0..20.min(children) {
        let watching = client.clone();
        let wait = tokio::spawn(async move { watching.wait(&token(index)).await.unwrap() });
        client.get(&token(index)).await.unwrap();
        let begun = Instant::now();
        client.signal(&token(index), Signal::Kill, Target::Process).await.unwrap();
        wait.await.unwrap();
        latencies.push(begun.elapsed());
    }
    latencies.sort_unstable();

    let before = cpu(0.0);
    let begun = Instant::now();
    let each = |index: usize| {
        let client = client.clone();
        async move {
            let token = token(index);
            // Those that were killed above are not running.
            let _ = client.signal(&token, Signal::Term, Target::Tree).await;
            client.wait(&token).await.unwrap();
        }
    };
    all((0..children).map(each)).await;
    let stopped = begun.elapsed();
    let begun = Instant::now();
    let each = |index: usize| {
        let client = client.clone();
        async move {
            client.sweep(&token(index)).await.unwrap();
            client.acknowledge(&token(index)).await.unwrap();
        }
    };
    all((0..children).map(each)).await;
    let swept = begun.elapsed();
    let stop_cpu = cpu(before);
    let journal = fs::metadata(dir.path().join("keeper/journal")).unwrap().len();
    client.stop(true).await.unwrap();
    let median = latencies.get(latencies.len() / 2).copied().unwrap_or_default();
    let slowest = latencies.last().copied().unwrap_or_default();
    // Processor time beside time: only the first says something on a machine that others use as well.
    println!(
        "{{\"children\":{children},\"start_s\":{:.3},\"start_cpu_s\":{start_cpu:.2},\"pss_kib\":{memory},\
         \"exit_to_event_ms\":{:.3},\"exit_to_event_max_ms\":{:.3},\"stop_s\":{:.3},\"sweep_s\":{:.3},\
         \"stop_and_sweep_cpu_s\":{stop_cpu:.2},\"journal_kib\":{},\"capture_mb_per_s\":{plain:.0},\
         \"capture_cpu_s\":{plain_cpu:.2},\"capture_stamped_mb_per_s\":{stamped:.0},\
         \"capture_stamped_cpu_s\":{stamped_cpu:.2}}}",
        started.as_secs_f64(),
        milliseconds(median),
        milliseconds(slowest),
        stopped.as_secs_f64(),
        swept.as_secs_f64(),
        journal / 1024,
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn token(index: usize) -> Token {
    format!("child/{index}").parse().unwrap()
}

fn spec(dir: &Path, argv: &[&str], name: &str, max_size: u64, timestamps: bool) -> Spec {
    let log = |stream: &str| {
        let path: PathBuf = dir.join(format!("{name}.{stream}.log"));
        Output::Log(LogFile { path, max_size, max_backups: 2, timestamps })
    };
    Spec {
        argv: argv.iter().map(Into::into).collect(),
        env: [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())].into(),
        cwd: "/".into(),
        stdout: log("stdout"),
        stderr: log("stderr"),
        limits: Limits::default(),
        remembered: Remembered::WithinThisBoot,
    }
}

/// Megabytes in a second.
async fn capture(client: &Client, dir: &Path, mebibytes: usize, timestamps: bool) -> f64 {
    // From the page cache, so that the child costs as little as it can.
    let source = dir.join("source");
    fs::write(&source, format!("{}\n", "x".repeat(99)).repeat(MEBIBYTE / 100 * 16)).unwrap();
    let mut argv = vec!["cat"];
    argv.resize(1 + mebibytes.div_ceil(16), source.to_str().unwrap());
    let bytes = fs::metadata(&source).unwrap().len() * (argv.len() as u64 - 1);
    let spec = spec(dir, &argv, &format!("flood-{timestamps}"), 10 << 20, timestamps);
    let token = format!("flood/{timestamps}").parse().unwrap();
    let begun = Instant::now();
    client.spawn(&token, &spec).await.unwrap();
    client.wait(&token).await.unwrap();
    let rate = bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
    client.acknowledge(&token).await.unwrap();
    rate
}

async fn all<F: Future<Output: Send + 'static> + Send + 'static>(futures: impl Iterator<Item = F>) {
    let tasks: Vec<_> = futures.map(tokio::spawn).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// The keeper's share of memory in KiB.
fn pss(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What the keeper has used of the processor.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}
