//! Drives the `git` program: one fetch of one ref, hardened against what a URL, a ref or a repository may try.

mod address;
mod error;
mod pick;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

pub use address::Address;
pub use error::Error;
pub use pick::Ref;
use piton_process::Environment;
use tokio::process::Command;

/// Fetches from git repositories.
#[derive(Debug, Clone)]
pub struct Git {
    environment: BTreeMap<String, String>,
}

/// A repository whose wanted commit is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The commit.
    pub commit: String,
}

/// Settings that hold whatever the user's own configuration says.
const SETTINGS: [&str; 9] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "transfer.fsckObjects=true",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "protocol.ext.allow=never",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    "gc.auto=0",
];

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
            ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
            ("GCM_INTERACTIVE", "never"),
            ("LC_ALL", "C"),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        Git { environment }
    }

    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Checks out `wanted` (the default branch where there is none) of the repository at `address` into the empty
    /// directory `into`. No history comes along where the server can do without.
    pub async fn checkout(&self, address: &Address, wanted: Option<&Ref>, into: &Path) -> Result<Checkout, Error> {
        address.check_reachable().await?;
        let advertised = self.advertised(address, into).await?;
        let choice = pick::choose(&advertised, wanted).map_err(|problem| problem.of(address))?;
        self.run(into, ["init", "--quiet", "."], address).await?;
        let url = address.as_str();
        match &choice {
            pick::Choice::Advertised { name } => {
                self.fetch(into, address, &["--depth=1", "--end-of-options", url, name]).await?;
            }
            pick::Choice::Commit(commit) => self.fetch_commit(into, address, commit).await?,
        }
        let commit = match choice {
            pick::Choice::Advertised { .. } => "FETCH_HEAD".to_owned(),
            pick::Choice::Commit(commit) => commit,
        };
        let found = self
            .run(
                into,
                ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{commit}^{{commit}}")],
                address,
            )
            .await;
        let commit = match found {
            Ok(text) => text.trim().to_owned(),
            Err(Error::Failed { .. }) => return Err(pick::not_found(&advertised, &commit).of(address)),
            Err(other) => return Err(other),
        };
        self.run(into, ["checkout", "--quiet", "--detach", "--no-recurse-submodules", &commit], address).await?;
        Ok(Checkout { commit })
    }

    async fn advertised(&self, address: &Address, cwd: &Path) -> Result<pick::Advertised, Error> {
        let listed = self.run(cwd, ["ls-remote", "--quiet", "--end-of-options", address.as_str()], address).await?;
        Ok(pick::Advertised::parse(&listed))
    }

    async fn fetch(&self, into: &Path, address: &Address, rest: &[&str]) -> Result<(), Error> {
        let mut args = vec!["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph"];
        args.extend(rest);
        self.run(into, args, address).await.map(drop)
    }

    /// One commit by its id. Servers may refuse ids that no ref points at, and none knows an abbreviated one: then
    /// everything is fetched, and the id is looked up here.
    async fn fetch_commit(&self, into: &Path, address: &Address, commit: &str) -> Result<(), Error> {
        let url = address.as_str();
        if commit.len() == 40 || commit.len() == 64 {
            match self.fetch(into, address, &["--depth=1", "--end-of-options", url, commit]).await {
                Ok(()) => return Ok(()),
                Err(Error::Failed { .. } | Error::RefNotFound { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let all = ["--end-of-options", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        self.fetch(into, address, &["--update-head-ok"].into_iter().chain(all).collect::<Vec<_>>()).await
    }

    async fn run<A: AsRef<OsStr>>(
        &self,
        cwd: &Path,
        args: impl IntoIterator<Item = A>,
        address: &Address,
    ) -> Result<String, Error> {
        let mut command = Command::new("git");
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        let output = command
            .args(args)
            .current_dir(cwd)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|source| Error::Start { source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(error::explain(address, &String::from_utf8_lossy(&output.stderr)))
    }
}
