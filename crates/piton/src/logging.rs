//! What the daemon says of itself.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;

use piton_spec::{LogFormat, LogLevel, LogOutput, Logging};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::place::create_private_dir;

/// Begins to log as configured; `RUST_LOG` wins.
pub fn start(logging: &Logging, quiet: bool, verbose: u8) -> io::Result<()> {
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
    let (writer, terminal) = match &logging.output {
        LogOutput::Stderr => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
        LogOutput::Stdout => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
        LogOutput::File(path) => {
            let parent = path.parent().map_or(Ok(()), create_private_dir);
            let file = parent.and_then(|()| OpenOptions::new().create(true).append(true).mode(0o600).open(path));
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
            (BoxMakeWriter::new(file.map_err(named)?), false)
        }
    };
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    // A second start, as in a command that becomes a daemon, keeps the first.
    let _ = match logging.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_target(false).try_init(),
    };
    Ok(())
}

/// The filter for Piton's own crates.
fn own(level: &str) -> String {
    const CRATES: [&str; 10] =
        ["engine", "exec", "keeper", "logs", "model", "process", "server", "spec", "store", "tools"];
    let crates: Vec<String> = CRATES.iter().map(|name| format!("piton_{name}={level}")).collect();
    format!("piton={level},{}", crates.join(","))
}
