//! The connection to the keeper, made again whenever it is lost.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use piton_keeper::client::{Client, Error};
use tokio::sync::Mutex;

use crate::wait::pause;

/// How often a request is made again after the connection was lost. Every request may be repeated.
const ATTEMPTS: u32 = 4;

pub(crate) struct Link {
    dir: PathBuf,
    argv: Vec<OsString>,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    client: Option<Client>,
    /// Counts the connections, so that one failure does not cut off the next connection.
    number: u64,
}

impl Link {
    pub(crate) fn new(dir: PathBuf, argv: Vec<OsString>) -> Link {
        Link { dir, argv, current: Mutex::default() }
    }

    /// Asks, and asks the next keeper if this one goes away over it.
    pub(crate) async fn ask<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut attempt = 1;
        loop {
            let (client, number) = self.client().await?;
            match request(client).await {
                Err(Error::Disconnected) => {
                    self.forget(number).await;
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
    pub(crate) async fn stop_if_idle(&self) -> Result<(), Error> {
        let mut current = self.current.lock().await;
        current.client = None;
        match Client::connect(&self.dir).await {
            Ok(client) => client.stop(true).await,
            Err(Error::Absent { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn client(&self) -> Result<(Client, u64), Error> {
        let mut current = self.current.lock().await;
        if let Some(client) = &current.client {
            return Ok((client.clone(), current.number));
        }
        let client = Client::connect_or_start(&self.dir, &self.argv).await?;
        current.client = Some(client.clone());
        current.number += 1;
        Ok((client, current.number))
    }

    async fn forget(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.number == number {
            current.client = None;
        }
    }
}
