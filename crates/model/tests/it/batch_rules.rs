//! The rules of jobs one by one.

use std::collections::BTreeSet;
use std::time::Duration;

use piton_model::batch::{Batch, FailureStreak, Indexes, Next, RetryDelay, Task, TaskExit, TaskId, TaskState, Tasks};
use piton_model::batch::{
    CodeOperator, CompletionMode, FailureAction, FailureRule, SuccessRule, TaskCondition, TaskRestart,
};
use piton_model::{BatchEnd, BatchProgress, BatchReason, FailureClass};
use proptest::prelude::*;

use crate::batch::{assert_ends, batch, ended, go, id, indexed, next, running, tasks};
use crate::samples::at;

fn rule(action: FailureAction, values: &[i32]) -> FailureRule {
    FailureRule { action, operator: CodeOperator::In, values: values.to_vec(), conditions: vec![] }
}

#[test]
fn all_that_may_run_is_started_at_once() {
    let wide = Batch { parallelism: 3, completions: Some(5), ..batch() };
    assert_eq!(next(&wide, &[], 0), go(&[id(0, 1), id(1, 1), id(2, 1)], &[], None));
    // No more than what is still missing.
    let narrow = Batch { parallelism: 8, completions: Some(2), ..batch() };
    assert_eq!(next(&narrow, &[], 0), go(&[id(0, 1), id(1, 1)], &[], None));
    assert_eq!(next(&wide, &[ended(0, 1, 0, 1), running(1, 1), running(2, 1)], 1), go(&[id(3, 1)], &[], None));
    assert_eq!(next(&Batch { parallelism: 0, ..wide }, &[], 0), go(&[], &[], None));
}

#[test]
fn a_queue_of_work_ends_with_the_first_success() {
    let queue = Batch { parallelism: 3, completions: None, ..batch() };
    assert_eq!(next(&queue, &[], 0), go(&[id(0, 1), id(1, 1), id(2, 1)], &[], None));
    let one_done = [ended(0, 1, 0, 1), running(1, 1), running(2, 1)];
    assert_eq!(next(&queue, &one_done, 1), go(&[], &[], None));
    // A failure after that is not made up for.
    let rest = [ended(0, 1, 0, 1), ended(1, 1, 1, 2), ended(2, 1, 0, 2)];
    assert_ends(next(&queue, &rest, 2), BatchReason::CompletionsReached, &[]);
}

#[test]
fn a_failed_index_is_tried_again_under_the_same_number() {
    let job = indexed(2, 3);
    let failed = [ended(0, 1, 1, 5), running(1, 1)];
    assert_eq!(next(&job, &failed, 5), go(&[], &[], Some(15)));
    assert_eq!(next(&job, &failed, 15), go(&[id(0, 2)], &[], None));
    let further = [ended(0, 1, 1, 5), ended(0, 2, 1, 16), running(1, 1)];
    assert_eq!(next(&job, &further, 16), go(&[], &[], Some(36)));
    // A success makes the delay begin anew.
    let success = [ended(0, 1, 1, 5), ended(0, 2, 1, 16), ended(1, 1, 0, 17)];
    assert_eq!(next(&job, &success, 17), go(&[id(0, 3), id(2, 1)], &[], None));
    let all = [ended(0, 1, 1, 5), ended(0, 2, 0, 16), ended(1, 1, 0, 17), ended(2, 1, 0, 18)];
    assert_ends(next(&job, &all, 18), BatchReason::CompletionsReached, &[]);
    assert_eq!(job.progress(&tasks(&all)).completed_indexes.as_deref(), Some("0-2"));
}

#[test]
fn more_failures_than_the_limit_end_the_job_after_what_still_runs() {
    let job = Batch { parallelism: 2, completions: Some(4), backoff_limit: 1, ..batch() };
    let failed = [ended(0, 1, 1, 1), ended(1, 1, 3, 2), running(2, 1)];
    assert_ends(next(&job, &failed, 2), BatchReason::BackoffLimitExceeded, &[id(2, 1)]);
    let Next::Finish { end, .. } = next(&job, &failed, 2) else { panic!("it goes on") };
    let failure = end.failure().unwrap();
    assert_eq!((failure.code.as_str(), failure.exit_code), ("backoff_limit_exceeded", Some(3)));
    // What is stopped then counts no more than before.
    let stopped = TaskState::Ended { exit: TaskExit::Code(143), at: at(3), stopped: true };
    let rest = [ended(0, 1, 1, 1), ended(1, 1, 3, 2), Task { id: id(2, 1), state: stopped }];
    assert_ends(next(&job, &rest, 3), BatchReason::BackoffLimitExceeded, &[]);
    assert_eq!(job.progress(&tasks(&rest)).counts.failed, 2);
}

#[test]
fn each_index_has_its_own_limit_and_its_own_delay() {
    let job = Batch { backoff_limit_per_index: Some(1), ..indexed(2, 3) };
    let failed = [ended(0, 1, 1, 5), running(1, 1)];
    // Index 2 does not wait for what index 0 did.
    assert_eq!(next(&job, &failed, 5), go(&[id(2, 1)], &[], Some(15)));
    assert_eq!(next(&job, &[ended(0, 1, 1, 5), running(1, 1), ended(2, 1, 0, 6)], 6), go(&[], &[], Some(15)));
    let given_up = [ended(0, 1, 1, 5), ended(0, 2, 1, 16), ended(1, 1, 0, 6), running(2, 1)];
    assert_eq!(next(&job, &given_up, 16), go(&[], &[], None));
    let all = [ended(0, 1, 1, 5), ended(0, 2, 1, 16), ended(1, 1, 0, 6), ended(2, 1, 0, 17)];
    assert_ends(next(&job, &all, 17), BatchReason::FailedIndexes, &[]);
    let strict = Batch { max_failed_indexes: Some(0), ..job };
    assert_ends(next(&strict, &given_up, 16), BatchReason::MaxFailedIndexesExceeded, &[id(2, 1)]);
    assert_eq!(strict.progress(&tasks(&given_up)).failed_indexes.as_deref(), Some("0"));
}

#[test]
fn the_first_rule_that_fits_says_what_a_failure_means() {
    let policy = vec![
        rule(FailureAction::Ignore, &[9]),
        rule(FailureAction::FailJob, &[9, 42]),
        rule(FailureAction::FailIndex, &[7]),
        FailureRule { conditions: vec![TaskCondition::holds("DisruptionTarget")], ..rule(FailureAction::Ignore, &[]) },
    ];
    let job = Batch { backoff_limit: 0, failure_policy: policy, ..batch() };
    assert_eq!(next(&job, &[ended(0, 1, 9, 1)], 1), go(&[], &[], Some(11)));
    assert_ends(next(&job, &[ended(0, 1, 42, 1)], 1), BatchReason::PodFailurePolicy, &[]);
    assert_ends(next(&job, &[ended(0, 1, 3, 1)], 1), BatchReason::BackoffLimitExceeded, &[]);
    let unseen = TaskState::Ended { exit: TaskExit::Unseen, at: at(1), stopped: false };
    assert_eq!(next(&job, &[Task { id: id(0, 1), state: unseen }], 1), go(&[], &[], Some(11)));
    // Without such a rule an end that nobody saw is a failure.
    let plain = Batch { failure_policy: vec![], ..job.clone() };
    assert_ends(next(&plain, &[Task { id: id(0, 1), state: unseen }], 1), BatchReason::BackoffLimitExceeded, &[]);
    let per_index = Batch {
        completion_mode: CompletionMode::Indexed,
        completions: Some(2),
        backoff_limit_per_index: Some(5),
        ..job
    };
    assert_eq!(next(&per_index, &[ended(0, 1, 7, 1)], 1), go(&[id(1, 1)], &[], None));
}

#[test]
fn a_met_success_policy_stops_the_rest() {
    let rules = vec![SuccessRule { succeeded_indexes: Some("1-2".to_owned()), succeeded_count: Some(1) }];
    let job = Batch { success_policy: rules, ..indexed(3, 3) };
    assert_eq!(next(&job, &[ended(0, 1, 0, 1), running(1, 1), running(2, 1)], 1), go(&[], &[], None));
    let met = [running(0, 1), ended(1, 1, 0, 1), running(2, 1)];
    assert_ends(next(&job, &met, 1), BatchReason::SuccessPolicy, &[id(0, 1), id(2, 1)]);
}

#[test]
fn a_task_that_is_restarted_in_place_counts_its_restarts() {
    let job = Batch {
        restart_policy: TaskRestart::OnFailure,
        backoff_limit: 3,
        parallelism: 2,
        completions: Some(2),
        ..batch()
    };
    let failed = [ended(0, 1, 1, 1), running(1, 1)];
    // It keeps its room while it waits.
    assert_eq!(next(&job, &failed, 1), go(&[], &[], Some(11)));
    assert_eq!(next(&job, &failed, 11), go(&[id(0, 2)], &[], None));
    let twice = [ended(0, 1, 1, 1), ended(0, 2, 1, 12), running(1, 1)];
    assert_eq!(next(&job, &twice, 12), go(&[], &[], Some(32)));
    let limit = [ended(0, 1, 1, 1), ended(0, 2, 1, 12), running(0, 3), ended(1, 1, 1, 13)];
    assert_ends(next(&job, &limit, 13), BatchReason::BackoffLimitExceeded, &[id(0, 3)]);
    // Success ends a task, and its restarts are forgotten.
    let good = [ended(0, 1, 1, 1), ended(0, 2, 1, 12), ended(0, 3, 0, 33), ended(1, 1, 1, 34)];
    assert_eq!(next(&job, &good, 34), go(&[], &[], Some(44)));
    let never = Batch { backoff_limit: 0, ..job };
    assert_ends(next(&never, &[ended(0, 1, 1, 1), running(1, 1)], 1), BatchReason::BackoffLimitExceeded, &[id(1, 1)]);
}

#[test]
fn the_deadline_ends_the_job_and_stands_still_while_it_is_suspended() {
    let job = Batch { active_deadline: Some(Duration::from_secs(60)), ..batch() };
    assert_eq!(next(&job, &[running(0, 1)], 59), go(&[], &[], Some(60)));
    assert_ends(next(&job, &[running(0, 1)], 60), BatchReason::DeadlineExceeded, &[id(0, 1)]);
    let Next::Finish { end, .. } = next(&job, &[], 60) else { panic!("it goes on") };
    assert_eq!(end.failure().unwrap().class, FailureClass::TimedOut);
    let suspended = Tasks { suspended: true, ..tasks(&[running(0, 1)]) };
    assert_eq!(job.next(&suspended, at(1000), RetryDelay::KUBERNETES), go(&[], &[id(0, 1)], None));
    // Resumed: what was stopped says nothing, and the time counts from then.
    let stopped = TaskState::Ended { exit: TaskExit::Code(143), at: at(1001), stopped: true };
    let resumed = Tasks { all: vec![Task { id: id(0, 1), state: stopped }], since: at(2000), suspended: false };
    assert_eq!(job.next(&resumed, at(2000), RetryDelay::KUBERNETES), go(&[id(1, 1)], &[], Some(2060)));
    let in_place = Batch { restart_policy: TaskRestart::OnFailure, active_deadline: None, ..job };
    assert_eq!(in_place.next(&resumed, at(2000), RetryDelay::KUBERNETES), go(&[id(0, 2)], &[], None));
}

#[test]
fn what_runs_twice_or_is_too_much_is_stopped() {
    let job = indexed(2, 4);
    let twice = [running(1, 1), running(1, 2), running(5, 1)];
    assert_eq!(next(&job, &twice, 0), go(&[], &[id(1, 2), id(5, 1)], None));
    assert_eq!(next(&job, &[running(0, 1), running(1, 1), running(2, 1)], 0), go(&[], &[id(2, 1)], None));
}

#[test]
fn a_task_has_one_name() {
    for name in ["0-1", "12-3"] {
        assert_eq!(name.parse::<TaskId>().unwrap().to_string(), name);
    }
    for text in ["", "1", "1-", "-1", "01-1", "+1-1", "1-1-1", "a-1", "pre_start"] {
        assert!(text.parse::<TaskId>().is_err(), "{text}");
    }
}

/// Nothing of it runs, will run or is to be told before somebody lets it go on.
#[test]
fn a_job_is_at_rest_when_it_is_held_back_and_nothing_of_it_runs() {
    let progress = |suspended: bool, all: &[Task]| batch().progress(&Tasks { suspended, ..tasks(all) });
    assert!(progress(true, &[]).is_at_rest());
    assert!(!progress(true, &[running(0, 1)]).is_at_rest());
    assert!(!progress(false, &[]).is_at_rest());
    let end = BatchEnd { reason: BatchReason::DeadlineExceeded, message: String::new(), exit_code: None };
    assert!(!BatchProgress { end: Some(end), ..progress(true, &[]) }.is_at_rest());
}

proptest! {
    #[test]
    fn indexes_are_a_set_of_numbers(
        some in proptest::collection::btree_set(0..40_u32, 0..30),
        others in proptest::collection::btree_set(0..40_u32, 0..30),
        completions in 0..50_u32,
    ) {
        let set: Indexes = some.iter().copied().collect();
        let other: Indexes = others.iter().copied().collect();
        prop_assert_eq!(set.len(), some.len() as u64);
        prop_assert_eq!(set.shared_with(&other), some.intersection(&others).count() as u64);
        let missing: BTreeSet<u32> = (0..completions).filter(|index| !some.contains(index)).collect();
        prop_assert_eq!(set.missing(completions).collect::<Vec<_>>(), missing.into_iter().collect::<Vec<_>>());
        for index in 0..50 {
            prop_assert_eq!(set.contains(index), some.contains(&index));
        }
        let intervals = set.intervals();
        prop_assert!(intervals.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        let read = Indexes::parse(&set.to_string(), completions);
        let below: Indexes = some.iter().copied().filter(|index| *index < completions).collect();
        prop_assert_eq!(read, below);
        let mut both = set.clone();
        for (first, last) in other.intervals() {
            both.insert_all(*first, *last);
        }
        prop_assert_eq!(both, some.union(&others).copied().collect::<Indexes>());
    }

    #[test]
    fn delays_double_and_are_capped(failures in 0..100_u32, since in 0..2000_u64) {
        let left = RetryDelay::KUBERNETES.remaining(failures, Duration::from_secs(since)).as_secs();
        let full = if failures == 0 { 0 } else { 10_u64.checked_shl(failures - 1).filter(|_| failures < 10).unwrap_or(600).min(600) };
        prop_assert_eq!(left, full.saturating_sub(since));
    }

    #[test]
    fn a_streak_does_not_depend_on_the_order(
        failed in proptest::collection::vec(-20..20_i64, 0..10),
        succeeded in proptest::collection::vec(-20..20_i64, 0..3),
    ) {
        let before = FailureStreak { failures: 2, last: Some(at(-30)) };
        let times = |seconds: &[i64]| seconds.iter().map(|second| at(*second)).collect::<Vec<_>>();
        let after = before.after(times(&succeeded), times(&failed));
        let reversed = |seconds: &[i64]| times(seconds).into_iter().rev().collect::<Vec<_>>();
        prop_assert_eq!(after, before.after(reversed(&succeeded), reversed(&failed)));
        let late = failed.iter().filter(|second| succeeded.iter().all(|success| success < second)).count();
        let kept = if succeeded.is_empty() { 2 } else { 0 };
        prop_assert_eq!(after.failures as usize, late + kept);
    }
}
