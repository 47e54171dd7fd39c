//! Scheduled provisions on PostgreSQL: how late a delivery begins, how many are made, and how fast rows are inserted.
//!
//! The target is a server in this process that answers at once; what it costs counts. The peers' figures for the same
//! machine are those of the parts `latency` and `queue`: none of them delivers anything.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use piton_engine::{Clock, Config, Engine, Executing, Executor, Loaded, Passed, ProvisionRules, Shutdown, Task};
use piton_model::{
    Action, ApprovalStatus, Backoff, By, Failure, FailureClass, JobType, NewProvision, Report, Run, RunId, ScheduleId,
    Secret, WorkerId,
};
use piton_provision::{Provisioner, Settings, Sleeping, Targets};
use piton_store::{Options, Store};
use tokio::sync::watch;

use crate::databases::{Databases, Engine as Database};
use crate::report::{Figure, Goal, Table, say};
use crate::spread::Spread;

/// How many rows are due one after the other, how far apart, and when the first of them is.
const ROWS: usize = 300;
const APART: Duration = Duration::from_millis(20);
const AHEAD: Duration = Duration::from_secs(3);
/// How many rows wait for another day meanwhile.
const WAITING: usize = 100_000;
/// How many rows are due at once.
const DUE: usize = 10_000;
/// How many rows one statement of a client inserts.
const CHUNK: usize = 5_000;

pub async fn measure(databases: &mut Databases, table: &mut Table) -> anyhow::Result<()> {
    say(&format!("provisions: {WAITING} rows wait, {ROWS} are due one after the other, then {DUE} at once"));
    let bench = Bench::open(&databases.fresh(Database::Postgres).await?).await?;
    let per_second = |value| Figure { value, unit: "/s" };

    let another_day = bench.clock.now() + Duration::from_secs(24 * 3600);
    let begun = Instant::now();
    bench.insert(&vec![another_day; WAITING]).await?;
    let inserted = WAITING as f64 / begun.elapsed().as_secs_f64();
    table.add("rows inserted in bulk", per_second(inserted), "", Goal::AtLeast(80_000.0), "");

    bench.engine.start().await?;
    // The first calls open connections and prepare statements.
    bench.insert(&vec![bench.clock.now(); 100]).await?;
    bench.caller.ended(100).await?;
    let first = bench.clock.now() + AHEAD;
    let times: Vec<Timestamp> = (0..u32::try_from(ROWS)?).map(|row| first + APART * row).collect();
    let due = bench.insert(&times).await?;
    bench.caller.ended(100 + ROWS).await?;
    let late = bench.target.lateness(&due);
    let milliseconds = |value| Figure { value, unit: "ms" };
    table.add("delivery begins after the due time, p50", milliseconds(late.median()), "", Goal::AtMost(2.0), "");
    let note = format!(" (max {:.2})", late.max());
    table.add(
        "delivery begins after the due time, p99",
        milliseconds(late.percentile(99.0)),
        &note,
        Goal::AtMost(10.0),
        "",
    );

    let begun = Instant::now();
    bench.insert(&vec![bench.clock.now(); DUE]).await?;
    bench.caller.ended(100 + ROWS + DUE).await?;
    let delivered = DUE as f64 / begun.elapsed().as_secs_f64();
    table.add("deliveries, inserted and done", per_second(delivered), "", Goal::AtLeast(2_500.0), "");
    bench.close().await;
    Ok(())
}

struct Bench {
    engine: Engine,
    caller: Arc<Caller>,
    target: Target,
    clock: Clock,
    _catalog: watch::Sender<Arc<Loaded>>,
}

impl Bench {
    async fn open(url: &str) -> anyhow::Result<Bench> {
        let clock = Clock::system();
        let target = Target::start().await?;
        let settings = Settings { api_url: Some(target.url.clone()), concurrency: 16, ..Settings::default() };
        let provisioner = Provisioner::new(Targets::new(settings)?, Arc::new(Time(clock.clone())))?;
        let caller = Arc::new(Caller { provisioner, ended: watch::Sender::new(0) });
        let provisions = ProvisionRules { ahead: Duration::from_millis(25), retry: Backoff::NONE, max_concurrent: 64 };
        let config = Config { provisions, ..Config::new(WorkerId::new("bench")) };
        let catalog = watch::Sender::new(Arc::new(Loaded::default()));
        let store = Store::open(url, Options::default()).await?;
        let engine = Engine::new(config, store, clock.clone(), caller.clone(), catalog.subscribe());
        Ok(Bench { engine, caller, target, clock, _catalog: catalog })
    }

    /// Inserts a row for each of these times.
    async fn insert(&self, times: &[Timestamp]) -> anyhow::Result<HashMap<String, Timestamp>> {
        let mut due = HashMap::new();
        for chunk in times.chunks(CHUNK) {
            let ids = self.engine.new_schedule_ids(chunk.len());
            let rows: Vec<NewProvision> = ids.into_iter().zip(chunk).map(|(id, time)| row(id, *time)).collect();
            due.extend(rows.iter().map(|row| (row.id.to_string(), row.schedule_time)));
            self.engine.schedule_provisions(rows, By::System).await?;
        }
        Ok(due)
    }

    async fn close(self) {
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
struct Caller {
    provisioner: Provisioner,
    ended: watch::Sender<usize>,
}

impl Caller {
    async fn ended(&self, count: usize) -> anyhow::Result<()> {
        self.ended.subscribe().wait_for(|ended| *ended >= count).await?;
        Ok(())
    }
}

impl Executor for Caller {
    fn execute<'a>(&'a self, task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        Box::pin(async move {
            let Action::Provision(provision) = &task.run.action else {
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

type Arrivals = Arc<Mutex<HashMap<String, Timestamp>>>;

/// A server that answers at once, and remembers when it was called for which row.
struct Target {
    url: String,
    arrivals: Arrivals,
}

impl Target {
    async fn start() -> anyhow::Result<Target> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/provision", listener.local_addr()?);
        let arrivals = Arrivals::default();
        let remembers = arrivals.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let arrivals = remembers.clone();
                tokio::spawn(async move {
                    drop(stream.set_nodelay(true));
                    let service = service_fn(move |request| answer(request, arrivals.clone()));
                    let http = hyper::server::conn::http1::Builder::new();
                    // The connection ends when the client leaves.
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Ok(Target { url, arrivals })
    }

    /// How long after their due times these rows were delivered, in milliseconds.
    fn lateness(&self, due: &HashMap<String, Timestamp>) -> Spread {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let late = due
            .iter()
            .filter_map(|(id, due)| arrivals.get(id).and_then(|at| (*at - *due).total(jiff::Unit::Millisecond).ok()));
        Spread::of(late.collect())
    }
}

async fn answer(request: Request<Incoming>, arrivals: Arrivals) -> Result<Response<Full<Bytes>>, Infallible> {
    let now = Clock::system().now();
    if let Some(id) = request.headers().get("x-piton-schedule").and_then(|id| id.to_str().ok()) {
        arrivals.lock().unwrap_or_else(PoisonError::into_inner).entry(id.to_owned()).or_insert(now);
    }
    // A body that is not read would end the connection.
    drop(request.into_body().collect().await);
    Ok(Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}"))))
}
