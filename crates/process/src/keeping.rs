//! The connection to the keeper, made again whenever it is lost.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use piton_keeper::client::{Client, Error};
use piton_keeper::protocol::RefusalKind;
use piton_keeper::{Child, Spec, Token};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::attend::Attendance;
use crate::wait::pause;
use crate::{Exit, StopSequence};

/// How often a request is made again after the connection was lost. Every request may be repeated.
const ATTEMPTS: u32 = 4;

/// How often a start is tried while the machine is short of processes or memory.
const START_ATTEMPTS: u32 = 5;

/// The keeper of one directory, whichever process that is at the moment. Clones share the connection.
///
/// What [`Runner`](crate::Runner) is for the commands of runs, this is for every other command: its output goes where
/// its [`Spec`] says.
#[derive(Clone)]
pub struct Keeping {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    argv: Vec<OsString>,
    current: Mutex<Current>,
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Current {
    client: Option<Client>,
    /// Counts the connections, so that one failure does not cut off the next connection.
    number: u64,
}

impl Keeping {
    /// The keeper in this directory, started with this command when none answers.
    pub fn new(dir: PathBuf, argv: Vec<OsString>) -> Keeping {
        Keeping { inner: Arc::new(Inner { dir, argv, current: Mutex::default() }) }
    }

    /// Starts this, or finds what was started under the token before, be it running or ended.
    pub async fn start(&self, token: &Token, spec: &Spec) -> Result<Child, crate::Error> {
        let mut attempt = 1;
        loop {
            match self.ask(|keeper| async move { keeper.spawn(token, spec).await }).await {
                Err(error) if error.refusal() == Some(RefusalKind::Resources) && attempt < START_ATTEMPTS => {
                    pause(Duration::from_millis(200) * attempt).await;
                    attempt += 1;
                }
                result => return result.map_err(crate::Error::of_start),
            }
        }
    }

    /// Waits until a child and all it started are gone, and stops it once `stop` is cancelled. Dropping the future lets
    /// it go on.
    pub async fn attend(
        &self,
        child: &Child,
        sequence: &StopSequence,
        stop: &CancellationToken,
    ) -> Result<Exit, crate::Error> {
        Attendance { keeping: self, child, sequence, stop, log: None }.until_gone().await?.exit
    }

    /// The child that is held under a token, running or ended.
    pub async fn find(&self, token: &Token) -> Result<Option<Child>, crate::Error> {
        match self.ask(|keeper| async move { keeper.get(token).await }).await {
            Ok(child) => Ok(Some(child)),
            Err(error) => match error.refusal() {
                Some(RefusalKind::UnknownToken | RefusalKind::StartUncertain) => Ok(None),
                _ => Err(error.into()),
            },
        }
    }

    /// Every child that is held.
    pub async fn held(&self) -> Result<Vec<Child>, crate::Error> {
        Ok(self.ask(|keeper| async move { keeper.list().await }).await?)
    }

    /// Lets the keeper forget a child that has ended; forgetting one that it does not know succeeds.
    pub async fn forget(&self, token: &Token) -> Result<(), crate::Error> {
        Ok(self.ask(|keeper| async move { keeper.acknowledge(token).await }).await?)
    }

    /// Forgets every child whose token begins with this. One that still runs is not forgotten, and reported as an error
    /// after all others are.
    pub async fn release(&self, prefix: &str) -> Result<(), crate::Error> {
        let mut result = Ok(());
        for child in self.held().await?.iter().filter(|child| child.token.as_str().starts_with(prefix)) {
            let forgotten = self.forget(&child.token).await;
            result = result.and(forgotten);
        }
        result
    }

    /// Kills whatever still runs under tokens that begin with this, and forgets it.
    pub async fn abandon(&self, prefix: &str) -> Result<(), crate::Error> {
        for child in self.held().await?.iter().filter(|child| child.token.as_str().starts_with(prefix)) {
            self.abandon_child(&child.token).await?;
        }
        Ok(())
    }

    /// Kills what still runs under this token, and forgets it.
    pub async fn abandon_child(&self, token: &Token) -> Result<(), crate::Error> {
        self.ask(|keeper| async move { keeper.sweep(token).await }).await?;
        self.ask(|keeper| async move { keeper.wait(token).await }).await?;
        self.forget(token).await
    }

    /// Asks, and asks the next keeper if this one goes away over it.
    pub async fn ask<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut attempt = 1;
        loop {
            let (client, number) = self.client().await?;
            match request(client).await {
                Err(Error::Disconnected) => {
                    self.disconnect(number).await;
                    if attempt == ATTEMPTS {
                        return Err(Error::Disconnected);
                    }
                }
                answer => return answer,
            }
            pause(Duration::from_millis(20) * attempt).await;
            attempt += 1;
        }
    }

    /// Ends the keeper if there is one and nothing runs; whoever asks next starts another.
    pub async fn stop_if_idle(&self) -> Result<(), Error> {
        let mut current = self.inner.current.lock().await;
        current.client = None;
        match Client::connect(&self.inner.dir).await {
            Ok(client) => client.stop(true).await,
            Err(Error::Absent { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn client(&self) -> Result<(Client, u64), Error> {
        let mut current = self.inner.current.lock().await;
        if let Some(client) = &current.client {
            return Ok((client.clone(), current.number));
        }
        let client = Client::connect_or_start(&self.inner.dir, &self.inner.argv).await?;
        current.client = Some(client.clone());
        current.number += 1;
        Ok((client, current.number))
    }

    async fn disconnect(&self, number: u64) {
        let mut current = self.inner.current.lock().await;
        if current.number == number {
            current.client = None;
        }
    }
}
