//! `piton job …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{count, name};

/// Which jobs, and what to do with them.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// Jobs of this workspace, in place of the standalone ones.
    #[arg(long, value_name = "NAME", global = true, value_parser = name())]
    pub workspace: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: JobCommand,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// What is declared.
    List,
    /// How jobs are doing, or one of them in full.
    Status {
        /// Only this one.
        #[arg(value_parser = name())]
        name: Option<String>,
    },
    /// Run a job now, following its output.
    Run {
        /// The job.
        #[arg(value_parser = name())]
        name: String,
        /// Print the run's id and leave.
        #[arg(long)]
        detach: bool,
    },
    /// Stop a job that is running.
    Kill {
        /// The job.
        #[arg(value_parser = name())]
        name: String,
    },
    /// The log of the latest run.
    Logs {
        /// The job.
        #[arg(value_parser = name())]
        name: String,
        /// Go on until the run ends.
        #[arg(short, long)]
        follow: bool,
        /// Only so many last lines.
        #[arg(long, value_name = "LINES")]
        tail: Option<usize>,
    },
    /// Declare a standalone job or a cronjob by a file, or make a job of several tasks, which runs at once.
    Create {
        /// The file: .json, .toml or .yaml; `-` for JSON from standard input.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Remove the declaration of a standalone job, or stop and remove a job of several tasks.
    Delete {
        /// The job.
        #[arg(value_parser = name())]
        name: String,
    },
    /// Let a job's schedule rest.
    Suspend {
        /// The job.
        #[arg(value_parser = name())]
        name: String,
    },
    /// Let a job's schedule go on.
    Resume {
        /// The job.
        #[arg(value_parser = name())]
        name: String,
    },
    /// Earlier runs of a job.
    History {
        /// The job.
        #[arg(value_parser = name())]
        name: String,
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = count())]
        limit: usize,
    },
}
