//! `piton deploy …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{count, name};

/// What to do with deployments of code from git. An id may be abbreviated to six or more of its first or last
/// characters.
#[derive(Debug, Subcommand)]
pub enum DeployCommand {
    /// Deploy code from a git repository, following its log.
    Run(Box<DeployArgs>),
    /// How a deployment stands.
    Status {
        /// The deployment.
        #[arg(value_parser = name())]
        id: String,
    },
    /// The log of a deployment.
    Logs {
        /// The deployment.
        #[arg(value_parser = name())]
        id: String,
        /// Go on until it ends or waits for approval.
        #[arg(short, long)]
        follow: bool,
        /// Only so many last lines.
        #[arg(long, value_name = "LINES")]
        tail: Option<usize>,
    },
    /// Approve the plan that a deployment waits with, and follow what it does.
    Approve {
        /// The deployment.
        #[arg(value_parser = name())]
        id: String,
        /// Only the plan with this digest, so that what was looked at is what happens.
        #[arg(long)]
        digest: Option<String>,
        /// Leave at once.
        #[arg(long)]
        detach: bool,
    },
    /// Reject the plan that a deployment waits with.
    Reject {
        /// The deployment.
        #[arg(value_parser = name())]
        id: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Ask a deployment to stop; it may finish what it cannot leave half done.
    Cancel {
        /// The deployment.
        #[arg(value_parser = name())]
        id: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// The latest deployments.
    List {
        /// Only those that stand so.
        #[arg(long, value_parser = ["running", "awaiting_approval", "success", "failed", "cancelled"])]
        status: Option<String>,
        /// Submitted since then: a time, a date, or how long ago (`90m`, `2d`).
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = count())]
        limit: usize,
    },
}

/// The tool of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeployTool {
    /// OpenTofu
    Tofu,
    /// Terraform
    Terraform,
}

/// What to deploy. Secrets come from files, from variables or from a terminal, never from the command line.
#[derive(Debug, Clone, Args)]
pub struct DeployArgs {
    /// The tool.
    #[arg(long, value_enum)]
    pub tool: DeployTool,
    /// The repository: https://…, ssh://… or user@host:path. A password does not belong into it.
    #[arg(long, value_name = "URL", value_parser = name())]
    pub git_url: String,
    /// A branch, a tag or a commit.
    #[arg(long, value_name = "REF", value_parser = name())]
    pub git_ref: String,
    /// The directory with the root module, relative to the repository.
    #[arg(long, value_name = "DIR")]
    pub path: Option<String>,
    /// A variable of the tool's environment. NAME alone takes its value from here, so that nobody else sees it.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// A file of such variables, one NAME=VALUE each line.
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// A variable file of the repository, relative to the directory.
    #[arg(long, value_name = "FILE")]
    pub tfvars_file: Vec<String>,
    /// Further flags of init, as a shell would read them.
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub init_flags: Option<String>,
    /// Further flags of plan.
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub plan_flags: Option<String>,
    /// Minutes that one attempt may take.
    #[arg(long, value_name = "MINUTES")]
    pub timeout: Option<u64>,
    /// Apply without asking anybody.
    #[arg(long)]
    pub auto_approve: bool,
    /// Destroy what the code describes instead.
    #[arg(long)]
    pub destroy: bool,
    /// Version of the tool, exact or a constraint.
    #[arg(long, value_name = "VERSION")]
    pub tool_version: Option<String>,
    /// What it takes to read the repository.
    #[command(flatten)]
    pub git: GitArgs,
    /// Print the deployment's id and leave.
    #[arg(long)]
    pub detach: bool,
}

/// What it takes to read a repository.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Credentials of the repository")]
pub struct GitArgs {
    /// Who asks over HTTP. The password or token is in PITON_GIT_PASSWORD, or asked for.
    #[arg(long, value_name = "NAME", conflicts_with = "git_ssh_key")]
    pub git_username: Option<String>,
    /// The file that holds the password or token; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "git_ssh_key")]
    pub git_password_file: Option<PathBuf>,
    /// The file of an SSH key. What unlocks it is in PITON_GIT_PASSPHRASE.
    #[arg(long, value_name = "FILE")]
    pub git_ssh_key: Option<PathBuf>,
    /// The file that holds what unlocks the SSH key.
    #[arg(long, value_name = "FILE", requires = "git_ssh_key")]
    pub git_passphrase_file: Option<PathBuf>,
    /// The keys that the host may have, as a known_hosts file.
    #[arg(long, value_name = "FILE", requires = "git_ssh_key")]
    pub git_known_hosts: Option<PathBuf>,
}
