//! The one writer: it gathers what is asked, writes it in one transaction, and answers when that is durable.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use piton_vault::Vault;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::batch::{Batch, Committed, Needs};
use crate::changes::Tidings;
use crate::db::{Address, Conn};
use crate::hurry::{self, Place, attended, silent};
use crate::known::Known;
use crate::tail::Tail;
use crate::{Error, Options};

/// How many operations share a transaction at most.
const BATCH: usize = 256;
/// How many operations may wait; beyond that, callers wait to be let in.
const QUEUE: usize = 4096;
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// How long the database may say nothing in the midst of a transaction until it is taken for away.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);

/// Something that is written.
pub(crate) trait Operation: Send + Sync + 'static {
    /// What the caller gets, also where the operation was refused by its own logic.
    type Answer: Send;

    /// What should be loaded beforehand. Only a matter of speed.
    fn needs(&self, _needs: &mut Needs) {}

    /// Whether it reads or writes the table of scheduled provisions, which is not only Piton's. Rows that follow
    /// their runs do not count: they may do so later.
    fn needs_provisions(&self) -> bool {
        false
    }

    /// Decides and writes. An error is a failure of the database and undoes the whole transaction; the operation may
    /// then be called again.
    fn perform(&self, batch: &mut Batch) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// The callers' side.
pub(crate) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    /// Whether the database is away, as far as is known; told with each try that fails.
    away: watch::Receiver<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
    limit: Duration,
}

impl Writer {
    /// Starts the writer on a connection that is already migrated.
    pub(crate) fn start(address: Address, options: Options, conn: Conn, tidings: Arc<Tidings>) -> Writer {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (away, told) = watch::channel(false);
        let (provisions, limit) = (Provisions::Free, limit(&options));
        let known = Known::default();
        let task =
            tokio::spawn(Loop { address, options, conn: Some(conn), known, tidings, away, provisions }.run(jobs));
        Writer { queue: Mutex::new(Some(queue)), away: told, task: Mutex::new(Some(task)), limit }
    }

    /// Performs an operation; when this returns, it is durable.
    pub(crate) async fn perform<O: Operation>(&self, operation: O) -> Result<O::Answer, Error> {
        let queue = lock(&self.queue).clone().ok_or(Error::Closed)?;
        let (reply, answer) = oneshot::channel();
        let place = Place::default();
        let job = Box::new(Asked { operation, answer: None, reply, place: place.clone() });
        let answered = async {
            queue.send(job).await.map_err(|_| Error::Closed)?;
            drop(queue);
            answer.await.unwrap_or(Err(Error::Closed))
        };
        let Some(deadline) = hurry::deadline() else { return answered.await };
        tokio::select! {
            biased;
            answer = answered => {
                if !matches!(answer, Err(Error::Unavailable(_) | Error::Unknown(_))) {
                    hurry::answered();
                }
                answer
            }
            () = place.given_up(deadline, self.away.clone()) => Err(silent()),
        }
    }

    /// How long a transaction may take, and so may its commit.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Lets the writer finish what was asked, and waits for it.
    pub(crate) async fn close(&self) {
        lock(&self.queue).take();
        let task = lock(&self.task).take();
        if let Some(task) = task {
            // A panic in the task was already reported to its callers as `Closed`.
            let _ = task.await;
        }
    }
}

/// A poisoned lock guards nothing but an `Option` that is always whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn limit(options: &Options) -> Duration {
    options.statement_timeout * 2
}

/// An operation with the caller that waits for it.
trait Job: Send {
    fn place(&self) -> &Place;
    fn needs(&self, needs: &mut Needs);
    fn needs_provisions(&self) -> bool;
    fn perform<'a>(&'a mut self, batch: &'a mut Batch) -> BoxFuture<'a, Result<(), Error>>;
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Asked<O: Operation> {
    operation: O,
    answer: Option<O::Answer>,
    reply: oneshot::Sender<Result<O::Answer, Error>>,
    place: Place,
}

impl<O: Operation> Job for Asked<O> {
    fn place(&self) -> &Place {
        &self.place
    }

    fn needs(&self, needs: &mut Needs) {
        self.operation.needs(needs);
    }

    fn needs_provisions(&self) -> bool {
        self.operation.needs_provisions()
    }

    fn perform<'a>(&'a mut self, batch: &'a mut Batch) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.answer = Some(self.operation.perform(batch).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let answer = match (committed, self.answer) {
            (Ok(()), Some(answer)) => Ok(answer),
            (Ok(()), None) => Err(Error::Closed),
            (Err(error), _) => Err(error),
        };
        // A caller that no longer waits has decided not to know.
        let _ = self.reply.send(answer);
    }
}

struct Loop {
    address: Address,
    options: Options,
    conn: Option<Conn>,
    /// Of the transaction before.
    known: Known,
    tidings: Arc<Tidings>,
    away: watch::Sender<bool>,
    provisions: Provisions,
}

/// The table of scheduled provisions, as it was found last.
///
/// It belongs to other programs as well, and one of them may lock it for as long as it likes. All writes of all nodes
/// come one after the other, so whoever waits for that lock in the midst of a transaction makes everybody wait. It is
/// therefore waited for once, and shortly: the batch that ran into the lock is written again without what needs the
/// table, whose callers are told so, and from then on it is asked before the transaction begins, when nobody else has
/// to wait, whether the lock is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provisions {
    /// Nobody has locked it.
    Free,
    /// Somebody has. What needs it is refused, and nothing else touches it.
    Locked,
    /// Somebody had, a batch ago. Until it is needed nothing touches it.
    Doubtful,
}

impl Loop {
    async fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut jobs = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut jobs, BATCH).await > 0 {
            self.handle(&mut jobs).await;
        }
        if let Some(conn) = self.conn.take()
            && let Err(error) = conn.close().await
        {
            tracing::warn!(%error, "closing the database failed");
        }
    }

    /// Writes a batch and answers everybody in it.
    async fn handle(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        let outcome = self.write(jobs).await;
        let is_of_one =
            matches!(outcome, Err(Error::Refused(_) | Error::Unreadable { .. } | Error::UnreadableProvision { .. }));
        let spoiled = is_of_one && jobs.len() > 1;
        if spoiled {
            undo(jobs);
        }
        for mut job in jobs.drain(..) {
            // One of them cannot be written (or read): alone, each fails or succeeds for itself.
            let outcome = if spoiled { self.write(std::slice::from_mut(&mut job)).await } else { outcome.clone() };
            let left_out = self.provisions == Provisions::Locked && job.needs_provisions();
            job.answer(if left_out { Err(locked()) } else { outcome });
        }
        if self.provisions == Provisions::Locked {
            self.provisions = Provisions::Doubtful;
        }
    }

    /// Writes a batch, trying again while nothing was written because the database was away, and without what needs the
    /// table of scheduled provisions where somebody keeps that locked.
    async fn write(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Error> {
        let give_up = Instant::now() + self.options.patience;
        let mut delay = FIRST_DELAY;
        loop {
            match self.attempt(jobs).await {
                Err(Error::Locked(detail)) if self.provisions != Provisions::Locked => {
                    tracing::warn!(%detail, "a table is locked by another program, what does not need it goes on");
                    undo(jobs);
                    self.provisions = Provisions::Locked;
                }
                // Locked now is a table of Piton's own, without which nothing goes on.
                Err(Error::Unavailable(detail) | Error::Locked(detail)) if Instant::now() + delay < give_up => {
                    tracing::warn!(%detail, "the database is not available, trying again");
                    undo(jobs);
                    self.away.send_replace(true);
                    pause(delay).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
                Err(error) => return Err(self.address.explain(error)),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// One transaction. Whatever fails, the connection is dropped, and with it what was not committed.
    async fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Error> {
        let limit = limit(&self.options);
        if self.provisions == Provisions::Locked && jobs.iter().all(|job| job.needs_provisions()) {
            return Ok(());
        }
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => {
                self.away.send_replace(true);
                // Whatever answers now may have lost what was committed last.
                self.known = Known::default();
                *lock(&self.tidings.tail) = Tail::default();
                within(limit, self.address.connect()).await?
            }
        };
        if self.provisions == Provisions::Doubtful && jobs.iter().any(|job| job.needs_provisions()) {
            self.provisions = look_at_provisions(&self.address, &mut conn, limit).await?;
        }
        let left_out = self.provisions == Provisions::Locked;
        let wanted = jobs.iter_mut().filter(|job| !(left_out && job.needs_provisions()));
        let mut jobs: Vec<&mut Box<dyn Job>> = wanted.filter(|job| job.place().begin()).collect();
        if jobs.is_empty() {
            self.conn = Some(conn);
            self.away.send_if_modified(std::mem::take);
            return Ok(());
        }
        let follows = self.provisions == Provisions::Free;
        // Of a transaction that fails it is not known how far it came.
        let known = std::mem::take(&mut self.known);
        let prepared = within(limit, prepare(conn, self.options.vault.clone(), known, follows, &mut jobs));
        let batch = attended(&self.address, Instant::now() + SILENCE, prepared).await?;
        self.tidings.commits(batch.head());
        // In doubt about a commit, its outcome would not be known: that is worth the wait.
        let committed = within(limit, batch.commit()).await;
        let Committed { conn, provisions, known, written } = committed.map_err(|error| {
            self.tidings.commit_failed();
            commit_error(error)
        })?;
        let head = known.head;
        (self.conn, self.known) = (Some(conn), known);
        self.away.send_if_modified(std::mem::take);
        lock(&self.tidings.tail).extend(written);
        // Of a later commit of another node it may be known already.
        self.tidings.told(head);
        if provisions {
            self.tidings.provisions_changed();
        }
        Ok(())
    }
}

/// Whether somebody still keeps the table of scheduled provisions locked. What else may be wrong with it, the
/// transaction finds out.
async fn look_at_provisions(address: &Address, conn: &mut Conn, limit: Duration) -> Result<Provisions, Error> {
    let Some(look) = conn.dialect().try_provisions() else { return Ok(Provisions::Free) };
    // The server may live and this connection be cut off all the same.
    match attended(address, Instant::now() + SILENCE, within(limit, conn.script(look))).await {
        Err(Error::Locked(_)) => Ok(Provisions::Locked),
        Err(lost @ Error::Unavailable(_)) => Err(lost),
        Ok(()) | Err(_) => Ok(Provisions::Free),
    }
}

/// Nothing was written: they wait again.
fn undo(jobs: &[Box<dyn Job>]) {
    for job in jobs {
        job.place().undo();
    }
}

fn locked() -> Error {
    Error::Locked("`scheduled_provisions` is not to be had at the moment".to_owned())
}

async fn prepare(
    conn: Conn,
    vault: Vault,
    known: Known,
    follows: bool,
    jobs: &mut [&mut Box<dyn Job>],
) -> Result<Batch, Error> {
    let mut batch = Batch::begin(conn, vault, known, follows).await?;
    let mut needs = Needs::default();
    for job in jobs.iter() {
        job.needs(&mut needs);
    }
    batch.load(needs).await?;
    for job in jobs {
        job.perform(&mut batch).await?;
    }
    batch.flush().await?;
    Ok(batch)
}

/// A commit that the database refused did not happen; one whose answer was lost may have.
pub(crate) fn commit_error(error: Error) -> Error {
    match error {
        Error::Unavailable(detail) => Error::Unknown(detail),
        error => error,
    }
}

/// A connection that answers nothing any more is as good as lost.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(silent()))
}

#[expect(clippy::disallowed_methods, reason = "the database is real, and so is the time it needs to come back")]
pub(crate) async fn pause(delay: Duration) {
    tokio::time::sleep(delay).await;
}
