//! Prints how many no-op runs per second go through the ledger, each with a durable commit of its own end.
//!
//! `throughput [RUNS] [FINISHED] [TASKS] [ENGINE]`: RUNS are submitted in bulk, then claimed in batches while TASKS concurrent
//! tasks each record the end of one run after the other. The same is measured where FINISHED runs have ended before.
//! PostgreSQL is measured where `PITON_TEST_POSTGRES_URL` names one or a cluster can be started.
#![expect(clippy::print_stdout, reason = "a program that prints a measurement")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use piton_model::{
    Action, AttemptNo, Backoff, By, Command, Event, Name, NewRun, Origin, Program, Report, RunId, Subject, WorkerId,
};
use piton_store::{Guard, Options, RecordError, Store};
use tokio::sync::{Mutex, mpsc};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (runs, finished, tasks) = (number(20_000)?, number(0)?, number(128)?);
    let engine = arguments.next();
    let wanted = |name| engine.as_deref().is_none_or(|engine| engine == name);
    let load = Load { runs, finished, tasks };

    let dir = tempfile::tempdir()?;
    let file = |name: &str| format!("sqlite:{}", dir.path().join(name).display());
    if wanted("sqlite") {
        measure("SQLite", &file("clean.db"), &file("full.db"), load).await?;
    }
    if !wanted("postgres") {
        return Ok(());
    }
    match (piton_testkit::postgres::database().await, piton_testkit::postgres::database().await) {
        (Ok(clean), Ok(full)) => measure("PostgreSQL", &clean, &full, load).await?,
        (Err(error), _) | (_, Err(error)) => println!("PostgreSQL: {error}"),
    }
    piton_testkit::postgres::stop();
    Ok(())
}

#[derive(Clone, Copy)]
struct Load {
    runs: usize,
    finished: usize,
    tasks: usize,
}

/// Measures a new database beside one in which many runs have ended, in turns: whatever else the machine does
/// disturbs both.
async fn measure(engine: &str, clean: &str, full: &str, load: Load) -> Result<(), Failure> {
    let Load { runs, finished, tasks } = load;
    let clean = Store::open(clean, Options::default()).await?;
    let full = Store::open(full, Options::default()).await?;
    let (mut next, mut next_full) = (0, 0);
    // The first statements are prepared, the caches warm.
    round(&clean, &mut next, 2_000, tasks).await?;
    let (begun, mut done) = (Instant::now(), 0);
    while done < finished {
        let some = (finished - done).min(50_000);
        round(&full, &mut next_full, some, 1024).await?;
        done += some;
    }
    if finished > 0 {
        println!("{engine}: {finished} runs in {:.0} s", begun.elapsed().as_secs_f64());
    }
    for _ in 0..3 {
        let new = round(&clean, &mut next, runs, tasks).await?;
        println!("{engine}: {runs} runs, {tasks} tasks: submit {:.0}/s, claim and end {:.0}/s", new.submit, new.end);
        if finished > 0 {
            let old = round(&full, &mut next_full, runs, tasks).await?;
            let share = 100.0 * old.end / new.end;
            println!(
                "{engine}: after {finished}: submit {:.0}/s, claim and end {:.0}/s ({share:.0} %)",
                old.submit, old.end
            );
        }
    }
    clean.close().await;
    full.close().await;
    Ok(())
}

struct Rates {
    submit: f64,
    end: f64,
}

async fn round(store: &Store, next: &mut u64, runs: usize, tasks: usize) -> Result<Rates, Failure> {
    let begun = Instant::now();
    let mut left = runs;
    while left > 0 {
        let some = left.min(1_000);
        let batch: Vec<NewRun> = (0..some).map(|_| new_run(next)).collect::<Result<_, _>>()?;
        store.submit(batch, at(*next)?).await?;
        left -= some;
    }
    let submit = rate(runs, begun.elapsed());

    let begun = Instant::now();
    let now = at(*next)?;
    let (claimed, work) = mpsc::channel::<RunId>(2_000);
    let work = Arc::new(Mutex::new(work));
    let workers: Vec<_> = (0..tasks).map(|_| tokio::spawn(worker(store.clone(), Arc::clone(&work), now))).collect();
    let me = WorkerId::new("throughput");
    loop {
        let batch = store.claim(&me, 500, now + Duration::from_secs(3600), now, None).await?;
        if batch.is_empty() {
            break;
        }
        for run in batch {
            claimed.send(run.id).await?;
        }
    }
    drop(claimed);
    for worker in workers {
        worker.await??;
    }
    Ok(Rates { submit, end: rate(runs, begun.elapsed()) })
}

async fn worker(store: Store, work: Arc<Mutex<mpsc::Receiver<RunId>>>, now: Timestamp) -> Result<(), RecordError> {
    loop {
        let Some(run) = work.lock().await.recv().await else { return Ok(()) };
        store.record(run, Event::Done { report: Report::default() }, Guard::Attempt(AttemptNo::FIRST), now).await?;
    }
}

fn rate(runs: usize, took: Duration) -> f64 {
    runs as f64 / took.as_secs_f64()
}

fn at(next: u64) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_microsecond(1_700_000_000_000_000 + i64::try_from(next)? * 100)?)
}

fn new_run(next: &mut u64) -> Result<NewRun, Failure> {
    *next += 1;
    let mut random = [0; 10];
    random[2..].copy_from_slice(&next.to_be_bytes());
    let at = at(*next)?;
    let subject = Subject::Job { workspace: None, name: Name::parse(&format!("job-{}", *next % 1_000))? };
    let origin = Origin::call(By::System);
    let command = Command {
        program: Program::Exec { argv: vec!["true".to_owned()] },
        env: std::collections::BTreeMap::new(),
        deployment: Name::parse("bench")?,
        working_dir: None,
        timeout: Duration::from_secs(60),
    };
    Ok(NewRun {
        id: RunId::new(at, random),
        subject,
        action: Action::Command(command),
        origin,
        due: at,
        priority: 0,
        retry: Backoff::NONE,
        retry_of: None,
        dedup_key: None,
        lock_key: None,
    })
}
