//! A web application that keeps its own workers running: `cargo run -p piton-supervisor --example embedded`.
//!
//! `GET /workers` shows them, `POST /workers/restart` starts them anew. When the application is killed they go on, and
//! its next start finds them again. `embedded --once` shows them once, stops them and ends.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use piton_model::{Hook, Name, Process, Program, RestartWhen};
use piton_supervisor::{Declared, FileMemory, InstanceStatus, Selector, Settings, Supervisor};
use serde_json::{Value, json};

/// An application has two more lives: as the keeper of its processes, and as what starts those that have limits.
fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(code) = piton_keeper::launch_if_asked() {
        return Ok(code);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, dir] = arguments.as_slice()
        && word == "keeper"
    {
        piton_keeper::run(&PathBuf::from(dir))?;
        return Ok(ExitCode::SUCCESS);
    }
    let once = arguments.iter().any(|argument| argument == "--once");
    tokio::runtime::Runtime::new()?.block_on(application(once))?;
    Ok(ExitCode::SUCCESS)
}

async fn application(once: bool) -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join("piton-embedded");
    std::fs::create_dir_all(&dir)?;
    let settings = Settings {
        keeper_dir: dir.clone(),
        keeper_argv: vec![std::env::current_exe()?.into(), "keeper".into(), dir.clone().into()],
        work_dir: dir.clone(),
        log_dir: dir.join("logs"),
        pid_dir: dir.join("pids"),
        environment: std::env::vars().collect(),
        measure_every: Some(Duration::from_secs(5)),
        measurements: 100,
        keep_logs_every: Some(Duration::from_secs(60)),
    };
    let supervisor = Supervisor::open(settings, Arc::new(FileMemory::new(dir.join("wishes.json")))).await?;
    supervisor.apply(declared()?).await?;
    supervisor.start(&Selector::All).await?;

    let mut changes = supervisor.changes();
    tokio::spawn(async move {
        while let Ok(change) = changes.recv().await {
            println!("{}: {} → {}", change.now.name, change.from, change.now.state);
        }
    });
    if once {
        println!("{}", shown(&supervisor.status(&Selector::All)?));
        supervisor.stop_all().await?;
        return Ok(());
    }
    let routes = Router::new()
        .route("/workers", get(workers))
        .route("/workers/restart", post(restart))
        .with_state(supervisor.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/workers", listener.local_addr()?);
    Ok(axum::serve(listener, routes).await?)
}

/// Two workers that are started again whenever they end, and a command that is run before each first start.
fn declared() -> Result<Declared, Box<dyn Error>> {
    let line = "while :; do echo working; sleep 1; done".to_owned();
    let mut worker = Process::new(Name::parse("worker")?, Program::Shell { line });
    worker.instances = 2;
    worker.restart.when = RestartWhen::Always;
    worker.restart.delay = Duration::ZERO;
    worker.hooks.pre_start.push(Hook {
        name: Name::parse("prepare")?,
        command: "echo preparing".to_owned(),
        failure_mode: piton_model::FailureMode::Fail,
        run_mode: piton_model::RunMode::Blocking,
        timeout: Duration::from_secs(10),
        env: BTreeMap::new(),
        work_dir: None,
    });
    let processes = BTreeMap::from([(worker.name.clone(), Arc::new(worker))]);
    Ok(Declared { processes, groups: BTreeMap::new() })
}

async fn workers(State(supervisor): State<Supervisor>) -> Result<Json<Value>, (StatusCode, String)> {
    supervisor.status(&Selector::All).map(|found| Json(shown(&found))).map_err(refused)
}

async fn restart(State(supervisor): State<Supervisor>) -> Result<Json<Value>, (StatusCode, String)> {
    supervisor.restart(&Selector::All, None).await.map(|found| Json(shown(&found))).map_err(refused)
}

fn shown(found: &[InstanceStatus]) -> Value {
    let one = |status: &InstanceStatus| {
        json!({
            "name": status.name,
            "state": status.state,
            "pid": status.pid,
            "restarts": status.restarts,
        })
    };
    found.iter().map(one).collect()
}

fn refused(error: piton_supervisor::Error) -> (StatusCode, String) {
    (StatusCode::CONFLICT, error.to_string())
}
