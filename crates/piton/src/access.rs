//! What of the configuration is about the outside world and about secrets: networks, registries, keys.

use std::path::Path;

use piton_exec::guard::{Guard, Network};
use piton_exec::registry::Registry;
use piton_spec::Config;
use piton_vault::{Key, Vault};

use crate::error::{CommandError, Exit};

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

fn bad(key: &str, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::new(Exit::BadConfig, format!("{key}: {error}"))
}
