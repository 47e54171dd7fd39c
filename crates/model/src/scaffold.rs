//! Repositories that are made of blueprints: what a message of the queue asks for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Action, Backoff, Digest, InvalidName, NewRun, Origin, RunId, Secret, Subject};

/// What whoever sent a message calls the run. The same name means the same run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScaffoldId(String);

impl ScaffoldId {
    const LONGEST: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same in the letters that a forge's topics and git's trailers can hold, and no other id's.
    pub fn mark(&self) -> String {
        if !self.0.contains(':') {
            return self.0.clone();
        }
        let digest = Digest::of(self.0.as_bytes());
        let (plain, digest) = (self.0.replace(':', "_"), digest.as_str());
        let plain: String = plain.chars().take(ScaffoldId::LONGEST - 18).collect();
        let digest: String = digest.chars().take(16).collect();
        format!("{plain}-{digest}")
    }
}

impl fmt::Display for ScaffoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ScaffoldId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
        if text.is_empty() || text.len() > ScaffoldId::LONGEST || !text.bytes().all(is_fine) {
            let text = text.escape_debug().take(80).collect();
            return Err(InvalidName { text, problem: "a run is named by 1 to 128 of A-Z a-z 0-9 . _ : -" });
        }
        Ok(ScaffoldId(text.to_owned()))
    }
}

impl TryFrom<String> for ScaffoldId {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ScaffoldId> for String {
    fn from(id: ScaffoldId) -> String {
        id.0
    }
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaffoldKind {
    /// A system.
    System,
    /// A component of one.
    Component,
}

impl ScaffoldKind {
    /// The word of messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ScaffoldKind::System => "system",
            ScaffoldKind::Component => "component",
        }
    }

    /// The kind that a word stands for.
    pub fn from_word(word: &str) -> Option<ScaffoldKind> {
        [ScaffoldKind::System, ScaffoldKind::Component].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Who hosts a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GitProvider {
    /// GitLab.
    #[default]
    Gitlab,
    /// GitHub.
    Github,
    /// Gitea or Forgejo.
    Gitea,
    /// A server that knows nothing but git.
    Git,
}

impl GitProvider {
    /// Its word in messages and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            GitProvider::Gitlab => "gitlab",
            GitProvider::Github => "github",
            GitProvider::Gitea => "gitea",
            GitProvider::Git => "git",
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            GitProvider::Gitlab => "GitLab",
            GitProvider::Github => "GitHub",
            GitProvider::Gitea => "Gitea",
            GitProvider::Git => "the git server",
        }
    }

    /// The one that a word stands for.
    pub fn from_word(word: &str) -> Option<GitProvider> {
        match word {
            "gitlab" => Some(GitProvider::Gitlab),
            "github" => Some(GitProvider::Github),
            "gitea" | "forgejo" => Some(GitProvider::Gitea),
            "git" => Some(GitProvider::Git),
            _ => None,
        }
    }
}

/// Who may see a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryVisibility {
    /// Its members.
    #[default]
    Private,
    /// Everybody who is logged in.
    Internal,
    /// Everybody.
    Public,
}

/// Makes a repository of a blueprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaffold {
    /// What whoever asked calls it.
    pub run_id: ScaffoldId,
    /// What is made.
    pub job_type: ScaffoldKind,
    /// The blueprint's name.
    pub template: String,
    /// The name of what is made, and of its repository.
    pub name: String,
    /// The group it belongs to; empty for none.
    pub namespace: String,
    /// What the templates are given.
    pub values: Secret<Map<String, Value>>,
    /// Who hosts the repository.
    pub provider: GitProvider,
    /// The group or organisation there; none for the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Who may see it.
    #[serde(default)]
    pub visibility: RepositoryVisibility,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// When it was asked for: the time of the commit, so that every try makes the same one.
    pub asked_at: Timestamp,
    /// Of all that was asked for: the same name with another digest is a mistake of who asks.
    pub digest: Digest,
}

impl Scaffold {
    /// What it is to runs.
    pub fn subject(&self) -> Subject {
        Subject::Scaffold(self.run_id.clone())
    }

    /// The run that does it.
    pub fn run(self, id: RunId, retry: Backoff, now: Timestamp) -> NewRun {
        let subject = self.subject();
        let origin = Origin::Message { delivery: self.run_id.to_string() };
        NewRun {
            id,
            dedup_key: origin.dedup_key(&subject),
            lock_key: Some(subject.lock_key()),
            subject,
            action: Action::Scaffold(self),
            origin,
            due: now,
            priority: 0,
            retry,
            retry_of: None,
        }
    }
}

/// The repository that a run has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaffoldedRepository {
    /// Where people find it.
    pub url: String,
    /// Its name with its group.
    pub name: String,
    /// The branch that was pushed.
    pub branch: String,
    /// The first commit.
    pub commit: String,
    /// How many files that has.
    pub files: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_a_subject_can_hold() {
        for good in ["abc-123", "0199d6a2-7c00-7000-8000-000000000000", "a:b_c.d"] {
            let id: ScaffoldId = good.parse().unwrap();
            let subject = Subject::Scaffold(id);
            assert_eq!(subject.to_string().parse::<Subject>().unwrap(), subject);
        }
        for bad in ["", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(bad.parse::<ScaffoldId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn marks_are_plain_and_no_two_alike() {
        let mark = |text: &str| text.parse::<ScaffoldId>().unwrap().mark();
        assert_eq!(mark("abc-123"), "abc-123");
        assert_ne!(mark("a:b"), mark("a_b"));
        assert_ne!(mark("a:b"), mark("a_:b"));
        let long = mark(&format!("{}:", "x".repeat(127)));
        assert!(long.len() <= 128 && !long.contains(':'), "{long}");
    }
}
