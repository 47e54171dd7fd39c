//! Submits, claims, drives, rescues and retires runs.
//!
//! # Purpose
//! The heart: it turns declarations and requests into runs in the ledger, takes due runs, walks them through their
//! steps and records what came of each.
//!
//! # Theory of operation
//! Every loop is a struct with a `handle` that does one round (read, decide with a pure function, commit) and a `run`
//! that waits and repeats. What is true stands in the store only; a loop that dies or a process that is killed between
//! any two commits loses nothing, because the next `handle` of anybody starts from the store again:
//!
//! - [`triggers`]: schedules that are due, events in the ledger, changed declarations → submitted runs
//! - `claim`: runs that are due or will be in a moment → leases, as many as there are free slots; one loop for all, and
//!   one for repositories that are made of blueprints
//! - `provisions`: rows of scheduled provisions that are due → runs that are leased already
//! - `drive`: one task for each leased run: execute the step, commit the event, repeat
//! - `rescue`: leases and gates whose time is over
//! - `retain`: runs that are old enough to go
//! - `prune`: runs of jobs that are to go before
//!
//! Dispatch is driven by timers: each loop sleeps until the earliest time at which something is due, and a commit
//! wakes it earlier. Polling is only the backstop.
//!
//! # Invariants
//! - A trigger makes at most one run, whatever crashes when: the schedule's cursor is compared and swapped in the same
//!   transaction that inserts the run, and the run's key is unique.
//! - A step begins only after the event that says so is durable.
//! - Every write of an attempt is fenced by its number; a worker that lost its lease changes nothing any more.
//!
//! # Deliberately absent
//! A leader, an in-process event bus, retries inside steps, and any knowledge of what a step does: see [`Executor`].
#![warn(missing_docs)]

mod admit;
mod ahead;
mod alarm;
mod call;
mod catalog;
mod claim;
mod clock;
mod cron_jobs;
mod decide;
mod deployments;
mod drive;
mod error;
mod executor;
mod explain;
mod follow;
mod heartbeat;
#[cfg(test)]
mod idle;
mod ids;
mod job_conditions;
mod job_objects;
mod leap;
mod leave;
mod leftover;
mod nap;
mod news;
mod provision_requests;
mod provisions;
mod prune;
mod reports;
mod rescue;
mod retain;
mod rounds;
mod scaffolds;
mod secrets;
mod shutdown;
mod submit;
mod suspend;
pub mod triggers;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use piton_model::{RunId, Uptime, WorkerId};
use piton_store::{Dialect, Store};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

pub use call::{Call, calling};
pub use catalog::{Loaded, Loader, Reload};
pub use clock::{Clock, Moment, VirtualClock};
pub use cron_jobs::{CronJob, CronJobRun};
pub use drive::{Drive, Driven};
pub use error::Error;
pub use executor::{Executing, Executor, Passed, Task};
pub use explain::{Explanation, Upcoming};
pub use heartbeat::Heartbeat;
pub use job_conditions::JobCondition;
pub use job_objects::{JobObject, JobPhase};
pub use leave::Leave;
pub use provisions::ProvisionRules;
pub use rounds::Rounds;
pub use scaffolds::{Accepted, Sent};
pub use shutdown::Shutdown;

/// How the engine behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who this worker is, the same after a restart on the same data directory.
    pub worker: WorkerId,
    /// How many runs may be executed here at once.
    pub max_concurrent_runs: usize,
    /// How many of these may be deployments that people ask for.
    pub max_concurrent_deployments: usize,
    /// How many repositories may be made of blueprints at once, beside all other runs.
    pub max_concurrent_scaffolds: usize,
    /// How scheduled provisions are executed.
    pub provisions: ProvisionRules,
    /// How many deployments may wait for their turn.
    pub max_queued_deployments: u64,
    /// How many of those may be one requester's.
    pub max_queued_deployments_each: u64,
    /// How long a call that has begun may take when the daemon ends.
    pub call_grace: Duration,
    /// How long a lease lasts unless it is renewed.
    pub lease: Duration,
    /// How long before it is due a run is claimed, and a job submitted that a schedule starts.
    pub ahead: Duration,
    /// The safety poll of every loop.
    pub check_interval: Duration,
    /// A job that is noticed later than this after it was due is skipped, unless it catches up.
    pub start_deadline: Duration,
    /// Finished runs older than this are removed …
    pub keep_runs: Duration,
    /// … but so many of each subject stay.
    pub keep_runs_per_subject: usize,
    /// How long the secrets that came with a deployment are kept after its end, so that it can be tried again. Those of
    /// one that went well go at once.
    pub keep_secrets: Duration,
    /// Whether whoever asked for a run may approve it.
    pub self_approval: bool,
    /// The kernel's id of this boot, for `@reboot`, and for the age of runs that are taken back.
    pub boot_id: Option<String>,
    /// A sign of life, for who restarts a daemon that hangs.
    pub heartbeat: Option<Heartbeat>,
    /// Fixes the random part of run ids, for simulations.
    pub seed: Option<u64>,
}

impl Config {
    /// The defaults, for `worker`.
    pub fn new(worker: WorkerId) -> Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            worker,
            max_concurrent_runs: cores * 4,
            max_concurrent_deployments: cores * 2,
            max_concurrent_scaffolds: cores * 4,
            provisions: ProvisionRules::default(),
            max_queued_deployments: 1000,
            max_queued_deployments_each: 500,
            call_grace: Duration::from_secs(10),
            lease: Duration::from_secs(15),
            ahead: ahead::AHEAD,
            check_interval: Duration::from_secs(60),
            start_deadline: Duration::from_secs(60),
            keep_runs: Duration::from_secs(90 * 24 * 3600),
            keep_runs_per_subject: 50,
            keep_secrets: Duration::from_secs(24 * 3600),
            self_approval: true,
            boot_id: None,
            heartbeat: None,
            seed: None,
        }
    }
}

/// A handle on the engine; cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Shared>);

/// What all loops share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) catalog: watch::Receiver<Arc<Loaded>>,
    pub(crate) ids: ids::Ids,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) deployment_slots: Arc<Semaphore>,
    pub(crate) provision_slots: Arc<Semaphore>,
    pub(crate) scaffold_slots: Arc<Semaphore>,
    drivers: Mutex<HashMap<RunId, drive::Driver>>,
    pub(crate) alarms: alarm::Alarms,
    /// It was seen which runs are held still.
    pub(crate) renewed: Notify,
    /// Whether another node was there when this one looked last.
    pub(crate) has_peers: AtomicBool,
    /// Runs that are not driven here (yet), and for which a request to cancel was seen in the ledger. Only a hint.
    cancels_asked: Mutex<HashSet<RunId>>,
    pub(crate) stages: shutdown::Stages,
    /// The loops that begin something new.
    pub(crate) beginning: TaskTracker,
    /// The runs that are driven here.
    pub(crate) drives: TaskTracker,
    /// The loops that driven runs need.
    pub(crate) serving: TaskTracker,
}

impl Shared {
    /// Taken after [`Shared::drivers`] where both are.
    pub(crate) fn cancels_asked(&self) -> MutexGuard<'_, HashSet<RunId>> {
        self.cancels_asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the host has been up, where it is known since which boot.
    pub(crate) fn uptime(&self) -> Option<Uptime> {
        let boot = self.config.boot_id.as_ref()?;
        Some(Uptime::new(boot, self.clock.moment().uptime()))
    }

    /// The runs that are driven here, and how each is reached.
    pub(crate) fn drivers(&self) -> MutexGuard<'_, HashMap<RunId, drive::Driver>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// An engine that does nothing by itself: requests can be made, and the loops be stepped by hand.
    pub fn new(
        config: Config,
        store: Store,
        clock: Clock,
        executor: Arc<dyn Executor>,
        catalog: watch::Receiver<Arc<Loaded>>,
    ) -> Engine {
        Engine(Arc::new(Shared {
            ids: ids::Ids::new(config.seed),
            slots: Arc::new(Semaphore::new(config.max_concurrent_runs)),
            deployment_slots: Arc::new(Semaphore::new(config.max_concurrent_deployments)),
            provision_slots: Arc::new(Semaphore::new(config.provisions.max_concurrent)),
            scaffold_slots: Arc::new(Semaphore::new(config.max_concurrent_scaffolds)),
            config,
            store,
            clock,
            executor,
            catalog,
            drivers: Mutex::default(),
            alarms: alarm::Alarms::default(),
            renewed: Notify::new(),
            has_peers: AtomicBool::new(false),
            cancels_asked: Mutex::default(),
            stages: shutdown::Stages::default(),
            beginning: TaskTracker::new(),
            drives: TaskTracker::new(),
            serving: TaskTracker::new(),
        }))
    }

    /// Takes back what this worker still holds, then starts all loops.
    pub async fn start(&self) -> Result<(), Error> {
        self.start_for_command().await?;
        let shared = &self.0;
        shared.beginning.spawn(retain::Retainer::new(shared.clone()).run());
        shared.beginning.spawn(prune::Pruner::new(shared.clone()).run());
        shared.beginning.spawn(secrets::Custodian::new(shared.clone()).run());
        shared.beginning.spawn(triggers::Time::new(self).run());
        shared.beginning.spawn(provisions::Provisions::new(shared.clone()).run());
        Ok(())
    }

    /// The same without schedules: for a command that executes what it was asked for, and what follows from it.
    pub async fn start_for_command(&self) -> Result<(), Error> {
        let shared = &self.0;
        // Before the runs are read, so that no request to cancel falls between.
        let head = shared.store.head().await?;
        rescue::look_for_peers(shared).await?;
        for drive in claim::take_back(shared).await? {
            shared.drives.spawn(drive.run());
        }
        shared.serving.spawn(follow::Cancellations::new(shared.clone(), head).run());
        shared.serving.spawn(rescue::Rescuer::new(shared.clone()).run());
        for lane in [claim::Lane::Runs, claim::Lane::Scaffolds] {
            shared.beginning.spawn(claim::Claimer::new(shared.clone(), lane).run());
        }
        if shared.store.dialect() == Dialect::Postgres {
            shared.serving.spawn(rescue::guard_leases(shared.clone()));
        }
        shared.beginning.spawn(triggers::Events::new(self).run());
        Ok(())
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Who this worker is.
    pub fn worker(&self) -> &WorkerId {
        &self.0.config.worker
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The declarations as they are now, and what is wrong with them.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.0.catalog.borrow().clone()
    }

    /// Notified when declarations change.
    pub fn catalog_changes(&self) -> watch::Receiver<Arc<Loaded>> {
        self.0.catalog.clone()
    }

    /// How many runs are driven here at this moment.
    pub fn driving(&self) -> usize {
        self.0.drivers().len()
    }
}
