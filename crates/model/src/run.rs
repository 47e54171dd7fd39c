//! A run and its state machine.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::provision::LEASE_LOST;
use crate::{
    Action, Approval, AttemptNo, Backoff, By, Decision, DedupKey, Event, Failure, FailureClass, Gate, Lease, LockKey,
    Origin, Outcome, Report, RunId, Step, Subject,
};

/// A run that is about to be submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// What it is about.
    pub subject: Subject,
    /// What it does.
    pub action: Action,
    /// Why it exists.
    pub origin: Origin,
    /// It may be claimed from then on.
    pub due: Timestamp,
    /// Higher goes first among runs that are due.
    pub priority: i32,
    /// How often and when it is tried again after a transient failure.
    pub retry: Backoff,
    /// The run that this one tries again.
    pub retry_of: Option<RunId>,
    /// Keeps a second run of the same trigger from being accepted.
    pub dedup_key: Option<DedupKey>,
    /// Keeps two runs from being active at once.
    pub lock_key: Option<LockKey>,
}

/// One durable execution of a frozen action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What it is about.
    pub subject: Subject,
    /// What it does; never changes.
    pub action: Arc<Action>,
    /// What `action` lacks, where that cannot be read here: the run was accepted by somebody with another key. Such a
    /// run is shown and may be cancelled, and is not executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// What `action` lacked of secrets is gone for good: the run is over, and they were only given for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
    /// Why it exists.
    pub origin: Origin,
    /// Higher goes first among runs that are due.
    #[serde(default)]
    pub priority: i32,
    /// How often and when it is tried again after a transient failure.
    #[serde(default)]
    pub retry: Backoff,
    /// The run that this one tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// See [`NewRun::dedup_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup_key: Option<DedupKey>,
    /// See [`NewRun::lock_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_key: Option<LockKey>,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// When it was first claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was last changed, but for news of how far it has come: those tell of what was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// How often it was claimed.
    #[serde(default)]
    pub attempts: u32,
    /// How often it failed and was put back; approvals do not count.
    #[serde(default)]
    pub failures: u32,
    /// The furthest step that was begun in the current pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Step>,
    /// What it found out.
    #[serde(default)]
    pub report: Report,
    /// Where it stands.
    pub state: RunState,
}

/// An action with its secrets, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// What names the key.
    pub key: String,
    /// The box, as text.
    pub text: String,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum RunState {
    /// Nobody holds it. It may be claimed once `due` has passed and its lock is free.
    Pending {
        /// From when on.
        due: Timestamp,
        /// How it begins when it is claimed.
        resume: Resume,
    },
    /// One worker holds it, fenced by the attempt number of the lease.
    Running {
        /// Who holds it, and until when.
        lease: Lease,
        /// The step it is in.
        step: Step,
        /// The approval it was resumed with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Approval>,
        /// Whether it shall stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cancel: Option<CancelRequest>,
    },
    /// A person must decide. Nobody holds it, and its lock stays taken.
    Gated {
        /// What is asked.
        gate: Gate,
        /// When the question lapses.
        expires: Timestamp,
    },
    /// It is over, for good. Trying again is a new run with `retry_of`.
    Ended {
        /// How it ended.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

/// The four states without their data: the column that queries filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// [`RunState::Pending`]
    Pending,
    /// [`RunState::Running`]
    Running,
    /// [`RunState::Gated`]
    Gated,
    /// [`RunState::Ended`]
    Ended,
}

impl Phase {
    /// All phases.
    pub const ALL: [Phase; 4] = [Phase::Pending, Phase::Running, Phase::Gated, Phase::Ended];

    /// The phase's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::Running => "running",
            Phase::Gated => "gated",
            Phase::Ended => "ended",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a pending run begins when it is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "resume")]
pub enum Resume {
    /// At the first step.
    Fresh,
    /// At the first step, after a failed attempt.
    Backoff {
        /// The failure that put it back.
        failure: Failure,
    },
    /// After the gate, with this approval.
    Approved {
        /// What was approved, and by whom.
        approval: Approval,
    },
}

/// Somebody wants a running run stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Who.
    pub by: By,
    /// When it was asked.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The newer run that takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<RunId>,
}

/// An event that may not happen in the state a run is in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {phase} cannot take `{event}`: {why}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub phase: Phase,
    /// The event.
    pub event: &'static str,
    /// Why not.
    pub why: &'static str,
}

impl Run {
    /// A run as it is when it has just been accepted.
    pub fn submitted(new: NewRun, at: Timestamp) -> Run {
        let NewRun { id, subject, action, origin, due, priority, retry, retry_of, dedup_key, lock_key } = new;
        Run {
            id,
            subject,
            action: Arc::new(action),
            sealed: None,
            forgotten: false,
            origin,
            priority,
            retry,
            retry_of,
            dedup_key,
            lock_key,
            submitted_at: at,
            started_at: None,
            changed_at: None,
            attempts: 0,
            failures: 0,
            reached: None,
            report: Report::default(),
            state: RunState::Pending { due, resume: Resume::Fresh },
        }
    }

    /// The state without its data.
    pub fn phase(&self) -> Phase {
        match self.state {
            RunState::Pending { .. } => Phase::Pending,
            RunState::Running { .. } => Phase::Running,
            RunState::Gated { .. } => Phase::Gated,
            RunState::Ended { .. } => Phase::Ended,
        }
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            RunState::Ended { outcome, .. } => Some(outcome),
            RunState::Pending { .. } | RunState::Running { .. } | RunState::Gated { .. } => None,
        }
    }

    /// Since when it is known to have ended, if it has: where nobody looked, that is later than its end. What it leaves is
    /// kept from then on.
    pub fn known_to_have_ended(&self) -> Option<Timestamp> {
        match &self.state {
            RunState::Ended { at, .. } => Some(self.changed_at.map_or(*at, |changed| changed.max(*at))),
            RunState::Pending { .. } | RunState::Running { .. } | RunState::Gated { .. } => None,
        }
    }

    /// The step it is in, while it is running.
    pub fn step(&self) -> Option<Step> {
        match &self.state {
            RunState::Running { step, .. } => Some(*step),
            RunState::Pending { .. } | RunState::Gated { .. } | RunState::Ended { .. } => None,
        }
    }

    /// The lease, while it is running.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            RunState::Running { lease, .. } => Some(lease),
            RunState::Pending { .. } | RunState::Gated { .. } | RunState::Ended { .. } => None,
        }
    }

    /// When something is due without anybody's doing: a claim, the end of a lease, the expiry of a gate.
    pub fn due(&self) -> Option<Timestamp> {
        match &self.state {
            RunState::Pending { due, .. } => Some(*due),
            RunState::Running { lease, .. } => Some(lease.until),
            RunState::Gated { expires, .. } => Some(*expires),
            RunState::Ended { .. } => None,
        }
    }

    /// What the run is after `event` happened at `at`. The only way the state of a run changes.
    pub fn apply(&self, event: &Event, at: Timestamp) -> Result<Run, IllegalTransition> {
        let illegal = |why| Err(IllegalTransition { phase: self.phase(), event: event.as_str(), why });
        let end = self.ends(event, at);
        let mut run = self.clone();
        if !matches!(event, Event::Progressed { .. }) {
            run.changed_at = self.changed_at.max(Some(at));
        }
        run.state = match (&self.state, event) {
            (RunState::Pending { due, resume }, Event::Claimed { worker, attempt, lease_until, uptime }) => {
                if *attempt != AttemptNo::after(self.attempts) {
                    return illegal("the attempt number does not follow the last one");
                }
                let (step, approval) = match resume {
                    Resume::Fresh | Resume::Backoff { .. } => (self.action.first_step(), None),
                    Resume::Approved { approval } => (self.action.approved_step(), Some(approval.clone())),
                };
                if approval.is_none() {
                    run.report = Report::default();
                }
                run.attempts = attempt.get();
                let begins = begins(*due, at);
                run.started_at = self.started_at.or(Some(begins));
                run.reached = Some(step);
                let lease = Lease {
                    worker: worker.clone(),
                    attempt: *attempt,
                    since: begins,
                    until: (*lease_until).max(begins),
                    uptime: uptime.as_ref().map(|uptime| uptime.after(begins.duration_since(at).unsigned_abs())),
                };
                RunState::Running { lease, step, approval, cancel: None }
            }
            (RunState::Pending { .. }, Event::CancelAsked { by, reason, superseded_by }) => {
                RunState::Ended { outcome: cancelled(by, reason.as_ref(), *superseded_by), at: end }
            }
            (RunState::Pending { .. }, _) => return illegal("nobody holds it"),

            (RunState::Running { lease, step, approval, cancel }, Event::StepPassed { step: passed, report }) => {
                if passed != step {
                    return illegal("it is in another step");
                }
                let Some(next) = self.action.step_after(*step) else { return illegal("there is no next step") };
                run.report.merge(report.clone());
                match cancel {
                    // What was asked to stop begins nothing new, and what is done already stays done.
                    Some(_) if step.may_have_effect() => RunState::Ended { outcome: Outcome::Succeeded, at: end },
                    Some(request) => RunState::Ended { outcome: request.outcome(), at: end },
                    None => {
                        run.reached = Some(next);
                        let (lease, approval) = (lease.clone(), approval.clone());
                        RunState::Running { lease, step: next, approval, cancel: None }
                    }
                }
            }
            (running @ RunState::Running { .. }, Event::Progressed { report }) => {
                run.report.merge(report.clone());
                running.clone()
            }
            // The answer to it would begin the step with the effect once more.
            (RunState::Running { step, .. }, Event::GateReached { .. }) if step.follows_effect() => {
                return illegal("what the gate guards is done");
            }
            (RunState::Running { cancel, .. }, Event::GateReached { gate, expires, report }) => {
                run.report.merge(report.clone());
                match cancel {
                    Some(request) => RunState::Ended { outcome: request.outcome(), at: end },
                    None => RunState::Gated { gate: gate.clone(), expires: *expires },
                }
            }
            (RunState::Running { cancel, .. }, Event::Failed { failure }) => {
                run.failures += 1;
                run.report.exit_code = failure.exit_code.or(run.report.exit_code);
                run.report.exited_at = failure.exited_at.as_deref().copied().or(run.report.exited_at);
                self.after_failure(run.failures, failure, cancel.as_ref(), at, end)
            }
            (RunState::Running { step, cancel, .. }, Event::LeaseLost) => match cancel {
                // The row goes on, with a run of its own; what nobody wants any more is not called again.
                None if matches!(step, Step::Provision(_)) => {
                    RunState::Ended { outcome: Outcome::Failed { failure: call_lost() }, at: end }
                }
                Some(request) if matches!(step, Step::Provision(_)) => {
                    RunState::Ended { outcome: request.outcome_of_lost_call(), at: end }
                }
                _ if step.may_have_effect() => {
                    RunState::Ended { outcome: Outcome::Indeterminate { failure: lease_lost(*step) }, at: end }
                }
                // The effect was seen to succeed; doing it again to read the outputs would be worse than not reading them.
                _ if step.follows_effect() => RunState::Ended { outcome: Outcome::Succeeded, at: end },
                Some(request) => RunState::Ended { outcome: request.outcome(), at: end },
                None => RunState::Pending { due: at, resume: Resume::Fresh },
            },
            (RunState::Running { lease, step, approval, cancel }, Event::CancelAsked { by, reason, superseded_by }) => {
                let request =
                    CancelRequest { by: by.clone(), at, reason: reason.clone(), superseded_by: *superseded_by };
                RunState::Running {
                    lease: lease.clone(),
                    step: *step,
                    approval: approval.clone(),
                    cancel: Some(cancel.clone().unwrap_or(request)),
                }
            }
            // A cancel request that comes when the work is already done does not undo it.
            (RunState::Running { .. }, Event::Done { report }) => {
                run.report.merge(report.clone());
                RunState::Ended { outcome: Outcome::Succeeded, at: end }
            }
            (RunState::Running { .. }, Event::Decided { .. }) => return illegal("no decision is owed"),
            (RunState::Running { .. }, _) => return illegal("a worker holds it"),

            (RunState::Gated { gate, .. }, Event::Decided { decision: Decision::Approve { digest }, by }) => {
                if *digest != gate.digest {
                    return illegal("the approval is for another plan");
                }
                let approval = Approval { digest: digest.clone(), by: by.clone() };
                RunState::Pending { due: at, resume: Resume::Approved { approval } }
            }
            (RunState::Gated { .. }, Event::Decided { decision: Decision::Reject { reason }, by }) => {
                RunState::Ended { outcome: Outcome::Rejected { by: by.clone(), reason: reason.clone() }, at: end }
            }
            (RunState::Gated { expires, .. }, Event::Decided { decision: Decision::Expire, .. }) => {
                if at < *expires {
                    return illegal("there is time left to decide");
                }
                RunState::Ended { outcome: Outcome::Expired, at: end }
            }
            (RunState::Gated { .. }, Event::CancelAsked { by, reason, superseded_by }) => {
                RunState::Ended { outcome: cancelled(by, reason.as_ref(), *superseded_by), at: end }
            }
            (RunState::Gated { .. }, _) => return illegal("it waits for a decision"),

            (RunState::Ended { .. }, _) => return illegal("it is over"),
        };
        Ok(run)
    }

    fn after_failure(
        &self,
        failures: u32,
        failure: &Failure,
        cancel: Option<&CancelRequest>,
        at: Timestamp,
        end: Timestamp,
    ) -> RunState {
        let ended = |outcome| RunState::Ended { outcome, at: end };
        let failure = failure.clone();
        // What nobody saw stays uncertain, even if someone had asked to stop it.
        match (failure.class, cancel) {
            (FailureClass::Uncertain, _) => ended(Outcome::Indeterminate { failure }),
            (_, Some(request)) => ended(request.outcome()),
            (FailureClass::TimedOut, None) => ended(Outcome::TimedOut { failure }),
            (FailureClass::Permanent | FailureClass::Interrupted, None) => ended(Outcome::Failed { failure }),
            (FailureClass::Transient, None) => match self.retry.delay_after(failures, &failure) {
                Some(delay) => {
                    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
                    let due = at.checked_add(delay).unwrap_or(Timestamp::MAX);
                    RunState::Pending { due, resume: Resume::Backoff { failure } }
                }
                None => ended(Outcome::Failed { failure }),
            },
        }
    }

    /// When the run has ended, if `event`, which is recorded at `at`, ends it: when its program did, of which nobody may
    /// have heard for long. Whatever the clocks say, not before it began, nor before anything else that changed it.
    fn ends(&self, event: &Event, at: Timestamp) -> Timestamp {
        let exited = match event {
            Event::Done { report } | Event::StepPassed { report, .. } => report.exited_at,
            Event::Failed { failure } => failure.exited_at.as_deref().copied(),
            _ => None,
        };
        let before = [self.started_at, self.lease().map(|lease| lease.since), self.changed_at];
        let end = exited.map_or(at, |exited| exited.min(at));
        before.into_iter().flatten().fold(end, Ord::max)
    }
}

/// When an attempt begins that was claimed at `at`: what is taken a moment before it is due waits for that. The ledger
/// counts in microseconds.
fn begins(due: Timestamp, at: Timestamp) -> Timestamp {
    if due.as_microsecond() > at.as_microsecond() { due } else { at }
}

impl CancelRequest {
    fn outcome(&self) -> Outcome {
        cancelled(&self.by, self.reason.as_ref(), self.superseded_by)
    }

    /// The same where the worker was lost during a call: whoever has cancelled it has to know that it may have been made.
    fn outcome_of_lost_call(&self) -> Outcome {
        let lost = "its worker was lost during the call, which may have been made";
        let reason = self.reason.as_ref().map_or_else(|| lost.to_owned(), |reason| format!("{reason}; {lost}"));
        cancelled(&self.by, Some(&reason), self.superseded_by)
    }
}

fn cancelled(by: &By, reason: Option<&String>, superseded_by: Option<RunId>) -> Outcome {
    match superseded_by {
        Some(newer) => Outcome::Superseded { by: newer },
        None => Outcome::Cancelled { by: by.clone(), reason: reason.cloned() },
    }
}

/// It is made again under the same key, so whether it was answered is whom it called to know.
fn call_lost() -> Failure {
    Failure::new(FailureClass::Transient, LEASE_LOST, "the worker was lost during the call, which is made again")
}

fn lease_lost(step: Step) -> Failure {
    Failure::new(
        FailureClass::Uncertain,
        LEASE_LOST,
        format!("the worker was lost during `{step}`, and nobody saw how it ended"),
    )
    .hint("check what exists, then run it again")
}
