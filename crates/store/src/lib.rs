//! The ledger on SQLite and PostgreSQL; the only crate with SQL.
//!
//! # Purpose
//! Keeps runs, the entries of the ledger, what people see of workspaces and jobs, the cursors of schedules and
//! followers, who may do what, and what people want of processes, through any crash. What a call has acknowledged is
//! durable.
//!
//! # Theory of operation
//! Every write is an operation that one task, the *writer*, performs on its own connection. It takes what has gathered
//! while the last transaction was being synced to disk, loads the rows that these operations need, lets each decide in
//! memory, writes the result with a few statements over many rows, commits, and only then answers. Many callers thus
//! share one sync. An operation that is refused by its own logic (an illegal transition, a lost lease, a moved cursor)
//! has written nothing and does not disturb the others.
//!
//! On PostgreSQL any number of nodes may write. Each transaction begins by locking the one row of the table `ledger`,
//! which holds the position of the last entry: transactions follow each other, and positions become visible in order
//! and without gaps (`docs/adr/0004-one-writer-at-a-time.md`).
//!
//! Thousands of scheduled provisions at once are sent on a connection of their own, whose transaction takes its turn when
//! they are there, so that nobody waits meanwhile.
//!
//! What this process has written last of the ledger stays in memory, where most of those who follow it find what is new.
//!
//! Runs that have not ended live in a small table of their own; the transaction that ends one moves it to the history.
//! Reads go through a pool of other connections.
//!
//! The secrets of a run (values of its environment and variables, credentials) are sealed on their way into the database
//! and opened on their way out, with the keys of a `piton_vault::Vault`. A run that was sealed with another key is shown
//! without them, kept as it is, and never claimed. Those that came with a deployment go when it ends well.
//!
//! # Invariants
//! - The state of a run is the fold of its entries: run, entry and projection change in one transaction.
//! - Two active runs never hold the same lock: the claim looks, and a unique index stands behind it.
//! - A deduplication key makes one run, and so does an id: submitting again after a lost answer is safe.
//! - The ledger has no gaps; it is only cut at its beginning.
//! - A database that is damaged, or newer than this program, is refused and not touched.
//!
//! # Deliberately absent
//! Clocks (every call is told what time it is), policy (who may claim what, when to retry), and savepoints.
#![warn(missing_docs)]

mod accounts;
mod batch;
mod census;
mod changes;
mod claim;
mod db;
mod dialect;
mod error;
mod events;
mod followers;
mod holds;
mod hurry;
mod inspect;
mod known;
mod migrate;
mod peers;
mod process_history;
mod projections;
mod provisions;
mod query;
mod readers;
mod record;
mod remote;
mod removal;
mod requests;
mod retention;
mod row;
mod schedules;
mod schema;
mod secrets;
mod sqlite_file;
mod statement;
mod submit;
mod tail;
mod tokens;
mod turns;
mod wishes;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use piton_model::Seq;
use piton_vault::Vault;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::changes::Tidings;
use crate::db::Address;
use crate::readers::Readers;
use crate::tail::Tail;
use crate::writer::{Writer, lock};

pub use accounts::{AccountError, Among};
pub use census::{Census, Scope, Waiting};
pub use changes::grown;
pub use claim::Room;
pub use dialect::Dialect;
pub use error::Error;
pub use events::SkipQuery;
pub use holds::FileHold;
pub use hurry::hurried;
#[doc(hidden)]
pub use inspect::{hot_plans, refused_statements};
pub use process_history::ProcessEvent;
pub use provisions::{AlterError, ProvisionPage, ProvisionPlace, ProvisionQuery, Taken, Taking};
pub use query::{Page, RunQuery};
pub use record::{Guard, RecordError};
pub use remote::Heard;
pub use removal::Ended;
pub use requests::{Known, Request};
pub use retention::Retained;
pub use schedules::{Fire, FireResult};
pub use secrets::Tended;
pub use submit::Submitted;
pub use tokens::{Principal, Rotation};

/// How the store treats its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Who this is to others on the same database.
    pub node: String,
    /// How many connections read.
    pub readers: u32,
    /// How long a write is tried again while the database is away.
    pub patience: Duration,
    /// How long a statement may take on PostgreSQL.
    pub statement_timeout: Duration,
    /// How long a write waits for its turn, while others write.
    pub lock_timeout: Duration,
    /// Seals the secrets of runs. Without a key they lie in clear.
    pub vault: Vault,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            node: String::new(),
            readers: 4,
            patience: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            vault: Vault::default(),
        }
    }
}

/// The ledger. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    vault: Vault,
    readers: Readers,
    writer: Writer,
    tidings: Arc<Tidings>,
    listener: Mutex<Option<JoinHandle<()>>>,
    /// Who writes beside the writer; see [`provisions`].
    beside: Semaphore,
}

impl Store {
    /// Opens the database at `url` (`sqlite:PATH` or `postgres://…`), creates it where there is none, and brings its
    /// schema up to date.
    pub async fn open(url: &str, options: Options) -> Result<Store, Error> {
        let address = Address::parse(url, &options)?;
        address.make_ready()?;
        let conn = address.let_in().await?;
        let (address, mut conn) = schema::settle(address, conn).await?;
        migrate::migrate(&mut conn).await.map_err(|error| address.explain(error))?;
        let readers = Readers::new(address.clone(), &options);
        let head = conn.rows(events::HEAD, Vec::new()).await?.first().map_or(Ok(0), |row| row.int(0))?;
        let tidings = Arc::new(Tidings::new(head));
        let listener = match &address {
            Address::Sqlite { .. } => None,
            Address::Postgres { options } => Some(tokio::spawn(changes::listen(options.clone(), tidings.clone()))),
        };
        let vault = options.vault.clone();
        let writer = Writer::start(address.clone(), options, conn, tidings.clone());
        let (listener, beside) = (Mutex::new(listener), Semaphore::new(provisions::AT_ONCE as usize));
        Ok(Store { inner: Arc::new(Inner { address, vault, readers, writer, tidings, listener, beside }) })
    }

    /// Whether the server of a database can be reached, and lets whoever asks in. A file needs none.
    pub async fn reach(url: &str) -> Result<(), Error> {
        let address = Address::parse(url, &Options::default())?;
        match &address {
            Address::Sqlite { .. } => {}
            Address::Postgres { .. } => drop(address.let_in().await?),
        }
        Ok(())
    }

    /// Finishes what was asked and closes the database. Clones answer [`Error::Closed`] from then on.
    pub async fn close(self) {
        if let Ok(turns) = self.inner.beside.acquire_many(provisions::AT_ONCE).await {
            self.inner.beside.close();
            drop(turns);
        }
        self.inner.writer.close().await;
        self.inner.stop_listening();
        self.inner.readers.close().await;
    }

    /// Wakes after each commit of this process, and soon after those of others; holds the position of the last entry.
    ///
    /// It is a hint: whoever waits should also look from time to time.
    pub fn changes(&self) -> watch::Receiver<Seq> {
        self.inner.tidings.head.subscribe()
    }

    /// Whether the ledger may have grown beyond `seen`, for who looks from time to time. No means that what other nodes
    /// commit is heard here, and that the database was asked as well, half a minute ago at the earliest.
    pub fn may_have_grown(&self, seen: Seq) -> bool {
        self.inner.tidings.may_be_beyond(seen)
    }

    /// Wakes when scheduled provisions may have changed in a way that nobody here knows of: another node or another
    /// program has written some, some wait again, or some could not follow their runs. A hint, too.
    pub fn provision_changes(&self) -> watch::Receiver<u64> {
        self.inner.tidings.provisions.subscribe()
    }

    /// Which engine the database is.
    pub fn dialect(&self) -> Dialect {
        self.inner.address.dialect()
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    pub(crate) fn beside(&self) -> &Semaphore {
        &self.inner.beside
    }

    pub(crate) fn tidings(&self) -> &Tidings {
        &self.inner.tidings
    }

    /// Of the ledger, what this node wrote last.
    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        lock(&self.inner.tidings.tail)
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    pub(crate) fn address(&self) -> &Address {
        &self.inner.address
    }
}

impl Inner {
    fn stop_listening(&self) {
        if let Some(task) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}
