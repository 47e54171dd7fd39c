//! What is known of runs in a transaction, and of some of them from one transaction to the next.

use std::collections::{BTreeMap, HashSet};

use piton_model::{Projection, Run, RunId, RunState, Seq, Subject};

use crate::turns::Turn;

/// How many runs are remembered from one transaction to the next.
const MOST_KNOWN: usize = 1_024;

/// What a writer remembers of the runs that it has claimed: mostly it is the next to change them, and need not load them.
/// Nobody else changes them without an entry in the ledger, but for their worker, which renews their leases by the same
/// writer; so what is known holds as long as the ledger ends where it did.
#[derive(Default)]
pub(crate) struct Known {
    /// The position of the last entry.
    pub(crate) head: Seq,
    pub(crate) runs: BTreeMap<RunId, Option<Box<Held>>>,
    pub(crate) projections: BTreeMap<Subject, Seen>,
}

impl Known {
    pub(crate) fn of(
        head: Seq,
        mut runs: BTreeMap<RunId, Option<Box<Held>>>,
        mut seen: BTreeMap<Subject, Seen>,
    ) -> Known {
        runs.retain(|_, held| held.as_ref().is_some_and(|held| held.is_ours()));
        while runs.len() > MOST_KNOWN {
            runs.pop_first();
        }
        let subjects: HashSet<&Subject> = runs.values().flatten().map(|held| &held.run.subject).collect();
        seen.retain(|subject, _| subjects.contains(subject));
        Known { head, runs, projections: seen }
    }
}

/// A run in a transaction.
pub(crate) struct Held {
    pub(crate) run: Run,
    pub(crate) place: Place,
    /// When it was first due, and the entry that submitted it: its place in the queue of its lock.
    pub(crate) queue: (i64, Seq),
    /// Its place in the line of deployments; only of runs that were submitted in this transaction.
    pub(crate) turn: Option<Turn>,
    /// The last entry about it, when that was written in this transaction.
    pub(crate) changed: Option<Seq>,
    /// It was claimed by this writer.
    pub(crate) claimed: bool,
}

impl Held {
    /// Whether nobody else changes it without an entry.
    fn is_ours(&self) -> bool {
        self.claimed && self.place == Place::Live && matches!(self.run.state, RunState::Running { .. })
    }
}

/// Where a run is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Nowhere,
    Live,
    History,
}

/// What people see of a subject.
pub(crate) struct Seen {
    pub(crate) projection: Projection,
    pub(crate) changed: Option<Seq>,
}
