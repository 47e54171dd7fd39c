//! Publishes messages so that it is known that they arrived.
//!
//! One task has the connection. It takes what lies in its inbox, at most a window of it, publishes it all, and waits for
//! all confirmations before it answers anybody: so the many share one round trip, and a message that came back for want of
//! a queue is told from its neighbours without doubt. What was not confirmed when a connection broke is published again on
//! the next one, for as long as somebody waits for it. It may then arrive twice, never not at all.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::connection::{self, Address, within};
use crate::declare::declare;
use crate::error::Error;
use crate::marks::Marks;
use crate::message::RunId;
use crate::topology::Topology;

/// Published before the confirmations are awaited. Beyond a few hundred nothing is gained.
const WINDOW: usize = 256;

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub(crate) body: Arc<[u8]>,
    pub(crate) properties: BasicProperties,
}

impl Outgoing {
    /// A job, as JSON.
    pub fn job(run_id: &RunId, body: Vec<u8>) -> Outgoing {
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(run_id.as_str().into());
        Outgoing { body: Arc::from(body), properties }
    }

    /// With the time at which it is sent, which stays on every copy: what depends on when it was asked for is then the
    /// same for whoever takes it.
    #[must_use]
    pub fn sent_at(mut self, at: Timestamp) -> Outgoing {
        if let Ok(seconds) = u64::try_from(at.as_second()) {
            self.properties = self.properties.with_timestamp(seconds);
        }
        self
    }
}

/// Where to publish. Clones share one connection, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Outlet {
    inbox: mpsc::Sender<Letter>,
    blocked: watch::Receiver<Option<String>>,
    /// What went wrong last with the connection, where there is none now.
    trouble: watch::Receiver<Option<Error>>,
    work: Arc<str>,
    dead: Arc<str>,
}

/// The task behind an [`Outlet`]. It ends with this at the latest.
#[derive(Debug)]
pub struct Postman(JoinHandle<()>);

impl Postman {
    /// Waits until all that was given to the outlet is published and the connection is closed. The outlets must be gone.
    pub async fn ended(mut self) {
        if let Err(error) = (&mut self.0).await {
            tracing::error!(%error, "the publishing task ended badly");
        }
    }
}

impl Drop for Postman {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Letter {
    queue: Arc<str>,
    message: Outgoing,
    /// The queues were made again for it.
    renewed: bool,
    answer: oneshot::Sender<Result<(), Error>>,
}

impl Outlet {
    /// Begins to publish. Connects when there is something to publish; `name` is shown in the broker's lists.
    pub fn start(address: Address, topology: Topology, name: String) -> (Outlet, Postman) {
        let (inbox, letters) = mpsc::channel(WINDOW);
        let (tell_blocked, blocked) = watch::channel(None);
        let (tell_trouble, trouble) = watch::channel(None);
        let (work, dead) = (Arc::from(topology.work()), Arc::from(topology.dead()));
        let round = Round {
            address,
            topology,
            name,
            blocked: tell_blocked,
            trouble: tell_trouble,
            backoff: Backoff::default(),
        };
        (Outlet { inbox, blocked, trouble, work, dead }, Postman(tokio::spawn(round.run(letters))))
    }

    /// Puts a job on the work queue, and returns when the broker has it for good. Waits while the broker takes none.
    pub async fn enqueue(&self, message: Outgoing) -> Result<(), Error> {
        self.publish(Arc::clone(&self.work), message).await
    }

    /// The same, but gives up. What was given up may arrive all the same; that is what the name of the run is for.
    pub async fn enqueue_within(&self, patience: Duration, message: Outgoing) -> Result<(), Error> {
        match timeout(patience, self.enqueue(message)).await {
            Ok(done) => done,
            Err(_) => Err(Error::Unconfirmed {
                queue: self.work.to_string(),
                seconds: patience.as_secs(),
                blocked: self.blocked.borrow().clone(),
                trouble: self.trouble.borrow().as_ref().map(ToString::to_string),
            }),
        }
    }

    /// The same, but gives up as soon as the connection fails: for those who are there to see it.
    pub async fn enqueue_at_once(&self, patience: Duration, message: Outgoing) -> Result<(), Error> {
        let mut trouble = self.trouble.clone();
        let failed = async {
            match trouble.wait_for(Option::is_some).await.ok().and_then(|error| error.clone()) {
                Some(error) => error,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            sent = self.enqueue_within(patience, message) => sent,
            error = failed => Err(error),
        }
    }

    /// Puts a job with the dead letters: one that was kept elsewhere, and failed there for good.
    pub async fn bury(&self, message: Outgoing, marks: Marks, reason: &str) -> Result<(), Error> {
        let properties = marks.written(&message.properties, &self.work, Some(reason));
        self.publish(Arc::clone(&self.dead), Outgoing { properties, ..message }).await
    }

    /// Why the broker takes no messages now, if it says so.
    pub fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.blocked.clone()
    }

    pub(crate) async fn publish(&self, queue: Arc<str>, message: Outgoing) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Letter { queue, message, renewed: false, answer }).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

/// What the task needs.
struct Round {
    address: Address,
    topology: Topology,
    name: String,
    blocked: watch::Sender<Option<String>>,
    trouble: watch::Sender<Option<Error>>,
    backoff: Backoff,
}

/// What came of publishing a window.
enum Outcome {
    /// Every letter has its answer, but these, whose queue is gone.
    Delivered(Vec<Letter>),
    /// These have none, and the connection is of no more use.
    Broken(Vec<Letter>, Error),
}

impl Round {
    async fn run(self, mut letters: mpsc::Receiver<Letter>) {
        let mut waiting: Vec<Letter> = Vec::new();
        let mut failures = 0;
        loop {
            if waiting.is_empty() && letters.recv_many(&mut waiting, WINDOW).await == 0 {
                return;
            }
            let served = match self.connect().await {
                Ok((connection, channel)) => {
                    self.trouble.send_replace(None);
                    let served = self.serve(&connection, &channel, &mut letters, &mut waiting, &mut failures).await;
                    connection::close(&connection).await;
                    self.blocked.send_replace(None);
                    served
                }
                Err(error) => Err(error),
            };
            let Err(error) = served else { return };
            self.trouble.send_replace(Some(error.clone()));
            failures += 1;
            waiting.retain(|letter| !letter.answer.is_closed());
            let wait = self.backoff.wait(failures, rand::random());
            tracing::warn!(%error, waiting = waiting.len(), wait_ms = wait.as_millis(), "cannot publish to the broker");
            pause(wait).await;
        }
    }

    async fn connect(&self) -> Result<(Connection, Channel), Error> {
        let connection = self.address.connect(&self.name).await?;
        declare(&connection, &self.topology).await?;
        let channel = within("opening a channel", connection.create_channel()).await?;
        within("asking for confirmations", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok((connection, channel))
    }

    /// Publishes until the connection breaks, or until there is nobody left.
    async fn serve(
        &self,
        connection: &Connection,
        channel: &Channel,
        letters: &mut mpsc::Receiver<Letter>,
        waiting: &mut Vec<Letter>,
        failures: &mut u32,
    ) -> Result<(), Error> {
        let mut events = std::pin::pin!(connection.events_listener());
        loop {
            while waiting.is_empty() {
                tokio::select! {
                    event = events.next() => self.heed(event)?,
                    received = letters.recv_many(waiting, WINDOW) => if received == 0 { return Ok(()) },
                }
            }
            waiting.retain(|letter| !letter.answer.is_closed());
            match self.publish(channel, std::mem::take(waiting), &mut events).await {
                Outcome::Delivered(homeless) => {
                    *failures = 0;
                    if !homeless.is_empty() {
                        tracing::warn!("a queue is gone; the queues are made again");
                        *waiting = homeless;
                        declare(connection, &self.topology).await?;
                    }
                }
                Outcome::Broken(letters, error) => {
                    *waiting = letters;
                    return Err(error);
                }
            }
        }
    }

    /// Publishes a window, and meanwhile takes note of what the broker says.
    async fn publish(
        &self,
        channel: &Channel,
        window: Vec<Letter>,
        events: &mut (impl Stream<Item = Event> + Unpin),
    ) -> Outcome {
        let mut published = std::pin::pin!(publish(channel, window));
        loop {
            tokio::select! {
                biased;
                outcome = &mut published => return outcome,
                // The end of the connection also ends the publishing, with every letter accounted for.
                Some(event) = events.next() => { let _ = self.heed(Some(event)); }
            }
        }
    }

    /// Takes note of what the broker says of the connection; an error says that it is of no more use.
    fn heed(&self, event: Option<Event>) -> Result<(), Error> {
        match event {
            Some(Event::ConnectionBlocked(why)) => {
                tracing::warn!(%why, "the broker takes no messages for now");
                self.blocked.send_replace(Some(why));
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!("the broker takes messages again");
                self.blocked.send_replace(None);
            }
            Some(Event::Error(source)) => return Err(Error::Broken { doing: "keeping the connection", source }),
            Some(_) => {}
            None => return Err(Error::Closed),
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a broker that is away comes back in real time")]
async fn pause(wait: Duration) {
    sleep(wait).await;
}

/// Publishes all, waits for all confirmations, and answers.
async fn publish(channel: &Channel, letters: Vec<Letter>) -> Outcome {
    const DOING: &str = "publishing";
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    // All at once, so that they leave in few writes: each waits until it is written.
    let confirmed = join_all(letters.iter().map(|letter| {
        let (queue, message) = (letter.queue.as_ref(), &letter.message);
        let properties = message.properties.clone();
        let published = channel.basic_publish("".into(), queue.into(), options, &message.body, properties);
        async move { published.await?.await }
    }))
    .await;

    // The client hands a returned message to whichever confirmation is resolved next, so that only all of them together
    // say which came back. Two that are the same to the byte both did: one is published once too often.
    let mut came_back = Vec::new();
    let mut results = Vec::with_capacity(letters.len());
    for confirmation in confirmed {
        results.push(match confirmation {
            Ok(Confirmation::Ack(returned)) => {
                came_back.extend(returned.map(|returned| (returned.routing_key.to_string(), returned.delivery.data)));
                Ok(true)
            }
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => Ok(false),
            Err(error) => Err(error),
        });
    }
    let (mut unanswered, mut homeless, mut broken) = (Vec::new(), Vec::new(), None);
    for (mut letter, result) in letters.into_iter().zip(results) {
        let returned = came_back.iter().any(|(key, body)| *key == *letter.queue && body[..] == letter.message.body[..]);
        let answer = match result {
            Ok(true) if returned && !letter.renewed => {
                letter.renewed = true;
                homeless.push(letter);
                continue;
            }
            Ok(true) if returned => Err(Error::Unroutable { queue: letter.queue.to_string() }),
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::NotKept { queue: letter.queue.to_string() }),
            Err(error) => {
                broken.get_or_insert(error);
                unanswered.push(letter);
                continue;
            }
        };
        // Whoever asked may have left; the message is where it belongs.
        let _ = letter.answer.send(answer);
    }
    match broken {
        None => Outcome::Delivered(homeless),
        Some(source) => {
            unanswered.append(&mut homeless);
            Outcome::Broken(unanswered, Error::Broken { doing: DOING, source })
        }
    }
}
