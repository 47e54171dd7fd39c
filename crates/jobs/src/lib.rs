//! Jobs and cronjobs inside a program of one's own.
//!
//! # Purpose
//!
//! A program makes jobs of several tasks, with parallelism, indexes, retries and deadlines as Kubernetes has them, and
//! schedules that make such jobs. They are runs of the engine: what was made is durable, and is taken back after the
//! program was killed, without a task lost or started twice.
//!
//! # Theory of operation
//!
//! [`Jobs`] puts together what the daemon does: a database and logs in one directory, the engine, and the part of the
//! executor that tasks need. Jobs are made by calls and live in the database. Cronjobs are declared by the program, at
//! [`Jobs::open`] and later, and live in its memory; when each was last due, and what became of its jobs, is in the
//! database. So a program declares the same ones at each start, and times that came due while it was down are dealt with as
//! each declares.
//!
//! Children belong to the keeper of the directory. A [`Supervisor`](piton_supervisor::Supervisor) may share it: neither
//! touches the children of the other.
//!
//! # Invariants
//!
//! - One program at a time has the directory (`embedding::a_second_program_is_refused`).
//! - A job that was made runs to its end, over restarts of the program, and each task once
//!   (`embedding::a_killed_program_takes_its_jobs_back`).
//!
//! # Deliberately absent
//!
//! HTTP, files of declarations and infrastructure code: that is what the daemon is for.
#![warn(missing_docs)]

mod error;
mod executor;
mod jobs;
mod place;

pub use error::Error;
pub use executor::Tasks;
pub use jobs::Jobs;
pub use piton_engine::{CronJob, CronJobRun, JobCondition, JobObject, JobPhase, Shutdown};
pub use piton_model::{Batch, Name, Program};
pub use place::Settings;
