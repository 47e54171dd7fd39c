//! Who takes messages.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use lapin::BasicProperties;

use crate::decide::Verdict;
use crate::marks::words;

/// A message to be taken.
#[derive(Clone)]
pub struct Delivery {
    pub(crate) body: Arc<[u8]>,
    pub(crate) queue: Arc<str>,
    pub(crate) properties: BasicProperties,
    pub(crate) redelivered: bool,
    pub(crate) attempt: u32,
}

impl Delivery {
    /// Its text.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The queue it came from.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The name that its sender gave it, if any.
    pub fn message_id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(|id| id.as_str())
    }

    /// A header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        words(self.properties.headers().as_ref()?.inner().get(name))
    }

    /// When it was sent, where its sender says so: the same on every copy.
    pub fn sent_at(&self) -> Option<Timestamp> {
        let seconds = (*self.properties.timestamp()).and_then(|seconds| i64::try_from(seconds).ok())?;
        Timestamp::from_second(seconds).ok()
    }

    /// Was it given out before? Whoever had it may have finished.
    pub fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// The text may hold secrets.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("bytes", &self.body.len())
            .field("queue", &self.queue)
            .field("redelivered", &self.redelivered)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Takes messages, many at once.
pub trait Handler: Send + Sync + 'static {
    /// Takes one message: keeps it where a crash does not reach it, or does it, and says what became of it.
    ///
    /// The same message may come more than once, also at the same time in another process; to one process it comes once
    /// at a time. When the inlet ends before this does, this is dropped where it waits.
    fn take(&self, delivery: Delivery) -> impl Future<Output = Verdict> + Send;

    /// A message is about to be put with the dead letters, whoever decided that: the last to be heard of it. After a
    /// crash it may be said once more.
    fn bury(&self, body: &[u8], reason: &str) -> impl Future<Output = ()> + Send {
        let _ = (body, reason);
        std::future::ready(())
    }
}
