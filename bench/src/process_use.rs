//! What a process uses, as the kernel counts it.

use anyhow::Context as _;

/// Megabytes (10^6 bytes) of memory.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident, shared pages counted whole.
    pub rss: f64,
    /// Resident, shared pages counted by share.
    pub pss: f64,
}

/// What a process holds now. `who` is a process id, or `self`.
pub fn memory(who: &str) -> anyhow::Result<Memory> {
    let path = format!("/proc/{who}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path)?;
    let kib = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let megabytes = |key| kib(key).map(|kib| kib * 1024.0 / 1e6).context("smaps_rollup lacks a line");
    Ok(Memory { rss: megabytes("Rss:")?, pss: megabytes("Pss:")? })
}

/// Seconds of processor time that a process has used, in user and kernel mode.
pub fn cpu_seconds(who: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{who}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path)?;
    // The name before it may hold anything, spaces and parentheses too.
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).context("a short stat");
    Ok((ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64)
}

/// The same of the threads that it has now, in nanoseconds and not in ticks: for who does next to nothing.
pub fn busy_seconds(who: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{who}/task");
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir(&path).with_context(|| path)? {
        // A thread may end while it is looked at.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    }
    Ok(nanoseconds / 1e9)
}
