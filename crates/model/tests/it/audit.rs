//! The auditor finds what is wrong, and nothing else.

use piton_model::audit::{Violation, audit};
use piton_model::{Backoff, Event, LedgerEntry, Record, Run, Seq};
use proptest::prelude::*;

use crate::samples::{any_event, at, claimed, deploy, walk};

fn entry(seq: Seq, run: &Run, event: Event) -> LedgerEntry {
    let record = Record::Run { run: run.id, subject: run.subject.clone(), event, outcome: run.outcome().cloned() };
    LedgerEntry { seq, at: at(seq), record }
}

fn submitted(seq: Seq, run: &Run) -> LedgerEntry {
    entry(seq, run, Event::Submitted { due: at(0) })
}

proptest! {
    #[test]
    fn a_ledger_of_legal_events_is_clean(events in prop::collection::vec(any_event(), 0..40)) {
        let start = deploy(1, Backoff::NONE);
        let mut entries = vec![submitted(1, &start)];
        let mut now = start.clone();
        for (event, _) in walk(&start, &events) {
            let seq = entries.len() as i64 + 1;
            let Ok(after) = now.apply(&event, at(seq)) else { break };
            now = after;
            entries.push(entry(seq, &now, event));
        }
        prop_assert_eq!(audit(&entries, [&now]), vec![]);
    }
}

#[test]
fn gaps_ghosts_and_forged_states_are_found() {
    let run = deploy(1, Backoff::NONE);
    let running = run.apply(&claimed(&run, 2), at(2)).unwrap();
    let entries = [submitted(1, &run), entry(3, &running, claimed(&run, 2))];
    assert!(audit(&entries, [&running]).contains(&Violation::BrokenOrder { seq: 3, expected: 2 }));

    let entries = [submitted(1, &run)];
    assert!(matches!(audit(&entries, [&running])[..], [Violation::StateDiffers { .. }]));
    let stranger = deploy(9, Backoff::NONE);
    assert_eq!(audit(&entries, [&run, &stranger]), [Violation::Unrecorded { run: stranger.id }]);
}

#[test]
fn two_holders_of_one_lock_are_found() {
    let (a, b) = (deploy(1, Backoff::NONE), deploy(2, Backoff::NONE));
    let (ra, rb) = (a.apply(&claimed(&a, 3), at(3)).unwrap(), b.apply(&claimed(&b, 4), at(4)).unwrap());
    let entries = [submitted(1, &a), submitted(2, &b), entry(3, &ra, claimed(&a, 3)), entry(4, &rb, claimed(&b, 4))];
    assert!(matches!(audit(&entries, [&ra, &rb])[..], [Violation::LockHeldTwice { seq: 4, .. }]));
}

#[test]
fn a_shared_key_is_found() {
    let key = Some(piton_model::DedupKey::new("cron:x"));
    let (mut a, mut b) = (deploy(1, Backoff::NONE), deploy(2, Backoff::NONE));
    (a.dedup_key, b.dedup_key) = (key.clone(), key);
    let entries = [submitted(1, &a), submitted(2, &b)];
    assert!(matches!(audit(&entries, [&a, &b])[..], [Violation::DuplicateTrigger { .. }]));
}
