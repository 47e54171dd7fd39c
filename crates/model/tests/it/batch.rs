//! Jobs of several tasks: random worlds in virtual time, and the rules one by one.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use piton_model::batch::{
    Batch, CodeOperator, CompletionMode, FailureAction, FailureRule, Next, RetryDelay, SuccessRule, Task, TaskExit,
    TaskId, TaskRestart, TaskState, Tasks,
};
use piton_model::{BatchReason, Program};
use proptest::prelude::*;

use crate::samples::at;

const DELAY: RetryDelay = RetryDelay::KUBERNETES;

pub fn batch() -> Batch {
    Batch::new(Program::Shell { line: "true".to_owned() })
}

pub fn indexed(parallelism: u32, completions: u32) -> Batch {
    Batch { parallelism, completions: Some(completions), completion_mode: CompletionMode::Indexed, ..batch() }
}

pub fn id(place: u32, attempt: u32) -> TaskId {
    TaskId { place, attempt }
}

pub fn running(place: u32, attempt: u32) -> Task {
    Task { id: id(place, attempt), state: TaskState::Running }
}

pub fn ended(place: u32, attempt: u32, code: i32, second: i64) -> Task {
    let state = TaskState::Ended { exit: TaskExit::Code(code), at: at(second), stopped: false };
    Task { id: id(place, attempt), state }
}

pub fn tasks(all: &[Task]) -> Tasks {
    Tasks { all: all.to_vec(), ..Tasks::none(at(0)) }
}

pub fn next(batch: &Batch, all: &[Task], second: i64) -> Next {
    batch.next(&tasks(all), at(second), DELAY)
}

pub fn go(start: &[TaskId], stop: &[TaskId], again: Option<i64>) -> Next {
    Next::Go { start: start.to_vec(), stop: stop.to_vec(), again: again.map(at) }
}

#[track_caller]
pub fn assert_ends(next: Next, reason: BatchReason, stop: &[TaskId]) {
    let Next::Finish { end, stop: found } = next else { panic!("it goes on: {next:?}") };
    assert_eq!((end.reason, found.as_slice()), (reason, stop), "{}", end.message);
}

/// A world of tasks that end as a list of numbers says.
struct World {
    tasks: Tasks,
    now: Timestamp,
    /// Running tasks: how they will end, and when.
    fates: Vec<(TaskId, TaskExit, Timestamp)>,
    dice: Vec<u8>,
    told_to_stop: BTreeSet<TaskId>,
}

impl World {
    fn roll(&mut self) -> u8 {
        // Once the list is used up, everything succeeds.
        self.dice.pop().unwrap_or(0)
    }

    fn start(&mut self, id: TaskId) {
        let roll = self.roll();
        let exit = match roll % 8 {
            0..=4 => TaskExit::Code(0),
            5 => TaskExit::Unseen,
            code => TaskExit::Code(i32::from(code)),
        };
        let lasts = Duration::from_secs(u64::from(roll / 8) + 1);
        self.fates.push((id, exit, self.now.checked_add(lasts).unwrap()));
        self.tasks.all.push(Task { id, state: TaskState::Running });
    }

    fn stop(&mut self, id: TaskId) {
        if self.told_to_stop.insert(id) {
            let soon = self.now.checked_add(Duration::from_millis(100)).unwrap();
            for fate in self.fates.iter_mut().filter(|fate| fate.0 == id) {
                (fate.1, fate.2) = (TaskExit::Code(143), fate.2.min(soon));
            }
        }
    }

    fn running(&self) -> Vec<TaskId> {
        self.fates.iter().map(|fate| fate.0).collect()
    }

    /// Lets the next thing happen, be it the end of a task or the time at which to look again.
    fn pass(&mut self, again: Option<Timestamp>) {
        let first = self.fates.iter().map(|fate| fate.2).min();
        self.now = [first, again].into_iter().flatten().min().expect("somebody waits for nothing").max(self.now);
        let now = self.now;
        let (over, on): (Vec<_>, Vec<_>) = self.fates.iter().copied().partition(|fate| fate.2 <= now);
        self.fates = on;
        for (id, exit, at) in over {
            let stopped = self.told_to_stop.contains(&id);
            for task in self.tasks.all.iter_mut().filter(|task| task.id == id) {
                task.state = TaskState::Ended { exit, at, stopped };
            }
        }
    }
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let rule = (0..4_u8, 6..8_i32).prop_map(|(action, code)| FailureRule {
        action: [FailureAction::FailJob, FailureAction::FailIndex, FailureAction::Ignore, FailureAction::Count]
            [usize::from(action)],
        operator: CodeOperator::In,
        values: vec![code],
        conditions: vec![],
    });
    let success = (1..4_u32).prop_map(|count| SuccessRule { succeeded_indexes: None, succeeded_count: Some(count) });
    let rules = (proptest::collection::vec(rule, 0..2), proptest::collection::vec(success, 0..2));
    let limits = (0..4_u32, proptest::option::of(0..3_u32), proptest::option::of(0..3_u32));
    let shape = (1..6_u32, proptest::option::weighted(0.8, 1..8_u32), any::<bool>(), any::<bool>());
    let deadline = proptest::option::weighted(0.2, 1..200_u64);
    (shape, limits, rules, deadline).prop_map(|(shape, limits, rules, deadline)| {
        let (parallelism, completions, is_indexed, on_failure) = shape;
        let (backoff_limit, backoff_limit_per_index, max_failed_indexes) = limits;
        let completion_mode = if is_indexed { CompletionMode::Indexed } else { CompletionMode::NonIndexed };
        Batch {
            parallelism,
            completions: if is_indexed { Some(completions.unwrap_or(3)) } else { completions },
            completion_mode,
            backoff_limit,
            backoff_limit_per_index,
            max_failed_indexes,
            restart_policy: if on_failure { TaskRestart::OnFailure } else { TaskRestart::Never },
            active_deadline: deadline.map(Duration::from_secs),
            failure_policy: rules.0,
            success_policy: if is_indexed { rules.1 } else { vec![] },
            ..batch()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_job_ends_and_keeps_its_rules(
        batch in any_batch(),
        dice in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut world =
            World { tasks: Tasks::none(at(0)), now: at(0), fates: vec![], dice, told_to_stop: BTreeSet::new() };
        let indexed = batch.completion_mode == CompletionMode::Indexed;
        let mut rounds = 0;
        let end = loop {
            rounds += 1;
            prop_assert!(rounds < 500, "it goes on for ever: {:?}", world.tasks);
            let answer = batch.next(&world.tasks, world.now, DELAY);
            prop_assert_eq!(&answer, &batch.next(&world.tasks, world.now, DELAY));
            let (start, stop, again) = match answer {
                Next::Go { start, stop, again } => (start, stop, again),
                Next::Finish { end, stop } if stop.is_empty() => break end,
                Next::Finish { stop, .. } => {
                    prop_assert_eq!(stop.len(), world.running().len());
                    // What was decided stays decided, whatever those do that are stopped; the caller remembers it.
                    (vec![], stop, None)
                }
            };
            for id in start {
                let known = world.tasks.all.iter().any(|task| task.id == id);
                prop_assert!(!known, "{} was started before", id);
                let twice = world.running().iter().any(|other| other.place == id.place);
                prop_assert!(!twice, "two tasks in place {}", id.place);
                if indexed {
                    prop_assert!(id.place < batch.completions.unwrap());
                }
                // No place is begun after a failure and before the delay is over, nor one that has succeeded. Where one
                // delay holds for all, a success of another ends it.
                let shared_delay = batch.restart_policy == TaskRestart::Never
                    && (batch.backoff_limit_per_index.is_none() || !indexed);
                let success_since = |failed: Timestamp| {
                    world.tasks.all.iter().any(|task| {
                        matches!(task.state, TaskState::Ended { exit, at, .. } if exit.success() && at >= failed)
                    })
                };
                let before = |other: &&Task| other.id.place == id.place;
                for other in world.tasks.all.iter().filter(before) {
                    if let TaskState::Ended { exit, at, .. } = other.state {
                        prop_assert!(!exit.success());
                        let waited = world.now.duration_since(at).as_secs() >= 10;
                        prop_assert!(waited || (shared_delay && success_since(at)));
                    }
                }
                world.start(id);
            }
            prop_assert!(world.running().len() <= usize::try_from(batch.parallelism).unwrap());
            for id in stop {
                world.stop(id);
            }
            prop_assert!(again.is_none_or(|again| again > world.now));
            world.pass(again);
            let counts = batch.progress(&world.tasks).counts;
            prop_assert_eq!(usize::try_from(counts.active).unwrap(), world.running().len());
        };
        let counts = batch.progress(&world.tasks).counts;
        let per_index = indexed && batch.backoff_limit_per_index.is_some();
        match end.reason {
            BatchReason::CompletionsReached => {
                prop_assert!(counts.succeeded >= batch.completions.unwrap_or(1));
                prop_assert!(!indexed || Some(counts.succeeded) == batch.completions);
            }
            BatchReason::BackoffLimitExceeded => {
                prop_assert!(!per_index);
                if batch.restart_policy == TaskRestart::Never {
                    prop_assert!(counts.failed > batch.backoff_limit);
                    // Nothing was started after that: at most what ran beside has failed as well.
                    prop_assert!(counts.failed <= batch.backoff_limit + batch.parallelism);
                }
            }
            BatchReason::DeadlineExceeded => prop_assert!(batch.active_deadline.is_some()),
            BatchReason::PodFailurePolicy => {
                prop_assert!(batch.failure_policy.iter().any(|rule| rule.action == FailureAction::FailJob));
            }
            BatchReason::MaxFailedIndexesExceeded | BatchReason::FailedIndexes => prop_assert!(per_index),
            BatchReason::SuccessPolicy => prop_assert!(!batch.success_policy.is_empty()),
        }
    }
}
