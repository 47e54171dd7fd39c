//! The command lines of the four programs.

use clap::{Args, Parser, Subcommand};

use super::Request;
use super::declare::{Declare, Settings};
use crate::args::{AddArgs, Command, JobArgs, JobCommand, OneOrAll, TemplateCommand, WorkspaceCommand, name};

/// Workspace scheduler daemon.
///
/// PROVISIONER_CONFIG_DIR names the directory of the declarations, PROVISIONER_STATE_DIR that of the state,
/// PROVISIONER_LOG_DIR that of the logs.
#[derive(Debug, Parser)]
#[command(name = "provisioner", version, max_term_width = 100)]
pub struct Provisioner {
    /// Print detailed version information.
    #[arg(long)]
    pub version_full: bool,
}

/// Workspaces of the workspace scheduler.
#[derive(Debug, Parser)]
#[command(
    name = "workspacectl",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Workspacectl {
    /// Print detailed version information.
    #[arg(long)]
    pub version_full: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<WorkspacectlCommand>,
}

/// What `workspacectl` does.
#[derive(Debug, Subcommand)]
pub enum WorkspacectlCommand {
    /// Deploy a workspace now.
    Deploy {
        /// The workspace.
        #[arg(value_parser = name())]
        workspace: String,
        /// The mode, for a workspace with modes.
        #[arg(value_parser = name())]
        mode: Option<String>,
    },
    /// Destroy a workspace now.
    Destroy {
        /// The workspace.
        #[arg(value_parser = name())]
        workspace: String,
    },
    /// Deploy a workspace in another mode.
    Mode {
        /// The workspace.
        #[arg(value_parser = name())]
        workspace: String,
        /// The mode.
        #[arg(value_parser = name())]
        mode: String,
    },
    /// Where workspaces stand, or one of them in full.
    Status {
        /// Only this one.
        #[arg(value_parser = name())]
        workspace: Option<String>,
    },
    /// What is declared.
    List {
        /// In full.
        #[arg(long)]
        detailed: bool,
    },
    /// The log of the latest run.
    Logs {
        /// The workspace.
        #[arg(value_parser = name())]
        workspace: String,
        /// Go on until the run ends.
        #[arg(short, long)]
        follow: bool,
    },
    /// Declare a workspace.
    Add {
        /// Its name.
        #[arg(value_parser = name())]
        workspace: String,
        /// What is declared.
        #[command(flatten)]
        settings: SettingArgs,
        /// Declare it without its schedule being in force.
        #[arg(long)]
        disabled: bool,
    },
    /// One workspace in full.
    Show {
        /// The workspace.
        #[arg(value_parser = name())]
        workspace: String,
    },
    /// Change the declaration of a workspace.
    Update {
        /// The workspace.
        #[arg(value_parser = name())]
        workspace: String,
        /// What is declared.
        #[command(flatten)]
        settings: SettingArgs,
        /// Put its schedule in force.
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        /// Let its schedule rest.
        #[arg(long)]
        disable: bool,
    },
    /// Remove the declaration of a workspace.
    Remove {
        /// The workspace.
        #[arg(value_parser = name())]
        workspace: String,
        /// Do not ask.
        #[arg(long)]
        force: bool,
    },
    /// Check declarations.
    Validate(OneOrAll),
}

/// What can be declared by options.
#[derive(Debug, Args)]
pub struct SettingArgs {
    /// The template.
    #[arg(long, value_parser = name())]
    pub template: Option<String>,
    /// For people.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// When to deploy.
    #[arg(long, value_name = "CRON")]
    pub deploy_schedule: Option<String>,
    /// When to destroy.
    #[arg(long, value_name = "CRON")]
    pub destroy_schedule: Option<String>,
}

impl SettingArgs {
    fn with_enabled(self, enabled: Option<bool>) -> Settings {
        let SettingArgs { template, description, deploy_schedule, destroy_schedule } = self;
        Settings { enabled, template, description, deploy_schedule, destroy_schedule }
    }
}

impl From<WorkspacectlCommand> for Request {
    fn from(command: WorkspacectlCommand) -> Request {
        use WorkspacectlCommand as C;
        Request::Do(Command::Workspace(match command {
            C::Deploy { workspace: name, mode } => WorkspaceCommand::Deploy { name, mode, detach: false },
            C::Destroy { workspace: name } => WorkspaceCommand::Destroy { name, yes: true, detach: false },
            C::Mode { workspace: name, mode } => WorkspaceCommand::Mode { name, mode, detach: false },
            C::Status { workspace: name } => WorkspaceCommand::Status { name },
            C::List { detailed } => WorkspaceCommand::List { detailed },
            C::Logs { workspace: name, follow } => WorkspaceCommand::Logs { name, follow, tail: None },
            C::Show { workspace: name } => WorkspaceCommand::Status { name: Some(name) },
            C::Add { workspace, settings, disabled } => {
                return Request::Declare(Declare::Add { workspace, settings: settings.with_enabled(Some(!disabled)) });
            }
            C::Update { workspace, settings, enable, disable } => {
                let enabled = (enable || disable).then_some(enable);
                return Request::Declare(Declare::Update { workspace, settings: settings.with_enabled(enabled) });
            }
            C::Remove { workspace, force } => return Request::Declare(Declare::Remove { workspace, force }),
            C::Validate(which) => return Request::Declare(Declare::Validate(which)),
        }))
    }
}

/// Templates of the workspace scheduler.
#[derive(Debug, Parser)]
#[command(
    name = "templatectl",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Templatectl {
    /// Print detailed version information.
    #[arg(long)]
    pub version_full: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<TemplatectlCommand>,
}

/// What `templatectl` does.
#[derive(Debug, Subcommand)]
pub enum TemplatectlCommand {
    /// Fetch a template from a git repository and register it.
    Add(AddArgs),
    /// What is registered.
    List {
        /// In full.
        #[arg(long)]
        detailed: bool,
    },
    /// One template in full.
    Show {
        /// The template.
        #[arg(value_parser = name())]
        name: String,
    },
    /// Fetch again, and say what changed.
    Update(OneOrAll),
    /// Let the tool check the code.
    Validate(OneOrAll),
    /// Forget a template and remove its files.
    Remove {
        /// The template.
        #[arg(value_parser = name())]
        name: String,
        /// Do not ask, even if something is made from it.
        #[arg(long)]
        force: bool,
    },
}

impl From<TemplatectlCommand> for Command {
    fn from(command: TemplatectlCommand) -> Command {
        use TemplatectlCommand as C;
        Command::Template(match command {
            C::Add(new) => TemplateCommand::Add(new),
            C::List { detailed } => TemplateCommand::List { detailed },
            C::Show { name } => TemplateCommand::Show { name },
            C::Update(which) => TemplateCommand::Update(which),
            C::Validate(which) => TemplateCommand::Validate(which),
            C::Remove { name, force } => TemplateCommand::Remove { name, force },
        })
    }
}

/// Jobs of the workspace scheduler: standalone ones, or those of a workspace.
#[derive(Debug, Parser)]
#[command(
    name = "jobctl",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Jobctl {
    /// Print detailed version information.
    #[arg(long)]
    pub version_full: bool,
    /// Jobs of this workspace, in place of the standalone ones.
    #[arg(long, value_name = "NAME", global = true, value_parser = name())]
    pub workspace: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<JobctlCommand>,
}

/// What `jobctl` does.
#[derive(Debug, Subcommand)]
pub enum JobctlCommand {
    /// What is declared.
    List,
    /// How jobs are doing, or one of them in full.
    Status {
        /// Only this one.
        #[arg(value_parser = name())]
        job: Option<String>,
    },
    /// Run a job now.
    Run {
        /// The job.
        #[arg(value_parser = name())]
        job: String,
    },
    /// Stop a job that is running.
    Kill {
        /// The job.
        #[arg(value_parser = name())]
        job: String,
    },
    /// The log of the latest run.
    Logs {
        /// The job.
        #[arg(value_parser = name())]
        job: String,
        /// Go on until the run ends.
        #[arg(short, long)]
        follow: bool,
    },
}

impl JobctlCommand {
    /// Piton's command, about the jobs of `workspace`.
    pub fn within(self, workspace: Option<String>) -> Command {
        use JobctlCommand as C;
        let command = match self {
            C::List => JobCommand::List,
            C::Status { job: name } => JobCommand::Status { name },
            C::Run { job: name } => JobCommand::Run { name, detach: false },
            C::Kill { job: name } => JobCommand::Kill { name },
            C::Logs { job: name, follow } => JobCommand::Logs { name, follow, tail: None },
        };
        Command::Job(JobArgs { workspace, command })
    }
}
