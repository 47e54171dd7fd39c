//! What can go wrong, cut by what the caller can do about it.

use std::sync::Arc;

use crate::topology::InvalidQueue;

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The configuration names no broker.
    #[error("the address of the broker cannot be used: {0}")]
    Address(&'static str),
    /// The configuration names no queue.
    #[error(transparent)]
    Queue(#[from] InvalidQueue),
    /// The broker was not reached, or the connection broke. Trying again may help.
    #[error("{doing}: {source}")]
    Broken {
        /// What was tried.
        doing: &'static str,
        /// What the client says.
        source: lapin::Error,
    },
    /// The broker did not answer in time. Trying again may help.
    #[error("{doing}: no answer within {seconds} s")]
    Silent {
        /// What was tried.
        doing: &'static str,
        /// How long.
        seconds: u64,
    },
    /// A queue is not there and cannot be made: somebody must make it, or give the user the right to.
    #[error("the queue `{queue}` cannot be used: {why}")]
    Unusable {
        /// The queue.
        queue: String,
        /// What the broker says.
        why: Arc<str>,
    },
    /// The broker ended the subscription, as it does when the queue is deleted.
    #[error("the broker ended the subscription to `{queue}`")]
    Cancelled {
        /// The queue.
        queue: String,
    },
    /// No queue of this name takes messages.
    #[error("no queue `{queue}` takes the message")]
    Unroutable {
        /// The queue.
        queue: String,
    },
    /// The broker refused to keep a message, as a full queue does.
    #[error("the broker did not keep the message for `{queue}`")]
    NotKept {
        /// The queue.
        queue: String,
    },
    /// The message was not confirmed in time. It may arrive all the same.
    #[error("the message for `{queue}` was not confirmed within {seconds} s{}{}", also("the broker takes none", .blocked.as_deref()), also("last", .trouble.as_deref()))]
    Unconfirmed {
        /// The queue.
        queue: String,
        /// How long was waited.
        seconds: u64,
        /// Why the broker takes no messages now, if it says so.
        blocked: Option<String>,
        /// What went wrong last, where there is no connection.
        trouble: Option<String>,
    },
    /// The outlet was closed.
    #[error("nothing is published any more")]
    Closed,
}

fn also(what: &str, why: Option<&str>) -> String {
    why.map(|why| format!("; {what}: {why}")).unwrap_or_default()
}

impl Error {
    /// Names what was being done when the client failed.
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(lapin::Error) -> Error {
        move |source| Error::Broken { doing, source }
    }
}
