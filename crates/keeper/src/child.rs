//! What the keeper knows of a child.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Output, ProcessIdentity, Token};

/// A child the keeper holds: started under a token and not yet acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// The caller's name for it.
    pub token: Token,
    /// Which process it is, unmistakably.
    pub identity: ProcessIdentity,
    /// Where it is in its life.
    pub state: State,
    /// When it was started, in microseconds since 1970. For people: clocks step, so nothing is decided by it.
    pub spawned_at_unix_us: i64,
    /// Where its standard output goes.
    pub stdout: Output,
    /// Where its standard error goes.
    pub stderr: Output,
    /// What was asked for and could not be had, in words; the child runs without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Child {
    /// How it ended, if it did.
    pub fn exit(&self) -> Option<ExitStatus> {
        self.exited().map(|exited| exited.status)
    }

    /// How and when it ended, if it did.
    pub fn exited(&self) -> Option<Exited> {
        match self.state {
            State::Exited { status, at_unix_us } => Some(Exited { status, at_unix_us }),
            State::Running | State::Orphaned => None,
        }
    }
}

/// The end of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exited {
    /// How.
    pub status: ExitStatus,
    /// When this was noticed, in microseconds since 1970.
    pub at_unix_us: i64,
}

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Alive, and this keeper is its parent.
    Running,
    /// Alive, but the keeper that started it died: its end will be noticed, its status cannot be.
    Orphaned,
    /// Ended.
    Exited {
        /// How.
        status: ExitStatus,
        /// When this was noticed, in microseconds since 1970.
        at_unix_us: i64,
    },
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It ended unseen: the keeper that was its parent had been killed, or the machine went down.
    Unknown,
}

impl ExitStatus {
    /// Whether it is certain that the child succeeded.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "killed by signal {number}"),
            Self::Unknown => f.write_str("ended unseen"),
        }
    }
}
