//! `piton run …`

use clap::{Args, Subcommand};

use super::{count, name};

/// What to do with runs. An id may be abbreviated to six or more of its first or last characters; a run that makes a
/// repository has the name that its message calls it, too.
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// The latest runs.
    List(ListArgs),
    /// One run in full.
    Show {
        /// The run.
        #[arg(value_parser = name())]
        id: String,
    },
    /// The log of a run.
    Logs {
        /// The run.
        #[arg(value_parser = name())]
        id: String,
        /// Go on until the run ends.
        #[arg(short, long)]
        follow: bool,
        /// Only so many last lines.
        #[arg(long, value_name = "LINES")]
        tail: Option<usize>,
    },
    /// Approve the plan that a run waits with, and follow what it does.
    Approve {
        /// The run.
        #[arg(value_parser = name())]
        id: String,
        /// Only the plan with this digest, so that what was looked at is what happens.
        #[arg(long)]
        digest: Option<String>,
        /// Leave at once.
        #[arg(long)]
        detach: bool,
    },
    /// Reject the plan that a run waits with.
    Reject {
        /// The run.
        #[arg(value_parser = name())]
        id: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Ask a run to stop; it may finish what it cannot leave half done.
    Cancel {
        /// The run.
        #[arg(value_parser = name())]
        id: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Do the same again in a new run.
    Retry {
        /// The run.
        #[arg(value_parser = name())]
        id: String,
        /// Print the new run's id and leave.
        #[arg(long)]
        detach: bool,
    },
    /// Why a run waits, or why it ended as it did.
    Explain {
        /// The run.
        #[arg(value_parser = name())]
        id: String,
    },
}

/// Which runs.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// `workspace`, `job`, `deployment`, `provision` or `scaffold`.
    #[arg(long, value_parser = ["workspace", "job", "deployment", "provision", "scaffold"])]
    pub kind: Option<String>,
    /// `workspace/NAME`, `job/NAME`, `job/WORKSPACE/NAME`, `provision/ID` or `scaffold/RUN_ID`.
    #[arg(long)]
    pub subject: Option<String>,
    /// A state or an outcome: pending, running, gated, ended, succeeded, failed, timed_out, cancelled, …
    #[arg(long)]
    pub state: Option<String>,
    /// Submitted since then: a time, a date, or how long ago (`90m`, `2d`).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = count())]
    pub limit: usize,
    /// Due times that made no run, and why, in place of runs.
    #[arg(long, conflicts_with_all = ["kind", "state"])]
    pub skipped: bool,
}
