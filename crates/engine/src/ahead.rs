//! Taking what is due a moment before it is, so that what a transaction takes does not make it late. Pure.
//!
//! A run is claimed up to so long ahead of its due time, and waits for the rest in memory; a job that a schedule starts is
//! submitted as long ahead. Both stand in the ledger by then: whoever cancels the run finds it, and a daemon that dies
//! takes it back. What was declared or suspended since is looked at once more when the time has come.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use piton_model::{Origin, Run, Subject};

use crate::catalog::Loaded;
use crate::clock::{after, before};
use crate::suspend::is_suspended;
use crate::triggers::line::{Line, fires_at};
use crate::triggers::time::lines_of;

/// How long before it is due something is taken. Longer than a commit takes while a database makes room for its log or
/// writes a checkpoint, and too short for anybody to wait for what it keeps from them.
pub(crate) const AHEAD: Duration = Duration::from_millis(100);

/// When to look next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Now,
    /// Something could be taken and was not: it is another loop's or another node's turn.
    NotMine,
    At(Option<Timestamp>),
}

/// When to look next where something can be claimed from `next` on. `in_vain` is how far a look that took nothing reached.
pub(crate) fn next_look(next: Option<Timestamp>, in_vain: Option<Timestamp>, now: Timestamp, ahead: Duration) -> Look {
    let Some(next) = next else { return Look::At(None) };
    if in_vain.is_some_and(|horizon| next <= horizon) {
        return Look::NotMine;
    }
    let look = before(next, ahead);
    if look <= now { Look::Now } else { Look::At(Some(look)) }
}

/// How long a run that `begins` then waits for it. What lies further ahead than anything is taken was taken before the
/// wall clock was set back, and waits no longer than it would have.
pub(crate) fn rest(begins: Timestamp, now: Timestamp, most: Duration) -> Duration {
    Duration::try_from(now.duration_until(begins)).unwrap_or_default().min(most)
}

/// What becomes of a run that was submitted ahead of its time, when that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It begins.
    Go,
    /// It is due as before, and does something else now.
    Replace,
    /// It is not wanted any more, for this reason.
    Withdraw(&'static str),
}

/// Decides about a run by what is declared and suspended when it is due.
pub(crate) fn verdict(run: &Run, loaded: &Loaded, suspended: &BTreeSet<Subject>) -> Verdict {
    let Origin::Cron { fire, line } = &run.origin else { return Verdict::Go };
    let Some(job) = loaded.catalog.jobs.get(&run.subject) else {
        return Verdict::Withdraw("its declaration was removed just before it was due");
    };
    if is_suspended(job, suspended) {
        return Verdict::Withdraw("it was suspended just before it was due");
    }
    let fires = lines_of(loaded, &run.subject).is_some_and(|(lines, zone)| {
        let same: Vec<Line<'_>> = lines.into_iter().filter(|other| other.text == line).collect();
        fires_at(&same, zone, *fire)
    });
    if !fires {
        return Verdict::Withdraw("its schedule was changed just before it was due");
    }
    if job.action(&loaded.catalog) == *run.action { Verdict::Go } else { Verdict::Replace }
}

/// Whether a run was submitted before the schedule that made it was due.
pub(crate) fn is_early(run: &Run) -> bool {
    matches!(&run.origin, Origin::Cron { fire, .. } if run.submitted_at < *fire) && run.attempts == 1
}

/// The end of the moment within which what is due next is taken already.
pub(crate) fn horizon(now: Timestamp, ahead: Duration) -> Timestamp {
    after(now, ahead)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    proptest! {
        /// A look comes before the due time by no more than the moment, and never so late that it is missed.
        #[test]
        fn a_look_is_never_late_and_never_too_early(next in 0_i64..200_000, now in 0_i64..200_000, ahead in 0_u64..50_000) {
            let (next, now, ahead) = (at(next), at(now), Duration::from_micros(ahead));
            match next_look(Some(next), None, now, ahead) {
                Look::Now => prop_assert!(next <= horizon(now, ahead)),
                Look::At(Some(look)) => {
                    prop_assert!(now < look && look <= next);
                    prop_assert_eq!(next, horizon(look, ahead));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }

        /// After a look in vain the same look is not made again at once; what it did not reach is not put off.
        #[test]
        fn what_a_look_did_not_reach_is_not_put_off(next in 0_i64..200_000, looked in 0_i64..200_000, took in 0_i64..5_000) {
            let ahead = Duration::from_millis(25);
            let (next, reached, now) = (at(next), horizon(at(looked), ahead), at(looked + took));
            let look = next_look(Some(next), Some(reached), now, ahead);
            prop_assert_eq!(look == Look::NotMine, next <= reached);
        }

        /// Nothing begins before it is due, however far ahead it was taken; and no clock that is set back lets it wait
        /// for longer than that.
        #[test]
        fn a_run_waits_until_it_is_due_and_no_longer_than_the_moment(begins in 0_i64..200_000, now in 0_i64..200_000) {
            let most = Duration::from_millis(25);
            let (begins, now) = (at(begins), at(now));
            let rest = rest(begins, now, most);
            prop_assert!(rest <= most);
            prop_assert!(horizon(now, rest) >= begins || rest == most);
            prop_assert!(rest.is_zero() || now < begins);
        }
    }
}
