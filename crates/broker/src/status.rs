//! What can be seen of an inlet, for health and metrics.

use jiff::Timestamp;
use tokio::sync::watch;

use crate::declare::Foreign;

/// An inlet, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// What went wrong the last time.
    pub last_error: Option<Problem>,
    /// Why the broker takes no messages at present, if it says so. Retries and dead letters wait; taking goes on.
    pub blocked: Option<String>,
    /// Messages in the queues, when they were last counted.
    pub depth: Option<Depth>,
    /// Messages taken and not answered yet.
    pub in_flight: u64,
    /// What has been done since the start.
    pub counts: Counts,
    /// Queues that are used though they are not as they should be.
    pub foreign: Vec<Foreign>,
}

/// What an inlet does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It tries to get a connection.
    #[default]
    Connecting,
    /// It takes messages.
    Consuming {
        /// Since then without a break.
        since: Timestamp,
    },
    /// It takes no more, and finishes what it has.
    Draining,
    /// It has ended.
    Stopped,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// When.
    pub at: Timestamp,
    /// What, in words.
    pub what: String,
}

/// Messages in queues, but for those that a worker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// To be taken. This is `queue_depth`.
    pub ready: u64,
    /// Waiting for their next attempt.
    pub waiting: u64,
    /// Dead.
    pub dead: u64,
}

/// Numbers that only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken from a queue.
    pub taken: u64,
    /// Accepted.
    pub accepted: u64,
    /// To be tried again.
    pub retried: u64,
    /// Put with the dead.
    pub buried: u64,
    /// Left to the workers of another type, or put back with a count on it.
    pub forwarded: u64,
    /// Given back unanswered.
    pub returned: u64,
    /// Connections lost.
    pub lost: u64,
}

/// The writing end.
#[derive(Clone, Debug)]
pub(crate) struct Board(watch::Sender<Status>);

impl Board {
    pub(crate) fn new() -> Board {
        Board(watch::Sender::new(Status::default()))
    }

    pub(crate) fn seen(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }
}
