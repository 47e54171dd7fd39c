//! What the commands do.

pub mod auth;
pub mod batch_job;
pub mod config;
pub mod cron;
pub mod daemon;
pub mod deploy;
pub mod group;
pub mod job;
pub mod login;
pub mod logs;
pub mod process;
pub mod run;
pub mod scaffold;
pub mod schedule;
pub mod shell;
pub mod template;
pub mod tool;
pub mod workspace;

use crate::args::Command;
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure};
use crate::serve;

/// Does what was asked.
pub async fn run(context: &Context, command: Command) -> Result<Exit, Failure> {
    if command.is_of_this_machine() && context.global.server.server.is_some() {
        let exit = if matches!(command, Command::Serve(_) | Command::Worker(_)) { Exit::UsageOs } else { Exit::Usage };
        let error = CommandError::new(exit, "this command is about this machine, and asks no server");
        return Err(error.hint("leave out `--server`").into());
    }
    match command {
        Command::Serve(options) => {
            serve::serve(&context.global, &options).await?;
            Ok(Exit::Ok)
        }
        Command::Worker(options) => {
            serve::work(&context.global, &options).await?;
            Ok(Exit::Ok)
        }
        // Handled before there was a runtime.
        Command::Keeper => Ok(Exit::Ok),
        Command::Shutdown => daemon::shutdown(context).await,
        Command::Status => daemon::status(context).await,
        Command::Doctor => daemon::doctor(context).await,
        Command::Version => shell::version(context),
        Command::Workspace(command) => workspace::run(context, command).await,
        Command::Template(command) => template::run(context, command).await,
        Command::Job(args) => job::run(context, args).await,
        Command::Process(command) => process::run(context, command).await,
        Command::Group(command) => group::run(context, command).await,
        Command::Deploy(command) => deploy::run(context, command).await,
        Command::Schedule(command) => schedule::run(context, command).await,
        Command::Run(command) => run::run(context, command).await,
        Command::Login(args) => login::login(context, &args).await,
        Command::Logout { all } => login::logout(context, all).await,
        Command::Whoami => login::whoami(context).await,
        Command::Auth(command) => Box::pin(auth::run(context, command)).await,
        Command::Scaffold(command) => scaffold::run(context, command).await,
        Command::Cron(command) => cron::run(context, &command),
        Command::Tool(command) => tool::run(context, command).await,
        Command::Config(command) => config::run(context, &command),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { directory } => shell::man(context, &directory),
        Command::Link { directory, force } => shell::link(context, &directory, force),
    }
}
