//! A fresh database of either engine, and values to fill it with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use piton_model::{
    Action, ApprovalPolicy, AttemptNo, Backoff, By, Command, CustomCommands, DedupKey, Digest, Event, Failure,
    FailureClass, Gate, Iac, IacStep, Name, NewRun, Operation, Origin, Program, Report, Run, RunId, Source, Step,
    Subject, ToolChoice, WorkerId,
};
use piton_store::{Guard, Options, Store, Submitted};
use tempfile::TempDir;

/// A database that is empty at first.
pub struct Fixture {
    pub url: String,
    nodes: usize,
    dir: Option<TempDir>,
}

impl Fixture {
    pub fn sqlite() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("piton.db").display());
        Fixture { url, nodes: 1, dir: Some(dir) }
    }

    pub async fn postgres() -> Fixture {
        let url = piton_testkit::postgres::database().await.expect("the tests need a real PostgreSQL");
        Fixture { url, nodes: 2, dir: None }
    }

    pub async fn open(&self) -> Store {
        Store::open(&self.url, Options::default()).await.unwrap()
    }

    /// As many stores as may share the database.
    pub async fn nodes(&self) -> Vec<Store> {
        let mut nodes = Vec::new();
        for _ in 0..self.nodes {
            nodes.push(self.open().await);
        }
        nodes
    }

    pub fn file(&self) -> std::path::PathBuf {
        self.dir.as_ref().unwrap().path().join("piton.db")
    }

    /// Whatever a test did, the ledger must be sound.
    pub async fn audited(self) {
        let store = self.open().await;
        assert_eq!(store.audit().await.unwrap(), []);
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        store.close().await;
    }
}

/// Runs each named function on a fresh database of each engine, and audits the ledger afterwards.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = crate::fixture::Fixture::sqlite();
                super::$name(&fixture).await;
                fixture.audited().await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = crate::fixture::Fixture::postgres().await;
                super::$name(&fixture).await;
                fixture.audited().await;
            })*
        }
    };
}
pub(crate) use on_both_engines;

/// `seconds` after the beginning of the tests' time.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub fn worker(name: &str) -> WorkerId {
    WorkerId::new(name)
}

pub fn job(name: &str) -> Subject {
    Subject::Job { workspace: None, name: Name::parse(name).unwrap() }
}

pub fn workspace(name: &str) -> Subject {
    Subject::Workspace(Name::parse(name).unwrap())
}

static IDS: AtomicU64 = AtomicU64::new(0);

/// An id that sorts after those made before.
pub fn run_id(at: Timestamp) -> RunId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&IDS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    RunId::new(at, random)
}

/// A run of a job that is due at once and holds no lock.
pub fn new_run(subject: &Subject, due: Timestamp) -> NewRun {
    let command = Command {
        program: Program::Shell { line: "true".to_owned() },
        env: BTreeMap::new(),
        deployment: Name::parse("test").unwrap(),
        working_dir: None,
        timeout: Duration::from_secs(60),
    };
    NewRun {
        id: run_id(due),
        subject: subject.clone(),
        action: Action::Command(command),
        origin: Origin::call(By::User("tester".to_owned())),
        due,
        priority: 0,
        retry: Backoff::NONE,
        retry_of: None,
        dedup_key: None,
        lock_key: None,
    }
}

/// A run that takes the lock of its subject.
pub fn locked_run(subject: &Subject, due: Timestamp) -> NewRun {
    NewRun { lock_key: Some(subject.lock_key()), ..new_run(subject, due) }
}

/// A run of a schedule.
pub fn cron_run(subject: &Subject, fire: Timestamp) -> NewRun {
    let origin = Origin::Cron { fire, line: "* * * * *".to_owned() };
    let dedup_key = origin.dedup_key(subject);
    NewRun { origin, dedup_key, ..new_run(subject, fire) }
}

pub fn keyed_run(subject: &Subject, due: Timestamp, key: &str) -> NewRun {
    NewRun { dedup_key: Some(DedupKey::new(key)), ..new_run(subject, due) }
}

/// A deployment whose plan somebody must approve.
pub fn deployment(name: &str, due: Timestamp) -> NewRun {
    let subject = workspace(name);
    let iac = Iac {
        operation: Operation::Deploy { mode: None },
        source: Source::Directory { path: "/srv/code".into() },
        deployment: Name::parse(name).unwrap(),
        workspace_name: Some(Name::parse(name).unwrap()),
        tool: ToolChoice::Auto,
        version: None,
        vars: BTreeMap::new(),
        var_files: Vec::new(),
        env: BTreeMap::new(),
        approval: ApprovalPolicy::Manual { timeout: Duration::from_secs(3600) },
        timeout: Duration::from_secs(60),
        commands: CustomCommands::default(),
        init_flags: vec![],
        plan_flags: vec![],
        source_digest: None,
        declaration_digest: None,
        state_at: None,
    };
    NewRun { action: Action::Iac(iac), ..locked_run(&subject, due) }
}

pub fn done() -> Event {
    Event::Done { report: Report::default() }
}

pub fn cancel() -> Event {
    Event::CancelAsked { by: By::User("tester".to_owned()), reason: None, superseded_by: None }
}

pub fn failed(class: FailureClass) -> Event {
    Event::Failed { failure: Failure::new(class, "test", "it failed") }
}

pub fn gate_digest() -> Digest {
    Digest::of(b"the plan")
}

pub async fn submit_one(store: &Store, run: NewRun, at: Timestamp) -> Run {
    match store.submit(vec![run], at).await.unwrap().pop() {
        Some(Submitted::New(run)) => run,
        other => panic!("{other:?}"),
    }
}

/// Takes the one run that is due.
pub async fn claim_one(store: &Store, worker: &WorkerId, at: Timestamp) -> Run {
    let mut claimed = store.claim(worker, 10, at + Duration::from_secs(15), at, None).await.unwrap();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    claimed.remove(0)
}

pub fn guard(run: &Run) -> Guard {
    Guard::Attempt(AttemptNo::after(run.attempts - 1))
}

pub async fn end(store: &Store, run: &Run, at: Timestamp) -> Run {
    store.record(run.id, done(), guard(run), at).await.unwrap()
}

/// Walks a claimed deployment to its gate.
pub async fn to_the_gate(store: &Store, run: &Run, at: Timestamp) -> Run {
    for step in [IacStep::Prepare, IacStep::Checkout, IacStep::Init] {
        // Only code from git is checked out.
        if step == IacStep::Checkout && !matches!(&*run.action, Action::Iac(Iac { source: Source::Git(_), .. })) {
            continue;
        }
        let passed = Event::StepPassed { step: Step::Iac(step), report: Report::default() };
        store.record(run.id, passed, guard(run), at).await.unwrap();
    }
    let gate = Gate { digest: gate_digest(), question: "1 to add".to_owned() };
    let reached = Event::GateReached { gate, expires: at + Duration::from_secs(3600), report: Report::default() };
    store.record(run.id, reached, guard(run), at).await.unwrap()
}
