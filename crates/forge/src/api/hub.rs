//! A repository as GitHub tells of it, and those that learned from it.

use serde::Deserialize;

use super::Found;
use crate::repository::Repository;

#[derive(Deserialize)]
pub(super) struct HubRepository {
    id: u64,
    full_name: String,
    #[serde(default)]
    html_url: String,
    clone_url: Option<String>,
    ssh_url: Option<String>,
    default_branch: Option<String>,
    description: Option<String>,
    topics: Option<Vec<String>>,
    /// Not told by GitHub.
    empty: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct HubUser {
    pub(super) login: String,
}

/// What a commit has beyond a branch.
#[derive(Deserialize)]
pub(super) struct Comparison {
    pub(super) total_commits: u64,
}

/// A commit: GitHub tells of it as git does, Gitea puts that into another one.
#[derive(Deserialize)]
pub(super) struct HubCommit {
    message: Option<String>,
    commit: Option<Box<HubCommit>>,
}

impl HubCommit {
    pub(super) fn message(self) -> Option<String> {
        self.message.or_else(|| self.commit.and_then(|inner| inner.message()))
    }
}

impl HubRepository {
    pub(super) fn found(self) -> Found {
        Found {
            description: self.description.unwrap_or_default(),
            is_going: false,
            repository: Repository {
                id: self.id.to_string(),
                full_name: self.full_name,
                web_url: self.html_url,
                http_url: self.clone_url,
                ssh_url: self.ssh_url,
                default_branch: self.default_branch.filter(|branch| !branch.is_empty()),
                topics: self.topics.unwrap_or_default(),
                created: false,
                empty: self.empty,
            },
        }
    }

    pub(super) fn made(self) -> Repository {
        Repository { empty: Some(true), ..self.found().repository }
    }
}

/// Owner and name, as they stand in the paths of the interface.
pub(super) fn path(repository: &Repository) -> [&str; 3] {
    let (owner, name) = repository.full_name.split_once('/').unwrap_or(("", &repository.full_name));
    ["repos", owner, name]
}
