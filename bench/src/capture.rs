//! Output of a child through the keeper into the log: the example `capture_rate` of `piton-process` measures it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::report::{Figure, Goal, Table, say};

const MEBIBYTES: &str = "512";

#[derive(Deserialize)]
struct Rate {
    mib_per_s: f64,
    mib_per_s_with_50_secrets: f64,
    peak_rss_mib: f64,
}

pub fn measure(binaries: &Path, table: &mut Table) -> anyhow::Result<()> {
    say(&format!("capture: {MEBIBYTES} MiB of output"));
    let program = binaries.join("examples/capture_rate");
    let output = Command::new(&program).arg(MEBIBYTES).output().with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "capture_rate failed: {}", String::from_utf8_lossy(&output.stderr));
    let rate: Rate = serde_json::from_slice(&output.stdout)?;
    let per_second = |value| Figure { value, unit: "MiB/s" };
    table.add("capture of output", per_second(rate.mib_per_s), "", Goal::None, "");
    table.add("capture of output, 50 secrets", per_second(rate.mib_per_s_with_50_secrets), "", Goal::None, "");
    table.add("capture of output, peak RSS", Figure { value: rate.peak_rss_mib, unit: "MiB" }, "", Goal::None, "");
    Ok(())
}
