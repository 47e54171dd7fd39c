//! What is done with a message.

use jiff::Timestamp;
use piton_broker::message::JobType;
use piton_broker::{Action, Arrival, Marks, Patience, Verdict, answer, arrive};
use proptest::prelude::*;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn marks() -> impl Strategy<Value = Marks> {
    (0..50_u32, proptest::option::of(0..1_000_000_i64), 0..50_u32, any::<bool>()).prop_map(
        |(failures, first, returned, counted)| Marks { failures, first_failed: first.map(time), returned, counted },
    )
}

fn patience() -> impl Strategy<Value = Patience> {
    (0..10_u32, 0..20_u32).prop_map(|(retries, returns)| Patience { retries, returns })
}

fn later() -> Verdict {
    Verdict::Later { reason: "not now".to_owned() }
}

proptest! {
    #[test]
    fn only_what_was_accepted_is_acknowledged_without_a_copy(marks in marks(), patience in patience(), never: bool) {
        prop_assert_eq!(answer(Verdict::Accept, marks, time(7), patience), Action::Ack);
        let refused = if never { Verdict::Never { reason: "no".to_owned() } } else { later() };
        let written = match answer(refused, marks, time(7), patience) {
            Action::Retry { marks: written, .. } => {
                prop_assert!(!never && written.failures <= patience.retries);
                written
            }
            Action::Bury { marks: written, .. } => {
                prop_assert!(never || written.failures > patience.retries);
                written
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(written.failures, marks.failures + 1);
        prop_assert_eq!(written.first_failed, marks.first_failed.or(Some(time(7))));
        prop_assert_eq!(written.returned, 0);
    }

    #[test]
    fn what_always_fails_is_tried_once_and_then_as_often_as_there_are_retries(patience in patience()) {
        let (mut marks, mut attempts) = (Marks::default(), 0);
        loop {
            let arrival = Arrival { marks, redelivered: false, foreign: None };
            prop_assert_eq!(arrive(arrival, patience), None, "it is tried");
            attempts += 1;
            match answer(later(), marks, time(attempts), patience) {
                Action::Retry { marks: next, .. } => marks = next,
                Action::Bury { marks, reason } => {
                    prop_assert_eq!(marks.first_failed, Some(time(1)));
                    prop_assert!(reason.starts_with("not now"), "{}", reason);
                    break;
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
        prop_assert_eq!(attempts, i64::from(patience.retries) + 1);
    }

    #[test]
    fn what_always_kills_its_worker_dies_whether_or_not_the_broker_counts(patience in patience(), counted: bool) {
        let mut marks = Marks { counted, ..Marks::default() };
        let (mut redelivered, mut looks) = (false, 0_u32);
        let reason = loop {
            match arrive(Arrival { marks, redelivered, foreign: None }, patience) {
                None => {
                    looks += 1;
                    redelivered = true;
                    marks.returned += u32::from(counted);
                }
                Some(Action::Recount { marks: written }) => {
                    prop_assert!(!counted);
                    marks = written;
                    redelivered = false;
                }
                Some(Action::Bury { reason, .. }) => break reason,
                Some(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
            prop_assert!(looks < 100);
        };
        prop_assert_eq!(looks, patience.returns + 1);
        prop_assert!(reason.contains("without an answer"), "{}", reason);
    }

    #[test]
    fn what_is_for_others_goes_to_them_as_it_is(marks in marks(), patience in patience(), redelivered: bool) {
        let arrival = Arrival { marks, redelivered, foreign: Some(JobType::Component) };
        prop_assert_eq!(arrive(arrival, patience), Some(Action::Forward { to: JobType::Component, marks }));
    }
}

#[test]
fn forged_counts_are_dead_at_once_instead_of_going_round() {
    let marks = Marks { failures: u32::MAX, ..Marks::default() };
    let arrival = Arrival { marks, redelivered: false, foreign: None };
    let Some(Action::Bury { reason, .. }) = arrive(arrival, Patience::default()) else { panic!("not dead") };
    assert!(reason.contains("more than 5 retries"), "{reason}");
    let Action::Bury { marks, .. } = answer(later(), marks, time(1), Patience::default()) else { panic!("not dead") };
    assert_eq!(marks.failures, u32::MAX);
}
