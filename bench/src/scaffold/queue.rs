//! Messages of a quorum queue that become runs: taken, read, durably inserted, acknowledged.
//!
//! Nothing executes the runs: how many a worker has in hand is bounded by what it executes, and what is measured here is
//! what the queue and the database allow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use piton_broker::message::{self, RunId};
use piton_broker::{Address, Delivery, Handler, Inlet, Outgoing, Outlet, Settings, Topology, Verdict};
use piton_engine::{Clock, Config, Engine, Executing, Executor, Loaded, Passed, Sent, Task};
use piton_model::{
    Backoff, Digest, Failure, FailureClass, GitProvider, RepositoryVisibility, Run, Scaffold, ScaffoldKind, Secret,
    WorkerId,
};
use piton_store::{Options, Store};
use piton_testkit::rabbit::Rabbit;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::databases::{Databases, Engine as Database};
use crate::report::{Figure, Goal, Table, say};
use crate::spread::Spread;

/// How many messages there are in a round.
const MESSAGES: usize = 20_000;
const ROUNDS: usize = 3;
/// How many are in hand at once. Beyond a few hundred nothing is gained.
const PREFETCH: u16 = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn measure(databases: &mut Databases, table: &mut Table) -> anyhow::Result<()> {
    let rabbit = tokio::task::spawn_blocking(Rabbit::start).await??;
    say(&format!("  {MESSAGES} messages of a quorum queue, {ROUNDS} times"));
    for database in [Database::Sqlite, Database::Postgres] {
        let mut rates = Vec::new();
        for round in 0..ROUNDS {
            let bench = Bench::open(&databases.fresh(database).await?).await?;
            let queue = format!("bench-{database}-{round}").to_lowercase();
            rates.push(bench.take(&rabbit, &queue).await?);
        }
        let rates = Spread::of(rates);
        let note = format!(" ({:.0} to {:.0})", rates.min(), rates.max());
        let what = format!("messages taken, inserted durably and acknowledged, {database}");
        table.add(&what, Figure { value: rates.median(), unit: "/s" }, &note, Goal::AtLeast(5_000.0), "");
    }
    Ok(())
}

struct Bench {
    engine: Engine,
    _catalog: watch::Sender<Arc<Loaded>>,
}

impl Bench {
    async fn open(url: &str) -> anyhow::Result<Bench> {
        let catalog = watch::Sender::new(Arc::new(Loaded::default()));
        let store = Store::open(url, Options::default()).await?;
        let config = Config::new(WorkerId::new("bench"));
        let engine = Engine::new(config, store, Clock::system(), Arc::new(Nobody), catalog.subscribe());
        Ok(Bench { engine, _catalog: catalog })
    }

    /// Publishes the messages, then takes them all; how many that were in a second.
    async fn take(self, rabbit: &Rabbit, queue: &str) -> anyhow::Result<f64> {
        let address = Address::parse(&Secret::new(rabbit.url()))?;
        let settings = Settings {
            prefetch: PREFETCH,
            concurrency: usize::from(PREFETCH),
            ..Settings::new(address.clone(), queue, Arc::new(Timestamp::now))
        };
        let (outlet, postman) = Outlet::start(address, Topology::new(queue, settings.ladder)?, "bench".to_owned());
        let sending = (0..MESSAGES).map(|number| {
            let outlet = outlet.clone();
            async move { outlet.enqueue(job(number)?).await.context("publishing") }
        });
        futures_util::future::try_join_all(sending).await?;
        drop(outlet);
        postman.ended().await;

        let inlet = Inlet::new(settings, Taker(self.engine.clone()))?;
        let (mut status, stop) = (inlet.status(), CancellationToken::new());
        let begun = Instant::now();
        let running = tokio::spawn(inlet.run(stop.clone()));
        let all = |status: &piton_broker::Status| status.counts.accepted >= MESSAGES as u64 && status.in_flight == 0;
        timeout(PATIENCE, status.wait_for(all)).await.context("not all were taken")??;
        let took = begun.elapsed();
        stop.cancel();
        let counts = running.await?;
        anyhow::ensure!(counts.accepted == MESSAGES as u64, "{counts:?}");
        let store = self.engine.store().clone();
        anyhow::ensure!(store.live().await?.len() == MESSAGES, "not every message is a run");
        drop(self);
        store.close().await;
        Ok(MESSAGES as f64 / took.as_secs_f64())
    }
}

fn job(number: usize) -> anyhow::Result<Outgoing> {
    let run = format!("run-{number:06}");
    let text = serde_json::json!({
        "run_id": run,
        "type": "component",
        "blueprint": {
            "template": "go-backend", "name": format!("my-service-{number}"), "namespace": "my-team",
            "values": { "port": 8080, "database": "postgres" },
        },
        "git_config": { "provider": "gitlab", "group_id": "123", "visibility": "private" },
    });
    Ok(Outgoing::job(&run.parse::<RunId>()?, text.to_string().into_bytes()))
}

/// Makes runs of messages, as the worker does.
struct Taker(Engine);

impl Handler for Taker {
    async fn take(&self, delivery: Delivery) -> Verdict {
        match self.submit(&delivery).await {
            Ok(()) => Verdict::Accept,
            Err(error) => Verdict::Never { reason: format!("{error:#}") },
        }
    }
}

impl Taker {
    async fn submit(&self, delivery: &Delivery) -> anyhow::Result<()> {
        let job = message::parse(delivery.body(), message::Limits::default())?.job;
        let digest = Digest::of(&serde_json::to_vec(&job)?);
        let scaffold = Scaffold {
            run_id: job.run_id.as_str().parse()?,
            job_type: ScaffoldKind::Component,
            template: job.blueprint.template,
            name: job.blueprint.name,
            namespace: job.blueprint.namespace.unwrap_or_default(),
            values: Secret::new(job.blueprint.values),
            provider: GitProvider::Gitlab,
            group_id: job.git_config.group_id,
            visibility: RepositoryVisibility::Private,
            timeout: Duration::from_secs(600),
            asked_at: self.0.clock().now(),
            digest,
        };
        self.0.submit_scaffold(scaffold, Backoff::NONE, Sent::Now).await?;
        Ok(())
    }
}

/// Executes nothing.
#[derive(Debug)]
struct Nobody;

impl Executor for Nobody {
    fn execute<'a>(&'a self, _task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        Box::pin(async { Err(Failure::new(FailureClass::Permanent, "internal", "nothing is executed here")) })
    }

    fn ended<'a>(&'a self, _run: &'a Run) -> Executing<'a, ()> {
        Box::pin(async {})
    }

    fn forget(&self, _runs: Vec<piton_model::RunId>) -> Executing<'_, ()> {
        Box::pin(async {})
    }

    fn reconcile<'a>(&'a self, _held: &'a [piton_model::RunId]) -> Executing<'a, ()> {
        Box::pin(async {})
    }
}
