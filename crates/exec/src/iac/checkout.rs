//! Code from git: fetched anew for each run, into a directory of the run's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use piton_model::{Failure, FailureClass, GitSource, Iac, Report};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::{layout, prepare};
use crate::git::{self, Address, Ref};
use crate::pass::Pass;
use crate::step::Passed;
use crate::{environment, failing};

/// Where the repository lies below the deployment directory.
const CODE: &str = "code";

/// The directory of the root module.
pub(super) fn root_module(deployment: &Path, source: &GitSource) -> PathBuf {
    deployment.join(CODE).join(&source.path)
}

/// Makes the directory into which [`checkout`] will fetch.
pub(super) fn make_room(deployment: &Path) -> Result<(), Failure> {
    fs::create_dir_all(deployment).map_err(|error| failing::io("create", deployment, &error))?;
    fs::set_permissions(deployment, fs::Permissions::from_mode(0o700))
        .map_err(|error| failing::io("set the permissions of", deployment, &error))
}

pub(super) async fn checkout(pass: &Pass<'_>, iac: &Iac, source: &GitSource) -> Result<Passed, Failure> {
    pass.go_on("checkout")?;
    let commit = fetch(pass, iac, source, &source.reference).await?;
    let tool = prepare::choose(pass, iac, root_module(&deployment(pass, iac), source)).await?;
    Ok(Passed::Next(Report { tool: Some(tool), commit: Some(commit), ..Report::default() }))
}

/// Fetches `reference` and answers with its commit. What an earlier try left is thrown away.
pub(super) async fn fetch(pass: &Pass<'_>, iac: &Iac, source: &GitSource, reference: &str) -> Result<String, Failure> {
    if source.auth.is_some() {
        return Err(failing::permanent("git_auth_unsupported", "credentials for git are not supported yet"));
    }
    let deployment = deployment(pass, iac);
    make_room(&deployment)?;
    let into = deployment.join(CODE);
    match fs::remove_dir_all(&into) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failing::io("remove", &into, &error));
        }
        _ => {}
    }
    fs::create_dir(&into).map_err(|error| failing::io("create", &into, &error))?;
    let address: Address = source.url.parse().map_err(|error| failure(&error))?;
    let wanted: Ref = reference.parse().map_err(|error| failure(&error))?;
    let log = pass.log(environment::secrets(&pass.world.config.environment, &iac.env)).await?;
    pass.note(&log, "fetch", &format!("fetching {reference} of {address}")).await?;
    let git = pass.world.templates.git();
    let found = tokio::select! {
        found = git.checkout(&address, Some(&wanted), &into) => found.map_err(|error| failure(&error))?,
        () = pass.input.stop.cancelled() => return Err(failing::stopped_before("the checkout was done")),
    };
    pass.note(&log, "commit", &format!("checked out {}", found.commit)).await?;
    check_path(&into, &source.path)?;
    layout::check_var_files(&into.join(&source.path), &iac.var_files)?;
    Ok(found.commit)
}

fn deployment(pass: &Pass<'_>, iac: &Iac) -> PathBuf {
    pass.world.config.deployment_dir(&iac.deployment)
}

/// The path must lead to a directory of the repository, whatever links lie on the way.
fn check_path(code: &Path, path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, code, directory, Mode::empty()).map_err(|error| failing::io("open", code, &error.into()))?;
    match openat2(&root, path, directory, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::XDEV | rustix::io::Errno::LOOP) => {
            Err(failing::permanent("path_escape", format!("the path `{shown}` leaves the repository"))
                .hint("name a directory of the repository, relative to its root"))
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            Err(failing::permanent("path_missing", format!("the repository has no directory `{shown}`")))
        }
        Err(error) => Err(failing::io("open", &code.join(path), &error.into())),
    }
}

fn failure(error: &git::Error) -> Failure {
    let class = if error.is_transient() { FailureClass::Transient } else { FailureClass::Permanent };
    let failure = Failure::new(class, error.code(), error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
