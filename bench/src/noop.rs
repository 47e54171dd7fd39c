//! An engine whose executor does nothing, and runs for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use piton_engine::{Clock, Config, Engine, Executing, Executor, Loaded, Passed, Shutdown, Task};
use piton_model::{
    Action, Ascending, Backoff, By, Command, Failure, Name, NewRun, Origin, Program, Report, Run, RunId, Subject,
    WorkerId,
};
use piton_store::{Options, Store};
use rand::RngCore as _;
use tokio::sync::watch;

/// An executor that is done at once, and remembers when it was called.
#[derive(Debug)]
pub struct Noop {
    clock: Clock,
    begun: Mutex<Vec<Begun>>,
    ended: watch::Sender<usize>,
}

/// A run that reached the executor.
#[derive(Debug, Clone)]
pub struct Begun {
    pub run: RunId,
    pub origin: Origin,
    pub at: Timestamp,
}

impl Noop {
    pub fn new() -> Arc<Noop> {
        Arc::new(Noop { clock: Clock::system(), begun: Mutex::default(), ended: watch::Sender::new(0) })
    }

    /// Waits until the ends of so many runs are durable.
    pub async fn ended(&self, count: usize) -> anyhow::Result<()> {
        self.ended.subscribe().wait_for(|ended| *ended >= count).await?;
        Ok(())
    }

    /// Takes what was remembered so far.
    pub fn take(&self) -> Vec<Begun> {
        std::mem::take(&mut *self.begun.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Executor for Noop {
    fn execute<'a>(&'a self, task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        let begun = Begun { run: task.run.id, origin: task.run.origin.clone(), at: self.clock.now() };
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).push(begun);
        Box::pin(async { Ok(Passed::Next(Report::default())) })
    }

    /// The engine says so after the commit.
    fn ended<'a>(&'a self, _run: &'a Run) -> Executing<'a, ()> {
        self.ended.send_modify(|ended| *ended += 1);
        Box::pin(async {})
    }

    fn forget(&self, _runs: Vec<RunId>) -> Executing<'_, ()> {
        Box::pin(async {})
    }

    fn reconcile<'a>(&'a self, _held: &'a [RunId]) -> Executing<'a, ()> {
        Box::pin(async {})
    }
}

/// A store with an engine that is ready to be started.
#[derive(Debug)]
pub struct Bench {
    pub engine: Engine,
    pub executor: Arc<Noop>,
    // Without it, the engine would believe that there are no declarations any more.
    _catalog: Option<watch::Sender<Arc<Loaded>>>,
}

impl Bench {
    /// Without declarations.
    pub async fn open(url: &str, max_concurrent_runs: usize) -> anyhow::Result<Bench> {
        let catalog = watch::Sender::new(Arc::new(Loaded::default()));
        let declared = catalog.subscribe();
        Ok(Bench { _catalog: Some(catalog), ..Bench::with_catalog(url, max_concurrent_runs, declared).await? })
    }

    pub async fn with_catalog(
        url: &str,
        max_concurrent_runs: usize,
        catalog: watch::Receiver<Arc<Loaded>>,
    ) -> anyhow::Result<Bench> {
        let store = Store::open(url, Options::default()).await?;
        let executor = Noop::new();
        let config = Config { max_concurrent_runs, ..Config::new(WorkerId::new("bench")) };
        let engine = Engine::new(config, store, Clock::system(), executor.clone(), catalog);
        Ok(Bench { engine, executor, _catalog: None })
    }

    pub async fn close(self) {
        self.engine.shutdown(Shutdown::Drain).await;
        let store = self.engine.store().clone();
        drop(self.engine);
        store.close().await;
    }
}

/// A run of one of 2,000 jobs. Like any job's it holds the lock of its job.
pub fn new_run(number: usize, due: Timestamp) -> anyhow::Result<NewRun> {
    static IDS: Ascending = Ascending::new();
    let mut random = [0; 10];
    rand::rng().fill_bytes(&mut random);
    let subject = Subject::Job { workspace: None, name: Name::parse(&format!("job-{}", number % 2_000))? };
    let command = Command {
        program: Program::Exec { argv: vec!["true".to_owned()] },
        env: std::collections::BTreeMap::new(),
        deployment: Name::parse("bench")?,
        working_dir: None,
        timeout: Duration::from_secs(600),
    };
    Ok(NewRun {
        id: IDS.next(Timestamp::now(), random),
        lock_key: Some(subject.lock_key()),
        subject,
        action: Action::Command(command),
        origin: Origin::call(By::System),
        due,
        priority: 0,
        retry: Backoff::NONE,
        retry_of: None,
        dedup_key: None,
    })
}
