//! Code from git: fetched anew for each run, into a directory of the run's own.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use piton_model::{Failure, GitAuth, GitSource, Iac, Report};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use super::prepare;
use crate::git::{self, Access, Address, Ref};
use crate::pass::Pass;
use crate::request::flags;
use crate::step::Passed;
use crate::{environment, failing};

/// Where the repository lies below the deployment directory.
const CODE: &str = "code";

/// Where an earlier checkout waits for its removal.
const OLD_CODE: &str = "code.old";

/// The directory of the root module.
pub(crate) fn root_module(deployment: &Path, source: &GitSource) -> PathBuf {
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
    let deployment = deployment(pass, iac);
    make_room(&deployment)?;
    let into = deployment.join(CODE);
    clear(&deployment, &into)?;
    let address: Address = source.url.parse().map_err(|error: git::Error| error.failure())?;
    let wanted: Ref = reference.parse().map_err(|error: git::Error| error.failure())?;
    let secrets = environment::secrets(&pass.world.config.environment, &iac.env);
    let log = pass.log(secrets.chain(secrets_of(source.auth.as_ref()))).await?;
    pass.announce(&log, "cloning", "Cloning repository...").await?;
    pass.note(&log, "fetch", &format!("fetching {reference} of {address}")).await?;
    let git = pass.world.templates.git();
    let keep = pass.files.git();
    let access = Access { auth: source.auth.as_ref(), files: &keep };
    let found = tokio::select! {
        found = git.checkout_as(access, &address, &wanted, &into) => found,
        () = pass.input.stop.cancelled() => return Err(failing::stopped_before("the checkout was done")),
    };
    let found = found.map_err(|error| {
        let mut failure = error.failure();
        // A server may say anything, even what it was told.
        failure.message = log.redactor().redact(&failure.message);
        failure
    })?;
    pass.note(&log, "commit", &format!("checked out {}", found.commit)).await?;
    check_path(&deployment, source)?;
    for file in iac.var_files.iter().cloned().chain(flags::var_files(&iac.plan_flags)) {
        check_file(&deployment, source, &file, "variable file")?;
    }
    Ok(found.commit)
}

/// Makes an empty directory. A `git` that outlived a daemon which was killed may still be writing into the old one, so
/// that one is moved away first: what is written then is in nobody's way.
fn clear(deployment: &Path, into: &Path) -> Result<(), Failure> {
    let old = deployment.join(OLD_CODE);
    let gone = |path: &Path| match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failing::io("remove", path, &error)),
        _ => Ok(()),
    };
    gone(&old)?;
    match fs::rename(into, &old) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failing::io("move", into, &error)),
        _ => {}
    }
    fs::create_dir(into).map_err(|error| failing::io("create", into, &error))?;
    if let Err(error) = fs::remove_dir_all(&old)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(directory = %old.display(), %error, "an old checkout is still being written");
    }
    Ok(())
}

/// What of the credentials the log must not show. Some servers take a token in the place of a user's name.
fn secrets_of(auth: Option<&GitAuth>) -> Vec<String> {
    match auth {
        Some(GitAuth::Http { username, password }) => {
            let token = Some(username).filter(|name| looks_like_a_token(name)).cloned();
            token.into_iter().chain([password.expose().clone()]).collect()
        }
        Some(GitAuth::Ssh { private_key, passphrase, .. }) => {
            let passphrase = passphrase.as_ref().map(|text| text.expose().clone());
            passphrase.into_iter().chain([private_key.expose().clone()]).collect()
        }
        None => Vec::new(),
    }
}

fn looks_like_a_token(name: &str) -> bool {
    name.len() >= 16 && name.contains(|c: char| c.is_ascii_digit()) && name.contains(char::is_alphabetic)
}

fn deployment(pass: &Pass<'_>, iac: &Iac) -> PathBuf {
    pass.world.config.deployment_dir(&iac.deployment)
}

/// The path must lead to a directory of the repository, whatever links lie on the way. Looked at again before each step:
/// what runs in the directory may have changed it.
pub(super) fn check_path(deployment: &Path, source: &GitSource) -> Result<(), Failure> {
    let shown = source.path.display();
    match open_beneath(deployment, &source.path, OFlags::DIRECTORY)? {
        Ok(_) => Ok(()),
        Err(Errno::XDEV | Errno::LOOP) => {
            Err(failing::permanent("path_escape", format!("the path `{shown}` leaves the repository"))
                .hint("name a directory of the repository, relative to its root"))
        }
        Err(Errno::NOENT | Errno::NOTDIR) => {
            Err(failing::permanent("path_missing", format!("the repository has no directory `{shown}`")))
        }
        Err(error) => Err(failing::io("open", &root_module(deployment, source), &error.into())),
    }
}

/// A file that is named relative to the root module, and must be one of the repository. `what` is for the message.
pub(super) fn check_file(deployment: &Path, source: &GitSource, file: &Path, what: &str) -> Result<(), Failure> {
    let shown = file.display();
    let escape = || failing::permanent("var_file_escape", format!("the {what} `{shown}` leaves the repository"));
    if file.is_absolute() {
        return Err(escape());
    }
    match open_beneath(deployment, &source.path.join(file), OFlags::empty())? {
        Ok(found) => {
            let kind = fstat(&found).map(|stat| FileType::from_raw_mode(stat.st_mode));
            match kind.map_err(|error| failing::io("look at", file, &error.into()))? {
                FileType::RegularFile => Ok(()),
                _ => Err(failing::permanent("var_file_missing", format!("the {what} `{shown}` is not a file"))),
            }
        }
        Err(Errno::XDEV | Errno::LOOP) => Err(escape()),
        Err(Errno::NOENT | Errno::NOTDIR) => {
            Err(failing::permanent("var_file_missing", format!("the {what} `{shown}` is not in the repository"))
                .hint("it is looked for in the directory that `path` names"))
        }
        Err(error) => Err(failing::io("open", &root_module(deployment, source).join(file), &error.into())),
    }
}

/// Opens what is in the repository and nothing else: the kernel refuses every way out of it.
fn open_beneath(deployment: &Path, path: &Path, flags: OFlags) -> Result<Result<OwnedFd, Errno>, Failure> {
    let code = deployment.join(CODE);
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let root =
        openat(CWD, &code, directory, Mode::empty()).map_err(|error| failing::io("open", &code, &error.into()))?;
    let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
    Ok(openat2(&root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS))
}
