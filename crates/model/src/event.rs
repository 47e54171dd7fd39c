//! What the ledger records.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    AttemptNo, By, Decision, Deed, Failure, Gate, Outcome, Report, RunId, Seq, Step, Subject, Uptime, WorkerId,
};

/// Something that happened to a run. The state of a run is the fold of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It was accepted.
    Submitted {
        /// It may be claimed from then on.
        due: Timestamp,
    },
    /// A worker took it.
    Claimed {
        /// Which worker.
        worker: WorkerId,
        /// The number of this attempt.
        attempt: AttemptNo,
        /// When the lease ends unless it is renewed.
        lease_until: Timestamp,
        /// How long the worker's host had been up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uptime: Option<Uptime>,
    },
    /// A step is done and the next one begins.
    StepPassed {
        /// The step that is done.
        step: Step,
        /// What it found out.
        #[serde(default)]
        report: Report,
    },
    /// The step goes on, and has come so far.
    Progressed {
        /// What it found out.
        report: Report,
    },
    /// The step is done and a person must decide before the next one.
    GateReached {
        /// What is asked.
        gate: Gate,
        /// When the question lapses.
        expires: Timestamp,
        /// What the step found out.
        #[serde(default)]
        report: Report,
    },
    /// The current step failed.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// The lease ended without a word from the worker.
    LeaseLost,
    /// Somebody wants it stopped.
    CancelAsked {
        /// Who.
        by: By,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The newer run that takes its place, if that is the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        superseded_by: Option<RunId>,
    },
    /// A gate was answered.
    Decided {
        /// The answer.
        decision: Decision,
        /// Who answered.
        by: By,
    },
    /// The last step is done, or an earlier one found that nothing is left to do.
    Done {
        /// What the step found out.
        #[serde(default)]
        report: Report,
    },
}

impl Event {
    /// The event's word, as logs and tables show it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Event::Submitted { .. } => "submitted",
            Event::Claimed { .. } => "claimed",
            Event::StepPassed { .. } => "step_passed",
            Event::Progressed { .. } => "progressed",
            Event::GateReached { .. } => "gate_reached",
            Event::Failed { .. } => "failed",
            Event::LeaseLost => "lease_lost",
            Event::CancelAsked { .. } => "cancel_asked",
            Event::Decided { .. } => "decided",
            Event::Done { .. } => "done",
        }
    }
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Its position: from 1, without gaps.
    pub seq: Seq,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub record: Record,
}

/// What a [`LedgerEntry`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Something happened to a run.
    Run {
        /// Which run.
        run: RunId,
        /// What the run is about.
        subject: Subject,
        /// What happened.
        #[serde(flatten)]
        event: Event,
        /// How the run ended, where this event ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
    },
    /// A trigger fired and made no run.
    Skipped {
        /// What the run would have been about.
        subject: Subject,
        /// When it was due.
        due: Timestamp,
        /// The line of the schedule.
        line: String,
        /// Why there is no run.
        #[serde(flatten)]
        reason: SkipReason,
        /// How many fires of the line this stands for; `due` is the last of them.
        #[serde(default = "one")]
        count: u32,
    },
    /// Runs that had ended were removed before their time.
    Removed {
        /// What they were about.
        subject: Subject,
        /// Which.
        runs: Vec<RunId>,
        /// Who removed them; the system where a limit says so.
        by: By,
    },
    /// Somebody changed who may do what, or proved who they are, or failed to.
    Audit(Deed),
}

fn one() -> u32 {
    1
}

/// Why a trigger that fired made no run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum SkipReason {
    /// The workspace is already deployed like that, and nothing changed.
    AlreadyDeployed,
    /// The workspace is already destroyed, or was never deployed.
    NothingToDestroy,
    /// The last deployment failed and nothing changed since.
    WaitingForChange,
    /// A run of the same subject is still active.
    StillActive {
        /// Which run.
        run: RunId,
    },
    /// A later line was due too by the time anyone looked.
    OvertakenBy {
        /// When the later one was due. Its name in JSON differs from that of the skipped fire, beside which it stands.
        #[serde(rename = "overtaken_by")]
        due: Timestamp,
    },
    /// It was noticed too late.
    TooLate,
    /// A job it depends on has not succeeded.
    Dependency {
        /// That job.
        job: String,
    },
    /// The declaration was suspended.
    Suspended,
}

impl SkipReason {
    /// The reason's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            SkipReason::AlreadyDeployed => "already_deployed",
            SkipReason::NothingToDestroy => "nothing_to_destroy",
            SkipReason::WaitingForChange => "waiting_for_change",
            SkipReason::StillActive { .. } => "still_active",
            SkipReason::OvertakenBy { .. } => "overtaken",
            SkipReason::TooLate => "too_late",
            SkipReason::Dependency { .. } => "dependency",
            SkipReason::Suspended => "suspended",
        }
    }

    /// Whether nobody looked at the right time: a due time that is missed was wanted, one that is skipped was not.
    pub fn is_missed(&self) -> bool {
        match self {
            SkipReason::OvertakenBy { .. } | SkipReason::TooLate => true,
            SkipReason::AlreadyDeployed
            | SkipReason::NothingToDestroy
            | SkipReason::WaitingForChange
            | SkipReason::StillActive { .. }
            | SkipReason::Dependency { .. }
            | SkipReason::Suspended => false,
        }
    }

    /// The reason in words.
    pub fn sentence(&self) -> String {
        match self {
            SkipReason::AlreadyDeployed => "already deployed, nothing changed".to_owned(),
            SkipReason::NothingToDestroy => "nothing to destroy".to_owned(),
            SkipReason::WaitingForChange => {
                "the last deployment failed; waiting for a changed configuration or a manual deploy".to_owned()
            }
            SkipReason::StillActive { run } => format!("run {run} is still active"),
            SkipReason::OvertakenBy { due } => format!("overtaken by the line due at {due:.0}"),
            SkipReason::TooLate => "noticed too late".to_owned(),
            SkipReason::Dependency { job } => format!("job `{job}`, on which it depends, has not succeeded"),
            SkipReason::Suspended => "suspended".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    #[test]
    fn every_reason_to_skip_can_be_read_back() {
        let at = Timestamp::from_second(1).unwrap();
        let run = RunId::new(at, [1; 10]);
        let reasons = [
            SkipReason::AlreadyDeployed,
            SkipReason::NothingToDestroy,
            SkipReason::WaitingForChange,
            SkipReason::StillActive { run },
            SkipReason::OvertakenBy { due: at },
            SkipReason::TooLate,
            SkipReason::Dependency { job: "backup".to_owned() },
            SkipReason::Suspended,
        ];
        for reason in reasons {
            let subject = Subject::Workspace(Name::parse("everest").unwrap());
            let due = Timestamp::UNIX_EPOCH;
            let record = Record::Skipped { subject, due, line: "0 9 * * *".to_owned(), reason, count: 3 };
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
        }
    }
}
