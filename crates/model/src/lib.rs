//! The nouns of Piton, the transitions of a run and the invariants of the ledger.
//!
//! # Purpose
//! Every other crate speaks in these types. Nothing here waits, reads a clock, touches a file or knows which of the
//! five dialects a declaration came from.
//!
//! # Theory of operation
//! A [`Trigger`](Origin) turns a declaration into a [`Run`]: one durable execution of a frozen [`Action`] for one
//! [`Subject`]. A run has four states ([`RunState`]) and exactly one function changes them: [`Run::apply`]. Each change
//! is an [`Event`]; the state of a run is the fold of its events, and what people see of a workspace or a job
//! ([`Projection`]) is folded from the same events in the same transaction.
//!
//! # Invariants
//! - An ended run never changes ([`Run::apply`] refuses every event).
//! - The attempt number rises with every claim and fences every write of that attempt.
//! - An approval names the digest of the plan that was shown; another digest is refused.
//! - A step that may have had an effect outside is never repeated blindly: losing its lease ends the run as
//!   [`Outcome::Indeterminate`].
//!
//! [`audit`](mod@audit) states these once for tests, simulations and `piton doctor`.
//!
//! # Deliberately absent
//! Storage, scheduling policy (see `piton-engine`), parsing of files (see `piton-spec`).
#![warn(missing_docs)]

mod account;
mod action;
mod ascending;
pub mod audit;
mod backoff;
pub mod batch;
mod deed;
mod event;
mod failure;
mod gate;
pub mod guard;
mod hook;
mod hook_order;
mod identity;
mod json_pointer;
mod lease;
mod origin;
mod outcome;
mod process;
mod projection;
mod provision;
mod remote;
mod report;
mod role;
mod run;
mod scaffold;
mod scheme;
mod secret;
mod subject;
mod uptime;

pub use account::{ApiClient, ApiClientChange, SigningKey, User, UserChange};
pub use action::{
    Action, Approval as ApprovalPolicy, BatchStep, Command, CommandStep, CustomCommands, GitAuth, GitSource, Iac,
    IacStep, Operation, Program, ProvisionStep, RemoteStep, ScaffoldStep, Source, Step, ToolChoice,
};
pub use ascending::Ascending;
pub use backoff::Backoff;
pub use batch::{
    Batch, BatchCounts, BatchEnd, BatchProgress, BatchReason, CodeOperator, CompletionMode, DISRUPTION_TARGET,
    FailureAction, FailureRule, SuccessRule, TaskCondition, TaskRestart,
};
pub use deed::{Act, Deed};
pub use event::{Event, LedgerEntry, Record, SkipReason};
pub use failure::{Failure, FailureClass};
pub use gate::{Approval, Decision, Gate};
pub use hook::{FailureMode, Hook, HookPhase, Hooks, RunMode};
pub use hook_order::{AfterTry, HOOK_RETRY_DELAY, HookOutcome, NextHook, NextHooks, next_hooks};
pub use identity::{AttemptNo, By, DedupKey, Digest, InvalidName, LockKey, Mode, Name, Rev, RunId, Seq, WorkerId};
pub use json_pointer::json_pointer;
pub use lease::Lease;
pub use origin::{Origin, TriggerWord};
pub use outcome::{Outcome, OutcomeKind};
pub use process::{
    Confinement, Dependency, DependencyCondition, Detector, Group, OutputPolicy, Probe, ProbeCheck, Probes, Process,
    RestartPolicy, RestartWhen, Rlimit, StartPolicy, StopPolicy, StopStage,
};
pub use projection::{JobState, JobStatus, Projection, WorkspacePhase, WorkspaceState};
pub use provision::{
    Alteration, Answer, ApprovalStatus, Exchange, JobType, LEASE_NOT_RENEWED, NewProvision, NotAltered, Provision,
    RowChange, ScheduleId, ScheduleStatus, ScheduledProvision, UnknownWord, Unsent, inexact,
};
pub use remote::{Hearing, Remote, RemoteNews, RemoteStatus, RemoteWord};
pub use report::{OutputValue, PlanSummary, Report, ResourceChange, ToolUsed};
pub use role::Role;
pub use run::{CancelRequest, IllegalTransition, NewRun, Phase, Resume, Run, RunState, Sealed};
pub use scaffold::{GitProvider, RepositoryVisibility, Scaffold, ScaffoldId, ScaffoldKind, ScaffoldedRepository};
pub use scheme::with_lower_scheme;
pub use secret::Secret;
pub use subject::{Subject, SubjectKind};
pub use uptime::Uptime;
