//! `piton config …`

use clap::Subcommand;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and every declaration.
    Check,
    /// What is in force.
    Show {
        /// With where each value comes from.
        #[arg(long)]
        origin: bool,
    },
    /// Write an example `piton.toml`, with every key as a comment.
    Init {
        /// Print it in place of writing the file.
        #[arg(long)]
        stdout: bool,
    },
    /// A JSON schema of the configuration file.
    Schema,
}
