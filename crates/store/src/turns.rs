//! The line in which deployments wait: callers take turns, so that one who asks for a hundred does not keep another's one
//! waiting for all of them.
//!
//! This is start-time fair queueing, counted in deployments: each gets the turn after its caller's last one that has not
//! ended, and at least the turn that the line has come to. Runs are claimed by turn, and by age within a turn.

use piton_model::{By, Run, RunId, Subject};

use crate::db::params;
use crate::{Error, Store};

pub(crate) const LAST_OF_CALLER: &str = "SELECT MAX(turn) FROM runs WHERE turn IS NOT NULL AND caller = $1";
pub(crate) const FIRST_WAITING: &str = "SELECT MIN(turn) FROM runs WHERE phase = 'pending' AND turn IS NOT NULL";
// Beside the first that waits: that may be one that was approved and comes back with an old turn.
pub(crate) const LAST_BEGUN: &str =
    "SELECT MAX(turn) FROM runs WHERE phase IN ('running', 'gated') AND turn IS NOT NULL";
pub(crate) const WAITING: &str = "SELECT COUNT(*), SUM(CASE WHEN caller = $1 THEN 1 ELSE 0 END) FROM runs \
     WHERE phase = 'pending' AND turn IS NOT NULL";
pub(crate) const AHEAD: &str = "SELECT (SELECT COUNT(*) FROM runs r WHERE r.phase = 'pending' AND r.turn IS NOT NULL \
     AND (r.turn, r.due_at, r.seq) < (o.turn, o.due_at, o.seq)) \
     FROM runs o WHERE o.id = $1 AND o.phase = 'pending' AND o.turn IS NOT NULL";
// Whoever has the first turn need not be due first.
pub(crate) const NEXT_TURN: &str = "SELECT MIN(due_at) FROM runs WHERE phase = 'pending' AND turn IS NOT NULL";
pub(crate) const CLAIMABLE_TURNS: &str = "SELECT r.body, r.due_at, r.queue_at, r.seq, \
     (SELECT p.body FROM projections p WHERE p.subject = r.subject) FROM runs r \
     WHERE r.phase = 'pending' AND r.turn IS NOT NULL AND r.due_at <= $1 \
     ORDER BY r.turn, r.due_at, r.seq LIMIT $2";

impl Store {
    /// How many deployments wait for their turn, and how many of them this one asked for.
    pub async fn waiting_deployments(&self, by: &By) -> Result<(u64, u64), Error> {
        let Some(row) = self.readers().row(WAITING, params![name(by)]).await? else { return Ok((0, 0)) };
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        Ok((number(row.maybe_int(0)?), number(row.maybe_int(1)?)))
    }

    /// How many deployments will be begun before this one; none where it does not wait.
    pub async fn deployments_before(&self, run: RunId) -> Result<Option<u64>, Error> {
        let Some(row) = self.readers().row(AHEAD, params![run.to_string()]).await? else { return Ok(None) };
        Ok(u64::try_from(row.int(0)?).ok())
    }
}

/// The place of a run in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) caller: String,
    pub(crate) number: i64,
}

/// Whose turn it is for runs that stand in the line.
pub(crate) fn caller(run: &Run) -> Option<String> {
    match run.subject {
        Subject::Deployment(_) => Some(name(&run.origin.by())),
        Subject::Workspace(_) | Subject::Job { .. } | Subject::Provision(_) | Subject::Scaffold(_) => None,
    }
}

fn name(by: &By) -> String {
    match by {
        By::User(name) => format!("user/{name}"),
        By::Client(name) => format!("client/{name}"),
        By::System => "piton".to_owned(),
    }
}

/// The turn of one more deployment: `last` is its caller's last that has not ended, `waiting` the first of all that
/// wait, `begun` the last of all that were begun and have not ended. Pure.
pub(crate) fn next(last: Option<i64>, waiting: Option<i64>, begun: Option<i64>) -> i64 {
    let after_last = last.map(|last| last.saturating_add(1));
    after_last.max(waiting).max(begun).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Turn, age and caller of what waits, in the order in which it is claimed, and of what was begun.
    #[derive(Default)]
    struct Line(BTreeSet<(i64, usize, u8)>, BTreeSet<(i64, usize, u8)>);

    impl Line {
        fn submit(&mut self, age: usize, caller: u8) {
            let live = self.0.iter().chain(&self.1);
            let last = live.filter(|(_, _, other)| *other == caller).map(|(turn, ..)| *turn).max();
            let (waiting, begun) = (self.0.first(), self.1.last());
            let turn = next(last, waiting.map(|(turn, ..)| *turn), begun.map(|(turn, ..)| *turn));
            self.0.insert((turn, age, caller));
        }

        fn begin(&mut self) -> Option<(usize, u8)> {
            let first = self.0.pop_first()?;
            self.1.insert(first);
            Some((first.1, first.2))
        }
    }

    proptest! {
        /// As long as a caller has something waiting, nobody else begins more than two more than they do: one that stood
        /// before, and one of the same turn.
        #[test]
        fn who_waits_falls_behind_by_two_at_most(steps in prop::collection::vec(0u8..8, 1..200)) {
            let mut line = Line::default();
            // How many of each caller began since this one began to wait.
            let mut begun = [[0_u32; 4]; 4];
            for (age, step) in steps.into_iter().enumerate() {
                if step < 4 {
                    if !line.0.iter().any(|(_, _, caller)| *caller == step) {
                        begun[usize::from(step)] = [0; 4];
                    }
                    line.submit(age, step);
                } else if let Some((_, caller)) = line.begin() {
                    for (waiting, begun) in begun.iter_mut().enumerate() {
                        begun[usize::from(caller)] += 1;
                        let waits = line.0.iter().any(|(_, _, other)| usize::from(*other) == waiting);
                        prop_assert!(!waits || begun.iter().all(|other| *other <= begun[waiting] + 2), "{begun:?}");
                    }
                }
            }
        }

        /// Each caller's own begin in the order in which they were asked for.
        #[test]
        fn a_callers_own_stay_in_order(steps in prop::collection::vec(0u8..8, 1..200)) {
            let mut line = Line::default();
            let mut last: [Option<usize>; 4] = Default::default();
            for (age, step) in steps.into_iter().enumerate() {
                if step < 4 {
                    line.submit(age, step);
                } else if let Some((age, caller)) = line.begin() {
                    prop_assert!(last[usize::from(caller)].is_none_or(|last| last < age));
                    last[usize::from(caller)] = Some(age);
                }
            }
        }
    }
}
