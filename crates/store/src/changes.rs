//! Telling that the ledger has grown, here or on another node.
//!
//! These are hints. Whoever waits must also look from time to time.

use std::time::Duration;

use piton_model::Seq;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Error;
use crate::db::params;
use crate::dialect::{CHANNEL, PROVISIONS};
use crate::events::HEAD;
use crate::readers::Readers;
use crate::writer::pause;

/// How long a notification may be missing before the head is read anyway.
const BACKSTOP: Duration = Duration::from_secs(5);
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// Listens for what other nodes commit, for ever.
pub(crate) async fn listen(
    connect: PgConnectOptions,
    readers: Readers,
    changes: watch::Sender<Seq>,
    provisions: watch::Sender<u64>,
) {
    loop {
        if let Err(error) = listen_once(&connect, &readers, &changes, &provisions).await {
            tracing::warn!(%error, "listening to the database failed, trying again");
        }
        pause(AFTER_A_FAILURE).await;
    }
}

async fn listen_once(
    connect: &PgConnectOptions,
    readers: &Readers,
    changes: &watch::Sender<Seq>,
    provisions: &watch::Sender<u64>,
) -> Result<(), Error> {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(connect.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen_all([CHANNEL, PROVISIONS]).await?;
    provisions.send_modify(|count| *count += 1);
    loop {
        // First the head: what was committed before the listening began was not heard.
        let head = readers.row(HEAD, params![]).await?.map_or(Ok(0), |row| row.int(0))?;
        raise(changes, head);
        while let Ok(notification) = timeout(BACKSTOP, listener.try_recv()).await {
            match notification? {
                Some(notification) if notification.channel() == PROVISIONS => {
                    provisions.send_modify(|count| *count += 1);
                }
                Some(notification) => {
                    let head = notification.payload().parse().unwrap_or(0);
                    raise(changes, head);
                }
                // The connection was lost, and with it perhaps a notification.
                None => return Ok(()),
            }
        }
    }
}

/// Wakes those who wait, unless they know already: this node hears itself too.
fn raise(changes: &watch::Sender<Seq>, head: Seq) {
    changes.send_if_modified(|known| {
        let news = head > *known;
        *known = head.max(*known);
        news
    });
}
