//! What went wrong with git, told by what can be done about it.

use std::io;
use std::path::PathBuf;

use piton_model::{Failure, FailureClass};

use super::Address;
use crate::guard::Blocked;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none, or one that is not allowed.
    #[error("`{address}` is not a repository's address: {problem}")]
    Address {
        /// What was given, without passwords.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The address of a template carries what would be stored and shown with it.
    #[error("no user and no password belong in the URL `{address}`: it is stored with the template and shown")]
    AddressHoldsCredentials {
        /// What was given, without the password.
        address: String,
    },
    /// The ref is none.
    #[error("`{wanted}` is not a branch, tag or commit: {problem}")]
    Ref {
        /// What was given.
        wanted: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The program `git` could not be started.
    #[error("cannot start git: {source}")]
    Start {
        /// Why.
        source: io::Error,
    },
    /// The server wants to know who asks, or does not like the answer.
    #[error("failed to clone repository {address}: authentication required")]
    Authentication {
        /// The repository.
        address: String,
    },
    /// There is no such repository.
    #[error("failed to clone repository {address}: repository not found")]
    NotFound {
        /// The repository.
        address: String,
    },
    /// The repository has no commit.
    #[error("the repository {address} is empty")]
    Empty {
        /// The repository.
        address: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("the repository {address} has no branch, tag or commit `{wanted}`")]
    RefNotFound {
        /// The repository.
        address: String,
        /// What was wanted.
        wanted: String,
        /// Refs of a similar name.
        nearest: Vec<String>,
    },
    /// The server could not be reached.
    #[error("cannot reach {address}: {said}")]
    Unreachable {
        /// The repository.
        address: String,
        /// What git said.
        said: String,
    },
    /// The host is one that is never contacted, or not from here.
    #[error("{address} is not contacted: {blocked}")]
    Blocked {
        /// The repository.
        address: String,
        /// Why.
        blocked: Blocked,
    },
    /// The server sends whoever asks to another address.
    #[error("failed to clone repository {address}: it redirects, which is not followed")]
    Redirected {
        /// The repository.
        address: String,
    },
    /// Nobody said that this is the key of the host.
    #[error("the SSH host of {address} is not known{}", .shown.as_ref().map(|key| format!("; it showed the key {key}")).unwrap_or_default())]
    HostUnknown {
        /// The repository.
        address: String,
        /// Kind and fingerprint of the key that it showed.
        shown: Option<String>,
    },
    /// The host shows another key than it should.
    #[error("the SSH host of {address} showed a key that is not the known one{}", .shown.as_ref().map(|key| format!(": {key}")).unwrap_or_default())]
    HostChanged {
        /// The repository.
        address: String,
        /// Kind and fingerprint of the key that it showed.
        shown: Option<String>,
    },
    /// The SSH key cannot be read with what was given.
    #[error("the SSH key for {address} cannot be used: {said}")]
    KeyUnusable {
        /// The repository.
        address: String,
        /// What `ssh` said.
        said: String,
    },
    /// Whoever wanted it wants it no more.
    #[error("{address} was not fetched: this was interrupted")]
    Interrupted {
        /// The repository.
        address: String,
    },
    /// The files of the fetch cannot be handled.
    #[error("cannot {doing} {}: {source}", path.display())]
    Credentials {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Anything else that git does not like.
    #[error("failed to clone repository {address}: {said}")]
    Failed {
        /// The repository.
        address: String,
        /// What git said.
        said: String,
    },
}

impl Error {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Address { .. } | Error::AddressHoldsCredentials { .. } => "git_address_invalid",
            Error::Ref { .. } => "git_ref_invalid",
            Error::Start { .. } => "git_missing",
            Error::Authentication { .. } => "git_authentication_required",
            Error::NotFound { .. } => "git_repository_not_found",
            Error::Empty { .. } => "git_repository_empty",
            Error::RefNotFound { .. } => "git_ref_not_found",
            Error::Unreachable { .. } => "git_unreachable",
            Error::Interrupted { .. } => "git_failed",
            Error::Blocked { .. } => "blocked_address",
            Error::Redirected { .. } => "git_redirected",
            Error::HostUnknown { .. } => "git_host_unknown",
            Error::HostChanged { .. } => "git_host_changed",
            Error::KeyUnusable { .. } => "git_key_unusable",
            Error::Credentials { .. } => "io_error",
            Error::Failed { .. } => "git_failed",
        }
    }

    /// The same, as a step of a run fails with it.
    pub fn failure(&self) -> Failure {
        let class = if self.is_transient() { FailureClass::Transient } else { FailureClass::Permanent };
        let failure = Failure::new(class, self.code(), self.to_string());
        match self.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { .. } => true,
            Error::Address { .. }
            | Error::AddressHoldsCredentials { .. }
            | Error::Ref { .. }
            | Error::Start { .. }
            | Error::Authentication { .. }
            | Error::NotFound { .. }
            | Error::Empty { .. }
            | Error::RefNotFound { .. }
            | Error::Blocked { .. }
            | Error::Redirected { .. }
            | Error::Interrupted { .. }
            | Error::HostUnknown { .. }
            | Error::HostChanged { .. }
            | Error::KeyUnusable { .. }
            | Error::Credentials { .. }
            | Error::Failed { .. } => false,
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Error::AddressHoldsCredentials { .. } => {
                "templates are fetched with the credential helpers (`git config credential.helper`) and the SSH keys of \
                 the user that runs this: set one up, and leave the password out; it is known to others now, so get \
                 another one"
            }
            Error::Start { source } if source.kind() == io::ErrorKind::NotFound => "install git, or check PATH",
            Error::Authentication { .. } => {
                "give `git_auth` with a deployment; for a template, set up a git credential helper, a token or an SSH \
                 key for the user that runs this; no password is ever asked for"
            }
            Error::Blocked { blocked: Blocked::Network { .. }, .. } => "the list is `security.blocked_networks`",
            Error::Redirected { .. } => "give the address to which the server redirects, usually the one with `.git`",
            Error::HostUnknown { .. } => {
                "compare the fingerprint with what the host's owner publishes, then add the key to `known_hosts` of \
                 `git_auth`, or to the file that `git.known_hosts` names; `ssh-keyscan HOST` prints such lines"
            }
            Error::HostChanged { .. } => {
                "somebody may be in between, or the host was set up anew: ask its owner before the known key is replaced"
            }
            Error::KeyUnusable { .. } => "check the key and its `passphrase`",
            Error::NotFound { .. } => {
                "check the address; private repositories look missing to those who may not see them"
            }
            Error::RefNotFound { nearest, .. } if !nearest.is_empty() => {
                return Some(format!("did you mean `{}`?", nearest.join("`, `")));
            }
            Error::Failed { said, .. } if said.contains("dubious ownership") => {
                "the repository belongs to another user; allow it with `git config --global --add safe.directory PATH`"
            }
            Error::Address { .. }
            | Error::Ref { .. }
            | Error::Start { .. }
            | Error::Empty { .. }
            | Error::RefNotFound { .. }
            | Error::Unreachable { .. }
            | Error::Interrupted { .. }
            | Error::Blocked { .. }
            | Error::Credentials { .. }
            | Error::Failed { .. } => return None,
        };
        Some(text.to_owned())
    }
}

/// Reads what git printed. The words are those of git, ssh and curl in the C locale.
pub(super) fn explain(address: &Address, printed: &str) -> Error {
    let shown = address.to_string();
    // git may quote the URL, and a URL may hold a password.
    let printed = printed.replace(address.as_str(), &shown);
    let (debug, printed): (Vec<&str>, Vec<&str>) = printed.lines().partition(|line| line.starts_with("debug1: "));
    let printed = printed.join("\n");
    let lower = printed.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["host key verification failed", "no matching host key type"]) {
        let key = debug.iter().find_map(|line| line.strip_prefix("debug1: Server host key: ")).map(str::to_owned);
        return if says(&["identification has changed", "differs from the key", "revoked"]) {
            Error::HostChanged { address: shown, shown: key }
        } else {
            Error::HostUnknown { address: shown, shown: key }
        };
    }
    if let Some(line) = printed.lines().find(|line| line.starts_with("Load key ")) {
        // The file's name means nothing to anybody.
        let said = line.rsplit_once(": ").map_or(line, |(_, said)| said).trim().to_owned();
        return Error::KeyUnusable { address: shown, said };
    }
    // The public half is offered before the other is unlocked.
    if says(&["permission denied ("]) && debug.iter().any(|line| line.starts_with("debug1: Server accepts key")) {
        return Error::KeyUnusable { address: shown, said: "it could not be unlocked".to_owned() };
    }
    if says(&["returned error: 301", "returned error: 302", "returned error: 307", "returned error: 308"]) {
        return Error::Redirected { address: shown };
    }
    if says(&[
        "could not read username",
        "could not read password",
        "authentication failed",
        "permission denied (",
        "terminal prompts disabled",
        "error: 401",
        "error: 403",
    ]) {
        return Error::Authentication { address: shown };
    }
    if says(&["couldn't find remote ref", "not our ref", "unadvertised object"]) {
        return Error::RefNotFound { address: shown, wanted: "the wanted commit".to_owned(), nearest: Vec::new() };
    }
    if says(&["repository not found", "does not appear to be a git repository", "error: 404", "not found"]) {
        return Error::NotFound { address: shown };
    }
    let said = told(&printed);
    if says(&[
        "could not resolve host",
        "connection refused",
        "timed out",
        "couldn't connect",
        "network is unreachable",
        "no route to host",
        "could not connect to server",
        "failed to connect",
        "operation too slow",
    ]) {
        return Error::Unreachable { address: shown, said };
    }
    Error::Failed { address: shown, said }
}

/// The line that says what is wrong.
fn told(printed: &str) -> String {
    let line = printed.lines().find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    let line =
        line.or_else(|| printed.lines().rev().find(|line| !line.trim().is_empty())).unwrap_or("git said nothing");
    line.trim_start_matches("fatal: ").trim_start_matches("error: ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_understood() {
        let address: Address = "https://user:hunter2@host/x".parse().unwrap();
        for (printed, code) in [
            (
                "fatal: could not read Username for 'https://host': terminal prompts disabled",
                "git_authentication_required",
            ),
            (
                "git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                "git_authentication_required",
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://host/x/' not found",
                "git_repository_not_found",
            ),
            ("fatal: '/srv/x' does not appear to be a git repository", "git_repository_not_found"),
            ("fatal: couldn't find remote ref nope", "git_ref_not_found"),
            ("fatal: unable to access 'https://host/x/': Could not resolve host: host", "git_unreachable"),
            ("fatal: detected dubious ownership in repository at '/srv/x'", "git_failed"),
            (
                "debug1: Server host key: ssh-ed25519 SHA256:abc\r\nNo ED25519 host key is known for h and you have \
                 requested strict checking.\r\nHost key verification failed.\r\nfatal: Could not read from remote",
                "git_host_unknown",
            ),
            ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "git_host_changed"),
            (
                "Load key \"/x/key\": incorrect passphrase supplied to decrypt private key\n\
                 git@h: Permission denied (publickey).",
                "git_key_unusable",
            ),
            (
                "debug1: Server accepts key: /x/key ED25519 SHA256:abc explicit\n\
                 git@h: Permission denied (publickey).",
                "git_key_unusable",
            ),
            ("fatal: unable to access 'https://host/x/': The requested URL returned error: 301", "git_redirected"),
            ("", "git_failed"),
        ] {
            assert_eq!(explain(&address, printed).code(), code, "{printed}");
        }
        let unknown = explain(&address, "debug1: Server host key: ssh-rsa SHA256:ab+/c\nHost key verification failed.");
        assert!(unknown.to_string().contains("ssh-rsa SHA256:ab+/c"), "{unknown}");
        let error = explain(&address, "fatal: odd thing with https://user:hunter2@host/x");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
