//! What is done with a message, before and after somebody has looked at it. Pure.

use jiff::Timestamp;

use crate::marks::Marks;
use crate::message::JobType;

/// What became of a message, said by who took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept where a crash does not reach it, or done. The broker may forget it.
    Accept,
    /// Not now: it may succeed at another time.
    Later {
        /// Why.
        reason: String,
    },
    /// It can never succeed.
    Never {
        /// Why.
        reason: String,
    },
}

/// How much is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How many retries there are after the first failure.
    pub retries: u32,
    /// How often a message may come back without an answer. What kills its worker comes back so.
    pub returns: u32,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { retries: 5, returns: 10 }
    }
}

/// What to do with a message. All but [`Action::Ack`] publish something in its place first, and have it confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing more.
    Ack,
    /// Let it wait for its next attempt.
    Retry {
        /// With these marks; their failures say how long.
        marks: Marks,
        /// Why.
        reason: String,
    },
    /// Put it where people look.
    Bury {
        /// With these marks.
        marks: Marks,
        /// Why.
        reason: String,
    },
    /// Leave it to the workers of its type.
    Forward {
        /// That type.
        to: JobType,
        /// With these marks.
        marks: Marks,
    },
    /// Let it come back in a while with one more return written on it, as the broker does not count.
    Recount {
        /// With these marks.
        marks: Marks,
    },
}

/// What is known of a message as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its past.
    pub marks: Marks,
    /// The broker says that it was given out before.
    pub redelivered: bool,
    /// Its type, if it is not one that this worker takes.
    pub foreign: Option<JobType>,
}

/// What is done with a message without asking anybody; None says that somebody must be asked.
pub fn arrive(arrival: Arrival, patience: Patience) -> Option<Action> {
    let marks = arrival.marks;
    if let Some(to) = arrival.foreign {
        // It was not looked at, so that nothing counts; what it has on it stays there.
        return Some(Action::Forward { to, marks });
    }
    // Without a count by the broker, that it came back is all that is known, and is not on it yet.
    let uncounted = arrival.redelivered && !marks.counted;
    let returned = marks.returned.saturating_add(u32::from(uncounted));
    if returned > patience.returns {
        let reason = format!("given back {returned} times without an answer: it may be what ends its workers");
        return Some(Action::Bury { marks: Marks { returned, ..marks }, reason });
    }
    if marks.failures > patience.retries {
        let reason = format!("arrived with {} failures on it, more than {} retries", marks.failures, patience.retries);
        return Some(Action::Bury { marks, reason });
    }
    uncounted.then(|| Action::Recount { marks: marks.came_back() })
}

/// What follows from a verdict.
pub fn answer(verdict: Verdict, marks: Marks, now: Timestamp, patience: Patience) -> Action {
    let failed = marks.failed(now);
    match verdict {
        Verdict::Accept => Action::Ack,
        Verdict::Never { reason } => Action::Bury { marks: failed, reason },
        Verdict::Later { reason } if failed.failures > patience.retries => {
            Action::Bury { marks: failed, reason: format!("{reason} (attempt {}, the last)", failed.failures) }
        }
        Verdict::Later { reason } => Action::Retry { marks: failed, reason },
    }
}
