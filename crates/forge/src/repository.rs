//! A repository at a forge, as others record it.

use serde::{Deserialize, Serialize};

use crate::object::ObjectId;

/// A repository that is this run's. It can be stored, and given to a push after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// What the forge knows it by.
    pub id: String,
    /// Owner and name.
    pub full_name: String,
    /// Where people look at it.
    pub web_url: String,
    /// For git over HTTP.
    pub http_url: Option<String>,
    /// For git over SSH.
    pub ssh_url: Option<String>,
    /// The branch that people see first, where the forge said so.
    pub default_branch: Option<String>,
    /// The topics that it has.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Whether it was made just now, rather than found.
    pub created: bool,
    /// Whether it had no commit, as far as that is known.
    pub empty: Option<bool>,
}

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Pushed {
    /// The branch was made.
    Made,
    /// The branch was at this very commit: an earlier try came that far.
    AlreadyThere,
    /// The repository has the commit, and the branch has gone on since. It was left as it is.
    MovedOn {
        /// Where the branch is now.
        head: ObjectId,
    },
    /// The branch is at another commit of this very run: somebody else was given the same job, and was faster. It counts
    /// as this one.
    Twin {
        /// That commit.
        commit: ObjectId,
    },
}

impl Pushed {
    /// The first commit of the repository, where this one was to be.
    pub fn first(self, commit: ObjectId) -> ObjectId {
        match self {
            Pushed::Twin { commit } => commit,
            Pushed::Made | Pushed::AlreadyThere | Pushed::MovedOn { .. } => commit,
        }
    }
}

/// A repository that is there and filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The repository.
    pub repository: Repository,
    /// The first commit: the one that was to be pushed, or its twin.
    pub commit: ObjectId,
    /// Its branch.
    pub branch: String,
    /// Whether it had to be pushed.
    pub pushed: Pushed,
}
