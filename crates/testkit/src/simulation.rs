//! Engines on a virtual clock, stepped by hand in an order that a seed decides.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use piton_engine::triggers::{Events, Time};
use piton_engine::{Clock, Config, Drive, Driven, Engine, Loaded, Moment, Rounds, Task, VirtualClock};
use piton_model::{LedgerEntry, Run, RunId, RunState, WorkerId};
use piton_spec::Layout;
use piton_store::{Options, Room, Store};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::ledger;
use crate::scripted::{Behaviour, Key, Scripted};

/// What went wrong in a fixture.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// One or more engines on one store.
pub struct Simulation {
    /// The clock of all nodes.
    pub clock: VirtualClock,
    /// The executor of all nodes.
    pub scripted: Arc<Scripted>,
    /// The chance that a node dies before a call, of 10 000.
    pub crashes: u32,
    /// How the nodes are configured.
    pub configure: fn(Config) -> Config,
    seed: u64,
    random: StdRng,
    dir: TempDir,
    loaded: watch::Sender<Arc<Loaded>>,
    store: Store,
    nodes: Vec<Node>,
    incarnations: u64,
}

/// One daemon.
struct Node {
    worker: &'static str,
    life: Option<Life>,
}

/// All that a daemon has in memory.
struct Life {
    engine: Engine,
    time: Time,
    events: Events,
    rounds: Rounds,
    flights: Vec<Flight>,
    /// Runs that were taken a moment before they are due.
    early: Vec<Drive>,
    /// How long that moment is.
    ahead: Duration,
}

/// A step under way.
struct Flight {
    run: RunId,
    key: Key,
    deadline: Moment,
    step: Pin<Box<dyn Future<Output = (Drive, Driven)>>>,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Time,
    Events,
    Follow,
    Rescue,
    Claim,
    Flights,
}

const CALLS: [Call; 6] = [Call::Time, Call::Events, Call::Follow, Call::Rescue, Call::Claim, Call::Flights];

/// A simulation that still does something after so many rounds at one instant never comes to rest.
const RESTLESS: usize = 300;

impl Simulation {
    /// An empty site at `start`, without nodes. The store lies in memory where the host has a file system for that:
    /// what is durable matters here, not how long the disk takes.
    pub async fn new(seed: u64, start: Timestamp) -> Result<Simulation, Error> {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }?;
        let url = format!("sqlite:{}", dir.path().join("piton.db").display());
        let clock = VirtualClock::at(start);
        Ok(Simulation {
            scripted: Scripted::new(clock.clock(), |_: &Task| Behaviour::passes(Duration::from_secs(1))),
            clock,
            crashes: 0,
            configure: |config| config,
            seed,
            random: StdRng::seed_from_u64(seed),
            store: Store::open(&url, Options::default()).await?,
            loaded: watch::Sender::default(),
            dir,
            nodes: vec![],
            incarnations: 0,
        })
    }

    /// Where declarations lie.
    pub fn layout(&self) -> Layout {
        Layout::new(self.dir.path(), self.dir.path())
    }

    /// Writes a file of the site; nobody notices before [`Simulation::reload`].
    pub fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        let path: PathBuf = self.dir.path().join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(std::fs::write(path, text)?)
    }

    /// Reads the declarations again; an invalid one is an error.
    pub fn reload(&self) -> Result<(), Error> {
        let before = self.loaded.borrow().clone();
        let (catalog, diagnostics) = piton_spec::load(&self.layout(), Some(&before.catalog));
        if let Some(wrong) = diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
            return Err(wrong.to_string().into());
        }
        self.loaded.send_replace(Arc::new(Loaded { catalog, diagnostics }));
        Ok(())
    }

    /// What is declared.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.borrow().clone()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The clock, for an engine that is started for real.
    pub fn time(&self) -> Clock {
        self.clock.clock()
    }

    /// Random numbers of the simulation's seed.
    pub fn random(&mut self) -> &mut StdRng {
        &mut self.random
    }

    /// An engine on this store that belongs to no node.
    pub fn engine(&mut self, worker: &str) -> Engine {
        self.incarnations += 1;
        let config = self.config(worker);
        let executor = self.scripted.clone();
        Engine::new(config, self.store.clone(), self.clock.clock(), executor, self.loaded.subscribe())
    }

    fn config(&self, worker: &str) -> Config {
        let config = Config {
            max_concurrent_runs: 64,
            // Most stories are told in seconds. Those that are about moments configure them.
            ahead: Duration::ZERO,
            seed: Some(self.seed.wrapping_mul(1_000_003).wrapping_add(self.incarnations)),
            ..Config::new(WorkerId::new(worker))
        };
        (self.configure)(config)
    }

    /// Starts a node, or the node of that worker again, which takes back what it held.
    pub async fn start(&mut self, worker: &'static str) -> Result<usize, Error> {
        let engine = self.engine(worker);
        let ahead = self.config(worker).ahead;
        let rounds = Rounds::new(&engine).await?;
        let mut life = Life {
            time: Time::new(&engine),
            events: Events::new(&engine),
            rounds,
            engine,
            flights: vec![],
            early: vec![],
            ahead,
        };
        life.time.reboot().await?;
        let drives = life.rounds.take_back().await?;
        life.begin(&self.scripted, drives).await;
        let place = self.nodes.iter().position(|node| node.worker == worker);
        Ok(match place {
            Some(place) => {
                self.nodes[place].life = Some(life);
                place
            }
            None => {
                self.nodes.push(Node { worker, life: Some(life) });
                self.nodes.len() - 1
            }
        })
    }

    /// A node loses all that it has in memory. Its children go on.
    pub async fn kill(&mut self, node: usize) {
        self.nodes[node].life = None;
        // The tasks of its steps are dropped by the runtime.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }

    /// The engine of a node that lives.
    pub fn node(&self, node: usize) -> &Engine {
        #[expect(clippy::expect_used, reason = "a test that asks a dead node is wrong")]
        &self.nodes[node].life.as_ref().expect("the node lives").engine
    }

    /// Calls every loop of every node until nothing happens any more at this instant.
    pub async fn settle(&mut self) -> Result<(), Error> {
        // Nothing happens at one instant before leases were renewed: the loop that does so is never far behind.
        for node in &self.nodes {
            if let Some(life) = &node.life {
                life.rounds.renew().await?;
            }
        }
        for _ in 0..RESTLESS {
            let head = *self.store.changes().borrow();
            let mut calls: Vec<(usize, Call)> =
                (0..self.nodes.len()).flat_map(|node| CALLS.map(|call| (node, call))).collect();
            calls.shuffle(&mut self.random);
            let mut moved = false;
            for (node, call) in calls {
                moved |= self.call(node, call).await?;
            }
            if !moved && *self.store.changes().borrow() == head {
                // At rest, so that when runs are removed depends on nothing but the time.
                for life in self.nodes.iter_mut().filter_map(|node| node.life.as_mut()) {
                    moved |= life.rounds.prune().await? > 0;
                }
                if !moved {
                    return Ok(());
                }
            }
        }
        Err(format!("at {} it never comes to rest", self.clock.now()).into())
    }

    async fn call(&mut self, node: usize, call: Call) -> Result<bool, Error> {
        if self.crashes > 0 && self.nodes[node].life.is_some() && self.random.random_ratio(self.crashes, 10_000) {
            self.kill(node).await;
            if self.random.random_ratio(1, 5) {
                self.scripted.lose_children();
            }
            self.start(self.nodes[node].worker).await?;
            return Ok(true);
        }
        let (now, moment) = (self.clock.now(), self.time().moment());
        let Some(life) = &mut self.nodes[node].life else { return Ok(false) };
        match call {
            Call::Time => Ok(life.time.handle().await? > 0),
            Call::Events => Ok(life.events.handle().await?),
            Call::Follow => {
                life.rounds.follow().await?;
                Ok(false)
            }
            Call::Rescue => Ok(life.rounds.rescue().await? > 0),
            Call::Claim => {
                let drives = life.rounds.claim().await?;
                let moved = !drives.is_empty();
                life.begin(&self.scripted, drives).await;
                Ok(moved)
            }
            Call::Flights => life.land(&self.scripted, &mut self.random, now, moment).await,
        }
    }

    /// When something is due next, after now.
    pub async fn next(&self) -> Result<Option<Timestamp>, Error> {
        let now = self.clock.now();
        let mut times = vec![self.store.next_due(now).await?];
        let claim = self.store.next_claim(now, Room { runs: 1, deployments: 1, scaffolds: 1 }).await?;
        for life in self.nodes.iter().filter_map(|node| node.life.as_ref()) {
            times.extend(claim.map(|due| due.checked_sub(life.ahead)).transpose()?.map(Some));
            times.extend(life.early.iter().map(Drive::waits));
            times.push(life.time.next());
            times.push(life.rounds.next_removal());
            times.push(life.rounds.next_loss().map(|loss| self.time().shows_at(loss)));
            for flight in &life.flights {
                times.extend([Some(self.time().shows_at(flight.deadline)), self.scripted.ends(&flight.key)]);
            }
        }
        Ok(times.into_iter().flatten().filter(|at| *at > now).min())
    }

    /// Lets time go by until `end`, from one due time to the next; how many instants that were.
    pub async fn run_until(&mut self, end: Timestamp) -> Result<usize, Error> {
        let mut instants = 0;
        self.settle().await?;
        while self.clock.now() < end {
            let next = self.next().await?.map_or(end, |next| next.min(end));
            self.clock.set(next);
            self.settle().await?;
            instants += 1;
        }
        Ok(instants)
    }

    /// The same for a while.
    pub async fn run_for(&mut self, span: SignedDuration) -> Result<usize, Error> {
        self.run_until(self.clock.now().checked_add(span)?).await
    }

    /// The whole ledger.
    pub async fn entries(&self) -> Result<Vec<LedgerEntry>, Error> {
        Ok(self.store.entries(0, usize::MAX).await?)
    }

    /// All runs that the ledger speaks of.
    pub async fn runs(&self) -> Result<BTreeMap<RunId, Run>, Error> {
        let mut runs = BTreeMap::new();
        for entry in self.entries().await? {
            if let piton_model::Record::Run { run, .. } = entry.record
                && !runs.contains_key(&run)
                && let Some(found) = self.store.run(run).await?
            {
                runs.insert(run, found);
            }
        }
        Ok(runs)
    }

    /// The ledger in words.
    pub async fn story(&self) -> Result<String, Error> {
        Ok(ledger::story(&self.entries().await?, &self.runs().await?))
    }
}

impl Life {
    /// Begins what is due, and keeps what is not yet.
    async fn begin(&mut self, scripted: &Scripted, drives: Vec<Drive>) {
        for drive in drives {
            match drive.waits() {
                Some(_) => self.early.push(drive),
                None => launch(scripted, &mut self.flights, drive).await,
            }
        }
    }

    /// Runs whose time has come, or that were told to stop, begin; steps come to their end.
    async fn land(
        &mut self,
        scripted: &Scripted,
        random: &mut StdRng,
        now: Timestamp,
        moment: Moment,
    ) -> Result<bool, Error> {
        let stopping = self.rounds.stopping();
        let is_up = |drive: &Drive| drive.waits().is_none_or(|at| at <= now) || stopping.contains(&drive.current().id);
        let (up, early): (Vec<Drive>, Vec<Drive>) = self.early.drain(..).partition(is_up);
        self.early = early;
        let begun = !up.is_empty();
        for mut drive in up {
            drive.look_again().await;
            launch(scripted, &mut self.flights, drive).await;
        }
        let is_due = |flight: &Flight| {
            let ends = scripted.ends(&flight.key).is_some_and(|ends| ends <= now);
            ends || flight.deadline <= moment || stopping.contains(&flight.run)
        };
        let (mut due, flying): (Vec<Flight>, Vec<Flight>) = self.flights.drain(..).partition(is_due);
        self.flights = flying;
        due.shuffle(random);
        let moved = !due.is_empty();
        for flight in due {
            let (drive, driven) = flight.step.await;
            if matches!(driven, Driven::On) {
                launch(scripted, &mut self.flights, drive).await;
            }
        }
        Ok(moved || begun)
    }
}

/// Begins the next step of a drive, and goes on with it until it waits for the clock.
async fn launch(scripted: &Scripted, flights: &mut Vec<Flight>, mut drive: Drive) {
    loop {
        let (deadline, run) = (drive.deadline(), drive.current().clone());
        let RunState::Running { lease, step, .. } = &run.state else { return };
        let key = (run.id, lease.attempt, *step);
        let seen = scripted.begun();
        let mut step: Pin<Box<dyn Future<Output = (Drive, Driven)>>> = Box::pin(async move {
            let driven = drive.step().await;
            (drive, driven)
        });
        let begun = Box::pin(scripted.more_begun(seen));
        match select(&mut step, begun).await {
            Either::Left(((back, Driven::On), _)) => drive = back,
            Either::Left(_) => return,
            Either::Right(_) => {
                flights.push(Flight { run: run.id, key, deadline, step });
                return;
            }
        }
    }
}
