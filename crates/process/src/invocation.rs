//! What is asked for, and what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use piton_keeper::{ExitStatus, Limits};

use crate::StopSequence;

/// One command, complete.
#[derive(Clone)]
pub struct Invocation {
    /// Names this one execution for ever: `<run>/<attempt>/<step>/<what>`.
    pub token: String,
    /// The program and its arguments; the program is looked up in the `PATH` of [`Invocation::env`].
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited. See [`Environment`](crate::Environment).
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: PathBuf,
    /// The line shown above the output, such as `$ tofu plan`.
    pub header: String,
    /// How to stop it.
    pub stop: StopSequence,
    /// As whom and within which limits it runs.
    pub limits: Limits,
}

impl std::fmt::Debug for Invocation {
    /// Arguments and environment hold secrets: only what identifies the command is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let program = self.argv.first();
        f.debug_struct("Invocation").field("token", &self.token).field("program", &program).finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its status; never [`ExitStatus::Unknown`], which is [`Error::Lost`](crate::Error::Lost).
    pub status: ExitStatus,
    /// When, as its keeper noticed it: that may be long before anybody asked.
    pub ended_at: Timestamp,
    /// It was sent a signal because it was to be stopped.
    pub stopped: bool,
    /// It took SIGKILL from us: nothing was saved, and nothing may be assumed.
    pub killed: bool,
    /// How many processes it left behind, which were then killed.
    pub swept: usize,
}

impl Exit {
    /// Whether it ended by itself and well.
    pub fn success(self) -> bool {
        self.status.success()
    }
}

/// A command that ended whose output belongs into a log.
#[derive(Debug)]
pub struct Attended {
    /// Its end, which is known whatever became of the log.
    pub exit: Exit,
    /// Why the log is not complete, where it is not.
    pub unwritten: Option<piton_logs::Error>,
}

/// How a command ended whose output is meant for a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Its end.
    pub exit: Exit,
    /// The file with its standard output. It was not redacted. It is gone after
    /// [`Runner::release`](crate::Runner::release).
    pub stdout: PathBuf,
    /// The file with its standard error. Neither was this.
    pub stderr: PathBuf,
}
