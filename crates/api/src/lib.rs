//! Wire types, error codes and the typed client.
//!
//! # Purpose
//! What travels between Piton and those who talk to it, in JSON. These types are the stable outside: they repeat some
//! shapes of the model on purpose, so that the model may change without breaking anybody.
//!
//! # Theory of operation
//! The server builds these types and nothing else; the [`Client`] reads them: over TCP ([`Http`]), over a unix
//! socket, or straight from a router in the same process. Every error is a [`Problem`] (RFC 9457) with a stable [`code`](Problem::code).
//!
//! # Invariants
//! Unknown members are ignored when reading, absent ones have defaults: an older client reads a newer server.
//! Credentials go to the server that they are for: a redirect is an error, and nothing secret is in an address.
//!
//! # Deliberately absent
//! Any dependency on the model or the engine.
#![warn(missing_docs)]

mod auth;
mod batch;
mod client;
mod deploy;
mod job;
mod page;
mod problem;
mod process;
mod report;
mod run;
mod schedule;
mod skip;
mod sse;
mod status;
mod template;
mod workspace;

pub use auth::{
    ApiClient, ApiClientChange, ApiClients, AuditEntry, AuthStatus, BootstrapRequest, Done, KeyRotation, LoginAnswer,
    LoginMethod, LoginRequest, Me, NewApiClient, NewApiClientAnswer, NewUser, PasswordChange, Token, User, UserChange,
    Users,
};
pub use batch::{
    ActiveJob, BatchJob, CronJob, CronJobRun, CronJobSpec, CronJobStatus, JobCondition, JobSpec, JobStatus, OneOrMany,
    Scheduled, ScheduledDraft,
};
pub use client::{
    BadServerUrl, Body, Client, Credentials, Error, Http, LogItem, LogStart, ServerUrl, TlsError, TlsOptions,
    TlsVersion, Transport,
};
pub use deploy::{
    DeployTool, DeploymentAnswer, DeploymentStarted, DeploymentStatus, DeploymentSummary, Flags, GitCredentials,
    NewDeployment,
};
pub use job::{Job, JobDraft};
pub use page::Page;
pub use problem::{Fault, Problem};
pub use process::{
    GroupMember, MetricsAnswer, ProcessDebug, ProcessGroup, ProcessHistoryRow, ProcessLog, ProcessLogLine,
    ProcessMetrics, ProcessMetricsGroup, ProcessMetricsHistory, ProcessSpec, ProcessStatus, ProcessesDone, Scale,
    SettingsStatus, StatusAnswer,
};
pub use report::{LogReport, LogReportLine, Reported, StatusReport};
pub use run::{
    ApproveRequest, CancelRequest, Explanation, Failure, Gate, Origin, Output, Plan, PlanChange, ProvisionAnswer,
    ProvisionExchange, Run, ScaffoldedRepository, Submitted, Tool, check_reason,
};
pub use schedule::{ApprovalRequest, BulkAnswer, BulkError, BulkResult, NewSchedule, Reschedule, Schedule};
pub use skip::Skip;
pub use sse::{SseEvent, SseParser};
pub use status::{Diagnostic, Overview, ServedBy, Version};
pub use template::{NewTemplate, Template, TemplateUpdate, Validation, ValidationFinding};
pub use workspace::{DeployRequest, ModeRequest, ScheduleLine, Upcoming, Workspace};
