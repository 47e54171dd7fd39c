//! Keeps processes running.
//!
//! # Purpose
//!
//! A process is declared once and then stays up: started when it should be, started again when it ends, stopped when
//! somebody asks, and found again, with its process id, its age and its count of restarts, by a daemon that was killed.
//!
//! # Theory of operation
//!
//! [`Supervisor`] is a handle. Behind it one task, the actor, owns a state machine for each instance and is the only one
//! who asks the keeper for their children. The machine (`instance`) is pure: what happened goes in, the next state and
//! what has to be done come out. The actor waits for commands, for ends that the keeper tells, for probes and timers;
//! whatever takes time is done beside it, and starts and signals reach the keeper in the order in which they were decided
//! (`actor::lane`). What people see is written to a board that is read without asking the actor.
//!
//! What somebody wants (started, stopped, how many) is remembered by a [`Memory`] before it is done. What *is* stands in
//! the keeper, under tokens that carry the instance, its count of restarts and a digest of what it was started from: a
//! supervisor that comes back needs nothing else. So a child that ended is acknowledged only once its successor runs, or
//! nobody wants one.
//!
//! What the keeper has put aside of logs is compressed and removed beside all that, as it is declared.
//!
//! A start waits for what the process depends on and for instances that are on their way out under an old name; stops go
//! the other way. A declaration is compared with the one before: what a running child cannot be given replaces the
//! child, everything else changes in place.
//!
//! # Invariants
//!
//! - An instance has at most one child, whatever is killed when
//!   (`instance::tests::whatever_happens_a_stop_ends_in_stopped`, `adoption::*`).
//! - A stop ends in stopped, with nothing left of the child's tree (the same, `stops::*`).
//! - What is fatal stays so until somebody starts it (the same, `life::flapping_is_given_up_until_a_hand_starts_it`). A
//!   new supervisor is somebody.
//! - A declaration that did not change touches nothing that runs, also over restarts (`declarations::*`,
//!   `adoption::what_changed_meanwhile_is_replaced_and_what_did_not_is_not`).
//! - A supervisor that comes back finds process ids, ages and counts of restarts as they were
//!   (`adoption::a_supervisor_that_comes_back_finds_everything_as_it_was`).
//! - Whose output is lost with its keeper says so until it is another child
//!   (`adoption::whose_output_died_with_the_keeper_says_so`).
//! - A hook is run once and ends in its time, also over restarts (`hooks::*`).
//! - Nothing is done that could not be remembered (`refusals::what_cannot_be_remembered_is_not_done`).
//!
//! # Deliberately absent
//!
//! Files and their formats, HTTP, and schedules: jobs that end are runs, and not of this crate.

mod actor;
mod board;
mod clock;
mod command;
pub mod detector;
mod error;
pub mod hook;
mod incarnation;
mod instance;
mod launch;
mod look;
pub mod measure;
mod memory;
mod order;
mod patience;
pub mod pid_file;
pub mod probe;
mod real_time;
mod selector;
mod status;
mod supervisor;
mod upkeep;

pub use command::{Surroundings, clear_asked};
pub use error::Error;
pub use incarnation::is_supervised;
pub use memory::file::FileMemory;
pub use memory::{Memory, Remembering, Wish};
pub use piton_keeper::ExitStatus;
pub use selector::{InvalidSelector, Selector};
pub use status::{Change, GroupState, GroupStatus, InstanceState, InstanceStatus, LastExit, Observed, Usage};
pub use supervisor::{Declared, Settings, Supervisor};
