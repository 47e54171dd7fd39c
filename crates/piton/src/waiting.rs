//! A daemon whose database is not there yet.
//!
//! Hosts start their services in any order. So the daemon tries again, for as long as it is left alone, and tells whoever
//! asks that it lives and is not ready.

use std::pin::pin;
use std::time::Duration;

use piton_store::{Error, Store};

use crate::error::CommandError;
use crate::listeners::Listeners;
use crate::pause::pause;
use crate::place::Place;

/// Between two tries, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How the waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The databases can be reached, or opening them will tell why not.
    Reached,
    /// Somebody ended it.
    Ended,
}

/// Waits until every server of a database can be reached, or until `ended`.
pub async fn for_database(
    place: &Place,
    listeners: &Listeners,
    ended: impl Future<Output = ()>,
) -> Result<Waited, CommandError> {
    let config = &place.config;
    let mut ended = pin!(ended);
    let mut answering = None;
    let mut wait = FIRST_PAUSE;
    for url in [Some(&config.store_url), config.auth.store_url.as_ref()].into_iter().flatten() {
        loop {
            let reached = tokio::select! {
                reached = Store::reach(url.expose()) => reached,
                () = &mut ended => return Ok(Waited::Ended),
            };
            let Err(error @ Error::Unavailable(_)) = reached else { break };
            if answering.is_none() {
                answering = Some(listeners.wait(place)?);
            }
            tracing::warn!(%error, wait_ms = wait.as_millis(), "the daemon waits for its database");
            tokio::select! {
                () = pause(wait) => {}
                () = &mut ended => return Ok(Waited::Ended),
            }
            wait = (wait * 2).min(LONGEST_PAUSE);
        }
    }
    if let Some(answering) = answering {
        answering.close().await;
        tracing::info!("the database can be reached");
    }
    Ok(Waited::Reached)
}
