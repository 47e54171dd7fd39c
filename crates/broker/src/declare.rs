//! Makes the queues, and gets along with those that are there.

use std::sync::Arc;

use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Connection, ErrorKind};

use crate::connection::within;
use crate::error::Error;
use crate::topology::{Declaration, Topology};

/// A queue that is not as it would have been made here, and is used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The queue.
    pub queue: String,
    /// In what way, as the broker says it.
    pub why: String,
}

/// Declares every queue. Says which of them were made by others, in another way.
pub(crate) async fn declare(connection: &Connection, topology: &Topology) -> Result<Vec<Foreign>, Error> {
    let mut foreign = Vec::new();
    for declaration in topology.declarations() {
        foreign.extend(declare_queue(connection, &declaration).await?);
    }
    Ok(foreign)
}

/// The broker closes the channel on a refusal, so that each attempt has one of its own.
async fn declare_queue(connection: &Connection, declaration: &Declaration) -> Result<Option<Foreign>, Error> {
    let queue = declaration.queue.as_str();
    let why = match attempt(connection, queue, QueueDeclareOptions::durable(), declaration.arguments.clone()).await {
        Ok(_) => return Ok(None),
        Err(error) => refusal(error)?,
    };
    // A queue of another kind, perhaps of the worker that was here before, or one that this user may not make.
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match attempt(connection, queue, passive, FieldTable::default()).await {
        Ok(_) => Ok(Some(Foreign { queue: queue.to_owned(), why })),
        Err(error) => {
            refusal(error)?;
            Err(Error::Unusable { queue: queue.to_owned(), why: Arc::from(why) })
        }
    }
}

/// How many messages are ready in a queue; None if there is no such queue, or it is somebody's alone.
pub(crate) async fn count(connection: &Connection, queue: &str) -> Result<Option<u64>, Error> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match attempt(connection, queue, passive, FieldTable::default()).await {
        Ok(count) => Ok(Some(count)),
        Err(error) => refusal(error).map(|_| None),
    }
}

async fn attempt(
    connection: &Connection,
    queue: &str,
    options: QueueDeclareOptions,
    arguments: FieldTable,
) -> Result<u64, Error> {
    const DOING: &str = "declaring a queue";
    let channel = within("opening a channel", connection.create_channel()).await?;
    let declared = within(DOING, channel.queue_declare(queue.into(), options, arguments)).await?;
    let count = declared.message_count();
    within("closing a channel", channel.close(200, "done".into())).await?;
    Ok(u64::from(count))
}

/// What the broker says where it refuses; any other failure is passed on.
fn refusal(error: Error) -> Result<String, Error> {
    if let Error::Broken { source, .. } = &error
        && let ErrorKind::ProtocolError(said) = source.kind()
        && let AMQPErrorKind::Soft(soft) = said.kind()
        && matches!(
            soft,
            AMQPSoftError::PRECONDITIONFAILED
                | AMQPSoftError::ACCESSREFUSED
                | AMQPSoftError::NOTFOUND
                | AMQPSoftError::RESOURCELOCKED
        )
    {
        return Ok(said.get_message().to_string());
    }
    Err(error)
}
