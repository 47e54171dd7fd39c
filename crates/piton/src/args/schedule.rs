//! `piton schedule …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{count, name};

/// What to do with scheduled provisions. A daemon executes them; all else works without one, too.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Schedule what a file asks for: one request, or a list of which all or none are taken.
    Create {
        /// The file, JSON or YAML; `-` is standard input.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Schedule what the lines of a file ask for, each by itself.
    Import(ImportArgs),
    /// What is scheduled, the latest time first.
    List(ListSchedulesArgs),
    /// One scheduled provision in full.
    Show {
        /// Its id.
        #[arg(value_parser = name())]
        id: String,
    },
    /// Nobody wants it any more.
    Cancel {
        /// Its id.
        #[arg(value_parser = name())]
        id: String,
    },
    /// Execute it now, whatever its time is. This takes a daemon.
    Execute {
        /// Its id.
        #[arg(value_parser = name())]
        id: String,
    },
    /// Give it another time.
    Reschedule(RescheduleArgs),
    /// Agree to one that needs it.
    Approve {
        /// Its id.
        #[arg(value_parser = name())]
        id: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Refuse one that needs somebody who agrees.
    Reject {
        /// Its id.
        #[arg(value_parser = name())]
        id: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Try one once more that failed or was cancelled. This takes a daemon.
    Retry {
        /// Its id.
        #[arg(value_parser = name())]
        id: String,
    },
}

/// Which file.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file: .csv with a line of titles, or .ndjson or .jsonl; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What the file is, where its name does not say so.
    #[arg(long, value_enum)]
    pub format: Option<ImportFormat>,
    /// All lines or none.
    #[arg(long)]
    pub atomic: bool,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// A table.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

/// Which of them.
#[derive(Debug, Clone, Args)]
pub struct ListSchedulesArgs {
    /// Only pending, executing, completed, failed or cancelled ones.
    #[arg(long)]
    pub status: Option<String>,
    /// Only those with this tag.
    #[arg(long)]
    pub tag: Option<String>,
    /// Only those of this type, such as terminate.
    #[arg(long = "type", value_name = "TYPE")]
    pub job_type: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = count())]
    pub limit: usize,
}

/// Which time.
#[derive(Debug, Args)]
pub struct RescheduleArgs {
    /// Its id.
    #[arg(value_parser = name())]
    pub id: String,
    /// The time: 2026-01-05T09:00:00Z, or 2026-01-05T09:00 in its time zone.
    #[arg(value_name = "TIME")]
    pub time: String,
    /// The time zone in which it is meant.
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Take a time that has passed, and execute it at once.
    #[arg(long)]
    pub allow_past: bool,
}
