//! Other durable queues, measured on the same PostgreSQL in the same run: riverqueue (Go), graphile-worker and pg-boss (Node).
//!
//! Each has a small program below `bench/peers` that prints its figures as JSON. They are built where Go and npm are
//! installed; nothing of them is part of Piton.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;

const PGBOSS: &str = "pg-boss";

/// The peers, or why there are none.
#[derive(Debug)]
pub struct Peers(Vec<Peer>);

/// One of them.
#[derive(Debug)]
pub struct Peer {
    name: &'static str,
    argv: Result<Vec<PathBuf>, String>,
}

/// Throughput.
#[derive(Debug, Deserialize)]
pub struct Queue {
    pub inserts_per_s: f64,
    pub jobs_per_s: f64,
    pub after_finished_per_s: Option<f64>,
}

/// Milliseconds from when a job should begin until its handler is called.
#[derive(Debug, Deserialize)]
pub struct Waits {
    pub due_ms: Vec<f64>,
    pub immediate_ms: Vec<f64>,
}

impl Peers {
    pub fn left_out() -> Peers {
        Peers(vec![])
    }

    /// Builds what can be built, below the directory of the binaries.
    pub fn build(sources: &Path, binaries: &Path) -> Peers {
        let into = binaries.join("bench-peers");
        let sources = sources.join("bench/peers");
        let words = |built: anyhow::Result<Vec<PathBuf>>| built.map_err(|error| format!("{error:#}"));
        Peers(vec![
            Peer { name: "riverqueue", argv: words(build_river(&sources.join("river"), &into)) },
            Peer { name: "graphile-worker", argv: words(build_node(&sources, "graphile", &into)) },
            Peer { name: PGBOSS, argv: words(build_node(&sources, "pgboss", &into)) },
        ])
    }

    /// Those that can be measured with their defaults, too: pg-boss fetches five jobs a second then.
    pub fn each(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter().filter(|peer| peer.name != PGBOSS)
    }

    pub fn all(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter()
    }
}

impl Peer {
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Delivers `jobs` requests to a target, and as many again after `finished` jobs that do nothing. The target may be in
    /// this process.
    pub async fn deliveries(&self, url: &str, jobs: usize, finished: usize, target: &str) -> anyhow::Result<Queue> {
        self.run_beside(&["queue", url, settings(true), &jobs.to_string(), &finished.to_string(), target]).await
    }

    /// Executes `jobs` jobs, and as many again after `finished` others.
    pub fn queue(&self, url: &str, tuned: bool, jobs: usize, finished: usize) -> anyhow::Result<Queue> {
        self.run(&["queue", url, settings(tuned), &jobs.to_string(), &finished.to_string()])
    }

    /// Jobs that are due 20 ms apart, the first in 3 s; then jobs that are due at once.
    pub fn waits(&self, url: &str, tuned: bool, jobs: usize) -> anyhow::Result<Waits> {
        self.run(&["latency", url, settings(tuned), &jobs.to_string()])
    }

    fn run<T: serde::de::DeserializeOwned>(&self, arguments: &[&str]) -> anyhow::Result<T> {
        self.parse(&output(&mut self.command(arguments)?)?)
    }

    /// The same, while this process goes on.
    async fn run_beside<T: serde::de::DeserializeOwned>(&self, arguments: &[&str]) -> anyhow::Result<T> {
        let mut command = self.command(arguments)?;
        self.parse(&tokio::task::spawn_blocking(move || output(&mut command)).await??)
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let argv = self.argv.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
        let (program, first) = argv.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(first).args(arguments);
        Ok(command)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, printed: &str) -> anyhow::Result<T> {
        serde_json::from_str(printed.trim()).with_context(|| format!("{} printed {printed:?}", self.name))
    }
}

fn settings(tuned: bool) -> &'static str {
    if tuned { "tuned" } else { "default" }
}

fn build_river(sources: &Path, into: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(into)?;
    let program = into.join("river");
    output(Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(sources))?;
    Ok(vec![program])
}

fn build_node(sources: &Path, name: &str, into: &Path) -> anyhow::Result<Vec<PathBuf>> {
    // Not beside the sources: what npm brings has no place there.
    let dir = into.join(name);
    std::fs::create_dir_all(&dir)?;
    let of_peer =
        ["package.json", "package-lock.json", "measure.mjs"].map(|file| (sources.join(name).join(file), file));
    for (from, file) in of_peer.into_iter().chain([(sources.join("target.mjs"), "target.mjs")]) {
        std::fs::copy(from, dir.join(file)).with_context(|| file.to_owned())?;
    }
    output(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&dir))?;
    Ok(vec!["node".into(), dir.join("measure.mjs")])
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        bail!("{name} failed ({}): {last}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}
