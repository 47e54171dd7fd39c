//! `piton workspace …`

use clap::Subcommand;

use super::name;

/// What to do with workspaces.
#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// What is declared.
    List {
        /// In full.
        #[arg(long)]
        detailed: bool,
    },
    /// Where workspaces stand, or one of them in full.
    Status {
        /// Only this one.
        #[arg(value_parser = name())]
        name: Option<String>,
    },
    /// Deploy a workspace now, following its log.
    Deploy {
        /// The workspace.
        #[arg(value_parser = name())]
        name: String,
        /// The mode, for a workspace with modes.
        #[arg(value_parser = name())]
        mode: Option<String>,
        /// Print the run's id and leave.
        #[arg(long)]
        detach: bool,
    },
    /// Show what a deployment would change.
    Plan {
        /// The workspace.
        #[arg(value_parser = name())]
        name: String,
        /// The mode, for a workspace with modes.
        #[arg(value_parser = name())]
        mode: Option<String>,
        /// Print the run's id and leave.
        #[arg(long)]
        detach: bool,
    },
    /// Deploy a workspace in another mode.
    Mode {
        /// The workspace.
        #[arg(value_parser = name())]
        name: String,
        /// The mode.
        #[arg(value_parser = name())]
        mode: String,
        /// Print the run's id and leave.
        #[arg(long)]
        detach: bool,
    },
    /// Destroy what a workspace deployed.
    Destroy {
        /// The workspace.
        #[arg(value_parser = name())]
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Print the run's id and leave.
        #[arg(long)]
        detach: bool,
    },
    /// The log of the latest run.
    Logs {
        /// The workspace.
        #[arg(value_parser = name())]
        name: String,
        /// Go on until the run ends.
        #[arg(short, long)]
        follow: bool,
        /// Only so many last lines.
        #[arg(long, value_name = "LINES")]
        tail: Option<usize>,
    },
    /// Outputs of the latest deployment; sensitive ones are not shown.
    Outputs {
        /// The workspace.
        #[arg(value_parser = name())]
        name: String,
    },
    /// What is due next.
    Next {
        /// The workspace.
        #[arg(value_parser = name())]
        name: String,
        /// How many times.
        #[arg(short = 'n', value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
}
