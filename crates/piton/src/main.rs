//! The one binary: `piton`, and the programs that it answers for under other names.
//!
//! # Purpose
//! Command lines become requests to a running daemon, or to the data directory itself where there is no daemon; the
//! answers become text, JSON or YAML. `piton serve` is that daemon. All parts of Piton are put together here.
//!
//! # Theory of operation
//! `main` looks at the name it was called by. Every grammar ends in the same [`args::Command`]; `command` carries it
//! out with a [`context::Context`], through a [`session::Session`] where it needs one. `render` turns documents of the
//! API into text and is pure; `output` is the only place that prints.
//!
//! # Invariants
//! - Standard output holds results and nothing else; a reader that goes away ends the command quietly.
//! - Nothing but text and colours reaches a terminal (`terminal`).
//! - The exit code tells the outcome ([`error::Exit`]).
//! - The keeper is entered before there is any thread.
//!
//! # Deliberately absent
//! Decisions about runs: the server makes them, and says no with a reason.

mod access;
mod activation;
mod admission;
mod args;
mod blueprints;
mod clock;
mod command;
mod context;
mod ends;
mod error;
mod executor;
mod identity;
mod ids;
mod inlet;
mod keeping;
mod listeners;
mod logging;
mod logins;
mod output;
mod password;
mod pause;
mod place;
mod prompt;
mod provisioning;
mod refusals;
mod remote;
mod render;
mod routes;
mod scaffolding;
mod seed;
mod serve;
mod session;
mod table;
mod terminal;
mod upkeep;
mod waiting;
mod watch;
mod wiring;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command, Global};
use crate::context::{Context, Sessions};
use crate::error::{Exit, Failure, failed};
use crate::output::Voice;
use crate::seed::{Program, Request};

fn main() -> ExitCode {
    if let Some(code) = piton_keeper::launch_if_asked() {
        return code;
    }
    let argv: Vec<OsString> = std::env::args_os().collect();
    let called = argv.first().and_then(|path| Path::new(path).file_name()).and_then(OsStr::to_str);
    // The daemon starts its keeper by its own path, whatever name that has.
    let is_keeper = argv.get(1).is_some_and(|verb| verb == "keeper");
    // It becomes another program, whose command line is none of ours.
    if argv.get(1).is_some_and(|verb| verb == access::LAUNCHER) {
        return piton_process::confinement::enter(argv.into_iter().skip(2));
    }
    let exit = match called.and_then(Program::of).filter(|_| !is_keeper) {
        Some(program) => answer_for(program, argv),
        None => match Cli::try_parse_from(&argv) {
            Ok(Cli { global, command: Command::Keeper }) => {
                return serve::keeper(global.dir.as_deref().unwrap_or(Path::new(".")));
            }
            Ok(Cli { global, command }) => {
                let context = Context::new(global, Voice::Piton);
                carry_out(&context, command::run(&context, command))
            }
            Err(error) => refuse(&error, if asks_to_serve(&argv) { Exit::UsageOs } else { Exit::Usage }),
        },
    };
    ExitCode::from(exit.code())
}

/// Called by the name of one of the programs that it answers for.
fn answer_for(program: Program, argv: Vec<OsString>) -> Exit {
    let context = Context::new(Global::default(), Voice::Scheduler);
    let serves = program == Program::Provisioner || (program == Program::Provisr && asks_to_serve(&argv));
    let exit = match program.parse(argv) {
        Ok(Request::DoWith(global, command)) => {
            let context = Context { sessions: Sessions::Provisr, ..Context::new(*global, Voice::Piton) };
            carry_out(&context, command::run(&context, command))
        }
        Ok(Request::Own(global, own)) => {
            let context = Context { sessions: Sessions::Provisr, ..Context::new(*global, Voice::Piton) };
            carry_out(&context, seed::own::run(&context, own))
        }
        Ok(Request::Do(command)) => carry_out(&context, command::run(&context, command)),
        Ok(Request::Declare(declare)) => carry_out(&context, seed::declare::run(&context, declare)),
        Ok(Request::Tell(text)) => context.out.text(&text).map_or_else(|failure| failure.exit(), |()| Exit::Ok),
        Err(error) => return refuse(&error, if serves { Exit::UsageOs } else { Exit::Usage }),
    };
    match exit {
        Exit::Ok | Exit::NoPermission | Exit::Interrupted | Exit::Closed => exit,
        // The daemon's codes are for service managers, whatever it is called.
        _ if serves => exit,
        _ => Exit::Failed,
    }
}

/// Prints what the parser has to say: help, the version, or what is wrong.
fn refuse(error: &clap::Error, exit: Exit) -> Exit {
    // Whoever does not read it does not miss it.
    let _ = error.print();
    if error.use_stderr() { exit } else { Exit::Ok }
}

/// Whether the command line is about the daemon, whose exit codes are those of services.
fn asks_to_serve(argv: &[OsString]) -> bool {
    let mut words = argv.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word {
            "--config" | "--dir" | "--output" | "-o" | "--server" | "--ca-cert" | "--server-name" | "--client-cert"
            | "--client-key" | "--tls-min-version" => {
                words.next();
            }
            word if word.starts_with('-') => {}
            word => return word == "serve" || word == "worker",
        }
    }
    false
}

/// Does what was asked, and tells how it went.
fn carry_out<'a>(context: &Context, work: impl Future<Output = Result<Exit, Failure>> + 'a) -> Exit {
    // One type for the runtime: it would compile all that a command does again for each way of running it.
    let work: Pin<Box<dyn Future<Output = Result<Exit, Failure>> + 'a>> = Box::pin(work);
    // Fails only where a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(work);
            // What must be waited for was waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(failed(format!("cannot start: {error}"))),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            context.out.report(&failure);
            failure.exit()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_command_line_is_recognized() {
        let serves = |line: &str| asks_to_serve(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert!(serves("piton serve --bogus"));
        assert!(serves("piton --dir workspace -q serve"));
        assert!(serves("piton --server http://x serve"));
        assert!(!serves("piton workspace deploy serve --bogus"));
        assert!(!serves("piton --dir serve"));
        assert!(!serves("piton"));
    }
}
