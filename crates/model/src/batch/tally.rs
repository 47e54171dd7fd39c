//! What the tasks of a job add up to.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Batch, BatchCounts, FailureAction, FailureStreak, Indexes, TaskExit, TaskId, TaskRestart, TaskState, Tasks,
    failure_action,
};

/// What the tasks of a job add up to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    restart: TaskRestart,
    pub(super) places: BTreeMap<u32, Place>,
    /// In the order of their places.
    pub(super) running: Vec<TaskId>,
    /// How many have succeeded; of several successes of one index one counts.
    pub(super) succeeded: u32,
    /// How many failures count.
    pub(super) failed: u32,
    /// Places that have succeeded.
    pub(super) done: Indexes,
    /// Places that are given up.
    pub(super) lost: Indexes,
    pub(super) streak: FailureStreak,
    /// The first task whose failure ends the job, how it failed, and the rule that says so.
    pub(super) fatal: Option<(TaskId, TaskExit, usize)>,
    /// The exit code of the failure that came last.
    pub(super) last_code: Option<i32>,
}

/// What happened in one place.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) attempts: u32,
    /// Failures, counted or not.
    pub(super) streak: FailureStreak,
    /// The last try was told to stop, and has.
    pub(super) stopped_last: bool,
    counted: u32,
    running: bool,
    succeeded: bool,
    lost: bool,
}

impl Tally {
    pub(super) fn of(batch: &Batch, tasks: &Tasks) -> Tally {
        let mut tally = Tally { restart: batch.restart_policy, ..Tally::default() };
        let (mut successes, mut failures) = (vec![], vec![]);
        let mut last: Option<Timestamp> = None;
        let mut fatal: Option<(Timestamp, TaskId, TaskExit, usize)> = None;
        for task in &tasks.all {
            let place = tally.places.entry(task.id.place).or_default();
            if task.id.attempt > place.attempts {
                place.attempts = task.id.attempt;
                place.stopped_last = matches!(task.state, TaskState::Ended { stopped: true, .. });
            }
            let (exit, at, stopped) = match task.state {
                TaskState::Running => {
                    place.running = true;
                    tally.running.push(task.id);
                    continue;
                }
                TaskState::Ended { exit, at, stopped } => (exit, at, stopped),
            };
            if exit.success() {
                place.succeeded = true;
                successes.push(at);
                continue;
            }
            if stopped {
                continue;
            }
            failures.push(at);
            place.streak = place.streak.after([], [at]);
            if last.is_none_or(|last| last <= at) {
                (last, tally.last_code) = (Some(at), exit.code());
            }
            let codes: Vec<i32> = exit.code().into_iter().collect();
            let rule = failure_action(&batch.failure_policy, &codes, &exit.conditions());
            match rule {
                Some((_, FailureAction::Ignore)) => continue,
                Some((rule, FailureAction::FailJob)) => {
                    let this = (at, task.id, exit, rule);
                    if fatal.as_ref().is_none_or(|(then, id, ..)| (at, task.id) < (*then, *id)) {
                        fatal = Some(this);
                    }
                }
                Some((_, FailureAction::FailIndex)) => place.lost |= batch.per_index().is_some(),
                Some((_, FailureAction::Count)) | None => {}
            }
            place.counted += 1;
            tally.failed += 1;
        }
        tally.fatal = fatal.map(|(_, id, exit, rule)| (id, exit, rule));
        tally.streak = FailureStreak::default().after(successes, failures);
        tally.running.sort_unstable();
        let goal = batch.goal().unwrap_or(u32::MAX);
        for (number, place) in &mut tally.places {
            if place.succeeded {
                if *number < goal || batch.completion_mode == super::CompletionMode::NonIndexed {
                    tally.done.insert(*number);
                    tally.succeeded += 1;
                }
            } else if *number < goal && batch.per_index().is_some_and(|limit| place.lost || place.counted > limit) {
                place.lost = true;
                tally.lost.insert(*number);
            }
        }
        tally
    }

    pub(super) fn counts(&self) -> BatchCounts {
        BatchCounts {
            active: u32::try_from(self.running.len()).unwrap_or(u32::MAX),
            succeeded: self.succeeded,
            failed: self.failed,
        }
    }

    /// Tasks that failed or were stopped and are started again in their places; none where a new one takes the place.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (u32, &Place)> {
        let restarts = self.restart == TaskRestart::OnFailure;
        let places = self.places.iter().filter(move |_| restarts);
        places
            .filter(|(_, place)| !place.running && !place.succeeded && !place.lost)
            .map(|(number, place)| (*number, place))
    }

    /// How often tasks that have not succeeded were started again, or would be.
    pub(super) fn restarts(&self) -> u32 {
        self.places.values().filter(|place| !place.succeeded).map(|place| place.counted).sum()
    }

    /// Places in which nothing is to be started: something runs, has succeeded, waits for its restart or is given up.
    pub(super) fn taken(&self) -> Indexes {
        let settled = self.done.intervals().iter().chain(self.lost.intervals());
        let mut taken: Indexes = self.running.iter().map(|id| id.place).collect();
        for (first, last) in settled {
            taken.insert_all(*first, *last);
        }
        for (number, _) in self.waiting() {
            taken.insert(number);
        }
        taken
    }
}
