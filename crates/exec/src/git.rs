//! Drives the `git` program: one fetch of one ref, hardened against what a URL, a ref or a repository may try.
//!
//! Templates belong to whoever runs Piton: [`Git::checkout`] uses that user's own configuration, helpers and agents.
//! Requests come from others: [`Git::checkout_as`] uses nothing but the credentials of the request. Both connect only to
//! addresses that were checked, and follow no redirect. Where a proxy is configured, that decides what a name means; where
//! the user's configuration of `ssh` says so, that does for templates.

mod access;
mod address;
mod child;
mod error;
mod pick;
mod session;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use address::{Address, Scheme, masked};
pub use error::Error;
pub use pick::Ref;
use piton_model::GitAuth;
use piton_process::Environment;
use session::Session;

use crate::guard::Guard;

/// Fetches from git repositories.
#[derive(Debug, Clone)]
pub struct Git {
    environment: BTreeMap<String, String>,
    guard: Guard,
    known_hosts: Option<PathBuf>,
}

/// A repository whose wanted commit is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The commit.
    pub commit: String,
}

/// What a fetch for somebody else is made with.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// Their credentials.
    pub auth: Option<&'a GitAuth>,
    /// A directory for the files of this fetch. It is made, and removed when the fetch is over; what an earlier fetch
    /// left there is removed first.
    pub files: &'a Path,
}

impl Git {
    /// Takes the environment in which `git` runs. Credential helpers and SSH agents of the user keep working, if they
    /// are in it; prompts do not.
    pub fn new(environment: Environment) -> Git {
        let mut environment = environment.into_variables();
        environment.retain(|name, _| !name.starts_with("GIT_") && name != "SSH_ASKPASS");
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            // Plain paths and `file:` are fine: who adds a template owns this machine's files anyway.
            ("GIT_ALLOW_PROTOCOL", "https:http:ssh:file"),
            (
                "GIT_SSH_COMMAND",
                "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4",
            ),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
            ("GCM_INTERACTIVE", "never"),
            ("LC_ALL", "C"),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        Git { environment, guard: Guard::default(), known_hosts: None }
    }

    /// Connects only to addresses that `guard` lets pass.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Git {
        Git { guard, ..self }
    }

    /// Trusts the SSH hosts of this file, in the format of `known_hosts`, where a request brings none of its own.
    #[must_use]
    pub fn knowing_hosts_of(self, file: Option<PathBuf>) -> Git {
        Git { known_hosts: file, ..self }
    }

    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Checks out `wanted` (the default branch where there is none) of the repository at `address` into the empty
    /// directory `into`, with whatever access the user has who runs this. No history comes along where the server can
    /// do without.
    pub async fn checkout(&self, address: &Address, wanted: Option<&Ref>, into: &Path) -> Result<Checkout, Error> {
        Session::of_user(self, address).await?.checkout_by_full_name(wanted, into).await
    }

    /// The commit that `wanted` names at this moment, without fetching it, for whoever may have it already. None where
    /// only a fetch can tell, as of an abbreviated commit. `cwd` is any directory.
    pub async fn commit(&self, address: &Address, wanted: Option<&Ref>, cwd: &Path) -> Result<Option<String>, Error> {
        Session::of_user(self, address).await?.commit_by_full_name(wanted, cwd).await
    }

    /// The same as [`Git::checkout`], with the access of somebody else.
    pub async fn checkout_as(
        &self,
        access: Access<'_>,
        address: &Address,
        wanted: &Ref,
        into: &Path,
    ) -> Result<Checkout, Error> {
        Session::of_request(self, address, access).await?.checkout_by_full_name(Some(wanted), into).await
    }
}

/// Removes what a fetch that was killed left in the directory that was its [`Access::files`].
pub(crate) fn remove_credentials(dir: &Path) -> std::io::Result<()> {
    access::remove(dir)
}
