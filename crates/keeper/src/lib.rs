//! The keeper: the small process that parents every child, so that children outlive the daemon.
//!
//! # Purpose
//!
//! A child whose parent dies loses the one who may learn its exit status; a child whose output is a pipe dies with the
//! reader. A tool killed that way in the middle of an apply loses its state and leaves its lock behind. So neither the
//! daemon's crash nor its upgrade may touch a child: children belong to the keeper, and write to files, or to logs that
//! the keeper writes.
//!
//! # Theory of operation
//!
//! [`run`] is the keeper: one single-threaded process per data directory that does nothing but poll a Unix socket and
//! the arrival of signals. It starts children on request, each in its own process group and under a [`Token`] of the
//! caller's choice, reaps them, and keeps each exit status until the caller acknowledges it. [`client::Client`] is the
//! other end of the socket, for tokio.
//!
//! Everything the keeper promises to remember is a line in its journal, `DIR/keeper/journal`:
//!
//! 1. before a child is started, that it is about to be;
//! 2. when it runs, its [`ProcessIdentity`];
//! 3. when it ended, how: synced to the disk *before* anybody is told, if anybody may ask after a reboot;
//! 4. when it was acknowledged, that it may be forgotten.
//!
//! A keeper that finds a journal takes over what it says. Children that are still its own (it was upgraded in place)
//! run on as before; children whose keeper was killed become [`State::Orphaned`]: watched through a pidfd, still
//! signalled and swept, but their status is [`ExitStatus::Unknown`], because only a parent may ask for it.
//!
//! A child's output goes to a file that it has open itself, which no end of a keeper disturbs; or, for services, to a
//! log ([`Output::Log`]), that is through a pipe of the keeper, which rotates the file. Bytes leave the pipe only for
//! the file, so a keeper that is upgraded in place hands the pipes over and loses nothing. While the disk takes nothing
//! the child waits, after some seconds its output is thrown away and counted, and the log says how much was lost as soon
//! as it can. Each pipe is served in turn and each round of the loop moves a bounded amount.
//!
//! A child with [`Limits`] is started by way of a launcher: the keeper's own program once more, which applies them to
//! itself and becomes the child's program, or says precisely why not ([`launch_if_asked`]).
//!
//! Who belongs to a child's tree is read from `/proc`: its group, its descendants, and every process that carries its
//! token in the environment, which survives `setsid` and the double fork. As a subreaper the keeper reaps the orphans
//! among them.
//!
//! # Invariants
//!
//! - Until it is acknowledged, a token is started at most once, also when a keeper is killed in the middle of starting
//!   it (`spawn::a_token_is_started_once`, `crash::a_token_is_started_once_however_often_the_keeper_dies`).
//! - An announced exit is in the journal; it stays known until it is acknowledged (`crash::exits_outlive_the_keeper`).
//!   It is also on the disk, unless the child was started as one of which nobody asks after a reboot ([`Remembered`]).
//!   Only where the disk refuses is it announced from memory, and written as soon as the disk lets it.
//! - A log is complete and in order over rotations and upgrades, and what a child wrote is in it when its end is
//!   announced (`logs`); what had to be thrown away is counted in it (`full_disk`).
//! - A child has the limits it was given from its first instruction, or is not started and it is said why (`limits`).
//!   Only what needs a control group may be missing; the child's warnings say so.
//! - A child that floods its log delays nobody else (`logs::a_flood_drowns_nobody`).
//! - No zombie stays (`reap::a_thousand_quick_children`).
//! - A child gets the given environment, descriptors 0 to 2 and default signal handling, whatever the keeper inherited
//!   (`spawn`).
//! - No signal reaches a process that is not the child's: pids are checked against their start, groups against their
//!   session.
//! - One keeper per directory, by a lock that ends with its holder (`place::one_keeper_per_directory`).
//! - No child that can gain no privileges, as all confined code, gives the keeper orders
//!   (`wire::children_that_are_held_down_are_not_listened_to`).
//! - The keeper never writes environments or arguments to disk or log: they hold secrets.
//!
//! # Deliberately absent
//!
//! No restart policy, timeout or stop sequence, no compression or age of logs: these are the daemon's, and change more
//! often than the keeper may. No network and no tokio in the keeper's half. No control group for a child that needs none
//! for its limits: its orphan that leaves group and session *and* wipes its environment escapes a sweep. After a
//! `kill -9` of the keeper nobody reads the pipes of logs, and who writes to them is killed by the kernel.

mod child;
pub mod client;
pub mod footprint;
pub mod frame;
mod identity;
mod keeper;
mod launch;
mod limits;
mod lineage;
mod os_text;
mod proc_table;
pub mod protocol;
mod signal;
mod spec;
mod token;

pub use child::{Child, ExitStatus, Exited, State};
pub use identity::{BootId, ProcessIdentity, is_alive};
pub use keeper::{Error, run};
pub use launch::launch_if_asked;
pub use limits::{Identity, Limits};
pub use lineage::{is_held_down, lineage};
pub use signal::{Signal, UnknownSignal};
pub use spec::{KEEPER_VARIABLE, LogFile, Output, Remembered, Spec, SpecError, TOKEN_VARIABLE};
pub use token::{Token, TokenError};

/// The keeper's socket, inside its directory.
pub const SOCKET_NAME: &str = "keeper.sock";
/// The keeper's diary, inside its directory.
pub const LOG_NAME: &str = "keeper.log";
/// With what a keeper exits that finds another one in its directory, as in `sysexits.h`.
pub const EX_TEMPFAIL: u8 = 75;
