//! Where everything is: the directory of the declarations, the data directory, the configuration.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use piton_spec::{Config, Diagnostic, Explained, Origin, Sources};

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

/// Why nobody can say where everything is.
#[derive(Debug)]
pub enum Unplaced {
    /// What is wrong with the configuration.
    Wrong(Vec<Diagnostic>),
    /// It is something else.
    Other(CommandError),
}

impl From<Unplaced> for CommandError {
    fn from(unplaced: Unplaced) -> CommandError {
        match unplaced {
            Unplaced::Wrong(found) => {
                let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
                CommandError::new(Exit::BadConfig, lines.join("\n"))
            }
            Unplaced::Other(error) => error,
        }
    }
}

impl Place {
    /// Reads the configuration that `global` points to.
    pub fn resolve(global: &Global) -> Result<Place, CommandError> {
        Place::resolve_with(global, &[])
    }

    /// The same, with options that win over everything, such as `("server.listen", "127.0.0.1:9000")`.
    pub fn resolve_with(global: &Global, flags: &[(&str, String)]) -> Result<Place, CommandError> {
        Place::look(global, flags).map_err(CommandError::from)
    }

    /// The same for those who want to know all that is wrong.
    pub fn look(global: &Global, flags: &[(&str, String)]) -> Result<Place, Unplaced> {
        let current_dir = std::env::current_dir().map_err(|error| {
            let message = format!("cannot tell the current directory: {error}");
            Unplaced::Other(CommandError::new(Exit::Failed, message))
        })?;
        let environment = environment();
        let sources = Sources {
            current_dir: current_dir.clone(),
            dir: global.dir.clone(),
            file: global.config.clone(),
            flags: flags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            superuser: serves_the_host(global, &environment, &current_dir),
            environment,
            system_dir: None,
        };
        let (config, warnings) = Config::load(&sources).map_err(Unplaced::Wrong)?;
        // Whoever names a directory means one with something in it: a mistyped name must not begin an empty one.
        if global.dir.is_some() && !config.root.is_dir() {
            let message = format!("there is no directory {}", config.root.display());
            return Err(Unplaced::Other(CommandError::new(Exit::BadConfig, message).hint("check `--dir`")));
        }
        Ok(Place { root: config.root.clone(), data_dir: config.data_dir.clone(), config, warnings })
    }

    /// Where a daemon of this configuration is reached, if its file says where it listens.
    pub fn listener(&self) -> Option<String> {
        let said =
            |explained: &Explained| explained.key == "server.listen" && matches!(explained.origin, Origin::File { .. });
        self.address().filter(|_| self.config.explain().iter().any(said))
    }

    /// Where a daemon of this configuration listens; none where the system chooses the port.
    pub fn address(&self) -> Option<String> {
        let server = &self.config.server;
        if server.listen.port == 0 {
            return None;
        }
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        let host = match server.listen.address {
            Some(IpAddr::V6(address)) if !address.is_unspecified() => format!("[{address}]"),
            Some(address) if !address.is_unspecified() => address.to_string(),
            Some(_) | None => Ipv4Addr::LOCALHOST.to_string(),
        };
        Some(format!("{scheme}://{host}:{}{}", server.listen.port, server.base_path))
    }

    /// The socket of whoever holds the data directory.
    pub fn socket(&self) -> PathBuf {
        Place::socket_in(&self.data_dir)
    }

    /// The socket of whoever holds a data directory.
    pub fn socket_in(data_dir: &Path) -> PathBuf {
        data_dir.join("api.sock")
    }
}

/// The superuser's data is the host's, below `/var/lib`, where Piton is installed for the host: there is `/etc/piton`,
/// and the superuser neither names a directory nor stands in one with declarations. Everywhere else it lies in the
/// directory, as for everybody.
fn serves_the_host(global: &Global, environment: &BTreeMap<String, String>, current_dir: &Path) -> bool {
    const DECLARATIONS: [&str; 6] = [".piton", "piton.toml", "workspaces", "jobs", "programs", "blueprints"];
    rustix::process::geteuid().is_root()
        && Path::new("/etc/piton").is_dir()
        && global.dir.is_none()
        && !environment.contains_key("PROVISIONER_CONFIG_DIR")
        && !DECLARATIONS.iter().any(|name| current_dir.join(name).exists())
}

/// Makes a directory and those around it, where they are missing, for nobody but their owner: the data directory may be
/// among them.
pub fn create_private_dir(directory: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// The environment, without what is not text.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_its_owners_and_what_is_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("there");
        std::fs::create_dir(&there).unwrap();
        std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o755)).unwrap();
        create_private_dir(&there.join(".piton/logs")).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&there), mode(&there.join(".piton")), mode(&there.join(".piton/logs"))),
            (0o755, 0o700, 0o700)
        );
    }
}
