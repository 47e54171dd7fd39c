//! A program with jobs and a cronjob of its own: `cargo run -p piton-jobs --example jobs -- DIR`.
//!
//! Kill it while it runs and start it again on the same directory: it goes on with the jobs that were under way.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use piton_jobs::{Batch, JobPhase, Jobs, Name, Program, Settings, Shutdown};
use serde_json::json;

/// The program has two more lives: as the keeper of its tasks, and as what starts those that have limits.
fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(code) = piton_keeper::launch_if_asked() {
        return Ok(code);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [word, dir] if word == "keeper" => piton_keeper::run(&PathBuf::from(dir))?,
        [dir] => tokio::runtime::Runtime::new()?.block_on(work(Path::new(dir)))?,
        _ => return Err("give it a directory".into()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn work(dir: &Path) -> Result<(), Box<dyn Error>> {
    let dir = std::path::absolute(dir)?;
    let settings = Settings {
        dir: dir.clone(),
        keeper_argv: vec![std::env::current_exe()?.into(), "keeper".into(), dir.clone().into()],
        work_dir: dir,
        environment: std::env::vars().collect(),
        max_concurrent: 4,
    };
    let tick = json!({ "name": "tick", "schedule": "@every 1s", "job_template": { "command": "echo tick" } });
    let jobs = Jobs::open(settings, &[tick]).await?;

    // Three tasks, two of them at a time. One that was made before the program was killed is taken back.
    let line = "echo begun $JOB_COMPLETION_INDEX >> ledger; \
                while [ -e wait ]; do sleep 0.05; done; echo done $JOB_COMPLETION_INDEX"
        .to_owned();
    let mut batch = Batch::new(Program::Shell { line });
    (batch.parallelism, batch.completions) = (2, Some(3));
    batch.completion_mode = piton_model::CompletionMode::Indexed;
    match jobs.create(Name::parse("import")?, batch).await {
        Ok(job) => println!("{} was made", job.name),
        Err(piton_jobs::Error::Engine(_)) => println!("import was made before"),
        Err(error) => return Err(error.into()),
    }
    let import = jobs.finished("import").await?;
    println!("{} {}: {} tasks succeeded", import.name, import.phase().as_str(), import.progress().counts.succeeded);
    let log = jobs.log("import").await?;
    println!("each said so: {}", (0..3).all(|index| log.lines().any(|line| line.ends_with(&format!("done {index}")))));

    // A job in the words of a file.
    let failing = json!({ "name": "failing", "command": "exit 3", "backoff_limit": 0 });
    if jobs.create_from(&failing).await.is_ok() {
        let failed = jobs.finished("failing").await?;
        println!("{} {}: {}", failed.name, failed.phase().as_str(), failed.conditions()[0].message);
        jobs.delete("failing").await?;
    }

    // What the schedule makes.
    let mut changes = jobs.changes();
    let made = loop {
        changes.borrow_and_update();
        let ended = |made: &&piton_jobs::CronJobRun| made.run.phase() == piton_model::Phase::Ended;
        if let Some(made) = jobs.history("tick").await?.iter().find(ended) {
            break made.name.clone();
        }
        changes.changed().await?;
    };
    println!("a tick: {}", jobs.job(&made).await?.phase() == JobPhase::Succeeded);
    jobs.unschedule(&Name::parse("tick")?);
    jobs.close(Shutdown::Drain).await;
    Ok(())
}
