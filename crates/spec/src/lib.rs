//! Text of every dialect becomes a catalog of declarations and a list of diagnostics.
//!
//! # Purpose
//! People write `workspaces/NAME/config.json`, `jobs/*.json`, `programs/*.toml`, `templates/registry.json` and
//! `piton.toml`. [`load`] turns all but the last into a [`Catalog`] of typed, validated declarations, with the processes
//! that the last declares too; [`Config`] is the rest of it.
//!
//! # Theory of operation
//! Every format is parsed into one tree whose values remember where they stood. Typed readers walk that tree, take
//! what they know and record what is wrong, each with file, line, column, field and hint ([`Diagnostic`]), so one look
//! finds everything. A declaration without errors becomes part of the catalog; then declarations are joined to what
//! they refer to (templates, files, other jobs).
//!
//! # Invariants
//! - The catalog only ever holds valid declarations. A broken file keeps the last good version of what it declares.
//! - One bad file never affects what another file declares.
//! - No input panics or exhausts the stack or the memory: sizes, depths and the number of diagnostics are bounded.
//! - Reading twice what did not change yields equal catalogs: `Catalog::diff(a, a)` is empty.
//! - The environment is a parameter, never read from the process.
//!
//! # Deliberately absent
//! Watching files, deciding when something is due (see `piton-engine`), fetching templates (see `piton-exec`).
#![warn(missing_docs)]

mod cache;
mod catalog;
mod config;
mod diagnostic;
mod document;
mod duration;
mod fields;
mod job;
mod layout;
pub mod legacy;
mod load;
mod locate;
mod order;
mod placeholder;
pub mod provisr;
mod read_job;
mod read_workspace;
mod schedule;
mod standalone;
mod suggest;
mod template;
mod tree;
mod workspace;

pub use catalog::{Catalog, Change, DeclaredIn, DeclaredProcess};
pub use config::{
    ArchiveSettings, AuthConfig, ClientAuth, Config, Confine, ControlPlane, Deployments, EncryptionKeys, Explained,
    Forges, GitRemote, GitSettings, GoogleProvider, History, HostedForge, IacSettings, Listen, LogFormat, LogLevel,
    LogOutput, Logging, Metrics, MicrosoftProvider, Named, Origin, ProcessMetrics, Processes, Provisioning, Scheduler,
    Server, Sources, Tls, TlsIdentity, TlsSubject, TlsVersion, Worker,
};
pub use diagnostic::{Diagnostic, Place, Severity};
pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use job::{Extras, Job, JobWork, RunRules, STANDALONE};
pub use layout::{Configuration, Defaults, Layout};
pub use load::load;
pub use locate::{Step, locate};
pub use piton_cron::cronjob::ConcurrencyPolicy;
pub use schedule::{CatchUp, Effect, JobTrigger, ScheduleLine};
pub use template::{Registry, Template};
pub use workspace::{Workspace, WorkspaceCommands};
