//! Connections that only read.
//!
//! The pools of the driver ask each connection for a sign of life before and after every use, which makes three round
//! trips of one. Here a connection that has died while it lay idle is noticed by the statement that fails on it, and
//! the statement, which only reads, is repeated on a new one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::db::{Address, Conn, Param, Row, Sql};
use crate::dialect::Dialect;
use crate::hurry::{self, attended, silent};
use crate::writer::{pause, within};
use crate::{Error, Options};

/// A connection that nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// How much longer than a statement may take its answer may be on the way.
const GRACE: Duration = Duration::from_secs(5);
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// Connections that only read. Clones share them.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Shared>);

struct Shared {
    address: Address,
    patience: Duration,
    /// How long an answer may take that the database itself gives up before.
    limit: Option<Duration>,
    count: u32,
    /// One permit for each connection that may be in use; closed with the store.
    turns: Semaphore,
    /// The one that was used last is at the end.
    idle: Mutex<VecDeque<(Conn, Instant)>>,
}

impl Readers {
    /// Connects nowhere yet.
    pub(crate) fn new(address: Address, options: &Options) -> Readers {
        let count = options.readers.max(1);
        let turns = Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS));
        let limit = match address.dialect() {
            // A file is not cut off.
            Dialect::Sqlite => None,
            Dialect::Postgres => Some(options.statement_timeout.saturating_add(GRACE)),
        };
        Readers(Arc::new(Shared { address, patience: options.patience, limit, count, turns, idle: Mutex::default() }))
    }

    /// Runs a statement that answers with rows.
    pub(crate) async fn rows(&self, sql: impl Into<Sql>, params: Vec<Param<'_>>) -> Result<Vec<Row>, Error> {
        let (sql, patience) = (sql.into(), Instant::now() + self.0.patience);
        let give_up = hurry::deadline().map_or(patience, |deadline| deadline.min(patience));
        let turn = timeout_at(give_up, self.0.turns.acquire()).await;
        let _turn = turn
            .map_err(|_| Error::Unavailable("all connections are in use".to_owned()))?
            .map_err(|_| Error::Closed)?;
        while let Some(mut conn) = self.used() {
            match self.ask(&mut conn, sql.clone(), params.clone(), give_up).await {
                // Perhaps only this connection is lost.
                Err(Error::Unavailable(_)) if Instant::now() < give_up => {}
                Err(lost @ Error::Unavailable(_)) => return Err(lost),
                answer => return self.keep(conn, answer),
            }
        }
        let mut conn = self.connect(give_up).await?;
        match self.ask(&mut conn, sql, params, give_up).await {
            Err(lost @ Error::Unavailable(_)) => Err(lost),
            answer => self.keep(conn, answer),
        }
    }

    /// A connection that answers nothing any more is as good as lost: a network that is cut need not tell.
    async fn ask(
        &self,
        conn: &mut Conn,
        sql: Sql,
        params: Vec<Param<'_>>,
        give_up: Instant,
    ) -> Result<Vec<Row>, Error> {
        let answer = conn.rows(sql, params);
        match self.0.limit {
            Some(limit) => attended(&self.0.address, give_up, within(limit, answer)).await,
            None => answer.await,
        }
    }

    /// The first row of the answer.
    pub(crate) async fn row(&self, sql: impl Into<Sql>, params: Vec<Param<'_>>) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Waits for those that are in use, and closes all.
    pub(crate) async fn close(&self) {
        if let Ok(turns) = self.0.turns.acquire_many(self.0.count).await {
            self.0.turns.close();
            turns.forget();
        }
        let idle = std::mem::take(&mut *self.0.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for (conn, _) in idle {
            if let Err(error) = conn.close().await {
                tracing::debug!(%error, "closing a reader failed");
            }
        }
    }

    /// The connection that was used last. Those that lay idle for too long are dropped, which closes them.
    fn used(&self) -> Option<Conn> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while idle.front().is_some_and(|(_, since)| now.duration_since(*since) > IDLE) {
            idle.pop_front();
        }
        idle.pop_back().map(|(conn, _)| conn)
    }

    fn keep<T>(&self, conn: Conn, answer: Result<T, Error>) -> Result<T, Error> {
        hurry::answered();
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back((conn, Instant::now()));
        answer
    }

    /// Tries while the database is away.
    async fn connect(&self, give_up: Instant) -> Result<Conn, Error> {
        let mut delay = FIRST_DELAY;
        loop {
            let connected = timeout_at(give_up, self.0.address.connect_reader()).await;
            match connected.unwrap_or_else(|_| Err(silent())) {
                Err(Error::Unavailable(_)) if Instant::now() + delay < give_up => {
                    pause(delay).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
                connected => return connected,
            }
        }
    }
}
