//! The engine with the provisioner, as the daemon puts them together.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_engine::{Clock, Config, Engine, Executing, Executor, Loaded, Passed, ProvisionRules, Shutdown, Task};
use piton_model::{
    Action, ApprovalStatus, Backoff, By, Failure, FailureClass, JobType, NewProvision, Report, Run, RunId, ScheduleId,
    Secret, WorkerId,
};
use piton_provision::{Provisioner, Settings, Sleeping, Targets};
use piton_store::{Options, Store};
use tokio::sync::watch;

/// How many rows one transaction inserts.
const CHUNK: usize = 10_000;

/// A store with an engine, and rows for it.
pub struct Bench {
    pub engine: Engine,
    pub caller: Arc<Caller>,
    pub clock: Clock,
    _catalog: watch::Sender<Arc<Loaded>>,
}

impl Bench {
    /// Delivers to `target` as the daemon does, with its defaults but for the calls that may be under way at once.
    pub async fn open(url: &str, worker: &str, target: &str, at_once: u32) -> anyhow::Result<Bench> {
        let clock = Clock::system();
        let settings = Settings { api_url: Some(target.to_owned()), concurrency: at_once, ..Settings::default() };
        let provisioner = Provisioner::new(Targets::new(settings)?, Arc::new(Time(clock.clone())))?;
        let caller = Arc::new(Caller { provisioner, ended: watch::Sender::new(0) });
        let provisions = ProvisionRules { ahead: Duration::from_millis(25), retry: Backoff::NONE, max_concurrent: 256 };
        let config = Config { provisions, ..Config::new(WorkerId::new(worker)) };
        let catalog = watch::Sender::new(Arc::new(Loaded::default()));
        let store = Store::open(url, Options::default()).await?;
        let engine = Engine::new(config, store, clock.clone(), caller.clone(), catalog.subscribe());
        Ok(Bench { engine, caller, clock, _catalog: catalog })
    }

    /// A row for each of these times.
    pub fn rows(&self, times: &[Timestamp]) -> Vec<NewProvision> {
        let ids = self.engine.new_schedule_ids(times.len());
        ids.into_iter().zip(times).map(|(id, time)| row(id, *time)).collect()
    }

    pub async fn insert(&self, mut rows: Vec<NewProvision>) -> anyhow::Result<()> {
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(CHUNK));
            self.engine.schedule_provisions(rows, By::System).await?;
            rows = rest;
        }
        Ok(())
    }

    /// Inserts so many rows that are due, and waits until `before` and these have ended.
    pub async fn deliver(&self, rows: usize, before: usize) -> anyhow::Result<()> {
        self.insert(self.rows(&vec![self.clock.now(); rows])).await?;
        self.caller.ended(before + rows).await
    }

    pub async fn close(self) {
        self.engine.shutdown(Shutdown::Drain).await;
        let store = self.engine.store().clone();
        drop(self.engine);
        store.close().await;
    }
}

fn row(id: ScheduleId, schedule_time: Timestamp) -> NewProvision {
    let employee = serde_json::json!({
        "fullName": "John Doe", "workEmail": "jdoe@example.com", "department": "Engineering", "jobTitle": "Engineer",
    });
    NewProvision {
        id,
        job_type: JobType::Provision,
        employee: Secret::new(employee),
        applications: Secret::new(serde_json::json!({ "google": true, "microsoft": true })),
        payload: None,
        schedule_time,
        timezone: None,
        tags: vec!["to be created".to_owned(), "new-hire".to_owned()],
        target_user_email: None,
        requested_by: None,
        approval: ApprovalStatus::AutoApproved,
    }
}

/// Makes calls as the daemon does.
#[derive(Debug)]
pub struct Caller {
    provisioner: Provisioner,
    ended: watch::Sender<usize>,
}

impl Caller {
    /// Waits until so many have ended.
    pub async fn ended(&self, count: usize) -> anyhow::Result<()> {
        self.ended.subscribe().wait_for(|ended| *ended >= count).await?;
        Ok(())
    }
}

impl Executor for Caller {
    fn execute<'a>(&'a self, task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        Box::pin(async move {
            let Action::Provision(provision) = &*task.run.action else {
                return Err(Failure::new(FailureClass::Permanent, "internal", "not a provision"));
            };
            let request = piton_provision::Request {
                id: provision.schedule.to_string(),
                key: provision.key.to_string(),
                job_type: provision.job_type,
                body: provision.request.expose().clone(),
                attempt: 1,
                due: task.run.submitted_at,
            };
            let answer = self.provisioner.carry_out(&request, &task.stop).await.map_err(|failed| failed.failure)?;
            Ok(Passed::Done(Report { answer: Some(answer), ..Report::default() }))
        })
    }

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

/// The engine's clock, for the provisioner.
#[derive(Debug)]
struct Time(Clock);

impl piton_provision::Clock for Time {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn uptime(&self) -> Duration {
        self.0.moment().uptime()
    }

    fn sleep_until(&self, at: Duration) -> Sleeping<'_> {
        Box::pin(self.0.sleep(at.saturating_sub(self.uptime())))
    }
}
