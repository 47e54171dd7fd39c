//! What went wrong, told by what can be done about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use piton_model::{Failure, FailureClass};

use crate::commit::CommitError;
use crate::object::ObjectId;
use crate::tree::TreeError;
use crate::wanted::InvalidName;

/// Why a repository is not there, or not filled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that cannot be used.
    #[error("`{address}` cannot be used as an address: {problem}")]
    Address {
        /// What was given, without passwords.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that cannot be used.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Credentials that cannot be used.
    #[error("the credentials cannot be used: {problem}")]
    Credentials {
        /// What is wrong with them.
        problem: &'static str,
    },
    /// There is no first commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The forge does not have what is wanted.
    #[error("{forge} does not know {what}")]
    Unsupported {
        /// Which forge.
        forge: &'static str,
        /// What it lacks.
        what: &'static str,
    },
    /// An address that is never contacted, or not from here.
    #[error("{host} is not contacted: {reason}")]
    Blocked {
        /// The host.
        host: String,
        /// Why not.
        reason: String,
    },
    /// The program was built without a provider of cryptography.
    #[error("no TLS provider is installed in this process")]
    NoTlsProvider,
    /// The host did not answer, or not to the end.
    #[error("cannot {doing}: {host} cannot be reached: {reason}")]
    Unreachable {
        /// What was tried.
        doing: &'static str,
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// The forge does not know who asks (401).
    #[error("cannot {doing}: the credentials are not accepted{}", said(text))]
    Unauthorized {
        /// What was tried.
        doing: &'static str,
        /// What the forge said.
        text: String,
    },
    /// The forge knows who asks, and does not allow it (403).
    #[error("cannot {doing}: it is not allowed{}", said(text))]
    Forbidden {
        /// What was tried.
        doing: &'static str,
        /// What the forge said.
        text: String,
    },
    /// There is no such group, organisation or repository, or this token does not see it (404).
    #[error("cannot {doing}: {what} is not there, or these credentials do not show it")]
    NotFound {
        /// What was tried.
        doing: &'static str,
        /// What is not there.
        what: String,
        /// It was made a moment ago, and some part of the forge may not know yet.
        fresh: bool,
    },
    /// Too many requests.
    #[error("cannot {doing}: the forge limits the rate of requests")]
    RateLimited {
        /// What was tried.
        doing: &'static str,
        /// When to come back, where the forge said so.
        retry_after: Option<Duration>,
    },
    /// The forge has troubles of its own.
    #[error("cannot {doing}: the forge answered {status}{}", said(text))]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// The status.
        status: u16,
        /// What it said.
        text: String,
        /// When to come back, where it said so.
        retry_after: Option<Duration>,
    },
    /// The forge does not want to.
    #[error("cannot {doing}: the forge refused ({status}){}", said(text))]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// Someone else's repository has the name.
    #[error("the repository {name} is taken: {reason}")]
    Taken {
        /// Its full name.
        name: String,
        /// How that is known.
        reason: &'static str,
    },
    /// The address leads elsewhere.
    #[error("cannot {doing}: {address} redirects to {to}, which is not followed")]
    Redirected {
        /// What was tried.
        doing: &'static str,
        /// What was asked.
        address: String,
        /// Where it leads.
        to: String,
    },
    /// An answer that makes no sense.
    #[error("cannot {doing}: the answer is not understood: {problem}")]
    Unexpected {
        /// What was tried.
        doing: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The branch has commits that are not ours.
    #[error("the branch `{branch}` of {repository} is at {head}, which is not the commit of this run")]
    BranchTaken {
        /// The repository.
        repository: String,
        /// The branch.
        branch: String,
        /// Where it is.
        head: ObjectId,
    },
    /// The forge protects the branch from whoever pushes.
    #[error("the branch `{branch}` is protected from these credentials{}", said(text))]
    Protected {
        /// The branch.
        branch: String,
        /// What the forge said.
        text: String,
    },
    /// A hook of the server refused the commit.
    #[error("a hook of the server refused the commit: {reason}{}", said(text))]
    HookDeclined {
        /// In the words of git.
        reason: String,
        /// What the hook said.
        text: String,
    },
    /// The branch changed while it was pushed to.
    #[error("the branch `{branch}` was not made: {reason}")]
    Raced {
        /// The branch.
        branch: String,
        /// In the words of git.
        reason: String,
    },
    /// The server could not keep the commit, or did not want to.
    #[error("the server did not take the push: {reason}{}", said(text))]
    PushRefused {
        /// In the words of git.
        reason: String,
        /// What else it said.
        text: String,
        /// Whether the content is what it did not like.
        content: bool,
    },
    /// The SSH host is not known, or shows another key than it should.
    #[error("the SSH host {host} is not trusted: {text}")]
    HostKey {
        /// The host.
        host: String,
        /// What `ssh` said.
        text: String,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Program {
        /// Which.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file of our own could not be handled.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Error {
        Error::Commit(CommitError::Tree(error))
    }
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl Error {
    /// What may be done about it. Every step looks before it acts and makes the same commit, so whatever was cut off
    /// may be done again: nothing is ever uncertain here.
    pub fn class(&self) -> FailureClass {
        match self {
            Error::Unreachable { .. }
            | Error::RateLimited { .. }
            | Error::Unavailable { .. }
            | Error::Raced { .. }
            | Error::NotFound { fresh: true, .. }
            | Error::PushRefused { content: false, .. }
            | Error::File { .. } => FailureClass::Transient,
            Error::Address { .. }
            | Error::Name(_)
            | Error::Credentials { .. }
            | Error::Commit(_)
            | Error::Unsupported { .. }
            | Error::Blocked { .. }
            | Error::NoTlsProvider
            | Error::Unauthorized { .. }
            | Error::Forbidden { .. }
            | Error::NotFound { .. }
            | Error::Refused { .. }
            | Error::Taken { .. }
            | Error::Redirected { .. }
            | Error::Unexpected { .. }
            | Error::BranchTaken { .. }
            | Error::Protected { .. }
            | Error::HookDeclined { .. }
            | Error::PushRefused { .. }
            | Error::HostKey { .. }
            | Error::Program { .. } => FailureClass::Permanent,
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Address { .. } => "forge_address_invalid",
            Error::Name(_) => "repository_name_invalid",
            Error::Credentials { .. } => "forge_credentials_invalid",
            Error::Commit(CommitError::Tree(tree)) => match tree {
                TreeError::Path { .. } | TreeError::Twice { .. } => "template_bad_path",
                TreeError::Link { .. } | TreeError::Special { .. } => "template_unsafe_entry",
                TreeError::Empty => "template_empty",
                TreeError::TooMuch { .. } => "template_too_large",
                TreeError::Read { .. } => "io_error",
            },
            Error::Commit(CommitError::Identity { .. }) => "commit_author_invalid",
            Error::Commit(CommitError::Message { .. }) => "commit_message_invalid",
            Error::Commit(CommitError::Pack(_)) | Error::File { .. } => "io_error",
            Error::Unsupported { .. } => "forge_unsupported",
            Error::Blocked { .. } => "blocked_address",
            Error::NoTlsProvider => "no_tls_provider",
            Error::Unreachable { .. } => "forge_unreachable",
            Error::Unauthorized { .. } => "forge_unauthorized",
            Error::Forbidden { .. } => "forge_forbidden",
            Error::NotFound { .. } => "forge_not_found",
            Error::RateLimited { .. } => "forge_rate_limited",
            Error::Unavailable { .. } => "forge_unavailable",
            Error::Refused { .. } => "forge_refused",
            Error::Taken { .. } => "repository_taken",
            Error::Redirected { .. } => "forge_redirected",
            Error::Unexpected { .. } => "forge_answer_invalid",
            Error::BranchTaken { .. } => "branch_taken",
            Error::Protected { .. } => "branch_protected",
            Error::HookDeclined { .. } => "push_hook_declined",
            Error::Raced { .. } => "push_raced",
            Error::PushRefused { .. } => "push_refused",
            Error::HostKey { .. } => "git_host_unknown",
            Error::Program { .. } => "program_missing",
        }
    }

    /// When to come back, where the forge said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::RateLimited { retry_after, .. } | Error::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        let hint = match self {
            Error::Unauthorized { .. } => {
                "the token is wrong, revoked or expired, or lacks a scope: GitLab wants `api`, GitHub `repo`, Gitea and \
                 Forgejo `write:repository` and `write:organization` or `write:user`"
            }
            Error::Forbidden { .. } => {
                "the token's owner may not do this there: creating needs at least the role Developer (or Maintainer) in a \
                 group of GitLab, the right to create repositories in an organisation, and a token whose scopes allow it"
            }
            Error::NotFound { .. } => {
                "check the group or organisation; forges hide what a token may not see, and GitHub and GitLab do so for \
                 repositories that a token may not write, too"
            }
            Error::Taken { .. } => {
                "choose another name, or remove the other repository if it is not needed; a repository is only used \
                 again if its description or a topic has the mark of this very run"
            }
            Error::Redirected { .. } => {
                "configure the address to which it leads; if it is a repository, that was renamed or moved"
            }
            Error::Blocked { .. } => {
                "link-local and metadata addresses are never contacted; more is in `security.blocked_networks`"
            }
            Error::BranchTaken { .. } => "nothing was overwritten; push the change yourself, or choose another name",
            Error::Protected { .. } => {
                "a Maintainer may make the first push to a protected branch: give the token that role, or allow its \
                 owner to push in the group's default branch protection; Piton does not unprotect anything"
            }
            Error::HookDeclined { .. } => {
                "push rules of the group (author, message, file names, signatures) apply to the first commit, too"
            }
            Error::PushRefused { content: true, .. } => {
                "the server checks what it takes; see what it said of which file"
            }
            Error::HostKey { .. } => "add the host's key to `known_hosts` after comparing its fingerprint",
            Error::Program { .. } => "install openssh-client for SSH, and git for repositories on this disk",
            Error::Commit(CommitError::Tree(TreeError::Path { .. } | TreeError::Twice { .. })) => {
                "look at what names the template gives its files with these values"
            }
            Error::Unexpected { .. } => {
                "check that the address is that of the forge, and not of a proxy or a login page"
            }
            Error::Address { .. }
            | Error::Name(_)
            | Error::Credentials { .. }
            | Error::Commit(_)
            | Error::Unsupported { .. }
            | Error::NoTlsProvider
            | Error::Unreachable { .. }
            | Error::RateLimited { .. }
            | Error::Unavailable { .. }
            | Error::Refused { .. }
            | Error::Raced { .. }
            | Error::PushRefused { .. }
            | Error::File { .. } => return None,
        };
        Some(hint)
    }

    /// The same, with what servers said passed through `clean`.
    pub(crate) fn cleaned(mut self, clean: impl Fn(&str) -> String) -> Error {
        match &mut self {
            Error::Protected { text, .. } | Error::HostKey { text, .. } => *text = clean(text),
            Error::HookDeclined { reason, text } | Error::PushRefused { reason, text, .. } => {
                (*reason, *text) = (clean(reason), clean(text));
            }
            Error::Raced { reason, .. } | Error::Unreachable { reason, .. } => *reason = clean(reason),
            Error::Unexpected { problem, .. } => *problem = clean(problem),
            _ => {}
        }
        self
    }

    /// As a step records it.
    pub fn failure(&self) -> Failure {
        let failure = Failure::new(self.class(), self.code(), self.to_string());
        match self.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
