//! How fast a child's output gets through the keeper and the raw file into the run's log.
//!
//! `cargo run --release -p piton-process --example capture_rate [MIB]` prints one line of JSON. One GiB by default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use piton_logs::{LogStore, Redactor};
use piton_process::{Invocation, Runner, StopSequence};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.as_slice() {
        [_, word, dir] if word == "keeper" => Ok(piton_keeper::run(Path::new(dir))?),
        [_] => measure(1024),
        [_, mib] => measure(mib.to_str().unwrap_or_default().parse()?),
        _ => Err("usage: capture_rate [MIB]".into()),
    }
}

#[tokio::main]
async fn measure(mib: u64) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let (plain, redacted) = (rate(dir.path(), mib, 0).await?, rate(dir.path(), mib, 50).await?);
    writeln!(
        std::io::stdout(),
        r#"{{"mib":{mib},"mib_per_s":{:.0},"mib_per_s_with_50_secrets":{:.0},"peak_rss_mib":{:.0}}}"#,
        plain,
        redacted,
        peak_rss_kib() / 1024.0,
    )?;
    Ok(())
}

/// MiB per second, from the start of the child to the end of the log.
async fn rate(dir: &Path, mib: u64, secrets: u32) -> Result<f64, Failure> {
    let logs = LogStore::new(dir.join("runs")).with_cap(u64::MAX);
    let keeper = vec![std::env::current_exe()?.into(), "keeper".into(), dir.into()];
    let runner = Runner::new(dir.to_owned(), keeper, logs.clone());
    let run = format!("0193a5c0-0000-7000-8000-{secrets:012}").parse()?;
    let redactor = Redactor::new((0..secrets).map(|n| format!("secret/{:08x}", n.wrapping_mul(0x9e37_79b9))));
    let log = logs.open(run, redactor).await?;
    let line = "module.network.aws_subnet.private[3]: Refreshing state... [id=subnet-0a1b2c3d4e5f]";
    let invocation = Invocation {
        token: format!("{run}/1/execute/yes"),
        argv: ["sh", "-c", &format!("yes '{line}' | head -c {}", mib << 20)].map(String::from).to_vec(),
        env: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH")?)]),
        cwd: dir.to_owned(),
        header: "$ yes".to_owned(),
        stop: StopSequence::job(),
        limits: piton_process::Limits::default(),
    };
    runner.held().await?;
    let start = Instant::now();
    let exit = runner.run(&invocation, run, &log, &CancellationToken::new()).await?.exit;
    let seconds = start.elapsed().as_secs_f64();
    let length = logs.read(run, 0, 0).await?.end;
    if !exit.success() || length < mib << 20 {
        return Err(format!("the child ended with {}, the log has {length} bytes", exit.status).into());
    }
    runner.release(run).await?;
    logs.remove(run).await?;
    if secrets > 0 {
        stop_keeper(dir).await?;
    }
    Ok(mib as f64 / seconds)
}

async fn stop_keeper(dir: &Path) -> Result<(), Failure> {
    Ok(piton_keeper::client::Client::connect(dir).await?.stop(false).await?)
}

fn peak_rss_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}
