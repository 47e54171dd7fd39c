//! Acknowledgements, against a channel that is as strict as the broker's.

use std::collections::BTreeSet;

use piton_broker::{Ack, Acks};
use proptest::prelude::*;

/// The broker's side: what it waits for.
struct Channel {
    unacked: BTreeSet<u64>,
}

impl Channel {
    /// What this acknowledges; an unknown tag would close the channel.
    fn ack(&mut self, ack: Ack) -> Vec<u64> {
        assert!(self.unacked.contains(&ack.tag), "PRECONDITION_FAILED - unknown delivery tag {}", ack.tag);
        let gone: Vec<u64> = self
            .unacked
            .iter()
            .copied()
            .filter(|tag| if ack.multiple { *tag <= ack.tag } else { *tag == ack.tag })
            .collect();
        for tag in &gone {
            self.unacked.remove(tag);
        }
        gone
    }
}

#[test]
fn a_row_from_the_beginning_is_one_acknowledgement() {
    let mut acks = Acks::default();
    for tag in [2, 1, 3, 5] {
        acks.settle(tag);
    }
    assert_eq!(acks.flush(), [Ack { tag: 3, multiple: true }, Ack { tag: 5, multiple: false }]);
    assert_eq!(acks.flush(), []);
    acks.settle(4);
    assert_eq!(acks.flush(), [Ack { tag: 4, multiple: false }], "five was said already");
    acks.settle(6);
    acks.settle(6);
    assert_eq!(acks.flush(), [Ack { tag: 6, multiple: false }]);
}

proptest! {
    #[test]
    fn every_settled_delivery_is_acknowledged_once_and_no_other(
        steps in Just((1..=40_u64).collect::<Vec<_>>()).prop_shuffle().prop_flat_map(|order| {
            let each = proptest::collection::vec((any::<bool>(), 0..4_u8), order.len());
            (Just(order), each)
        }),
    ) {
        let (order, each) = steps;
        let mut channel = Channel { unacked: (1..=40).collect() };
        let (mut acks, mut settled) = (Acks::default(), BTreeSet::new());
        for (tag, (flush, nack)) in order.into_iter().zip(each) {
            if nack == 0 {
                channel.unacked.remove(&tag);
                acks.answered(tag);
            } else {
                settled.insert(tag);
                acks.settle(tag);
            }
            if flush {
                for ack in acks.flush() {
                    for gone in channel.ack(ack) {
                        prop_assert!(settled.contains(&gone), "{gone} was not settled");
                    }
                }
                prop_assert!(channel.unacked.is_disjoint(&settled), "what is settled does not wait");
            }
        }
        for ack in acks.flush() {
            channel.ack(ack);
        }
        prop_assert!(channel.unacked.is_empty());
    }
}
