//! Prints the ledger, one line for each entry, so that a test reads like a story.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use piton_model::{Decision, Event, LedgerEntry, Record, Run, RunId};

/// Every entry with all that it says; for comparing two ledgers to the byte.
pub fn verbatim(entries: &[LedgerEntry]) -> String {
    entries.iter().fold(String::new(), |mut text, entry| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {:?}", entry.seq, entry.at, entry.record);
        text
    })
}

/// Every entry in words. Runs are numbered in the order in which they were submitted; `runs` tell why they exist.
pub fn story(entries: &[LedgerEntry], runs: &BTreeMap<RunId, Run>) -> String {
    let mut numbers: BTreeMap<RunId, usize> = BTreeMap::new();
    let mut text = String::new();
    for entry in entries {
        let at = entry.at.strftime("%a %d %H:%M:%S");
        let line = match &entry.record {
            Record::Run { run, subject, event, outcome } => {
                let next = numbers.len() + 1;
                let number = *numbers.entry(*run).or_insert(next);
                let mut line = format!("{subject} #{number} {}", words(event));
                if let (Event::Submitted { .. }, Some(run)) = (event, runs.get(run)) {
                    let _ = write!(line, " to {}: {}", run.action.verb(), run.origin);
                }
                if let Some(outcome) = outcome {
                    let _ = write!(line, " -> {}", outcome.kind());
                }
                line
            }
            Record::Skipped { subject, due, line, reason, count } => {
                let mut reason = reason.sentence();
                for (run, number) in &numbers {
                    reason = reason.replace(&run.to_string(), &format!("#{number}"));
                }
                format!("{subject} skipped {count} of `{line}` until {}: {reason}", due.strftime("%a %d %H:%M:%S"))
            }
            Record::Removed { subject, runs, by } => {
                let numbers: Vec<String> = runs
                    .iter()
                    .map(|run| numbers.get(run).map_or_else(|| run.to_string(), |n| format!("#{n}")))
                    .collect();
                format!("{subject} {} removed by {by}", numbers.join(" "))
            }
            Record::Audit(deed) => deed.sentence(),
        };
        let _ = writeln!(text, "{at} {line}");
    }
    text
}

fn words(event: &Event) -> String {
    match event {
        Event::Submitted { .. } => "submitted".to_owned(),
        Event::Claimed { worker, attempt, .. } => format!("claimed by {worker}, attempt {attempt}"),
        Event::StepPassed { step, .. } => format!("passed {step}"),
        Event::Progressed { .. } => "passed on".to_owned(),
        Event::GateReached { gate, .. } => format!("asks {}", gate.question),
        Event::Failed { failure } => format!("failed: {}", failure.message),
        Event::LeaseLost => "lost its lease".to_owned(),
        Event::CancelAsked { by, superseded_by: None, .. } => format!("asked to stop by {by}"),
        Event::CancelAsked { superseded_by: Some(_), .. } => "superseded".to_owned(),
        Event::Decided { decision, by } => match decision {
            Decision::Approve { .. } => format!("approved by {by}"),
            Decision::Reject { .. } => format!("rejected by {by}"),
            Decision::Expire => "expired".to_owned(),
        },
        Event::Done { .. } => "done".to_owned(),
    }
}
