//! Runs one command well, through the keeper.
//!
//! # Purpose
//!
//! A step of a run is a command of somebody else's: `tofu apply`, a script. To run it well means to know for certain
//! how it ended, to have all of its output, to stop it so that it can save what it did, to leave none of its processes
//! behind, and to survive one's own death at any moment without it noticing.
//!
//! # Theory of operation
//!
//! [`Runner`] asks the keeper to start the command under a token, with its output in a file, and then does three things
//! side by side: it waits for the end, carries the output into the run's log, and, once asked to stop, works through a
//! [`StopSequence`]. After the end it has the rest of the process tree killed, reads the output to where it ends
//! *then*, and reports.
//!
//! Everything is idempotent by token. A daemon that comes back calls [`Runner::run`] again: if the command still runs
//! it is attached to, if it ended meanwhile its recorded exit is reported, and the log is continued where it stops.
//! Dropping the future is how a daemon detaches.
//!
//! What somebody else's code must not see is hidden from it by [`confinement`], which is asked for in the command line.
//!
//! If the keeper dies, another is started. It takes the children over from the journal and sees their end, but not how
//! they ended: [`Error::Lost`] says so, once the process is gone.
//!
//! # Invariants
//!
//! - A token is started at most once, whatever is dropped, killed or repeated (`attach::*`, `keeper_dies::*`).
//! - [`Error::Lost`] comes after the end of the process, never before (`keeper_dies::*`).
//! - The end of the main process is the end: a grandchild that holds the output open delays nothing (`tree::*`).
//! - The log has the whole output, once, in order (`output::*`, `attach::*`).
//! - A log that cannot be written hides no exit, and keeps nobody from attending to what runs (`unlogged::*`).
//! - SIGKILL is sent only as the last stage of a stop, or to what the main process left behind (`stop::*`, `tree::*`).
//! - Nothing is inherited from the daemon's environment but what is listed (`environment::tests`).
//!
//! # Deliberately absent
//!
//! No retries and no timeouts: a timeout is a stop that somebody asks for. No interpretation of exit codes. No pseudo
//! terminal: a command whose terminal goes away is killed by it.

mod accounts;
mod age;
mod attend;
pub mod confinement;
mod environment;
mod error;
mod invocation;
mod keeping;
mod limits;
pub mod orphan;
mod runner;
mod stop;
pub mod wait;

/// Which process a pid means, over restarts and clock changes.
pub mod identity {
    pub use crate::age::{after_boot, age_of, boot_time, since_boot};
    pub use piton_keeper::{BootId, ProcessIdentity, is_alive};
}

pub use accounts::{AccountError, User};
pub use environment::{Environment, EnvironmentError, Policy};
pub use error::Error;
pub use invocation::{Attended, Captured, Exit, Invocation};
pub use keeping::Keeping;
pub use limits::limits_of;
pub use piton_keeper::client::Error as KeeperError;
pub use piton_keeper::protocol::{RefusalKind, Target};
pub use piton_keeper::{Child, ExitStatus, Limits, LogFile, Output, Signal, Spec, State, Token, TokenError};
pub use runner::Runner;
pub use stop::{Stage, StopSequence};
