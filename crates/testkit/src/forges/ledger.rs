//! What a forge knows of its groups and repositories.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{USER, make_bare, write_hook};
use crate::repository::git;

/// A group, an organisation, or the space of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) path: String,
    pub(super) is_user: bool,
}

/// GitLab's level of access that nobody has.
const NO_ONE: u64 = 0;

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project {
    pub(super) id: u64,
    pub(super) owner: Group,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) visibility: String,
    pub(super) topics: Vec<String>,
    pub(super) default_branch: String,
    /// Branches that are protected, each with the least level that may push.
    pub(super) protected: Vec<(String, u64)>,
}

impl Project {
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner.path, self.name)
    }
}

pub(super) struct Ledger {
    root: PathBuf,
    groups: Vec<Group>,
    projects: Vec<Project>,
    hook: Option<String>,
}

impl Ledger {
    pub(super) fn new(root: &Path) -> Ledger {
        let me = Group { id: 1, path: USER.to_owned(), is_user: true };
        Ledger { root: root.to_owned(), groups: vec![me], projects: Vec::new(), hook: None }
    }

    pub(super) fn add_group(&mut self, id: u64, path: &str) {
        self.groups.push(Group { id, path: path.to_owned(), is_user: false });
    }

    pub(super) fn set_hook(&mut self, hook: &str) -> io::Result<()> {
        self.hook = Some(hook.to_owned());
        self.projects.iter().try_for_each(|project| write_hook(&self.at(project), hook))
    }

    /// By number or by full path, without regard to case.
    pub(super) fn group(&self, which: &str) -> Option<&Group> {
        let number = which.parse::<u64>().ok();
        self.groups.iter().find(|group| Some(group.id) == number || group.path.eq_ignore_ascii_case(which))
    }

    pub(super) fn projects(&self) -> &[Project] {
        &self.projects
    }

    /// By number or by full name, without regard to case.
    pub(super) fn find(&self, which: &str) -> Option<&Project> {
        let number = which.parse::<u64>().ok();
        self.projects
            .iter()
            .find(|project| Some(project.id) == number || project.full_name().eq_ignore_ascii_case(which))
    }

    pub(super) fn change(&mut self, which: &str, change: impl FnOnce(&mut Project)) -> Option<Project> {
        let id = self.find(which)?.id;
        let project = self.projects.iter_mut().find(|project| project.id == id)?;
        change(project);
        Some(project.clone())
    }

    pub(super) fn remove(&mut self, which: &str) -> io::Result<bool> {
        let Some(project) = self.find(which).cloned() else { return Ok(false) };
        fs::remove_dir_all(self.at(&project))?;
        self.projects.retain(|known| known.id != project.id);
        Ok(true)
    }

    /// Makes a repository, which nobody may have made before.
    pub(super) fn make(&mut self, owner: &str, name: &str, fill: impl FnOnce(&mut Project)) -> io::Result<Project> {
        let owner = self.group(owner).cloned().ok_or_else(|| io::Error::other("no such owner"))?;
        let mut project = Project {
            id: 100 + self.projects.len() as u64,
            owner,
            name: name.to_owned(),
            description: String::new(),
            visibility: "private".to_owned(),
            topics: Vec::new(),
            default_branch: "main".to_owned(),
            protected: Vec::new(),
        };
        fill(&mut project);
        if self.find(&project.full_name()).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        make_bare(&self.at(&project), &project.default_branch, self.hook.as_deref())?;
        self.projects.push(project.clone());
        Ok(project)
    }

    /// Protects these branches and no others. What nobody may push to is refused as GitLab does it.
    pub(super) fn protect(&mut self, project: &Project, branches: Vec<(String, u64)>) -> io::Result<()> {
        let closed =
            branches.iter().filter(|(_, level)| *level == NO_ONE).map(|(name, _)| format!("refs/heads/{name}"));
        let closed: Vec<String> = closed.collect();
        let words = "GitLab: You are not allowed to push code to protected branches on this project.";
        let hook = format!(
            "#!/bin/sh\nwhile read -r old new ref; do\n  case \" {} \" in *\" $ref \"*) echo '{words}' >&2; exit 1 ;; esac\ndone\n",
            closed.join(" ")
        );
        write_hook(&self.at(project), &hook)?;
        self.change(&project.full_name(), |project| project.protected = branches);
        Ok(())
    }

    fn at(&self, project: &Project) -> PathBuf {
        self.root.join(format!("{}.git", project.full_name()))
    }

    pub(super) fn is_empty(&self, project: &Project) -> bool {
        let at = self.at(project);
        !at.join("packed-refs").exists()
            && fs::read_dir(at.join("refs/heads")).is_ok_and(|mut branches| branches.next().is_none())
    }

    /// What a commit says of itself; none where there is no such commit.
    pub(super) fn message_of(&self, project: &Project, commit: &str) -> Option<String> {
        git(&self.at(project), ["log", "-1", "--format=%B", commit]).ok()
    }

    /// Where the histories of two commits part, if they have anything in common.
    pub(super) fn merge_base(&self, project: &Project, one: &str, other: &str) -> Option<String> {
        git(&self.at(project), ["merge-base", one, other]).ok().map(|id| id.trim().to_owned())
    }

    /// How many commits the second has that the first has not, where they have anything in common.
    pub(super) fn beyond(&self, project: &Project, one: &str, other: &str) -> Option<u64> {
        self.merge_base(project, one, other)?;
        git(&self.at(project), ["rev-list", "--count", other, &format!("^{one}")]).ok()?.trim().parse().ok()
    }

    pub(super) fn branches(&self, project: &Project) -> io::Result<Vec<(String, String)>> {
        let listed = git(&self.at(project), ["for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads"])?;
        let pairs = listed.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect())
    }

    /// The first branch that is pushed is what people see first, if the one that was to be so is not there.
    pub(super) fn choose_default_branch(&mut self, full_name: &str) -> io::Result<()> {
        let Some(project) = self.find(full_name).cloned() else { return Ok(()) };
        let at = self.at(&project);
        if self.is_empty(&project) || at.join("refs/heads").join(&project.default_branch).exists() {
            return Ok(());
        }
        let branches = self.branches(&project)?;
        if let Some((first, _)) = branches.first()
            && branches.iter().all(|(name, _)| *name != project.default_branch)
        {
            fs::write(at.join("HEAD"), format!("ref: refs/heads/{first}\n"))?;
            self.change(full_name, |project| project.default_branch.clone_from(first));
        }
        Ok(())
    }
}
