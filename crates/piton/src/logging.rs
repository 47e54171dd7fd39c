//! What the daemon says of itself.

mod file;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use piton_spec::{Config, Diagnostic, LogFormat, LogLevel, LogOutput, Logging};
use rustix::fs::{Access, access};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::place::create_private_dir;

pub use file::LogFile;

/// Begins to log as configured; `RUST_LOG` wins. The file that it goes to, if it goes to one.
pub fn start(logging: &Logging, quiet: bool, verbose: u8) -> io::Result<Option<Arc<LogFile>>> {
    let level = match (quiet, verbose, logging.level) {
        (true, ..) => "error",
        (false, 0, LogLevel::Error) => "error",
        (false, 0, LogLevel::Warn) => "warn",
        (false, 0, LogLevel::Info) => "info",
        (false, 0, LogLevel::Debug) | (false, 1, _) => "debug",
        (false, _, _) => "trace",
    };
    // What the libraries below have to say is rarely about Piton; `notify` warns of every directory that is gone, and
    // `lapin` calls every end of a connection an error, whose errors Piton tells of itself.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,notify=error,lapin=off,{}", own(level))));
    let (writer, terminal, file) = match &logging.output {
        LogOutput::Stderr => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal(), None),
        LogOutput::Stdout => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal(), None),
        LogOutput::File(path) => {
            let parent = path.parent().map_or(Ok(()), create_private_dir);
            let file = parent.and_then(|()| LogFile::open(path)).map_err(|error| named(path, &error))?;
            let file = Arc::new(file);
            (BoxMakeWriter::new(file.clone()), false, Some(file))
        }
    };
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    // A second start, as in a command that becomes a daemon, keeps the first.
    let _ = match logging.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_target(false).try_init(),
    };
    Ok(file)
}

/// Why a daemon could not log as configured, as far as that can be told without making a file.
pub fn check(config: &Config) -> Option<Diagnostic> {
    let LogOutput::File(path) = &config.logging.output else { return None };
    let error = try_access(path).err()?;
    Some(fault(config, &named(path, &error)))
}

/// That a daemon cannot log as configured, at the key that says where.
pub fn fault(config: &Config, error: &io::Error) -> Diagnostic {
    let hint = "name a file that the user who runs Piton may write, or `stderr`";
    config.fault("logging.output", "unwritable_file", error.to_string()).hint(hint)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}

/// Whether a file can be appended to, or made with the directories that are missing around it.
fn try_access(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(access(path, Access::WRITE_OK)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let around = path.ancestors().skip(1).find(|around| around.exists()).ok_or(error)?;
            Ok(access(around, Access::WRITE_OK | Access::EXEC_OK)?)
        }
        Err(error) => Err(error),
    }
}

/// The filter for Piton's own crates.
fn own(level: &str) -> String {
    const CRATES: [&str; 10] =
        ["engine", "exec", "keeper", "logs", "model", "process", "server", "spec", "store", "tools"];
    let crates: Vec<String> = CRATES.iter().map(|name| format!("piton_{name}={level}")).collect();
    format!("piton={level},{}", crates.join(","))
}
