//! `piton login`, `piton logout`, `piton whoami` and `piton auth …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use piton_model::Secret;

use super::name;

/// What somebody may do.
pub const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

/// Who logs in.
#[derive(Debug, Clone, Default, Args)]
pub struct LoginArgs {
    /// The user; asked for where it is absent.
    #[arg(long, value_name = "NAME", value_parser = name())]
    pub username: Option<String>,
    /// Log in as this client, with its secret in place of a password.
    #[arg(long, value_name = "ID", conflicts_with = "username", value_parser = name())]
    pub client_id: Option<String>,
    /// How; what else is given says it too.
    #[arg(long, value_enum)]
    pub method: Option<Method>,
    /// The password or the client's secret.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// How somebody logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// With a name and a password.
    Basic,
    /// As a client, with its id and secret.
    #[value(name = "client_secret", alias = "client-secret")]
    ClientSecret,
}

/// Where a password comes from. It is asked for on a terminal, else it is in the variable PITON_PASSWORD.
#[derive(Debug, Clone, Default, Args)]
pub struct PasswordArgs {
    /// The file that holds the password or secret; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The password or secret is on standard input.
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// From a command line that has it, which Piton's own has not: everybody on the machine can read those.
    #[arg(skip)]
    pub given: Option<Secret<String>>,
}

/// What to do with users and clients.
#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Users: people who log in with a password.
    #[command(subcommand, visible_alias = "users")]
    User(UserCommand),
    /// Clients: programs that log in with an id and a secret.
    #[command(subcommand, visible_alias = "clients")]
    Client(ClientCommand),
    /// Who logged in, or failed to, and who changed users, clients, keys, jobs, templates and processes;
    /// the latest first.
    Audit(AuditArgs),
}

/// How much of the audit trail.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// How many entries at most.
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

/// Which user, named with or without the option.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct WhichUser {
    /// Their name.
    #[arg(value_name = "NAME", value_parser = name())]
    pub name: Option<String>,
    /// The same.
    #[arg(long, value_name = "NAME", value_parser = name())]
    pub username: Option<String>,
}

impl WhichUser {
    /// Their name.
    pub fn into_name(self) -> String {
        self.name.or(self.username).unwrap_or_default()
    }
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user.
    Create(CreateUserArgs),
    /// Who may log in.
    List,
    /// Remove a user, which ends their sessions.
    Delete {
        /// The user.
        #[command(flatten)]
        user: WhichUser,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Change a password, which ends the sessions of the user.
    Password {
        /// The user; whoever is logged in where it is absent.
        #[arg(value_name = "NAME", value_parser = name())]
        name: Option<String>,
        /// The same.
        #[arg(long, value_name = "NAME", conflicts_with = "name", value_parser = name())]
        username: Option<String>,
        /// The file that holds the password until now, which changes of the own password need.
        #[arg(long, value_name = "FILE")]
        old_password_file: Option<PathBuf>,
        /// The password from now on.
        #[command(flatten)]
        password: PasswordArgs,
    },
}

/// A user to be made.
#[derive(Debug, Clone, Args)]
pub struct CreateUserArgs {
    /// The user.
    #[command(flatten)]
    pub user: WhichUser,
    /// Their mail address.
    #[arg(long)]
    pub email: Option<String>,
    /// What they may do.
    #[arg(long, visible_alias = "role", value_name = "ROLE", value_delimiter = ',', default_value = "viewer", value_parser = ROLES)]
    pub roles: Vec<String>,
    /// A workspace that they are bound to: for them there is nothing else. May be given several times.
    #[arg(long = "workspace", value_name = "NAME", value_delimiter = ',', value_parser = name())]
    pub workspaces: Vec<String>,
    /// Their password.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// What to do with clients.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Make a client. Its secret is printed this once.
    Create {
        /// What it is called.
        #[arg(long, value_parser = name())]
        name: String,
        /// What it may do.
        #[arg(long, visible_alias = "scope", value_name = "SCOPE", value_delimiter = ',', default_value = "viewer", value_parser = ROLES)]
        scopes: Vec<String>,
        /// A workspace that it is bound to: for it there is nothing else. May be given several times.
        #[arg(long = "workspace", value_name = "NAME", value_delimiter = ',', value_parser = name())]
        workspaces: Vec<String>,
    },
    /// Which programs may log in.
    List,
    /// Remove a client, which ends its sessions.
    Delete(DeleteClientArgs),
}

/// Which client, named with or without the option.
#[derive(Debug, Clone, Args)]
pub struct DeleteClientArgs {
    /// Its id.
    #[arg(value_name = "ID", required_unless_present = "client_id", value_parser = name())]
    pub id: Option<String>,
    /// The same.
    #[arg(long, value_name = "ID", conflicts_with = "id", value_parser = name())]
    pub client_id: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}
