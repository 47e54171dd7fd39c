//! What `init` needs to read a private registry, and nobody after it: the token is in a file of the run while `init`
//! works, and code that runs later does not find it.

use std::fs;
use std::path::PathBuf;

use piton_model::{Failure, FailureClass};

use super::tool::Workbench;
use crate::pass::{Child, Pass};
use crate::registry::{Registry, TokenError};
use crate::{failing, run_files};

/// Access to a registry, for one `init`. Dropping it leaves the file to a step that is resumed.
pub(super) struct Access {
    settings: PathBuf,
    token: String,
}

impl Access {
    /// Asks the registry, unless the `init` that was given the answer runs already.
    pub(super) async fn open(bench: &Workbench<'_>) -> Result<Option<Access>, Failure> {
        let pass = bench.pass;
        let Some(registry) = &pass.world.config.registry else { return Ok(None) };
        let (settings, kept) = (pass.files.registry(), pass.files.registry_token());
        if pass.knows("init").await?
            && let Ok(token) = fs::read_to_string(&kept)
        {
            return Ok(Some(Access { settings, token }));
        }
        let token = tokio::select! {
            token = registry.token(&pass.world.config.guard) => token.map_err(|error| failure(registry, &error))?,
            () = pass.input.stop.cancelled() => return Err(failing::stopped_before("init")),
        };
        run_files::write(&kept, token.expose().as_bytes(), 0o600)?;
        run_files::write(&settings, registry.cli_config(&token).as_bytes(), 0o600)?;
        Ok(Some(Access { settings, token: token.expose().clone() }))
    }

    /// What must not be seen in the log.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Lets a child use it.
    pub(super) fn give(&self, child: &mut Child) {
        child.env.insert("TF_CLI_CONFIG_FILE".to_owned(), self.settings.display().to_string());
    }
}

/// Takes the access back.
pub(super) fn close(pass: &Pass<'_>) -> Result<(), Failure> {
    for path in [pass.files.registry(), pass.files.registry_token()] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failing::io("remove", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn failure(registry: &Registry, error: &TokenError) -> Failure {
    let class = match error {
        TokenError::Unreachable { .. } => FailureClass::Transient,
        TokenError::Refused { .. } => FailureClass::Permanent,
    };
    Failure::new(class, "registry_token_unavailable", error.to_string())
        .hint(format!("check `iac.registry_host` ({}), and that the registry runs", registry.host()))
}
