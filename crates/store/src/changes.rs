//! Telling that the ledger has grown, here or on another node.
//!
//! These are hints. Whoever waits must also look from time to time.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use piton_model::Seq;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Error;
use crate::dialect::{CHANNEL, PROVISIONS};
use crate::events::HEAD;
use crate::tail::Tail;
use crate::writer::pause;

/// How long nothing may be heard before it is asked whether the connection still lives.
const BACKSTOP: Duration = Duration::from_secs(30);
/// How long the answer to that may take.
const ANSWER: Duration = Duration::from_secs(5);
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// Waits until the ledger has grown beyond `seen`. A transaction that wrote nothing wakes nobody: otherwise a loop
/// whose own round is a transaction would wake itself for ever.
pub async fn grown(changes: &mut watch::Receiver<Seq>, seen: Seq) {
    if changes.wait_for(|head| *head > seen).await.is_err() {
        // The store is closed: nothing will ever happen again.
        std::future::pending::<()>().await;
    }
}

/// What is known of what is committed, here and on other nodes.
#[derive(Debug, Default)]
pub(crate) struct Tidings {
    /// The position of the last entry.
    pub(crate) head: watch::Sender<Seq>,
    /// The last entries, as far as this node wrote them.
    pub(crate) tail: Mutex<Tail>,
    /// Counts what may have changed among the scheduled provisions.
    pub(crate) provisions: watch::Sender<u64>,
    /// Where the ledger ends with the transaction that this node commits, or committed last.
    own: AtomicI64,
    /// Where it ended when a commit was heard of last.
    heard: AtomicI64,
    /// Whether commits of others are heard at all.
    listening: AtomicBool,
}

impl Tidings {
    pub(crate) fn new(head: Seq) -> Tidings {
        Tidings { head: watch::Sender::new(head), ..Tidings::default() }
    }

    /// This node commits a transaction with which the ledger ends at `head`. Who waits is told when the writer knows that
    /// it is done, and what this node hears of itself meanwhile comes too early: the tail lacks its entries still.
    pub(crate) fn commits(&self, head: Seq) {
        self.own.store(head, Ordering::SeqCst);
    }

    /// The commit failed, or nobody knows. What was heard of its position is true all the same, whoever wrote there.
    pub(crate) fn commit_failed(&self) {
        let own = self.own.swap(0, Ordering::SeqCst);
        if self.heard.load(Ordering::SeqCst) == own {
            raise(&self.head, own);
        }
    }

    /// A commit was heard of, with which the ledger ends at `head`.
    fn hears(&self, head: Seq) {
        self.heard.store(head, Ordering::SeqCst);
        if head != self.own.load(Ordering::SeqCst) {
            raise(&self.head, head);
        }
    }

    /// The ledger is known to end at `head`. Wakes those who wait.
    pub(crate) fn told(&self, head: Seq) {
        self.head.send_modify(|known| *known = head.max(*known));
    }

    /// Something may have changed among the scheduled provisions.
    pub(crate) fn provisions_changed(&self) {
        self.provisions.send_modify(|count| *count += 1);
    }

    /// Whether the ledger may be longer than `seen`: it is known to be, or nobody would have told.
    pub(crate) fn may_be_beyond(&self, seen: Seq) -> bool {
        !self.listening.load(Ordering::Acquire) || *self.head.borrow() > seen
    }
}

/// Listens for what other nodes commit, for ever.
pub(crate) async fn listen(connect: PgConnectOptions, tidings: Arc<Tidings>) {
    loop {
        let ended = listen_once(&connect, &tidings).await;
        tidings.listening.store(false, Ordering::Release);
        if let Err(error) = ended {
            tracing::warn!(%error, "listening to the database failed, trying again");
        }
        pause(AFTER_A_FAILURE).await;
    }
}

async fn listen_once(connect: &PgConnectOptions, tidings: &Tidings) -> Result<(), Error> {
    let Tidings { head: changes, listening, .. } = tidings;
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(connect.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen_all([CHANNEL, PROVISIONS]).await?;
    tidings.provisions_changed();
    loop {
        // First the head: what was committed before the listening began was not heard. It is asked on this connection, so
        // that one that died without a word is noticed.
        let head = timeout(ANSWER, sqlx::query_scalar::<_, Seq>(HEAD).fetch_one(&mut listener));
        let head = head.await.map_err(|_| Error::Unavailable("the connection that listens is dead".to_owned()))??;
        raise(changes, head);
        listening.store(true, Ordering::Release);
        while let Ok(notification) = timeout(BACKSTOP, listener.try_recv()).await {
            match notification? {
                Some(notification) if notification.channel() == PROVISIONS => {
                    tidings.provisions_changed();
                }
                Some(notification) => {
                    tidings.hears(notification.payload().parse().unwrap_or(0));
                }
                // The connection was lost, and with it perhaps a notification.
                None => return Ok(()),
            }
        }
    }
}

/// Wakes those who wait, unless they know already.
fn raise(changes: &watch::Sender<Seq>, head: Seq) {
    changes.send_if_modified(|known| {
        let news = head > *known;
        *known = head.max(*known);
        news
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_of_an_own_commit_is_told_when_that_is_over() {
        let tidings = Tidings::new(4);
        tidings.commits(5);
        tidings.hears(5);
        assert_eq!(*tidings.head.borrow(), 4, "the tail lacks it");
        tidings.told(5);
        tidings.hears(6);
        assert_eq!(*tidings.head.borrow(), 6, "another node wrote it");
        // Its answer is lost, or somebody else wrote there.
        tidings.commits(7);
        tidings.hears(7);
        tidings.commit_failed();
        assert_eq!(*tidings.head.borrow(), 7);
        // It never happened, and nobody must believe in it: the next one that ends there is news.
        tidings.commits(8);
        tidings.commit_failed();
        assert_eq!(*tidings.head.borrow(), 7);
        tidings.hears(8);
        assert_eq!(*tidings.head.borrow(), 8);
    }
}
