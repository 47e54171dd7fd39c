//! What the figures were measured on.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A few lines about the machine.
pub fn facts() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map_or("?", |(_, m)| m);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let syncs = fsyncs_per_second()?;
    Ok(format!(
        "cores: {cores}, {}\nkernel: {}\nfdatasync of 4 KiB appended in {}: {syncs:.0}/s\nload average at the start: {}",
        model.trim(),
        kernel.trim(),
        std::env::temp_dir().display(),
        load_average()?,
    ))
}

pub fn load_average() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// How often the disk of the measurements makes an append durable, one after the other.
fn fsyncs_per_second() -> anyhow::Result<f64> {
    let mut file: File = tempfile::tempfile().context("no temporary file")?;
    let page = [7; 4096];
    let (begun, mut syncs) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(1) {
        file.write_all(&page)?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / begun.elapsed().as_secs_f64())
}
