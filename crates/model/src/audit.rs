//! Every invariant of the ledger, stated once.
//!
//! Simulations, chaos tests and `piton doctor` all call [`audit`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{DedupKey, Event, LedgerEntry, LockKey, Phase, Record, Resume, Run, RunId, RunState, Seq, Step};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum Violation {
    /// The ledger has a gap or a repeat before this entry.
    BrokenOrder { seq: Seq, expected: Seq },
    /// An entry speaks of a run that does not exist.
    UnknownRun { seq: Seq, run: RunId },
    /// A run exists of which the ledger says nothing.
    Unrecorded { run: RunId },
    /// An event that may not happen in the state the run was in.
    IllegalEvent { seq: Seq, run: RunId, problem: String },
    /// The stored state is not the fold of the events.
    StateDiffers { run: RunId, stored: Phase, folded: Phase },
    /// Two active runs hold the same lock.
    LockHeldTwice { seq: Seq, lock: LockKey, holder: RunId, intruder: RunId },
    /// Two runs share a deduplication key.
    DuplicateTrigger { key: DedupKey, runs: (RunId, RunId) },
    /// An approved apply whose plan is not the one that was approved.
    UnapprovedPlan { run: RunId },
    /// The step that changes the world was begun twice in one run.
    EffectRepeated { seq: Seq, run: RunId },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::BrokenOrder { seq, expected } => write!(f, "entry {seq} stands where {expected} was expected"),
            Violation::UnknownRun { seq, run } => write!(f, "entry {seq} speaks of run {run}, which does not exist"),
            Violation::Unrecorded { run } => write!(f, "the ledger says nothing of run {run}"),
            Violation::IllegalEvent { seq, run, problem } => write!(f, "entry {seq}, run {run}: {problem}"),
            Violation::StateDiffers { run, stored, folded } => {
                write!(f, "run {run} is stored as {stored}, but its events make it {folded}")
            }
            Violation::LockHeldTwice { seq, lock, holder, intruder } => {
                write!(f, "entry {seq}: run {intruder} became active while run {holder} held the lock {lock}")
            }
            Violation::DuplicateTrigger { key, runs: (a, b) } => write!(f, "runs {a} and {b} share the key {key}"),
            Violation::UnapprovedPlan { run } => write!(f, "run {run} applied a plan that was not approved"),
            Violation::EffectRepeated { seq, run } => {
                write!(f, "entry {seq}: run {run} began a step with outside effects a second time")
            }
        }
    }
}

/// Checks the whole ledger against the stored runs.
///
/// `entries` are all entries from the first that retention kept, in order; `runs` all stored runs. Runs that began
/// before the first kept entry are only checked where their events allow it.
pub fn audit<'a>(entries: &[LedgerEntry], runs: impl IntoIterator<Item = &'a Run>) -> Vec<Violation> {
    let stored = runs.into_iter().map(|run| (run.id, run)).collect();
    let removed = entries.iter().filter_map(|entry| match &entry.record {
        Record::Removed { runs, .. } => Some(runs),
        Record::Run { .. } | Record::Skipped { .. } | Record::Audit(_) => None,
    });
    let removed = removed.flatten().copied().collect();
    let mut auditor = Auditor { stored, removed, ..Auditor::default() };
    auditor.keys();
    let complete = entries.first().is_none_or(|first| first.seq == 1);
    let mut expected = entries.first().map_or(1, |first| first.seq);
    for entry in entries {
        if entry.seq != expected {
            auditor.found.push(Violation::BrokenOrder { seq: entry.seq, expected });
        }
        expected = entry.seq + 1;
        auditor.entry(entry, complete);
    }
    auditor.ends(complete);
    auditor.found
}

#[derive(Default)]
struct Auditor<'a> {
    stored: BTreeMap<RunId, &'a Run>,
    /// Runs of which the ledger itself says that they are gone.
    removed: BTreeSet<RunId>,
    folded: BTreeMap<RunId, Run>,
    locks: BTreeMap<LockKey, RunId>,
    effects: BTreeSet<RunId>,
    found: Vec<Violation>,
}

impl Auditor<'_> {
    fn keys(&mut self) {
        let mut seen: BTreeMap<&DedupKey, RunId> = BTreeMap::new();
        for run in self.stored.values() {
            let Some(key) = &run.dedup_key else { continue };
            if let Some(first) = seen.insert(key, run.id) {
                self.found.push(Violation::DuplicateTrigger { key: key.clone(), runs: (first, run.id) });
            }
        }
    }

    fn entry(&mut self, entry: &LedgerEntry, complete: bool) {
        let Record::Run { run: id, event, .. } = &entry.record else { return };
        let Some(stored) = self.stored.get(id).copied() else {
            if self.removed.contains(id) {
                return;
            }
            // Retention removes runs before it removes their entries.
            if complete && !self.stored.is_empty() && self.stored.keys().next().is_some_and(|oldest| oldest < id) {
                self.found.push(Violation::UnknownRun { seq: entry.seq, run: *id });
            }
            return;
        };
        if let Event::Submitted { due } = event {
            let mut run = stored.clone();
            run.state = RunState::Pending { due: *due, resume: Resume::Fresh };
            (run.started_at, run.changed_at, run.attempts, run.failures, run.reached) = (None, None, 0, 0, None);
            run.report = crate::Report::default();
            if self.folded.insert(*id, run).is_some() {
                let problem = "it was submitted twice".to_owned();
                self.found.push(Violation::IllegalEvent { seq: entry.seq, run: *id, problem });
            }
            return;
        }
        let Some(before) = self.folded.get(id) else {
            if complete {
                let problem = "something happened to it before it was submitted".to_owned();
                self.found.push(Violation::IllegalEvent { seq: entry.seq, run: *id, problem });
            }
            return;
        };
        match before.apply(event, entry.at) {
            Ok(after) => {
                // Who asks in such a step has not begun what it guards.
                if matches!(event, Event::GateReached { .. }) {
                    self.effects.remove(id);
                }
                self.effect(entry.seq, before.step(), &after);
                self.lock(entry.seq, &after);
                self.folded.insert(*id, after);
            }
            Err(illegal) => {
                self.found.push(Violation::IllegalEvent { seq: entry.seq, run: *id, problem: illegal.to_string() });
            }
        }
    }

    fn lock(&mut self, seq: Seq, after: &Run) {
        let Some(lock) = &after.lock_key else { return };
        let active = matches!(after.state, RunState::Running { .. } | RunState::Gated { .. });
        match (active, self.locks.get(lock)) {
            (true, Some(holder)) if *holder != after.id => self.found.push(Violation::LockHeldTwice {
                seq,
                lock: lock.clone(),
                holder: *holder,
                intruder: after.id,
            }),
            (true, _) => {
                self.locks.insert(lock.clone(), after.id);
            }
            (false, Some(holder)) if *holder == after.id => {
                self.locks.remove(lock);
            }
            (false, _) => {}
        }
    }

    fn effect(&mut self, seq: Seq, before: Option<Step>, after: &Run) {
        let RunState::Running { step, approval, .. } = &after.state else { return };
        if before == Some(*step) || !step.may_have_effect() {
            return;
        }
        // A retry after a failure that was seen is a new try, not a repeat.
        if after.failures == 0 && !self.effects.insert(after.id) {
            self.found.push(Violation::EffectRepeated { seq, run: after.id });
        }
        if let (Some(approval), Some(plan)) = (approval, &after.report.plan)
            && approval.digest != plan.digest
        {
            self.found.push(Violation::UnapprovedPlan { run: after.id });
        }
    }

    fn ends(&mut self, complete: bool) {
        for (id, stored) in &self.stored {
            match self.folded.get(id) {
                Some(folded) if !same_state(folded, stored) => self.found.push(Violation::StateDiffers {
                    run: *id,
                    stored: stored.phase(),
                    folded: folded.phase(),
                }),
                None if complete => self.found.push(Violation::Unrecorded { run: *id }),
                Some(_) | None => {}
            }
        }
    }
}

/// Equal but for the end of the lease, which is renewed without an event.
fn same_state(folded: &Run, stored: &Run) -> bool {
    match (&folded.state, &stored.state) {
        (
            RunState::Running { lease: a, step: s, approval: p, cancel: c },
            RunState::Running { lease: b, step: t, approval: q, cancel: d },
        ) => a.worker == b.worker && a.attempt == b.attempt && s == t && p == q && c == d,
        (a, b) => a == b,
    }
}
