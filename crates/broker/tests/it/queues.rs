//! The queues.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::types::AMQPValue;
use piton_broker::message::JobType;
use piton_broker::{InvalidQueue, Ladder, Topology};
use proptest::prelude::*;

fn seconds(topology: &Topology) -> Vec<u64> {
    topology.rungs().iter().map(|rung| rung.delay.as_secs()).collect()
}

#[test]
fn the_queues_of_the_usual_configuration() {
    let topology = Topology::new("provisioning-jobs", Ladder::default()).unwrap();
    assert_eq!(seconds(&topology), [5, 10, 20, 40, 80]);
    let names: Vec<String> = topology.declarations().into_iter().map(|one| one.queue).collect();
    let endings =
        ["dead", "type.system", "type.component", "retry.5s", "retry.10s", "retry.20s", "retry.40s", "retry.80s"];
    let expected: BTreeSet<String> = endings
        .map(|ending| format!("provisioning-jobs.{ending}"))
        .into_iter()
        .chain(["provisioning-jobs".to_owned()])
        .collect();
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(topology.consumed(|_| true).len(), 3);
    let component = topology.consumed(|one| one == JobType::Component);
    assert_eq!(component, ["provisioning-jobs", "provisioning-jobs.type.component"]);
}

#[test]
fn the_longest_delay_ends_the_ladder() {
    let ladder = |first, longest, retries| Ladder {
        first: Duration::from_secs(first),
        longest: Duration::from_secs(longest),
        retries,
    };
    let of = |ladder| seconds(&Topology::new("q", ladder).unwrap());
    assert_eq!(of(ladder(5, 30, 10)), [5, 10, 20, 30]);
    assert_eq!(of(ladder(60, 30, 10)), [30]);
    assert_eq!(of(ladder(5, 30, 0)), [5]);
    assert_eq!(of(ladder(5, 30, 1)), [5]);
}

#[test]
fn names_that_cannot_be() {
    let refused = |name: &str| Topology::new(name, Ladder::default()).unwrap_err();
    assert_eq!(refused(""), InvalidQueue::Empty);
    assert_eq!(refused("amq.jobs"), InvalidQueue::Reserved("amq.jobs".to_owned()));
    assert_eq!(refused(&"q".repeat(221)), InvalidQueue::TooLong(221));
}

proptest! {
    #[test]
    fn whatever_leaves_a_queue_goes_to_one_that_exists(
        name in "[a-z.]{1,220}".prop_filter("reserved", |name| !name.starts_with("amq.")),
        first in 0..10_000_000_u64, longest in 0..100_000_000_u64, retries in 0..40_u32,
    ) {
        let ladder = Ladder { first: Duration::from_millis(first), longest: Duration::from_millis(longest), retries };
        let topology = Topology::new(&name, ladder).unwrap();
        let declarations = topology.declarations();
        let names: BTreeSet<&str> = declarations.iter().map(|one| one.queue.as_str()).collect();
        prop_assert_eq!(names.len(), declarations.len(), "each once");
        for one in &declarations {
            prop_assert!(one.queue.len() <= 255);
            if let Some(AMQPValue::LongString(to)) = one.arguments.inner().get("x-dead-letter-routing-key") {
                prop_assert!(names.contains(std::str::from_utf8(to.as_bytes()).unwrap()));
            }
        }
        let mut before = Duration::ZERO;
        for failures in 0..retries + 5 {
            let rung = topology.rung_after(failures);
            prop_assert!(rung.delay >= before && !rung.delay.is_zero());
            prop_assert!(topology.is_rung(&rung.queue) && names.contains(rung.queue.as_str()));
            before = rung.delay;
        }
        prop_assert!(!topology.is_rung(topology.work()) && !topology.is_rung(topology.dead()));
    }
}
