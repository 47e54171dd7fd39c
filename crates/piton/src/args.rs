//! The command line of `piton`.

mod auth;
mod config;
mod cron;
mod deploy;
mod job;
mod process;
mod run;
mod scaffold;
mod schedule;
mod server;
mod template;
mod tool;
mod workspace;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use auth::{
    AuthCommand, ClientCommand, CreateUserArgs, DeleteClientArgs, LoginArgs, Method, PasswordArgs, ROLES, UserCommand,
    WhichUser,
};
pub use config::ConfigCommand;
pub use cron::{CronCommand, ExplainArgs};
pub use deploy::{DeployArgs, DeployCommand, DeployTool, GitArgs};
pub use job::{JobArgs, JobCommand};
pub use process::{
    GroupCommand, LogsArgs, ManyArgs, ProcessCommand, RegisterArgs, RestartArgs, StopArgs, WhichArgs, WhichGroup,
};
pub use run::{ListArgs, RunCommand};
pub use scaffold::{EvalArgs, MissingValue, RenderArgs, ScaffoldCommand, TemplateEngine};
pub use schedule::{ImportArgs, ImportFormat, ListSchedulesArgs, ScheduleCommand};
pub use server::{MinVersion, ServerArgs};
pub use template::{AddArgs, OneOrAll, TemplateCommand};
pub use tool::ToolCommand;
pub use workspace::WorkspaceCommand;

/// Provisions things at the right time, and keeps them running.
#[derive(Debug, Parser)]
#[command(name = "piton", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file, in place of DIR/piton.toml and the usual others.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Directory of the declarations [default: the current one].
    #[arg(long, value_name = "DIR", global = true)]
    pub dir: Option<PathBuf>,
    /// How results are written.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, global = true)]
    pub output: Format,
    /// No colours, whatever the terminal can do.
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Never ask anything.
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Say nothing but results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice for still more.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Which server, where it is not the daemon of the directory.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: the documents of the API, lists as arrays.
    Json,
    /// The same as YAML.
    Yaml,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: schedules, runs, the socket that the other commands talk to.
    Serve(ServeArgs),
    /// Make repositories of what the message queue asks for: the daemon without an API.
    Worker(WorkerArgs),
    /// Hold children that outlive the daemon.
    #[command(hide = true)]
    Keeper,
    /// Let the running daemon finish what it does, then stop it.
    Shutdown,
    /// Everything on one page.
    Status,
    /// Audit the ledger, the database, the declarations and the tools.
    Doctor,
    /// Say which build this is.
    Version,
    /// Workspaces: infrastructure that is deployed and destroyed on a schedule.
    #[command(subcommand, visible_alias = "workspaces")]
    Workspace(WorkspaceCommand),
    /// Templates that workspaces are made from.
    #[command(subcommand, visible_alias = "templates")]
    Template(TemplateCommand),
    /// Scheduled jobs, standalone or of a workspace.
    #[command(visible_alias = "jobs")]
    Job(JobArgs),
    /// Processes that are kept running.
    #[command(subcommand, visible_alias = "processes")]
    Process(ProcessCommand),
    /// Groups of processes.
    #[command(subcommand, visible_alias = "groups")]
    Group(GroupCommand),
    /// Deployments: code from a git repository, now.
    #[command(subcommand, visible_alias = "deployments")]
    Deploy(DeployCommand),
    /// Scheduled provisions: accounts that are made, changed or removed at some time.
    #[command(subcommand, visible_alias = "schedules")]
    Schedule(ScheduleCommand),
    /// Runs of any kind: every deployment, every job.
    #[command(subcommand, visible_alias = "runs")]
    Run(RunCommand),
    /// Log in to a server elsewhere: `piton login --server https://piton.example.org`.
    Login(LoginArgs),
    /// End the latest session, or that with the server that is named.
    Logout {
        /// End all sessions.
        #[arg(long)]
        all: bool,
    },
    /// As whom the server knows you, and what you may do.
    Whoami,
    /// Users and clients: who may log in, and what they may do.
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Repositories that are made of blueprints.
    #[command(subcommand)]
    Scaffold(ScaffoldCommand),
    /// The schedule language.
    #[command(subcommand)]
    Cron(CronCommand),
    /// OpenTofu and Terraform.
    #[command(subcommand, visible_alias = "tools")]
    Tool(ToolCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write manual pages to a directory.
    Man {
        /// The directory; it is created where it is missing.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Make the compatibility names: provisioner, workspacectl, templatectl, jobctl,
    /// provisr.
    Link {
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Replace files too, not only links.
        #[arg(long)]
        force: bool,
    },
}

impl Command {
    /// Whether it is about this machine and asks no server anything.
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Command::Serve(_)
            | Command::Worker(_)
            | Command::Keeper
            | Command::Version
            | Command::Scaffold(_)
            | Command::Cron(_)
            | Command::Tool(_)
            | Command::Config(_)
            | Command::Completions { .. }
            | Command::Man { .. }
            | Command::Link { .. } => true,
            Command::Shutdown
            | Command::Status
            | Command::Doctor
            | Command::Workspace(_)
            | Command::Template(_)
            | Command::Job(_)
            | Command::Process(_)
            | Command::Group(_)
            | Command::Deploy(_)
            | Command::Schedule(_)
            | Command::Run(_)
            | Command::Login(_)
            | Command::Logout { .. }
            | Command::Whoami
            | Command::Auth(_) => false,
        }
    }
}

/// How to serve.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Address and port of the HTTP API, in place of the configured one.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Go on in the background.
    #[arg(long)]
    pub daemonize: bool,
    /// File that receives the daemon's log when it is in the background.
    #[arg(long, value_name = "FILE")]
    pub logfile: Option<PathBuf>,
    /// Take jobs from the message queue too.
    #[arg(long)]
    pub worker: bool,
    /// It was put into the background, and leaves the terminal alone.
    #[arg(long, hide = true)]
    pub detached: bool,
    /// An address that is open to everybody becomes one of this host, where nobody has to log in.
    #[arg(skip)]
    pub narrow: bool,
}

/// How to work.
#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// Address and port where health and metrics are shown.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub health_listen: String,
}

/// The name of a declaration, as somebody typed it; the server knows which ones there are.
pub fn name() -> impl clap::builder::TypedValueParser<Value = String> {
    clap::builder::NonEmptyStringValueParser::new()
}

/// How many of something are wanted; whoever wants none need not ask.
pub fn count() -> impl clap::builder::TypedValueParser<Value = usize> {
    clap::builder::RangedU64ValueParser::<usize>::new().range(1..)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_of_the_interface_parses() {
        for line in [
            "piton serve",
            "piton serve --listen 127.0.0.1:0 --daemonize",
            "piton serve --worker",
            "piton worker",
            "piton worker --health-listen 127.0.0.1:0",
            "piton scaffold enqueue job.json",
            "piton keeper --dir /x",
            "piton shutdown",
            "piton status -o json",
            "piton doctor",
            "piton version",
            "piton workspace list",
            "piton workspace status",
            "piton workspace status web",
            "piton workspace deploy web",
            "piton workspace deploy web busy --detach",
            "piton workspace plan web",
            "piton workspace plan web busy",
            "piton workspace mode web busy",
            "piton workspace destroy web --yes",
            "piton workspace logs web -f",
            "piton workspace logs web --tail 20",
            "piton workspace outputs web",
            "piton workspace next web -n 3",
            "piton template add web-app https://example.org/t --path web --ref v1 --description text",
            "piton template list --detailed",
            "piton template show web-app",
            "piton template update web-app",
            "piton template update --all",
            "piton template validate web-app",
            "piton template validate --all",
            "piton template remove web-app --force",
            "piton job list",
            "piton job --workspace web status backup",
            "piton job status --workspace web",
            "piton job run backup --detach",
            "piton job kill backup",
            "piton job logs backup -f",
            "piton job create --file job.json",
            "piton job delete backup",
            "piton job suspend backup",
            "piton job resume backup",
            "piton job history backup",
            "piton process list",
            "piton process list --wildcard web-*",
            "piton process list --base web --watch",
            "piton process register --name web --command sleep --work-dir /srv --log-dir /var/log --auto-start",
            "piton process register --name web --command sleep --env A=b --env C=d --instances 2 --auto-restart",
            "piton process register-file --file web.json",
            "piton process unregister --name web --wait 3s",
            "piton process unregister web",
            "piton process start web",
            "piton process start --name web",
            "piton process stop --base web --wait 5s",
            "piton process restart --wildcard *",
            "piton process restart web --rolling --wait 5s",
            "piton process status",
            "piton process status web -o json",
            "piton process logs web -f --tail 10",
            "piton process logs --name web --stream stderr",
            "piton process scale web 4",
            "piton group list",
            "piton group status webstack",
            "piton group start --group webstack",
            "piton group stop webstack --wait 5s",
            "piton group restart webstack",
            "piton deploy run --tool tofu --git-url https://example.org/x.git --git-ref main",
            "piton deploy run --tool terraform --git-url git@example.org:x.git --git-ref v1 --git-ssh-key key --detach",
            "piton deploy status 0193aa",
            "piton deploy logs 0193aa -f",
            "piton deploy approve 0193aa --digest abc",
            "piton deploy reject 0193aa --reason no",
            "piton deploy cancel 0193aa",
            "piton deploy list --status failed --since 2h --limit 5",
            "piton schedule create --file request.json",
            "piton schedule create -f -",
            "piton schedule import people.csv",
            "piton schedule import - --format ndjson --atomic",
            "piton schedule list --status pending --tag to-be-created --type provision --limit 5",
            "piton schedule show 0193aa",
            "piton schedule cancel 0193aa",
            "piton schedule execute 0193aa",
            "piton schedule reschedule 0193aa 2026-01-05T09:00 --timezone Europe/Berlin --allow-past",
            "piton schedule approve 0193aa --reason yes",
            "piton schedule reject 0193aa --reason no",
            "piton schedule retry 0193aa",
            "piton run list --kind provision",
            "piton run list --kind job --subject job/x --state failed --since 2h --limit 5",
            "piton run show 0193aa",
            "piton run logs 0193aa -f",
            "piton run approve 0193aa --digest abc",
            "piton run reject 0193aa --reason no",
            "piton run cancel 0193aa",
            "piton run retry 0193aa",
            "piton run explain 0193aa",
            "piton login",
            "piton login --server http://remote:8080/api --username admin --password-file secret",
            "piton login --method client_secret --client-id client_123 --password-stdin",
            "piton logout",
            "piton logout --all",
            "piton whoami",
            "piton auth user create operator --roles operator,viewer --email a@example.org --password-stdin",
            "piton auth user create --username operator",
            "piton auth user list",
            "piton auth user delete operator --yes",
            "piton auth user password",
            "piton auth user password operator --password-file new --old-password-file old",
            "piton auth client create --name ci --scopes operator",
            "piton auth client list",
            "piton auth client delete client_123",
            "piton auth client delete --client-id client_123",
            "piton scaffold render go-backend --file values.json --out my-service",
            "piton scaffold eval --engine go --template main.go.tmpl --data data.json",
            "piton scaffold eval --engine jinja --template - --missing error",
            "piton tool list",
            "piton tool install tofu 1.10.0",
            "piton tool which",
            "piton config check",
            "piton config show --origin",
            "piton config init",
            "piton config schema",
            "piton completions bash",
            "piton man /tmp/man",
            "piton link /tmp/bin",
            "piton --server https://piton.example.org --ca-cert ca.pem --server-name x --tls-min-version 1.3 status",
            "piton status --server http://localhost:8080/api --insecure",
            "piton run list --server https://x --client-cert cert.pem --client-key key.pem",
            "piton --config a.toml --dir . --no-color --no-input -q -o yaml workspace list",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        Cli::try_parse_from([
            "piton",
            "cron",
            "explain",
            "0 9 * * 1-5",
            "--tz",
            "Europe/Berlin",
            "--from",
            "2026-01-01",
            "-n",
            "3",
        ])
        .unwrap();
    }

    #[test]
    fn nobody_asks_for_a_list_of_nothing() {
        for list in ["deploy list", "job history x", "run list", "schedule list", "auth audit"] {
            let refused = parse(&format!("piton {list} --limit 0")).unwrap_err();
            assert_eq!(refused.kind(), clap::error::ErrorKind::ValueValidation, "{list}");
            parse(&format!("piton {list} --limit 1")).unwrap_or_else(|error| panic!("{list}: {error}"));
        }
    }

    /// The command lines below a command, hidden ones left out.
    fn verbs(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let visible: Vec<_> = command.get_subcommands().filter(|verb| !verb.is_hide_set()).collect();
        if visible.is_empty() {
            found.push(path.to_owned());
        }
        for verb in visible {
            verbs(verb, &format!("{path} {}", verb.get_name()), found);
        }
    }

    #[test]
    fn the_reference_page_knows_every_command_and_exit_code() {
        use crate::error::Exit as E;
        let page = include_str!("../../../docs/reference/cli.md").replace("piton job [--workspace W]", "piton job");
        let mut found = vec![];
        verbs(&Cli::command(), "piton", &mut found);
        assert!(found.len() > 40, "{found:?}");
        for command in found {
            assert!(page.contains(&format!("| `{command}")), "`{command}` is not documented");
        }
        let exits = [
            E::Ok,
            E::Failed,
            E::Usage,
            E::NotFound,
            E::Denied,
            E::Conflict,
            E::TimedOut,
            E::Unreachable,
            E::UsageOs,
            E::Running,
            E::NoPermission,
            E::BadConfig,
            E::Interrupted,
            E::Closed,
        ];
        for exit in exits {
            assert!(page.contains(&format!("\n| {} | ", exit.code())), "exit code {} is not documented", exit.code());
        }
    }

    #[test]
    fn what_belongs_to_later_parts_is_absent() {
        for line in ["piton worker --listen 127.0.0.1:0", "piton"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn no_password_is_taken_from_the_command_line() {
        for line in [
            "piton login --password hush",
            "piton login --client-id x --client-secret hush",
            "piton auth user create x --password hush",
            "piton auth user create x --roles root",
            "piton auth user create",
            "piton auth user create x --username y",
            "piton auth client delete",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_client_certificate_goes_with_its_key() {
        assert!(parse("piton --client-cert cert.pem status").is_err());
        assert!(parse("piton status --client-key key.pem").is_err());
        assert!(parse("piton --tls-min-version 1.1 status").is_err());
    }

    #[test]
    fn one_selector_of_processes() {
        for line in [
            "piton process start",
            "piton process stop --name web --base web",
            "piton process stop web --wildcard *",
            "piton process list web --base web",
            "piton process logs",
            "piton process logs web --name web",
            "piton process scale web",
            "piton process scale web -1",
            "piton process scale web 10001",
            "piton process register --name web",
            "piton group start",
            "piton group start a --group b",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn one_template_or_all_of_them() {
        assert!(parse("piton template update").is_err());
        assert!(parse("piton template update x --all").is_err());
    }
}
