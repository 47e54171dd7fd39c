//! The keeper itself: one thread, one poll, no async.

mod capture;
mod connection;
mod environment;
mod group;
mod handover;
mod hold;
mod journal;
mod launcher;
mod place;
mod readiness;
mod requests;
mod spawn;
mod sweep;
mod table;
mod tree;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use capture::Captures;
use environment::{FileLimit, OomShield, Wakeups, close_inherited_on_exec, detach};
use handover::Handover;
use hold::{Keeper, Shields};
use place::Place;
use readiness::Readiness;
pub(crate) use spawn::refuse_start;
use table::Table;

use crate::BootId;

/// Why a keeper cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another keeper has the directory.
    #[error("another keeper{} already holds {}", in_brackets(*holder), dir.display())]
    Held {
        /// The directory.
        dir: PathBuf,
        /// The other keeper's pid, if it is known.
        holder: Option<u32>,
    },
    /// The directory, or a file the keeper needs in it, cannot be used.
    #[error("cannot use the directory {}: {source}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be opened.
    #[error("cannot listen on {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system refuses what a keeper cannot live without.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

fn in_brackets(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Holds children in `dir` until told to stop; blocks as long.
///
/// To be called first thing in a process of its own, before any thread exists: it leaves the session, takes over
/// signals, standard streams and the current directory of the whole process, and reaps every child the process ever
/// has.
pub fn run(dir: &Path) -> Result<(), Error> {
    if BootId::current().is_none() {
        let source = io::Error::other("/proc/sys/kernel/random/boot_id cannot be read");
        return Err(Error::System { what: "tell processes apart", source });
    }
    let place = Place::claim(dir)?;
    let mut handover = Handover::receive();
    let files = FileLimit::raise(handover.nofile);
    close_inherited_on_exec();
    let pipes = handover.take_pipes();
    place.redirect_output()?;
    detach();
    // The handlers have to stand before the first look at the children, or an end between the two would go unnoticed.
    let wakeups = Wakeups::install().map_err(|source| Error::System { what: "catch signals", source })?;
    let oom = OomShield::raise();
    oom.hide_this_process();
    let table = Table::open(place.dir()).map_err(|source| Error::Directory { dir: place.dir().to_owned(), source })?;
    let listener = place.listen()?;
    let mut captures = Captures::new().map_err(|source| Error::System { what: "watch pipes", source })?;
    captures.take_over(pipes, handover.losses);
    let readiness = Readiness::new().map_err(|source| Error::System { what: "wait for events", source })?;
    Keeper::new(place, Shields { files, oom }, wakeups, readiness, table, captures, listener).hold()
}

/// Writes a line into the keeper's diary.
fn note(what: fmt::Arguments<'_>) {
    let now = now_unix_us();
    // If the diary cannot be written there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{}.{:06} {what}", now / 1_000_000, now % 1_000_000);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the keeper runs in real time only, and nothing is decided by this value"
)]
fn now_unix_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
