//! Takes jobs from the message queue: each becomes a run, durably, before the broker may forget it.

mod graves;
pub mod health;
mod job;

use std::sync::Arc;
use std::time::Duration;

use piton_broker::message::{self, Read};
use piton_broker::{
    Address, Batch, Delivery, Handler, Inlet, Ladder, Outlet, Postman, Settings, Status, Topology, Verdict,
};
use piton_engine::{Accepted, Engine, Sent};
use piton_model::{Backoff, ScaffoldId};
use piton_server::Metrics;
use piton_spec::Worker;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::ends::Following;
use crate::error::{CommandError, Exit};
use crate::place::Place;
use graves::Graves;

/// How long the end waits for messages that are being kept. Those that wait for a place go back to the queue.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the end waits for dead letters. What is not there by then is brought after the next start.
const BURIAL: Duration = Duration::from_secs(10);
/// Between two tries to record that a message is refused, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A batch ends when nothing came for this long.
const IDLE: Duration = Duration::from_secs(30);

/// The consumer of the queue, at work.
pub struct Taking {
    stop: CancellationToken,
    task: JoinHandle<()>,
    status: watch::Receiver<Status>,
    graves: Following,
    postman: Postman,
    _measuring: AbortOnDropHandle<()>,
}

impl Taking {
    /// Begins to take messages. A broker that is away is waited for.
    pub async fn begin(place: &Place, engine: &Engine, metrics: &Metrics, node: &str) -> Result<Taking, CommandError> {
        let config = &place.config.worker;
        let clock = engine.clock().clone();
        let name = format!("piton {}", config.id.as_deref().unwrap_or(node));
        // Connects when there is something to bury.
        let (outlet, postman) = Outlet::start(address(place)?, topology(place)?, format!("{name} (dead letters)"));
        let settings = Settings {
            name,
            prefetch: config.prefetch,
            // Those that wait for a place are in hand too.
            concurrency: usize::from(config.prefetch).max(config.concurrency),
            types: (!config.types.is_empty()).then(|| config.types.iter().copied().map(job::type_of).collect()),
            batch: config.batch.map(|at_most| Batch { at_most, idle: Some(IDLE) }),
            ladder: ladder(config),
            drain_limit: FAREWELL,
            ..Settings::new(address(place)?, config.queue.clone(), Arc::new(move || clock.now()))
        };
        let taker = Taker {
            engine: engine.clone(),
            config: config.clone(),
            places: Arc::new(Semaphore::new(config.concurrency)),
            metrics: metrics.clone(),
        };
        let inlet = Inlet::new(settings, taker).map_err(|error| bad("worker.queue", &error))?;
        // Before the first message is taken.
        let graves = Following::begin(engine, Graves { outlet })
            .await
            .map_err(|error| CommandError::new(Exit::Failed, format!("cannot follow the ledger: {error}")))?;
        let status = inlet.status();
        let stop = CancellationToken::new();
        let run = inlet.run(stop.clone());
        let task = tokio::spawn(async move {
            let counts = run.await;
            tracing::info!(accepted = counts.accepted, dead = counts.buried, "no more jobs are taken from the queue");
        });
        tracing::info!(queue = config.queue, concurrency = config.concurrency, "jobs are taken from the queue");
        Ok(Taking {
            stop,
            task,
            _measuring: AbortOnDropHandle::new(tokio::spawn(measure(status.clone(), metrics.clone()))),
            graves,
            postman,
            status,
        })
    }

    /// What can be seen of it.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until it has ended by itself, as it does after a batch.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }

    /// Takes no more, and waits until nothing is in hand.
    pub async fn end(&mut self) {
        self.stop.cancel();
        if !self.task.is_finished() {
            self.ended().await;
        }
    }

    /// Waits until the last dead letters are where they belong, for a while.
    pub async fn leave(self) {
        self.graves.finish(BURIAL).await;
        if tokio::time::timeout(FAREWELL, self.postman.ended()).await.is_err() {
            tracing::debug!("the connection for dead letters did not end in time");
        }
    }
}

/// Where the broker is.
pub fn address(place: &Place) -> Result<Address, CommandError> {
    let Some(url) = &place.config.worker.rabbitmq_url else {
        return Err(CommandError::new(Exit::BadConfig, "nothing says where the message broker is")
            .hint("set `worker.rabbitmq_url`, or RABBITMQ_URL in the environment"));
    };
    Address::parse(url).map_err(|error| bad("worker.rabbitmq_url", &error))
}

/// The queues.
pub fn topology(place: &Place) -> Result<Topology, CommandError> {
    let config = &place.config.worker;
    Topology::new(&config.queue, ladder(config)).map_err(|error| bad("worker.queue", &error))
}

fn ladder(config: &Worker) -> Ladder {
    Ladder { first: config.retry_delay, ..Ladder::default() }
}

fn bad(key: &str, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::new(Exit::BadConfig, format!("{key}: {error}"))
}

/// Makes runs of messages, as many as there are places.
struct Taker {
    engine: Engine,
    config: Worker,
    /// A run has a place until it has ended: what this worker cannot begin yet is left to others.
    places: Arc<Semaphore>,
    metrics: Metrics,
}

impl Handler for Taker {
    async fn bury(&self, body: &[u8], reason: &str) {
        let Some(run_id) = message::peek_run_id(body).and_then(|name| name.as_str().parse::<ScaffoldId>().ok()) else {
            return self.metrics.job_refused();
        };
        let kind = message::peek_type(body).map(job::kind_of);
        let mut pause = FIRST_PAUSE;
        // It is not with the dead letters before that is known here. Where it takes too long the broker gets it back.
        loop {
            match self.engine.refuse(run_id.clone(), kind, reason).await {
                // It counts as a run that failed, and is told to the control plane like one.
                Ok(true) => return,
                Ok(false) => return self.metrics.job_refused(),
                Err(error) => {
                    tracing::warn!(%run_id, %error, "it could not be recorded that a message is refused");
                    self.engine.clock().sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn take(&self, delivery: Delivery) -> Verdict {
        let scaffold = match message::parse(delivery.body(), message::Limits::default()) {
            Ok(Read { job, unknown }) => {
                if !unknown.is_empty() {
                    let fields = unknown.join(", ");
                    tracing::warn!(run_id = %job.run_id, fields, "a message has fields that mean nothing here");
                }
                // What the sender says is the same for every worker that is given a copy: so they make the same commit.
                let now = self.engine.clock().now();
                let asked_at = delivery.sent_at().filter(|sent| *sent <= now).unwrap_or(now);
                match job::scaffold(job, &self.config, asked_at) {
                    Ok(scaffold) => scaffold,
                    Err(reason) => return Verdict::Never { reason },
                }
            }
            Err(refusal) => return Verdict::Never { reason: refusal.to_string() },
        };
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return Verdict::Later { reason: "the worker ends".to_owned() };
        };
        let retry: Backoff = self.config.retry();
        let sent = if delivery.redelivered() { Sent::Before } else { Sent::Now };
        match self.engine.submit_scaffold(scaffold, retry, sent).await {
            Ok(Accepted::New(run)) => {
                let engine = self.engine.clone();
                tokio::spawn(async move {
                    if let Err(error) = engine.ended(run).await {
                        tracing::debug!(%run, %error, "cannot see how a run is doing; its place is free");
                    }
                    drop(place);
                });
                Verdict::Accept
            }
            Ok(Accepted::Known(run)) => {
                tracing::info!(%run, "a message came again; it is a run already");
                Verdict::Accept
            }
            Ok(Accepted::Other(run)) => {
                Verdict::Never { reason: format!("its `run_id` is that of run {run}, which asks for something else") }
            }
            Err(error) => Verdict::Later { reason: error.to_string() },
        }
    }
}

async fn measure(mut status: watch::Receiver<Status>, metrics: Metrics) {
    loop {
        if let Some(depth) = status.borrow_and_update().depth {
            metrics.queue_depth(depth.ready);
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
