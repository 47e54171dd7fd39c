//! Go's own engine, and generators of projects from PyPI, on the same templates in the same run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::ensure;
use serde::Deserialize;

use super::sample::{Sample, values};
use super::scaffolder_of;
use crate::python::python_of;
use crate::report::say;

/// What Go's engine took, each time.
#[derive(Debug, Deserialize)]
pub struct Beside {
    pub parse_execute_ms: Vec<f64>,
    pub execute_ms: Vec<f64>,
}

/// A generator of projects.
pub struct Scaffolder<'a> {
    pub name: &'static str,
    pub template: &'a Path,
}

/// Builds and runs `bench/peers/gotmpl`.
pub fn go(sources: &Path, binaries: &Path, templates: &Path, rounds: usize) -> anyhow::Result<Beside> {
    let into = binaries.join("bench-peers");
    std::fs::create_dir_all(&into)?;
    let program = into.join("gotmpl");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(sources.join("bench/peers/gotmpl"));
    ensure!(build.stdin(Stdio::null()).status()?.success(), "it could not be built");
    let data = serde_json::json!({ "Name": "my-service", "Namespace": "my-team", "Values": values() }).to_string();
    let output = Command::new(program).arg(templates).arg(data).arg(rounds.to_string()).output()?;
    ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// How long the commands take to render the sample, in milliseconds.
pub fn scaffolders(
    sources: &Path,
    binaries: &Path,
    sample: &Sample,
    rounds: usize,
) -> Vec<(&'static str, Result<Vec<f64>, String>)> {
    let python = python_of("scaffolders", sources, binaries);
    let measure = |scaffolder: Scaffolder<'_>| {
        let times = match &python {
            Ok(python) => render(python, &scaffolder, sample.files, rounds),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        (scaffolder.name, times.map_err(|error| format!("{error:#}")))
    };
    scaffolder_of(sample).into_iter().map(measure).collect()
}

fn render(python: &Path, scaffolder: &Scaffolder<'_>, files: usize, rounds: usize) -> anyhow::Result<Vec<f64>> {
    say(&format!("  {} …", scaffolder.name));
    let out = tempfile::tempdir()?;
    let mut times = Vec::new();
    for round in 0..=rounds {
        let into = out.path().join(round.to_string());
        let mut command = Command::new(python.with_file_name(scaffolder.name));
        // What it keeps of its own is nobody else's.
        command.env("HOME", out.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if scaffolder.name == "copier" {
            command.args(["copy", "--defaults", "--quiet"]).arg(scaffolder.template).arg(&into);
        } else {
            command.args(["--no-input", "--output-dir"]).arg(&into).arg(scaffolder.template);
        }
        let begun = Instant::now();
        let output = command.output()?;
        let took = begun.elapsed();
        ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
        let found = count(&into)?;
        ensure!(found >= files, "it made {found} files");
        // The first time, Python compiles it.
        if round > 0 {
            times.push(took.as_secs_f64() * 1000.0);
        }
    }
    Ok(times)
}

fn count(dir: &Path) -> anyhow::Result<usize> {
    let mut files = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}
