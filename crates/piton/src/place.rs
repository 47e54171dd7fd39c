//! Where everything is: the directory of the declarations, the data directory, the configuration.

use std::path::PathBuf;

use piton_spec::{Config, Diagnostic, Sources};

use crate::args::Global;
use crate::error::{CommandError, Exit};

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The directory of the declarations.
    pub root: PathBuf,
    /// The directory of what Piton writes.
    pub data_dir: PathBuf,
    /// The configuration.
    pub config: Config,
    /// What is doubtful about it.
    pub warnings: Vec<Diagnostic>,
}

impl Place {
    /// Reads the configuration that `global` points to.
    pub fn resolve(global: &Global) -> Result<Place, CommandError> {
        Place::resolve_with(global, &[])
    }

    /// The same, with options that win over everything, such as `("server.listen", "127.0.0.1:9000")`.
    pub fn resolve_with(global: &Global, flags: &[(&str, String)]) -> Result<Place, CommandError> {
        let current_dir = std::env::current_dir().map_err(|error| {
            CommandError::new(Exit::Failed, format!("cannot tell the current directory: {error}"))
        })?;
        let sources = Sources {
            current_dir,
            dir: global.dir.clone(),
            file: global.config.clone(),
            environment: std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect(),
            flags: flags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            superuser: rustix::process::geteuid().is_root(),
            system_dir: None,
        };
        let (config, warnings) = Config::load(&sources).map_err(|found| {
            let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
            CommandError::new(Exit::BadConfig, lines.join("\n"))
        })?;
        Ok(Place { root: config.root.clone(), data_dir: config.data_dir.clone(), config, warnings })
    }

    /// The socket of whoever holds the data directory.
    pub fn socket(&self) -> PathBuf {
        self.data_dir.join("api.sock")
    }
}
