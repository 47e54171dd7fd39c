//! Touches the world for a run: infrastructure code, commands, templates, git.
//!
//! # Purpose
//!
//! A run is a list of steps. This crate does one step of one run at a time, and says how it went: what was found out, or
//! a [`Failure`](piton_model::Failure) that decides what happens next.
//!
//! # Theory of operation
//!
//! [`Exec::step`] is called by whoever holds the run. It starts children through `piton-process`, under tokens made of run,
//! attempt, step and purpose. Because a token is started at most once, a step may be called again after the daemon was
//! killed at any moment: children that run are taken over, those that ended give their recorded end, and what comes
//! between children (copying files, reading a plan) is made to be repeated.
//!
//! What changes the world (`apply`, the program of a job) leaves a mark on the disk before it is started. A step that is
//! resumed, finds the mark and hears that nobody knows the child is the one case in which nobody can say what happened:
//! it fails as uncertain and is never tried again by itself.
//!
//! The thinking is done by pure modules: `plan` reads `show -json`, `verdict` tells what an exit means, `said` finds the
//! error in a tool's output, `environment` tells which values are secret.
//!
//! # Invariants
//!
//! - A plan is applied only if its file has the digest that the run recorded, and, where approval was asked for, if that
//!   approval names the digest of this very plan.
//! - Nothing that a declaration calls secret is on a command line or in a report; the log masks it.
//! - No file outside the source is read when a deployment directory is laid out, and none outside it is written.
//! - Where confinement is on, code sees nothing of what Piton keeps but its own deployment and its own run's work.
//! - State files, provider caches and lock files in a deployment directory are not Piton's, and stay.
//! - Dropping a step's future never harms a child.
//!
//! # Deliberately absent
//!
//! When and whether a run starts, retries, timeouts (the caller cancels the step's token), and what a workspace's state
//! becomes. Choosing and fetching tools is `piton-tools`.
#![warn(missing_docs)]

pub mod archive;
mod batch;
mod command;
mod config;
mod confine;
mod durable;
mod environment;
mod failing;
pub mod git;
pub mod guard;
mod hooks;
mod iac;
mod nearest;
mod pass;
mod plain;
mod plan;
mod real_time;
pub mod registry;
pub mod request;
mod retire;
mod run_files;
mod safe;
mod said;
mod step;
pub mod templates;
mod tree;
mod verdict;

pub use config::Config;
pub use confine::Confine;
pub use git::Git;
pub use step::{Exec, Passed, StepInput};
pub use templates::Templates;
pub use tree::Error as TreeError;
