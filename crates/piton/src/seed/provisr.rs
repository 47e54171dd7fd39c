//! The command lines of the process manager's program.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use piton_model::Secret;

use super::own::{Own, TemplateArgs, TestArgs};
use crate::args::{
    AuthCommand, ClientCommand, Command, CreateUserArgs, DeleteClientArgs, Format, Global, GroupCommand, LoginArgs,
    ManyArgs, Method, PasswordArgs, ProcessCommand, ROLES, RegisterArgs, ServeArgs, StopArgs, UserCommand, WhichArgs,
    WhichGroup, WhichUser, name,
};

/// Process manager: processes that are kept running, and who may touch them.
#[derive(Debug, Parser)]
#[command(
    name = "provisr",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Provisr {
    /// Configuration file; its data directory is worked on, whatever session there is.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Print detailed version information.
    #[arg(long)]
    pub version_full: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<ProvisrCommand>,
}

/// What `provisr` does.
#[derive(Debug, Subcommand)]
pub enum ProvisrCommand {
    /// Run the daemon.
    Serve {
        /// Configuration file.
        #[arg(value_name = "CONFIG")]
        file: Option<PathBuf>,
        /// Go on in the background.
        #[arg(long)]
        daemonize: bool,
        /// File that receives the daemon's log when it is in the background.
        #[arg(long, value_name = "FILE")]
        logfile: Option<PathBuf>,
        /// It was put into the background.
        #[arg(long, hide = true)]
        detached: bool,
    },
    /// Declare a process, and start it.
    Register {
        /// Its name.
        #[arg(long, value_parser = name())]
        name: String,
        /// What it runs.
        #[arg(long)]
        command: String,
        /// The working directory.
        #[arg(long, value_name = "DIR")]
        work_dir: Option<PathBuf>,
        /// The directory of what it prints.
        #[arg(long, value_name = "DIR")]
        log_dir: Option<PathBuf>,
        /// Start it again whenever it ends.
        #[arg(long)]
        auto_start: bool,
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Declare a process by a file, and start it.
    RegisterFile {
        /// The file, JSON.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Stop a process, and remove its declaration.
    Unregister(Named),
    /// Start a process.
    Start(Named),
    /// Stop a process.
    Stop {
        /// Which.
        #[command(flatten)]
        named: Named,
        /// How long it may take to react.
        #[arg(long, value_name = "DURATION", default_value = "3s")]
        wait: String,
    },
    /// How processes are.
    Status {
        /// Only this one.
        #[arg(long, value_parser = name())]
        name: Option<String>,
        /// Everything about it, which is shown anyway.
        #[arg(long)]
        detailed: bool,
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Start the processes of a group.
    GroupStart(Grouped),
    /// Stop the processes of a group.
    GroupStop {
        /// Which.
        #[command(flatten)]
        grouped: Grouped,
        /// How long each may take to react.
        #[arg(long, value_name = "DURATION", default_value = "3s")]
        wait: String,
    },
    /// How the processes of a group are.
    GroupStatus(Grouped),
    /// Look whether the daemon, which runs scheduled jobs, answers.
    Cron(Daemon),
    /// Write a sample of a declaration.
    Template(TemplateArgs),
    /// Log in, and keep the session for later commands.
    Login(ProvisrLoginArgs),
    /// End the session.
    Logout {
        /// The server, in place of that of the latest session.
        #[arg(long, value_name = "URL")]
        server_url: Option<String>,
    },
    /// Users and clients.
    #[command(subcommand)]
    Auth(ProvisrAuthCommand),
}

/// Which daemon.
#[derive(Debug, Clone, Default, Args)]
pub struct Daemon {
    /// Its API, such as http://remote:8080/api.
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// How long it may take to answer, such as 10s.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub api_timeout: Option<Duration>,
}

/// A process.
#[derive(Debug, Clone, Args)]
pub struct Named {
    /// The process.
    #[arg(long, value_parser = name())]
    pub name: String,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// A group.
#[derive(Debug, Clone, Args)]
pub struct Grouped {
    /// The group.
    #[arg(long, value_parser = name())]
    pub group: String,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

fn duration(text: &str) -> Result<Duration, String> {
    piton_spec::parse_duration(text).map_err(|error| error.to_string())
}

/// Who logs in where.
#[derive(Debug, Args)]
pub struct ProvisrLoginArgs {
    /// How.
    #[arg(long, value_enum, default_value = "basic")]
    pub method: Method,
    /// The user.
    #[arg(long)]
    pub username: Option<String>,
    /// The password; asked for where it is absent.
    #[arg(long)]
    pub password: Option<String>,
    /// The client.
    #[arg(long)]
    pub client_id: Option<String>,
    /// Its secret; asked for where it is absent.
    #[arg(long)]
    pub client_secret: Option<String>,
    /// The server.
    #[arg(long, value_name = "URL", default_value = "http://localhost:8080/api")]
    pub server_url: String,
}

/// What to do with users and clients.
#[derive(Debug, Subcommand)]
pub enum ProvisrAuthCommand {
    /// Users.
    #[command(subcommand)]
    User(ProvisrUserCommand),
    /// Clients.
    #[command(subcommand)]
    Client(ProvisrClientCommand),
    /// Look whether somebody can log in.
    Test(TestArgs),
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum ProvisrUserCommand {
    /// Make a user.
    Create {
        /// Their name.
        #[arg(long, value_parser = name())]
        username: String,
        /// Their password; asked for where it is absent.
        #[arg(long)]
        password: Option<String>,
        /// Their mail address.
        #[arg(long)]
        email: Option<String>,
        /// What they may do.
        #[arg(long, value_delimiter = ',', default_value = "viewer", value_parser = ROLES)]
        roles: Vec<String>,
    },
    /// Who may log in.
    List,
    /// Remove a user.
    Delete {
        /// Their name.
        #[arg(long, value_parser = name())]
        username: String,
    },
    /// Change a password.
    Password {
        /// The user.
        #[arg(long, value_parser = name())]
        username: String,
        /// The password from now on; asked for where it is absent.
        #[arg(long)]
        new_password: Option<String>,
    },
}

/// What to do with clients.
#[derive(Debug, Subcommand)]
pub enum ProvisrClientCommand {
    /// Make a client. Its secret is printed this once.
    Create {
        /// What it is called.
        #[arg(long, value_parser = name())]
        name: String,
        /// What it may do.
        #[arg(long, value_delimiter = ',', default_value = "operator", value_parser = ROLES)]
        scopes: Vec<String>,
    },
    /// Which programs may log in.
    List,
    /// Remove a client.
    Delete {
        /// Its id.
        #[arg(long, value_parser = name())]
        client_id: String,
    },
}

/// What a command line comes to.
#[derive(Debug)]
pub enum Meant {
    /// Piton's command.
    Command(Command),
    /// Something that only this program does.
    Own(Own),
}

impl ProvisrCommand {
    /// What is meant, and the options that go with it.
    pub fn meant(self, config: Option<PathBuf>) -> (Global, Meant) {
        use ProvisrCommand as P;
        let mut global = Global { config, output: Format::Json, ..Global::default() };
        let command = match self {
            P::Serve { file, daemonize, logfile, detached } => {
                global.output = Format::Table;
                global.config = global.config.or(file);
                Command::Serve(ServeArgs { listen: None, daemonize, logfile, detached, narrow: true, worker: false })
            }
            P::Register { name, command, work_dir, log_dir, auto_start: auto_restart, daemon } => {
                daemon.asked(&mut global);
                let rest = RegisterArgs::default();
                let args = RegisterArgs { name, command, work_dir, log_dir, auto_restart, ..rest };
                Command::Process(ProcessCommand::Register(args))
            }
            P::RegisterFile { file, daemon } => {
                daemon.asked(&mut global);
                Command::Process(ProcessCommand::RegisterFile { file })
            }
            P::Unregister(named) => {
                let args = StopArgs { which: named.asked(&mut global), wait: None };
                Command::Process(ProcessCommand::Unregister(args))
            }
            P::Start(named) => Command::Process(ProcessCommand::Start(named.asked(&mut global))),
            P::Stop { named, wait } => {
                let args = StopArgs { which: named.asked(&mut global), wait: Some(wait) };
                Command::Process(ProcessCommand::Stop(args))
            }
            P::Status { name, detailed: _, daemon } => {
                daemon.asked(&mut global);
                Command::Process(ProcessCommand::Status(ManyArgs { name, ..ManyArgs::default() }))
            }
            P::GroupStart(grouped) => Command::Group(GroupCommand::Start { group: grouped.asked(&mut global) }),
            P::GroupStop { grouped, wait } => {
                Command::Group(GroupCommand::Stop { group: grouped.asked(&mut global), wait: Some(wait) })
            }
            P::GroupStatus(grouped) => Command::Group(GroupCommand::Status { group: grouped.asked(&mut global) }),
            P::Cron(daemon) => {
                daemon.asked(&mut global);
                global.output = Format::Table;
                return (global, Meant::Own(Own::Cron));
            }
            P::Template(args) => {
                global.output = Format::Table;
                return (global, Meant::Own(Own::Template(args)));
            }
            P::Login(args) => {
                global.output = Format::Table;
                global.server.server = Some(args.server_url);
                let given = args.password.filter(|_| args.method == Method::Basic).or(args.client_secret);
                Command::Login(LoginArgs {
                    username: args.username,
                    client_id: args.client_id.filter(|_| args.method == Method::ClientSecret),
                    method: Some(args.method),
                    password: as_given(given),
                })
            }
            P::Logout { server_url } => {
                global.output = Format::Table;
                global.server.server = server_url;
                Command::Logout { all: false }
            }
            P::Auth(ProvisrAuthCommand::User(command)) => Command::Auth(command.into()),
            P::Auth(ProvisrAuthCommand::Client(command)) => Command::Auth(command.into()),
            P::Auth(ProvisrAuthCommand::Test(args)) => return (global, Meant::Own(Own::Test(args))),
        };
        (global, Meant::Command(command))
    }
}

impl Daemon {
    /// Makes it the server that is asked. Where none is named, it is the one of the directory or else the usual one.
    fn asked(self, global: &mut Global) {
        global.server.usual = self.api_url.is_none();
        global.server.server = self.api_url;
        global.server.timeout = self.api_timeout;
    }
}

impl Named {
    fn asked(self, global: &mut Global) -> WhichArgs {
        self.daemon.asked(global);
        WhichArgs { name: Some(self.name), ..WhichArgs::default() }
    }
}

impl Grouped {
    fn asked(self, global: &mut Global) -> WhichGroup {
        self.daemon.asked(global);
        WhichGroup { given: None, group: Some(self.group) }
    }
}

fn as_given(password: Option<String>) -> PasswordArgs {
    PasswordArgs { given: password.map(Secret::new), ..PasswordArgs::default() }
}

impl From<ProvisrUserCommand> for AuthCommand {
    fn from(command: ProvisrUserCommand) -> AuthCommand {
        use ProvisrUserCommand as U;
        AuthCommand::User(match command {
            U::Create { username, password, email, roles } => UserCommand::Create(CreateUserArgs {
                user: WhichUser { name: Some(username), username: None },
                email,
                roles,
                workspaces: vec![],
                password: as_given(password),
            }),
            U::List => UserCommand::List,
            U::Delete { username } => {
                UserCommand::Delete { user: WhichUser { name: Some(username), username: None }, yes: true }
            }
            U::Password { username, new_password } => UserCommand::Password {
                name: Some(username),
                username: None,
                old_password_file: None,
                password: as_given(new_password),
            },
        })
    }
}

impl From<ProvisrClientCommand> for AuthCommand {
    fn from(command: ProvisrClientCommand) -> AuthCommand {
        use ProvisrClientCommand as C;
        AuthCommand::Client(match command {
            C::Create { name, scopes } => ClientCommand::Create { name, scopes, workspaces: vec![] },
            C::List => ClientCommand::List,
            C::Delete { client_id } => {
                ClientCommand::Delete(DeleteClientArgs { id: Some(client_id), client_id: None, yes: true })
            }
        })
    }
}
