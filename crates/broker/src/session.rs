//! One connection that takes messages, from its beginning to its end.
//!
//! Deliveries are numbered by channel, and everything that knows such a number lives and ends with the session: so no
//! acknowledgement can reach a channel that did not deliver. What was not acknowledged by then, the broker gives out again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{StreamExt as _, stream};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::acks::Acks;
use crate::connection::{self, PARTING, within};
use crate::declare::{count, declare};
use crate::doing::{Doing, Key};
use crate::error::Error;
use crate::handler::Handler;
use crate::hold::{Desk, Held, Said};
use crate::status::{Board, Depth, State};
use crate::topology::Topology;

/// When to end.
pub(crate) struct Orders {
    /// Finish and end.
    pub(crate) stop: CancellationToken,
    /// Take so many more.
    pub(crate) left: Option<u32>,
    /// End when nothing came for this long.
    pub(crate) idle: Option<Duration>,
}

/// A message, or the end of the subscription to a queue.
type Event = (Arc<str>, Option<Result<Delivery, lapin::Error>>);

/// Takes messages until the orders are carried out, or until the connection breaks.
pub(crate) async fn run<H: Handler>(desk: &Arc<Desk<H>>, board: &Board, orders: &mut Orders) -> Result<(), Error> {
    let stop = orders.stop.clone();
    let opened = tokio::select! {
        opened = Session::open(desk, board, orders) => opened?,
        () = stop.cancelled() => return Ok(()),
    };
    let (mut session, connection) = opened;
    let ended = session.work(orders).await;
    if ended.is_err() {
        // What is held comes again, and must count as not taken then.
        let open = u32::try_from(session.open.len()).unwrap_or(u32::MAX);
        orders.left = orders.left.map(|left| left.saturating_add(open));
    }
    session.leave().await;
    connection::close(&connection).await;
    ended
}

struct Session<H> {
    desk: Arc<Desk<H>>,
    board: Board,
    channel: Channel,
    subscriptions: Vec<ShortString>,
    events: SelectAll<BoxStream<'static, Event>>,
    acks: Acks,
    /// Delivered and not answered.
    open: BTreeSet<u64>,
    tasks: JoinSet<(u64, Key, Said)>,
    /// Cancelled when nothing may begin any more.
    draining: CancellationToken,
    counting: AbortOnDropHandle<()>,
    /// Cancelled when nothing is counted any more.
    counted: CancellationToken,
}

impl<H: Handler> Session<H> {
    async fn open(desk: &Arc<Desk<H>>, board: &Board, orders: &Orders) -> Result<(Session<H>, Arc<Connection>), Error> {
        let settings = &desk.settings;
        let connection = Arc::new(settings.address.connect(&settings.name).await?);
        let foreign = declare(&connection, &desk.topology).await?;
        for queue in &foreign {
            tracing::warn!(queue = %queue.queue, why = %queue.why, "a queue is used though it was made in another way");
        }
        let channel = within("opening a channel", connection.create_channel()).await?;
        let left = orders.left.map_or(u16::MAX, |left| u16::try_from(left).unwrap_or(u16::MAX));
        let prefetch = settings.prefetch.min(left).max(1);
        within("setting the prefetch", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;

        let (mut subscriptions, mut events) = (Vec::new(), SelectAll::new());
        let takes = |one| settings.types.as_ref().is_none_or(|types| types.contains(&one));
        for queue in desk.topology.consumed(takes) {
            let (options, name) = (BasicConsumeOptions::default(), ShortString::default());
            let consumed = channel.basic_consume(queue.into(), name, options, FieldTable::default());
            let consumer = within("subscribing", consumed).await?;
            subscriptions.push(consumer.tag());
            let queue: Arc<str> = Arc::from(queue);
            let all = consumer.map(Some).chain(stream::iter([None]));
            events.push(all.map(move |event| (Arc::clone(&queue), event)).boxed());
        }
        let since = (settings.now)();
        board.change(|status| {
            status.state = State::Consuming { since };
            status.foreign = foreign;
        });
        tracing::info!(queue = %settings.queue, prefetch, "taking messages");
        let counted = CancellationToken::new();
        let counting = count_now_and_then(
            Arc::clone(&connection),
            desk.topology.clone(),
            board.clone(),
            settings.count_every,
            Arc::clone(&desk.doing),
            counted.clone(),
        );
        let session = Session {
            desk: Arc::clone(desk),
            board: board.clone(),
            channel,
            subscriptions,
            events,
            acks: Acks::default(),
            open: BTreeSet::new(),
            tasks: JoinSet::new(),
            draining: CancellationToken::new(),
            counting: AbortOnDropHandle::new(tokio::spawn(counting)),
            counted,
        };
        Ok((session, connection))
    }

    async fn work(&mut self, orders: &mut Orders) -> Result<(), Error> {
        let (mut taking, mut deadline) = (true, None);
        let mut last = Instant::now();
        loop {
            if taking && orders.left == Some(0) {
                taking = false;
                self.cease().await?;
            }
            if !taking && self.tasks.is_empty() {
                return Ok(());
            }
            let idle_until = orders.idle.filter(|_| taking && self.tasks.is_empty()).map(|idle| last + idle);
            tokio::select! {
                biased;
                () = orders.stop.cancelled(), if deadline.is_none() => {
                    self.draining.cancel();
                    self.board.change(|status| status.state = State::Draining);
                    deadline = Some(Instant::now() + self.desk.settings.drain_limit);
                    if std::mem::take(&mut taking) {
                        self.cease().await?;
                    }
                }
                () = reached(deadline) => {
                    tracing::warn!(messages = self.open.len(), "messages were not finished in time and go back");
                    return self.give_back_all().await;
                }
                Some(done) = self.tasks.join_next() => {
                    self.say(done).await?;
                    last = Instant::now();
                }
                Some((queue, event)) = self.events.next(), if taking => {
                    match event {
                        Some(Ok(delivery)) => self.take(queue, delivery, orders),
                        Some(Err(source)) => return Err(Error::Broken { doing: "taking messages", source }),
                        None => return Err(Error::Cancelled { queue: queue.to_string() }),
                    }
                    last = Instant::now();
                }
                () = reached(idle_until) => {
                    taking = false;
                    self.cease().await?;
                }
            }
        }
    }

    /// A batch that is full by then gives the message back with the rest, see [`Session::cease`].
    fn take(&mut self, queue: Arc<str>, delivery: Delivery, orders: &mut Orders) {
        if let Some(left) = &mut orders.left {
            *left = left.saturating_sub(1);
        }
        let tag = delivery.delivery_tag;
        let held = Held {
            tag,
            queue,
            redelivered: delivery.redelivered,
            body: Arc::from(delivery.data),
            properties: delivery.properties,
        };
        self.open.insert(tag);
        let (desk, draining) = (Arc::clone(&self.desk), self.draining.clone());
        self.tasks.spawn(async move {
            let said = desk.hold(&held, &draining).await;
            (held.tag, held.body, said)
        });
        self.board.change(|status| {
            status.counts.taken += 1;
            status.in_flight += 1;
        });
    }

    /// Ends the subscriptions, and gives back what was sent meanwhile.
    async fn cease(&mut self) -> Result<(), Error> {
        for subscription in std::mem::take(&mut self.subscriptions) {
            let cancelled = self.channel.basic_cancel(subscription, BasicCancelOptions::default());
            within("ending a subscription", cancelled).await?;
        }
        while let Some((_, event)) = self.events.next().await {
            match event {
                Some(Ok(delivery)) => self.give_back(delivery.delivery_tag).await?,
                Some(Err(source)) => return Err(Error::Broken { doing: "ending a subscription", source }),
                None => {}
            }
        }
        Ok(())
    }

    /// Says to the broker what became of this message, and of all others that have an answer by now.
    async fn say(&mut self, done: Result<(u64, Key, Said), JoinError>) -> Result<(), Error> {
        let (mut done, mut answered) = (Some(done), Vec::new());
        while let Some(result) = done {
            // It ends without an answer only by a panic, which is a mistake here: the session ends, and the message comes
            // again.
            let (tag, body, said) = result.map_err(|_| Error::Closed)?;
            if said == Said::Returned {
                self.give_back(tag).await?;
            } else {
                self.acks.settle(tag);
            }
            answered.push((tag, body, said));
            done = self.tasks.try_join_next();
        }
        let acks = self.acks.flush().into_iter().map(|ack| {
            let options = BasicAckOptions { multiple: ack.multiple };
            self.channel.basic_ack(ack.tag, options)
        });
        try_join_all(acks).await.map_err(Error::doing("acknowledging"))?;
        for (tag, body, _) in &answered {
            self.open.remove(tag);
            self.desk.doing.forget(body);
        }
        self.board.change(|status| {
            for (_, _, said) in &answered {
                status.in_flight = status.in_flight.saturating_sub(1);
                let counts = &mut status.counts;
                let count = match said {
                    Said::Accepted => &mut counts.accepted,
                    Said::Retried => &mut counts.retried,
                    Said::Buried => &mut counts.buried,
                    Said::Forwarded => &mut counts.forwarded,
                    Said::Returned => &mut counts.returned,
                };
                *count += 1;
            }
        });
        Ok(())
    }

    /// "Not now": newer brokers do not count this as a failure.
    async fn give_back(&mut self, tag: u64) -> Result<(), Error> {
        let options = BasicNackOptions { requeue: true, multiple: false };
        self.channel.basic_nack(tag, options).await.map_err(Error::doing("giving a message back"))?;
        self.acks.answered(tag);
        self.open.remove(&tag);
        Ok(())
    }

    /// Ends what there is on the connection, in order: a channel that was only let go of would still be closing when the
    /// connection does, which then does not.
    async fn leave(self) {
        let Session { channel, events, mut tasks, counting, counted, .. } = self;
        counted.cancel();
        tasks.shutdown().await;
        let _ = timeout(PARTING, counting).await;
        connection::close_channel(&channel).await;
        drop(events);
    }

    async fn give_back_all(&mut self) -> Result<(), Error> {
        self.desk.doing.abort_all();
        self.tasks.shutdown().await;
        let open: Vec<u64> = self.open.iter().copied().collect();
        for tag in &open {
            self.give_back(*tag).await?;
        }
        self.board.change(|status| status.counts.returned += open.len() as u64);
        Ok(())
    }
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        // Nothing to wait for but the end of the time.
        Some(deadline) => drop(timeout_at(deadline, std::future::pending::<()>()).await),
        None => std::future::pending().await,
    }
}

/// The depth of the queues is nobody's work: what goes wrong here shows elsewhere.
async fn count_now_and_then(
    connection: Arc<Connection>,
    topology: Topology,
    board: Board,
    every: Duration,
    doing: Arc<Doing>,
    ended: CancellationToken,
) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // What was begun is finished: a channel that is given up in the middle would stand in the way of the end.
        tokio::select! {
            () = ended.cancelled() => return,
            _ = ticks.tick() => {}
        }
        doing.tidy();
        match depth(&connection, &topology).await {
            Ok(depth) => board.change(|status| status.depth = Some(depth)),
            Err(error) => tracing::debug!(%error, "the messages in the queues were not counted"),
        }
    }
}

async fn depth(connection: &Connection, topology: &Topology) -> Result<Depth, Error> {
    let mut depth = Depth::default();
    for declaration in topology.declarations() {
        let queue = declaration.queue.as_str();
        let messages = count(connection, queue).await?.unwrap_or(0);
        *if queue == topology.dead() {
            &mut depth.dead
        } else if topology.is_rung(queue) {
            &mut depth.waiting
        } else {
            &mut depth.ready
        } += messages;
    }
    Ok(depth)
}
