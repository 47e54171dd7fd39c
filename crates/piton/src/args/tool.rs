//! `piton tool …`

use clap::Subcommand;

use super::name;

/// What to do with the tools.
#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// What is installed.
    List,
    /// Download and verify a version.
    Install {
        /// `tofu` or `terraform`.
        #[arg(value_parser = ["tofu", "opentofu", "terraform"])]
        tool: String,
        /// The version, or `latest`.
        #[arg(value_parser = name())]
        version: String,
    },
    /// What would run the code here or of a workspace, and why.
    Which {
        /// The workspace [default: the code in the current directory].
        #[arg(value_parser = name())]
        workspace: Option<String>,
    },
}
