//! The command lines of the process manager's program, as far as they are about sessions, users and clients.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use piton_model::Secret;

use crate::args::{
    AuthCommand, ClientCommand, Command, CreateUserArgs, DeleteClientArgs, Format, Global, LoginArgs, Method,
    PasswordArgs, ROLES, UserCommand, WhichUser, name,
};

/// Process manager: sessions, users and clients.
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
    /// What to do.
    #[command(subcommand)]
    pub command: ProvisrCommand,
}

/// What `provisr` does.
#[derive(Debug, Subcommand)]
pub enum ProvisrCommand {
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

impl Provisr {
    /// Piton's command, and the options that go with it.
    pub fn into_command(self) -> (Global, Command) {
        let mut global = Global { config: self.config, ..Global::default() };
        let command = match self.command {
            ProvisrCommand::Login(args) => {
                global.server.server = Some(args.server_url);
                let given = args.password.filter(|_| args.method == Method::Basic).or(args.client_secret);
                Command::Login(LoginArgs {
                    username: args.username,
                    client_id: args.client_id.filter(|_| args.method == Method::ClientSecret),
                    method: Some(args.method),
                    password: as_given(given),
                })
            }
            ProvisrCommand::Logout { server_url } => {
                global.server.server = server_url;
                Command::Logout { all: false }
            }
            ProvisrCommand::Auth(command) => {
                global.output = Format::Json;
                Command::Auth(command.into())
            }
        };
        (global, command)
    }
}

fn as_given(password: Option<String>) -> PasswordArgs {
    PasswordArgs { given: password.map(Secret::new), ..PasswordArgs::default() }
}

impl From<ProvisrAuthCommand> for AuthCommand {
    fn from(command: ProvisrAuthCommand) -> AuthCommand {
        use {ProvisrClientCommand as C, ProvisrUserCommand as U};
        match command {
            ProvisrAuthCommand::User(command) => AuthCommand::User(match command {
                U::Create { username, password, email, roles } => UserCommand::Create(CreateUserArgs {
                    user: WhichUser { name: Some(username), username: None },
                    email,
                    roles,
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
            }),
            ProvisrAuthCommand::Client(command) => AuthCommand::Client(match command {
                C::Create { name, scopes } => ClientCommand::Create { name, scopes },
                C::List => ClientCommand::List,
                C::Delete { client_id } => {
                    ClientCommand::Delete(DeleteClientArgs { id: Some(client_id), client_id: None, yes: true })
                }
            }),
        }
    }
}
