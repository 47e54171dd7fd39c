//! What a run is about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{InvalidName, LockKey, Name};

/// What a run is about: written `workspace/everest`, `job/cleanup` or `job/everest/backup`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// A scheduled workspace.
    Workspace(Name),
    /// A scheduled job: of a workspace, or standalone.
    Job {
        /// The workspace it belongs to; none for a standalone job.
        workspace: Option<Name>,
        /// Its name, unique within the workspace or among the standalone jobs.
        name: Name,
    },
}

/// The kind of a [`Subject`], for filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// [`Subject::Workspace`]
    Workspace,
    /// [`Subject::Job`]
    Job,
}

impl SubjectKind {
    /// The kind as it is written in a subject's text.
    pub fn as_str(self) -> &'static str {
        match self {
            SubjectKind::Workspace => "workspace",
            SubjectKind::Job => "job",
        }
    }
}

impl Subject {
    /// Which kind of subject this is.
    pub fn kind(&self) -> SubjectKind {
        match self {
            Subject::Workspace(_) => SubjectKind::Workspace,
            Subject::Job { .. } => SubjectKind::Job,
        }
    }

    /// The subject's own name, without the workspace of a job.
    pub fn name(&self) -> &Name {
        match self {
            Subject::Workspace(name) | Subject::Job { name, .. } => name,
        }
    }

    /// The workspace the subject is or belongs to.
    pub fn workspace(&self) -> Option<&Name> {
        match self {
            Subject::Workspace(name) => Some(name),
            Subject::Job { workspace, .. } => workspace.as_ref(),
        }
    }

    /// The lock that keeps two runs of this subject from being active at once.
    pub fn lock_key(&self) -> LockKey {
        LockKey::new(self.to_string())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Workspace(name) => write!(f, "workspace/{name}"),
            Subject::Job { workspace: Some(workspace), name } => write!(f, "job/{workspace}/{name}"),
            Subject::Job { workspace: None, name } => write!(f, "job/{name}"),
        }
    }
}

impl FromStr for Subject {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["workspace", name] => Ok(Subject::Workspace(Name::parse(name)?)),
            ["job", name] => Ok(Subject::Job { workspace: None, name: Name::parse(name)? }),
            ["job", workspace, name] => {
                Ok(Subject::Job { workspace: Some(Name::parse(workspace)?), name: Name::parse(name)? })
            }
            _ => Err(InvalidName {
                text: text.escape_debug().to_string(),
                problem: "expected `workspace/NAME`, `job/NAME` or `job/WORKSPACE/NAME`",
            }),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> String {
        subject.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_subject_agree() {
        for text in ["workspace/everest", "job/cleanup", "job/everest/backup"] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        for bad in ["", "workspace", "workspace/", "workspace/../x", "job/a/b/c", "process/x"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?} was accepted");
        }
    }
}
