//! The dead letters: who lies there and why, and back to work with them.

use jiff::Timestamp;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::{BasicProperties, Channel};

use crate::connection::{self, Address, within};
use crate::declare::{count, declare};
use crate::error::Error;
use crate::marks::{FROM, Marks, REASON, forgotten, words};
use crate::outlet::{Outgoing, Outlet};
use crate::topology::Topology;

/// A message that nobody tries any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its text.
    pub body: Vec<u8>,
    /// The name that its sender gave it, if any.
    pub message_id: Option<String>,
    /// Why it is here.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed the first time, if that was written on it.
    pub first_failed: Option<Timestamp>,
    /// The queue it was taken from, if that is known.
    pub from: Option<String>,
}

/// Reads at most so many dead letters, the oldest first, and leaves them where they are.
pub async fn read(address: &Address, topology: &Topology, at_most: u32) -> Result<Vec<DeadLetter>, Error> {
    let connection = address.connect("piton (reading dead letters)").await?;
    declare(&connection, topology).await?;
    let channel = within("opening a channel", connection.create_channel()).await?;
    let mut letters = Vec::new();
    while letters.len() < at_most as usize {
        let Some((_, properties, body)) = get(&channel, topology.dead()).await? else { break };
        letters.push(letter(&properties, body, topology));
    }
    // What was not acknowledged is put back, in its order, when the channel ends.
    connection::close(&connection).await;
    Ok(letters)
}

/// Sends at most so many dead letters back to the work queue, the oldest first, as if they had never been tried. Returns
/// how many. Letters that die meanwhile are left alone, so that this ends.
pub async fn redrive(address: &Address, topology: &Topology, at_most: u32) -> Result<u32, Error> {
    let connection = address.connect("piton (redriving dead letters)").await?;
    let name = "piton (redriving, publishing)".to_owned();
    let (outlet, postman) = Outlet::start(address.clone(), topology.clone(), name);
    declare(&connection, topology).await?;
    let there = count(&connection, topology.dead()).await?.unwrap_or(0);
    let channel = within("opening a channel", connection.create_channel()).await?;
    let mut sent = 0;
    while sent < at_most && u64::from(sent) < there {
        let Some((tag, properties, body)) = get(&channel, topology.dead()).await? else { break };
        outlet.enqueue(Outgoing { body: body.into(), properties: forgotten(&properties) }).await?;
        let acknowledged = channel.basic_ack(tag, BasicAckOptions::default());
        within("acknowledging a dead letter", acknowledged).await?;
        sent += 1;
    }
    drop(outlet);
    postman.ended().await;
    connection::close(&connection).await;
    Ok(sent)
}

async fn get(channel: &Channel, queue: &str) -> Result<Option<(u64, BasicProperties, Vec<u8>)>, Error> {
    let got = within("getting a dead letter", channel.basic_get(queue.into(), BasicGetOptions::default())).await?;
    Ok(got.map(|message| {
        let delivery = message.delivery;
        (delivery.delivery_tag, delivery.properties, delivery.data)
    }))
}

fn letter(properties: &BasicProperties, body: Vec<u8>, topology: &Topology) -> DeadLetter {
    let marks = Marks::read(properties, topology);
    let header = |name| properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    let death = |what| words(header(what)).map(str::to_owned);
    let by_broker = || death("x-first-death-reason").map(|reason| format!("the broker: {reason}"));
    DeadLetter {
        body,
        message_id: properties.message_id().as_ref().map(ToString::to_string),
        reason: death(REASON).or_else(by_broker).unwrap_or_else(|| "unknown".to_owned()),
        attempts: marks.failures,
        first_failed: marks.first_failed,
        from: words(header(FROM)).map(str::to_owned).or_else(|| death("x-first-death-queue")),
    }
}
