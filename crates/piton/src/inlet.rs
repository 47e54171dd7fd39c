//! Takes jobs from the message queue: each becomes a run, durably, before the broker may forget it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use jiff::Timestamp;
use piton_broker::message::{self, Job, Read};
use piton_broker::{
    Address, Batch, Delivery, Handler, Inlet, Ladder, Marks, Outgoing, Outlet, Postman, Settings, State, Status,
    Topology, Verdict,
};
use piton_engine::{Accepted, Engine};
use piton_model::{
    Action, Backoff, Digest, GitProvider, OutcomeKind, RepositoryVisibility, Run, Scaffold, ScaffoldKind, Secret,
};
use piton_server::Metrics;
use piton_spec::Worker;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{CommandError, Exit};
use crate::place::Place;

/// How long the end waits for messages that are being kept. Those that wait for a place go back to the queue.
const FAREWELL: Duration = Duration::from_secs(2);
/// A batch ends when nothing came for this long.
const IDLE: Duration = Duration::from_secs(30);

/// The consumer of the queue, at work.
pub struct Taking {
    stop: CancellationToken,
    task: JoinHandle<()>,
    status: watch::Receiver<Status>,
    outlet: Outlet,
    postman: Postman,
    _measuring: AbortOnDropHandle<()>,
}

impl Taking {
    /// Begins to take messages. A broker that is away is waited for.
    pub fn begin(place: &Place, engine: &Engine, metrics: &Metrics, node: &str) -> Result<Taking, CommandError> {
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
            types: (!config.types.is_empty()).then(|| config.types.iter().copied().map(type_of).collect()),
            batch: config.batch.map(|at_most| Batch { at_most, idle: Some(IDLE) }),
            ladder: ladder(config),
            drain_limit: FAREWELL,
            ..Settings::new(address(place)?, config.queue.clone(), Arc::new(move || clock.now()))
        };
        let taker = Taker {
            engine: engine.clone(),
            config: config.clone(),
            places: Arc::new(Semaphore::new(config.concurrency)),
            outlet: outlet.clone(),
        };
        let inlet = Inlet::new(settings, taker).map_err(|error| bad("worker.queue", &error))?;
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
            outlet,
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
        drop(self.outlet);
        if tokio::time::timeout(FAREWELL, self.postman.ended()).await.is_err() {
            tracing::debug!("not every run that failed is with the dead letters");
        }
    }
}

/// What a worker without an API shows.
pub fn health(status: watch::Receiver<Status>) -> Router {
    Router::new().route(
        "/health",
        get(move || {
            let status = status.clone();
            async move {
                let status = status.borrow().clone();
                axum::Json(json!({
                    "status": "healthy",
                    "queue": match status.state {
                        State::Connecting => "connecting",
                        State::Consuming { .. } => "consuming",
                        State::Draining => "draining",
                        State::Stopped => "stopped",
                    },
                    "in_flight": status.in_flight,
                    "queue_depth": status.depth.map(|depth| depth.ready),
                    "dead_letters": status.depth.map(|depth| depth.dead),
                    "last_error": status.last_error.map(|problem| problem.what),
                }))
            }
        }),
    )
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
    outlet: Outlet,
}

impl Handler for Taker {
    async fn take(&self, delivery: Delivery) -> Verdict {
        let scaffold = match message::parse(delivery.body(), message::Limits::default()) {
            Ok(Read { job, unknown }) => {
                if !unknown.is_empty() {
                    let fields = unknown.join(", ");
                    tracing::warn!(run_id = %job.run_id, fields, "a message has fields that mean nothing here");
                }
                match scaffold(job, &self.config, self.engine.clock().now()) {
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
        match self.engine.submit_scaffold(scaffold, retry).await {
            Ok(Accepted::New(run)) => {
                let (engine, outlet) = (self.engine.clone(), self.outlet.clone());
                tokio::spawn(async move {
                    let ended = engine.ended(run).await;
                    drop(place);
                    match ended {
                        Ok(run) => bury(&outlet, &run, &delivery, engine.clock().now()).await,
                        Err(error) => tracing::debug!(%run, %error, "cannot see how a run is doing; its place is free"),
                    }
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

/// What failed for good lies with the dead letters, too: there people look, and from there it can be sent again.
async fn bury(outlet: &Outlet, run: &Run, delivery: &Delivery, now: Timestamp) {
    let (Some(outcome), Action::Scaffold(scaffold)) = (run.outcome(), &run.action) else { return };
    let Ok(run_id) = scaffold.run_id.as_str().parse() else { return };
    if !matches!(outcome.kind(), OutcomeKind::Failed | OutcomeKind::TimedOut | OutcomeKind::Indeterminate) {
        return;
    }
    let marks = Marks { failures: run.attempts.max(1), first_failed: Some(now), ..Marks::default() };
    let message = Outgoing::job(&run_id, delivery.body().to_vec());
    if let Err(error) = outlet.bury(message, marks, &outcome.sentence()).await {
        tracing::warn!(run = %run.id, %error, "a run that failed is not with the dead letters; the ledger has it");
    }
}

fn scaffold(job: Job, config: &Worker, asked_at: Timestamp) -> Result<Scaffold, String> {
    let text = serde_json::to_vec(&job).map_err(|error| error.to_string())?;
    let Job { run_id, job_type, blueprint, git_config } = job;
    Ok(Scaffold {
        run_id: run_id.as_str().parse().map_err(|error: piton_model::InvalidName| error.to_string())?,
        job_type: match job_type {
            message::JobType::System => ScaffoldKind::System,
            message::JobType::Component => ScaffoldKind::Component,
        },
        template: blueprint.template,
        name: blueprint.name,
        namespace: blueprint.namespace.unwrap_or_default(),
        values: Secret::new(blueprint.values),
        provider: match git_config.provider {
            Some(message::Provider::Gitlab) => GitProvider::Gitlab,
            Some(message::Provider::Github) => GitProvider::Github,
            Some(message::Provider::Gitea | message::Provider::Forgejo) => GitProvider::Gitea,
            Some(message::Provider::Git) => GitProvider::Git,
            None => config.provider,
        },
        group_id: git_config.group_id,
        visibility: match git_config.visibility {
            Some(message::Visibility::Private) | None => RepositoryVisibility::Private,
            Some(message::Visibility::Internal) => RepositoryVisibility::Internal,
            Some(message::Visibility::Public) => RepositoryVisibility::Public,
        },
        timeout: config.max_job_duration,
        asked_at,
        digest: Digest::of(&text),
    })
}

fn type_of(kind: ScaffoldKind) -> message::JobType {
    match kind {
        ScaffoldKind::System => message::JobType::System,
        ScaffoldKind::Component => message::JobType::Component,
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
