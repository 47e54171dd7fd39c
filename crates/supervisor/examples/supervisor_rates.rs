//! How fast the supervisor is on this machine: `supervisor_rates [INSTANCES]`.
//!
//! It is also the keeper of what it starts, when it is called as `supervisor_rates keeper DIR`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use piton_model::{Name, Process, Program, RestartWhen};
use piton_supervisor::{Declared, FileMemory, InstanceState, Selector, Settings, Supervisor};

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
    let instances = arguments.first().map_or(Ok(1000), |count| count.parse())?;
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(dir.path(), instances))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(dir: &Path, instances: u32) -> Result<(), Box<dyn Error>> {
    let settings = Settings {
        keeper_dir: dir.to_owned(),
        keeper_argv: vec![std::env::current_exe()?.into(), "keeper".into(), dir.into()],
        work_dir: dir.to_owned(),
        log_dir: dir.join("logs"),
        pid_dir: dir.join("pids"),
        environment: BTreeMap::new(),
        measure_every: None,
        measurements: 0,
        keep_logs_every: None,
    };
    let memory = Arc::new(FileMemory::new(dir.join("wishes.json")));
    let supervisor = Supervisor::open(settings, memory).await?;
    let argv = ["/bin/sleep", "100000"].map(str::to_owned).into();
    let mut process = Process::new(Name::parse("p")?, Program::Exec { argv });
    (process.instances, process.auto_start) = (instances, false);
    (process.restart.when, process.restart.delay) = (RestartWhen::Always, Duration::ZERO);
    let processes = BTreeMap::from([(process.name.clone(), Arc::new(process))]);
    supervisor.apply(Declared { processes, groups: BTreeMap::new() }).await?;

    let since = Instant::now();
    supervisor.start(&Selector::All).await?;
    println!("started {instances} in {:?}", since.elapsed());

    let since = Instant::now();
    let all = supervisor.status(&Selector::All)?;
    println!("read {} in {:?}", all.len(), since.elapsed());

    let mut changes = supervisor.changes();
    let mut times = Vec::new();
    for status in all.iter().take(15) {
        let pid = status.pid.and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        let since = Instant::now();
        rustix::process::kill_process(pid.ok_or("it has no pid")?, rustix::process::Signal::KILL)?;
        while changes.recv().await?.now.state != InstanceState::Running {}
        times.push(since.elapsed());
    }
    times.sort_unstable();
    println!("replaced after a crash: median {:?}, most {:?}", times[times.len() / 2], times[times.len() - 1]);

    let since = Instant::now();
    supervisor.stop_all().await?;
    println!("stopped {instances} in {:?}", since.elapsed());
    let keeper = piton_keeper::client::Client::connect(dir).await?;
    keeper.stop(false).await?;
    Ok(())
}
