//! A broker, queues of a test's own, and handlers that write down what they see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use lapin::{Connection, ConnectionProperties};
use piton_broker::message::RunId;
use piton_broker::{
    Address, Backoff, Counts, Delivery, Handler, Inlet, Ladder, Outgoing, Outlet, Postman, Settings, Status, Topology,
    Verdict,
};
use piton_model::Secret;
use piton_testkit::rabbit::Rabbit;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

static QUEUES: AtomicU32 = AtomicU32::new(0);

/// Queues of one test.
#[derive(Clone)]
pub struct Scene {
    pub url: String,
    pub queue: String,
    pub ladder: Ladder,
}

impl Scene {
    /// On the broker that all tests share.
    pub async fn shared(name: &str) -> Scene {
        let url = tokio::task::spawn_blocking(|| Rabbit::shared().map(Rabbit::url)).await.unwrap().unwrap();
        Scene::at(url, name)
    }

    pub fn at(url: String, name: &str) -> Scene {
        let queue = format!("{name}-{}", QUEUES.fetch_add(1, Ordering::Relaxed));
        let ladder = Ladder { first: Duration::from_millis(200), longest: Duration::from_secs(60), retries: 3 };
        Scene { url, queue, ladder }
    }

    pub fn address(&self) -> Address {
        Address::parse(&Secret::new(self.url.clone())).unwrap()
    }

    pub fn topology(&self) -> Topology {
        Topology::new(&self.queue, self.ladder).unwrap()
    }

    pub fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.address(), self.queue.clone(), Arc::new(now));
        settings.ladder = self.ladder;
        settings.count_every = Duration::from_millis(200);
        settings.backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(500) };
        settings
    }

    pub fn outlet(&self) -> (Outlet, Postman) {
        Outlet::start(self.address(), self.topology(), "test".to_owned())
    }

    /// Publishes jobs and waits until the broker has them.
    pub async fn publish(&self, jobs: impl IntoIterator<Item = (String, &'static str)>) {
        let (outlet, postman) = self.outlet();
        let all = jobs.into_iter().map(|(run, job_type)| outlet.enqueue(job(&run, job_type)));
        for done in timeout(PATIENCE, futures_util::future::join_all(all)).await.unwrap() {
            done.unwrap();
        }
        drop(outlet);
        postman.ended().await;
    }

    pub async fn publish_systems(&self, count: usize) {
        self.publish((0..count).map(|n| (format!("run-{n}"), "system"))).await;
    }

    /// A connection for what only tests do.
    pub async fn raw(&self) -> Connection {
        Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap()
    }

    /// Starts a worker with the usual settings.
    pub fn work(&self, handler: impl Handler) -> Worker {
        work(self.settings(), handler)
    }
}

/// Starts a worker.
pub fn work(settings: Settings, handler: impl Handler) -> Worker {
    let inlet = Inlet::new(settings, handler).unwrap();
    let (status, stop) = (inlet.status(), CancellationToken::new());
    Worker { status, stop: stop.clone(), running: tokio::spawn(inlet.run(stop)) }
}

#[expect(clippy::disallowed_methods, reason = "a real broker lives in real time")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

pub fn job(run: &str, job_type: &str) -> Outgoing {
    let body = serde_json::json!({
        "run_id": run, "type": job_type, "blueprint": {"template": "t", "name": "n"}
    });
    Outgoing::job(&run.parse::<RunId>().unwrap(), body.to_string().into_bytes())
}

/// A running inlet.
pub struct Worker {
    pub status: watch::Receiver<Status>,
    pub stop: CancellationToken,
    running: JoinHandle<Counts>,
}

impl Worker {
    /// Waits until the status is so.
    pub async fn until(&mut self, what: &str, holds: impl FnMut(&Status) -> bool) -> Status {
        let reached = timeout(PATIENCE, self.status.wait_for(holds)).await.map(|status| status.unwrap().clone());
        reached.unwrap_or_else(|_| panic!("never {what}: {:?}", self.status.borrow()))
    }

    pub async fn stopped(self) -> Counts {
        self.stop.cancel();
        self.ended().await
    }

    pub async fn ended(self) -> Counts {
        timeout(PATIENCE, self.running).await.expect("the inlet ends").unwrap()
    }

    /// As if its process were killed: nothing more is said to the broker.
    pub async fn killed(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

/// What a handler saw of one message.
#[derive(Clone, Debug)]
pub struct Seen {
    pub run: String,
    pub job_type: String,
    pub attempt: u32,
    pub redelivered: bool,
    pub at: Instant,
}

type Say = Arc<dyn Fn(&Seen) -> Verdict + Send + Sync>;

/// Writes down what it sees, waits for a permit where there are few, and says what it was told to.
#[derive(Clone)]
pub struct Recorder {
    seen: Arc<Mutex<Vec<Seen>>>,
    accepted: Arc<Mutex<BTreeMap<String, u32>>>,
    at_once: Arc<Mutex<(BTreeMap<String, u32>, u32)>>,
    begun: Arc<AtomicUsize>,
    say: Say,
    pub gate: Arc<Semaphore>,
    told: watch::Sender<()>,
}

impl Recorder {
    pub fn saying(say: impl Fn(&Seen) -> Verdict + Send + Sync + 'static) -> Recorder {
        Recorder {
            seen: Arc::default(),
            accepted: Arc::default(),
            at_once: Arc::default(),
            begun: Arc::default(),
            say: Arc::new(say),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS / 2)),
            told: watch::Sender::new(()),
        }
    }

    pub fn accepting() -> Recorder {
        Recorder::saying(|_| Verdict::Accept)
    }

    /// Answers nobody until the gate is given permits.
    pub fn gated(mut self) -> Recorder {
        self.gate = Arc::new(Semaphore::new(0));
        self
    }

    /// Whoever waits for the other also wakes for this one.
    pub fn beside(mut self, other: &Recorder) -> Recorder {
        self.told = other.told.clone();
        self
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn accepted(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap().keys().cloned().collect()
    }

    /// How often the same message was in a handler at the same time, at most.
    pub fn most_at_once(&self) -> u32 {
        self.at_once.lock().unwrap().1
    }

    /// Waits until it has seen so much.
    pub async fn until(&self, what: &str, holds: impl Fn(&Recorder) -> bool) {
        let mut told = self.told.subscribe();
        let reached = timeout(PATIENCE, told.wait_for(|()| holds(self))).await;
        assert!(reached.is_ok(), "never {what}: {} seen, {} accepted", self.seen().len(), self.accepted().len());
    }

    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Handler for Recorder {
    async fn take(&self, delivery: Delivery) -> Verdict {
        let text = |pointer: &str| {
            let value: serde_json::Value = serde_json::from_slice(delivery.body()).unwrap_or_default();
            value.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
        };
        let seen = Seen {
            run: text("/run_id"),
            job_type: text("/type"),
            attempt: delivery.attempt(),
            redelivered: delivery.redelivered(),
            at: Instant::now(),
        };
        self.seen.lock().unwrap().push(seen.clone());
        {
            let mut at_once = self.at_once.lock().unwrap();
            let count = at_once.0.entry(seen.run.clone()).or_default();
            *count += 1;
            let count = *count;
            at_once.1 = at_once.1.max(count);
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.told.send_replace(());
        let permit = self.gate.acquire().await.unwrap();
        permit.forget();
        let verdict = (self.say)(&seen);
        if let Some(count) = self.at_once.lock().unwrap().0.get_mut(&seen.run) {
            *count -= 1;
        }
        if verdict == Verdict::Accept {
            *self.accepted.lock().unwrap().entry(seen.run).or_default() += 1;
        }
        self.told.send_replace(());
        verdict
    }
}

pub fn later(reason: &str) -> Verdict {
    Verdict::Later { reason: reason.to_owned() }
}
