//! What a run is about.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{InvalidName, LockKey, Name, RunId, ScaffoldId, ScheduleId};

/// What a run is about: written `workspace/everest`, `job/cleanup`, `job/everest/backup`, `deployment/ID`,
/// `provision/ID` or `scaffold/ID`.
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
    /// A deployment that somebody asked for, of code that is declared nowhere. Its id is that of its only run.
    Deployment(RunId),
    /// An account to be made, changed or removed at some time: a row of `scheduled_provisions`.
    Provision(ScheduleId),
    /// A repository to be made, by what whoever wants it calls the run.
    Scaffold(ScaffoldId),
}

/// The kind of a [`Subject`], for filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// [`Subject::Workspace`]
    Workspace,
    /// [`Subject::Job`]
    Job,
    /// [`Subject::Deployment`]
    Deployment,
    /// [`Subject::Provision`]
    Provision,
    /// [`Subject::Scaffold`]
    Scaffold,
}

impl SubjectKind {
    /// All of them.
    pub const ALL: [SubjectKind; 5] = [
        SubjectKind::Workspace,
        SubjectKind::Job,
        SubjectKind::Deployment,
        SubjectKind::Provision,
        SubjectKind::Scaffold,
    ];

    /// The kind as it is written in a subject's text.
    pub fn as_str(self) -> &'static str {
        match self {
            SubjectKind::Workspace => "workspace",
            SubjectKind::Job => "job",
            SubjectKind::Deployment => "deployment",
            SubjectKind::Provision => "provision",
            SubjectKind::Scaffold => "scaffold",
        }
    }
}

impl Subject {
    /// Which kind of subject this is.
    pub fn kind(&self) -> SubjectKind {
        match self {
            Subject::Workspace(_) => SubjectKind::Workspace,
            Subject::Job { .. } => SubjectKind::Job,
            Subject::Deployment(_) => SubjectKind::Deployment,
            Subject::Provision(_) => SubjectKind::Provision,
            Subject::Scaffold(_) => SubjectKind::Scaffold,
        }
    }

    /// The subject's own name, without the workspace of a job; the id of a deployment or a provision.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Subject::Workspace(name) | Subject::Job { name, .. } => Cow::Borrowed(name.as_str()),
            Subject::Deployment(id) => Cow::Owned(id.to_string()),
            Subject::Provision(id) => Cow::Owned(id.to_string()),
            Subject::Scaffold(id) => Cow::Borrowed(id.as_str()),
        }
    }

    /// The workspace the subject is or belongs to.
    pub fn workspace(&self) -> Option<&Name> {
        match self {
            Subject::Workspace(name) => Some(name),
            Subject::Job { workspace, .. } => workspace.as_ref(),
            Subject::Deployment(_) | Subject::Provision(_) | Subject::Scaffold(_) => None,
        }
    }

    /// The jobs that a name in a path may mean: `NAME` or `WORKSPACE.NAME`. Names may hold dots, so that every dot may be
    /// the one between them; `WORKSPACE~NAME` and `~NAME` have one meaning, since no name holds a tilde.
    pub fn jobs_called(name: &str) -> Vec<Subject> {
        let job = |workspace: Option<&str>, name: &str| {
            let workspace = workspace.map(Name::parse).transpose().ok()?;
            Some(Subject::Job { workspace, name: Name::parse(name).ok()? })
        };
        if let Some((workspace, name)) = name.split_once('~') {
            return job(Some(workspace).filter(|workspace| !workspace.is_empty()), name).into_iter().collect();
        }
        let dots = name.match_indices('.').filter_map(|(place, _)| job(Some(&name[..place]), &name[place + 1..]));
        job(None, name).into_iter().chain(dots).collect()
    }

    /// The name that means this job and no other, where it is a job: see [`Subject::jobs_called`].
    pub fn exact_job_name(&self) -> Option<String> {
        match self {
            Subject::Job { workspace: Some(workspace), name } => Some(format!("{workspace}~{name}")),
            Subject::Job { workspace: None, name } => Some(format!("~{name}")),
            Subject::Workspace(_) | Subject::Deployment(_) | Subject::Provision(_) | Subject::Scaffold(_) => None,
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
            Subject::Deployment(id) => write!(f, "deployment/{id}"),
            Subject::Provision(id) => write!(f, "provision/{id}"),
            Subject::Scaffold(id) => write!(f, "scaffold/{id}"),
        }
    }
}

impl FromStr for Subject {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |problem| InvalidName { text: text.escape_debug().to_string(), problem };
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["workspace", name] => Ok(Subject::Workspace(Name::parse(name)?)),
            ["job", name] => Ok(Subject::Job { workspace: None, name: Name::parse(name)? }),
            ["job", workspace, name] => {
                Ok(Subject::Job { workspace: Some(Name::parse(workspace)?), name: Name::parse(name)? })
            }
            ["deployment", id] => {
                id.parse().map(Subject::Deployment).map_err(|_| invalid("a deployment is named by its id"))
            }
            ["provision", id] => {
                id.parse().map(Subject::Provision).map_err(|_| invalid("a scheduled provision is named by its id"))
            }
            ["scaffold", id] => id.parse().map(Subject::Scaffold),
            _ => Err(invalid(
                "expected `workspace/NAME`, `job/NAME`, `job/WORKSPACE/NAME`, `deployment/ID`, `provision/ID` or \
                 `scaffold/ID`",
            )),
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
        let deployment = "deployment/0199d6a2-7c00-7000-8000-000000000000";
        let provision = "provision/2f1d1c1e-6b0e-4d8a-9a53-0d7f8e3b1c11";
        for text in ["workspace/everest", "job/cleanup", "job/everest/backup", deployment, provision] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        for bad in ["", "workspace", "workspace/", "workspace/../x", "job/a/b/c", "process/x", "deployment/everest"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_name_with_dots_may_mean_several_jobs_and_one_with_a_tilde_means_one() {
        let called = |name| Subject::jobs_called(name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(called("a.b.c"), ["job/a.b.c", "job/a/b.c", "job/a.b/c"]);
        assert_eq!(called("backup"), ["job/backup"]);
        for (name, job) in [("a~b.c", "job/a/b.c"), ("a.b~c", "job/a.b/c"), ("~a.b.c", "job/a.b.c")] {
            assert_eq!(called(name), [job]);
            assert_eq!(job.parse::<Subject>().unwrap().exact_job_name().as_deref(), Some(name));
        }
        for nothing in ["", "a~", "~", "a~b~c", "a/b"] {
            assert_eq!(called(nothing), [""; 0], "{nothing:?}");
        }
    }
}
