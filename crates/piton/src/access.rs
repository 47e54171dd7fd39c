//! What of the configuration is about the outside world and about secrets: networks, registries, keys.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use piton_exec::Confine;
use piton_exec::guard::{Guard, Network};
use piton_exec::registry::Registry;
use piton_process::confinement;
use piton_spec::Config;
use piton_vault::{Key, Vault};
use serde::Serialize;

use crate::error::{CommandError, Exit};
use crate::place::Place;

/// The hidden command that confines itself and becomes what its arguments say.
pub const LAUNCHER: &str = "confine";

/// Which addresses may be reached.
pub fn guard(config: &Config) -> Result<Guard, CommandError> {
    let networks = config.blocked_networks.iter().map(|text| text.parse::<Network>());
    let networks: Vec<Network> =
        networks.collect::<Result<_, _>>().map_err(|error| bad("security.blocked_networks", &error))?;
    Ok(Guard::new(networks))
}

/// The private registry, if there is one.
pub fn registry(config: &Config) -> Result<Option<Registry>, CommandError> {
    let text = config.iac.registry_host.as_deref().filter(|text| !text.is_empty());
    let registry = text.map(Registry::parse).transpose().map_err(|error| bad("iac.registry_host", &error))?;
    if let Some(registry) = &registry
        && registry.names().len() > 1
    {
        tracing::info!(
            registry = registry.host(),
            names = registry.names().join(", "),
            "the tools refuse this host in the address of a module; modules are found under the other names"
        );
    }
    Ok(registry)
}

/// The keys for the secrets of runs. Without any in the configuration, those of a file in the data directory, which is
/// made. That file is read in any case: what was sealed before there was a configured key stays readable.
pub fn vault(config: &Config, data_dir: &Path) -> Result<Vault, CommandError> {
    let mut keys = Vec::new();
    for text in &config.encryption.given {
        keys.push(Key::parse(text.expose()).map_err(|error| bad("security.encryption_key", &error))?);
    }
    if let Some(file) = &config.encryption.file {
        keys.extend(Vault::from_file(file).map_err(|error| bad("security.encryption_key_file", &error))?);
    }
    let own = data_dir.join("vault.key");
    if keys.is_empty() {
        if config.store_url.expose().starts_with("postgres") {
            tracing::info!("daemons that share this database need the same `security.encryption_key`");
        }
        keys = Vault::from_file_or_new(&own).map_err(|error| bad("vault.key", &error))?;
    } else if own.exists() {
        keys.extend(Vault::from_file(&own).map_err(|error| bad("vault.key", &error))?);
    }
    Ok(Vault::new(keys))
}

/// Whether deployed code is confined, and from what: from all that Piton keeps, from the declarations with what they say
/// in confidence, and from the keys and logins that lie elsewhere.
///
/// Nothing can be created directly in the directories on the way to what is hidden. So by default only that is hidden of
/// which nobody notices that.
pub fn confine(place: &Place) -> Result<Confine, CommandError> {
    let config = &place.config;
    match (config.iac.confine, confinement::is_supported()) {
        (piton_spec::Confine::Never, _) => return Ok(Confine::Never),
        (piton_spec::Confine::Auto, false) => {
            tracing::warn!("this system cannot confine deployed code; see `iac.confine`");
            return Ok(Confine::Unavailable);
        }
        (piton_spec::Confine::Always, false) => return Ok(Confine::Impossible),
        (piton_spec::Confine::Auto, true) if is_nested(&place.root, &place.data_dir) => {
            tracing::info!(why = protection(place).detail, "deployed code is not confined");
            return Ok(Confine::Never);
        }
        (piton_spec::Confine::Auto | piton_spec::Confine::Always, true) => {}
    }
    let layout = config.layout(TimeZone::UTC);
    let mut hidden = vec![place.data_dir.clone(), layout.workspaces, layout.jobs, layout.programs];
    hidden.extend(config.processes.defaults.env_files.iter().cloned());
    hidden.extend(config.file.clone());
    hidden.extend(config.encryption.file.clone());
    hidden.extend(config.server.tls.as_ref().map(|tls| tls.identity.key()));
    if let Some(home) = std::env::home_dir() {
        hidden.extend([".piton", ".provisr"].map(|logins| home.join(logins)));
    }
    if config.iac.confine == piton_spec::Confine::Auto {
        let data_dir = canonical(&place.data_dir);
        hidden.retain(|path| takes_nothing(&canonical(path), &data_dir));
    }
    let exe = std::env::current_exe()
        .map_err(|error| CommandError::new(Exit::Failed, format!("cannot tell the path of this program: {error}")))?;
    Ok(Confine::Hide { launcher: vec![exe.display().to_string(), LAUNCHER.to_owned()], hidden })
}

/// Whether deployed code is confined, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Protection {
    /// Whether it is.
    pub confined: bool,
    /// How that comes, and what to do about it.
    pub detail: String,
}

/// What [`confine`] comes to, and why.
pub fn protection(place: &Place) -> Protection {
    let (root, data_dir) = (place.root.display(), place.data_dir.display());
    let not = |why: String| Protection { confined: false, detail: format!("deployed code is not confined: {why}") };
    match (place.config.iac.confine, confinement::is_supported()) {
        (piton_spec::Confine::Never, _) => not("`iac.confine` is `never`".to_owned()),
        (piton_spec::Confine::Auto, false) => {
            not("this kernel has no Landlock, which takes Linux 5.13 or later with `landlock` among its `lsm`"
                .to_owned())
        }
        (piton_spec::Confine::Always, false) => {
            let detail = "deployed code does not run: `iac.confine` is `always`, and this kernel has no Landlock";
            Protection { confined: false, detail: detail.to_owned() }
        }
        (piton_spec::Confine::Auto, true) if is_nested(&place.root, &place.data_dir) => not(format!(
            "the data directory, {data_dir}, and the directory of the declarations, {root}, lie one inside the other, and to \
             hide it would keep code from creating files there. Move the data with `data.dir`, or set `iac.confine = \
             \"always\"`: then nothing can be created directly in {} and the directories above",
            place.data_dir.parent().unwrap_or(&place.root).display()
        )),
        (piton_spec::Confine::Auto | piton_spec::Confine::Always, true) => {
            Protection { confined: true, detail: format!("deployed code is confined: it does not see {data_dir}") }
        }
    }
}

/// Whether hiding the data directory would keep code from creating files in the directory of the declarations, or hide
/// that one too.
fn is_nested(root: &Path, data_dir: &Path) -> bool {
    let (root, data_dir) = (canonical(root), canonical(data_dir));
    data_dir.starts_with(&root) || root.starts_with(&data_dir)
}

/// Whether nobody misses the directories in which nothing can be created once `path` is hidden: those on the way to the
/// data directory, those of the system's configuration, and those that this user may not write anyway.
fn takes_nothing(path: &Path, data_dir: &Path) -> bool {
    path.ancestors().skip(1).all(|dir| {
        data_dir.starts_with(dir)
            || dir.starts_with("/etc")
            || rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_err()
    })
}

/// The path without links, as far as it is there.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn bad(key: &str, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::new(Exit::BadConfig, format!("{key}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_data_directory_of_its_own_is_hidden_unasked() {
        let nested = |root: &str, data_dir: &str| is_nested(Path::new(root), Path::new(data_dir));
        assert!(nested("/srv/infra", "/srv/infra/.piton"));
        assert!(nested("/srv/infra", "/srv/infra"));
        assert!(nested("/srv/data/declared", "/srv/data"));
        assert!(!nested("/srv/infra", "/srv/infra-data"));
        assert!(!nested("/etc/piton", "/srv/lib/piton"));
    }

    #[test]
    fn what_is_hidden_unasked_closes_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = canonical(dir.path());
        let (data_dir, own) = (root.join("data"), root.join("own"));
        for dir in [&data_dir, &own] {
            std::fs::create_dir(dir).unwrap();
        }
        assert!(takes_nothing(&data_dir, &data_dir));
        assert!(takes_nothing(&data_dir.join("vault.key"), &data_dir));
        assert!(takes_nothing(Path::new("/etc/piton/workspaces"), &data_dir));
        assert!(takes_nothing(&root.join("piton.toml"), &data_dir), "its directory is closed by the other already");
        assert!(!takes_nothing(&own.join("workspaces"), &data_dir));
    }
}
