//! Takes messages for as long as it is left to, over all connections that takes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::connection::Address;
use crate::doing::Doing;
use crate::error::Error;
use crate::handler::Handler;
use crate::hold::Desk;
use crate::message::JobType;
use crate::outlet::Outlet;
use crate::session::{self, Orders};
use crate::status::{Board, Counts, Problem, State, Status};
use crate::topology::{Ladder, Topology};

/// A connection that held this long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// For the last publications and a polite end.
const FAREWELL: Duration = Duration::from_secs(5);

/// What time it is.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How an inlet works.
#[derive(Clone)]
pub struct Settings {
    /// Where the broker is.
    pub address: Address,
    /// The work queue.
    pub queue: String,
    /// Shown in the broker's lists.
    pub name: String,
    /// How many messages of each queue are held at once.
    pub prefetch: u16,
    /// How many of them the handler has at once.
    pub concurrency: usize,
    /// The types that are taken; None takes all.
    pub types: Option<BTreeSet<JobType>>,
    /// Ends by itself.
    pub batch: Option<Batch>,
    /// When and how often a message is tried again.
    pub ladder: Ladder,
    /// How often a message may come back without an answer before it is dead. Below the broker's own limit, which gives
    /// no reason.
    pub returns: u32,
    /// How long a message is held at most. Must be less than the broker's `consumer_timeout`, half an hour by default.
    pub hold_limit: Duration,
    /// How long the end waits for messages that are held.
    pub drain_limit: Duration,
    /// Between two counts of the messages in the queues.
    pub count_every: Duration,
    /// Between two connections.
    pub backoff: Backoff,
    /// The clock.
    pub now: Now,
}

/// Takes so many messages, then ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// So many.
    pub at_most: u32,
    /// Or fewer, if none came for this long.
    pub idle: Option<Duration>,
}

impl Settings {
    /// The usual: all types, without end.
    pub fn new(address: Address, queue: impl Into<String>, now: Now) -> Settings {
        Settings {
            address,
            queue: queue.into(),
            name: "piton".to_owned(),
            prefetch: 100,
            concurrency: 50,
            types: None,
            batch: None,
            ladder: Ladder::default(),
            returns: 10,
            hold_limit: Duration::from_secs(25 * 60),
            drain_limit: Duration::from_secs(20),
            count_every: Duration::from_secs(15),
            backoff: Backoff::default(),
            now,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("queue", &self.queue)
            .field("name", &self.name)
            .field("prefetch", &self.prefetch)
            .field("concurrency", &self.concurrency)
            .field("types", &self.types)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

/// Takes messages from the work queue and hands them to a [`Handler`].
pub struct Inlet<H> {
    settings: Settings,
    topology: Topology,
    handler: Arc<H>,
    board: Board,
}

impl<H: Handler> Inlet<H> {
    /// Nothing is connected yet.
    pub fn new(settings: Settings, handler: H) -> Result<Inlet<H>, Error> {
        let topology = Topology::new(&settings.queue, settings.ladder)?;
        Ok(Inlet { settings, topology, handler: Arc::new(handler), board: Board::new() })
    }

    /// What can be seen of it, from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.board.seen()
    }

    /// Takes messages until it is told to stop, or has its batch. A broker that is away is waited for.
    ///
    /// After the stop nothing new is taken; what is held has [`Settings::drain_limit`] to end, and the rest goes back to
    /// the queue.
    pub async fn run(self, stop: CancellationToken) -> Counts {
        let Inlet { settings, topology, handler, board } = self;
        let name = format!("{} (publishing)", settings.name);
        // Two connections: a broker in need blocks those that publish, and acknowledgements must not wait behind that.
        let (outlet, postman) = Outlet::start(settings.address.clone(), topology.clone(), name);
        let _blocked = AbortOnDropHandle::new(tokio::spawn(tell_blocked(outlet.blocked(), board.clone())));
        let mut orders =
            Orders { stop, left: settings.batch.map(|batch| batch.at_most), idle: settings.batch.and_then(|b| b.idle) };
        let permits = Arc::new(Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        let doing = Arc::new(Doing::default());
        let desk = Arc::new(Desk { handler, settings, topology, outlet, doing, permits });

        connect_again_and_again(&desk, &board, &mut orders).await;

        desk.doing.abort_all();
        drop(desk);
        if timeout(FAREWELL, postman.ended()).await.is_err() {
            tracing::warn!("the connection for publishing did not end in time");
        }
        board.change(|status| {
            status.state = State::Stopped;
            status.in_flight = 0;
        });
        board.seen().borrow().counts
    }
}

async fn connect_again_and_again<H: Handler>(desk: &Arc<Desk<H>>, board: &Board, orders: &mut Orders) {
    let mut failures = 0;
    while !orders.stop.is_cancelled() {
        let began = Instant::now();
        let Err(error) = session::run(desk, board, orders).await else { return };
        failures = if began.elapsed() >= GOOD { 1 } else { failures + 1 };
        let wait = desk.settings.backoff.wait(failures, rand::random());
        tracing::warn!(%error, wait_ms = wait.as_millis(), "no messages from the broker");
        let problem = Problem { at: (desk.settings.now)(), what: error.to_string() };
        board.change(|status| {
            status.state = State::Connecting;
            status.in_flight = 0;
            status.counts.lost += 1;
            status.last_error = Some(problem);
        });
        // Ends early when told to stop, and says so by the condition above.
        let _ = timeout(wait, orders.stop.cancelled()).await;
    }
}

async fn tell_blocked(mut blocked: watch::Receiver<Option<String>>, board: Board) {
    while blocked.changed().await.is_ok() {
        let why = blocked.borrow_and_update().clone();
        board.change(|status| status.blocked = why);
    }
}
