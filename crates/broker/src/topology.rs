//! The queues: which there are, what they are called, and how they are declared. Pure.
//!
//! ```text
//!                       ┌──────────── expired ────────────┐
//!                       ▼                                 │
//! publishers ──▶   jobs (work)  ──▶ worker ── later ──▶ jobs.retry.5s, .10s, .20s …
//!                   │       ▲         │
//!        given back │       │         ├── another type ──▶ jobs.type.component …
//!        too often  ▼       │ redrive └── never, or too often
//!                  jobs.dead ◀────────────────┘
//! ```
//!
//! Each rung of the ladder is a queue of its own with one time to live: with a time for each message in one queue, a
//! message of an hour would hold back those of a second behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::message::JobType;

/// How often a failed message is tried again, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// Before the first retry. Each further one waits twice as long.
    pub first: Duration,
    /// No retry waits longer.
    pub longest: Duration,
    /// How many retries there are.
    pub retries: u32,
}

impl Default for Ladder {
    fn default() -> Ladder {
        Ladder { first: Duration::from_secs(5), longest: Duration::from_secs(60 * 60), retries: 5 }
    }
}

impl Ladder {
    /// The delays, each once, the shortest first. Never empty.
    fn delays(self) -> Vec<Duration> {
        // The broker counts in milliseconds, and in 32 bits on some versions.
        let most = Duration::from_millis(u64::from(u32::MAX));
        let longest = self.longest.clamp(Duration::from_millis(1), most);
        let mut delay = self.first.clamp(Duration::from_millis(1), longest);
        let mut delays = vec![delay];
        for _ in 1..self.retries {
            if delay == longest {
                break;
            }
            delay = delay.saturating_mul(2).min(longest);
            delays.push(delay);
        }
        delays
    }
}

/// A queue in which messages wait for their next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its name.
    pub queue: String,
    /// How long they wait.
    pub delay: Duration,
}

/// A queue and how it is declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// Its name.
    pub queue: String,
    /// Its arguments. All queues are durable.
    pub arguments: FieldTable,
}

/// Why a text cannot name the work queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQueue {
    /// It is empty.
    #[error("the name of the queue is empty")]
    Empty,
    /// It is the broker's.
    #[error("names of queues that begin with `amq.` are the broker's own: `{0}`")]
    Reserved(String),
    /// With the longest ending it has more than 255 bytes.
    #[error("the name of the queue has {0} bytes, more than {limit}", limit = Topology::LONGEST_NAME)]
    TooLong(usize),
}

/// All queues of one work queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    work: String,
    dead: String,
    rungs: Vec<Rung>,
    typed: BTreeMap<JobType, String>,
}

impl Topology {
    /// Leaves room for the longest ending below AMQP's 255 bytes.
    pub const LONGEST_NAME: usize = 220;

    /// How often the broker lets a message come back before it is dead: the backstop behind our own count.
    pub const DELIVERY_LIMIT: u32 = 20;

    /// The queues around the work queue of this name.
    pub fn new(work: &str, ladder: Ladder) -> Result<Topology, InvalidQueue> {
        if work.is_empty() {
            return Err(InvalidQueue::Empty);
        }
        if work.starts_with("amq.") {
            return Err(InvalidQueue::Reserved(work.to_owned()));
        }
        if work.len() > Topology::LONGEST_NAME {
            return Err(InvalidQueue::TooLong(work.len()));
        }
        let rung = |delay| Rung { queue: format!("{work}.retry.{}", written(delay)), delay };
        Ok(Topology {
            work: work.to_owned(),
            dead: format!("{work}.dead"),
            rungs: ladder.delays().into_iter().map(rung).collect(),
            typed: JobType::ALL.iter().map(|one| (*one, format!("{work}.type.{}", one.as_str()))).collect(),
        })
    }

    /// Where jobs are published.
    pub fn work(&self) -> &str {
        &self.work
    }

    /// Where messages lie that nobody tries any more.
    pub fn dead(&self) -> &str {
        &self.dead
    }

    /// Where messages wait, the shortest first.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// Where jobs of one type are put that came to a worker for another.
    pub fn typed(&self, job_type: JobType) -> &str {
        self.typed.get(&job_type).map_or(&self.work, String::as_str)
    }

    /// What a worker consumes: the work queue, and the queues of the types that it takes. Most workers take all.
    pub fn consumed(&self, takes: impl Fn(JobType) -> bool) -> Vec<&str> {
        let typed = self.typed.iter().filter(|(one, _)| takes(**one)).map(|(_, queue)| queue.as_str());
        std::iter::once(self.work.as_str()).chain(typed).collect()
    }

    /// Where a message waits after this many failures.
    pub fn rung_after(&self, failures: u32) -> &Rung {
        let last = self.rungs.len() - 1;
        &self.rungs[last.min(failures.saturating_sub(1) as usize)]
    }

    /// Is this one of the queues in which messages wait?
    pub fn is_rung(&self, queue: &str) -> bool {
        // Also those of an earlier configuration.
        queue.strip_prefix(self.work.as_str()).is_some_and(|rest| rest.starts_with(".retry."))
    }

    /// Every queue, those first that others send to.
    pub fn declarations(&self) -> Vec<Declaration> {
        let mut all = vec![Declaration { queue: self.dead.clone(), arguments: keeping() }];
        for queue in std::iter::once(&self.work).chain(self.typed.values()) {
            let mut arguments = sending_to(&self.dead);
            put(&mut arguments, "x-delivery-limit", AMQPValue::LongInt(Topology::DELIVERY_LIMIT.cast_signed()));
            all.push(Declaration { queue: queue.clone(), arguments });
        }
        for rung in &self.rungs {
            let mut arguments = sending_to(&self.work);
            let delay = i64::try_from(rung.delay.as_millis()).unwrap_or(i64::MAX);
            put(&mut arguments, "x-message-ttl", AMQPValue::LongLongInt(delay));
            all.push(Declaration { queue: rung.queue.clone(), arguments });
        }
        all
    }
}

fn put(arguments: &mut FieldTable, name: &str, value: AMQPValue) {
    arguments.insert(ShortString::from(name), value);
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    put(&mut arguments, "x-queue-type", text("quorum"));
    arguments
}

/// The end of the line. Looking at a message there counts as a delivery, and since RabbitMQ 4 twenty of those would
/// drop it.
fn keeping() -> FieldTable {
    let mut arguments = quorum();
    put(&mut arguments, "x-delivery-limit", AMQPValue::LongInt(1_000_000_000));
    arguments
}

/// What leaves this queue arrives at the next or stays: the default of the broker may lose it on the way.
fn sending_to(queue: &str) -> FieldTable {
    let mut arguments = quorum();
    put(&mut arguments, "x-dead-letter-exchange", text(""));
    put(&mut arguments, "x-dead-letter-routing-key", text(queue));
    put(&mut arguments, "x-dead-letter-strategy", text("at-least-once"));
    put(&mut arguments, "x-overflow", text("reject-publish"));
    arguments
}

fn written(delay: Duration) -> String {
    let milliseconds = delay.as_millis();
    if milliseconds.is_multiple_of(1000) { format!("{}s", milliseconds / 1000) } else { format!("{milliseconds}ms") }
}
