//! Everything that is declared and valid, and how two such states differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use piton_model::{Group, Name, Process, Subject};

use crate::cache::Cache;
use crate::provisr::Surroundings;
use crate::{Job, Template, Workspace};

/// Everything that is declared and valid. It only ever holds valid declarations: a broken file keeps the last good
/// version of what it declares.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Workspaces by name.
    pub workspaces: BTreeMap<Name, Arc<Workspace>>,
    /// Jobs by identity: those of workspaces, and standalone ones.
    pub jobs: BTreeMap<Subject, Arc<Job>>,
    /// Registered templates by name.
    pub templates: BTreeMap<Name, Arc<Template>>,
    /// Processes by name.
    pub processes: BTreeMap<Name, DeclaredProcess>,
    /// Groups of processes by name.
    pub groups: BTreeMap<Name, Arc<Group>>,
    /// What was read from which file, so that the next load reads only what changed.
    pub(crate) cache: Cache,
}

/// A process, and where it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredProcess {
    /// The process.
    pub process: Arc<Process>,
    /// Where it is declared.
    pub origin: DeclaredIn,
}

/// Where something is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredIn {
    /// In the configuration, in which nothing is changed over the API.
    Configuration(Arc<Path>),
    /// In a file of its own.
    Program(Arc<Path>),
}

impl DeclaredIn {
    /// The file.
    pub fn file(&self) -> &Arc<Path> {
        match self {
            DeclaredIn::Configuration(file) | DeclaredIn::Program(file) => file,
        }
    }

    /// Whether it is the configuration.
    pub fn is_configuration(&self) -> bool {
        matches!(self, DeclaredIn::Configuration(_))
    }
}

/// How one subject differs between two catalogs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added(Subject),
    /// It is gone.
    Removed(Subject),
    /// Its declaration or its files changed.
    Changed(Subject),
}

impl Change {
    /// What changed.
    pub fn subject(&self) -> &Subject {
        match self {
            Change::Added(subject) | Change::Removed(subject) | Change::Changed(subject) => subject,
        }
    }
}

impl Catalog {
    /// A map that grew in the order of its keys has nodes that are half empty; collected from what is sorted, it has not.
    pub(crate) fn pack(&mut self) {
        self.jobs = std::mem::take(&mut self.jobs).into_iter().collect();
        self.cache.files = std::mem::take(&mut self.cache.files).into_iter().collect();
    }

    /// Whether something is declared below this directory.
    pub fn declares_below(&self, directory: &Path) -> bool {
        self.workspaces.values().any(|workspace| workspace.dir.starts_with(directory))
            || self.jobs.values().any(|job| job.file.starts_with(directory))
            || self.processes.values().any(|declared| declared.origin.file().starts_with(directory))
    }

    /// Whether the triggers of `subject` are in force: it is declared and enabled, and so is its workspace.
    pub fn is_enabled(&self, subject: &Subject) -> bool {
        let workspace = |name| self.workspaces.get(name).is_some_and(|workspace| workspace.enabled);
        match subject {
            Subject::Workspace(name) => workspace(name),
            Subject::Job { workspace: scope, .. } => {
                self.jobs.get(subject).is_some_and(|job| job.enabled) && scope.as_ref().is_none_or(workspace)
            }
            // Nothing starts one by itself.
            Subject::Deployment(_) | Subject::Provision(_) | Subject::Scaffold(_) => false,
        }
    }

    /// The processes alone, as a supervisor takes them.
    pub fn supervised(&self) -> BTreeMap<Name, Arc<Process>> {
        self.processes.iter().map(|(name, declared)| (name.clone(), Arc::clone(&declared.process))).collect()
    }

    /// What surrounds declarations of processes now, for what is declared over the API.
    pub fn surroundings(&self) -> &Surroundings {
        &self.cache.configured.surroundings
    }

    /// The environment files that the configuration names, also those that are broken or not there. They are read when
    /// it is, and change without it.
    pub fn env_files(&self) -> &[PathBuf] {
        &self.cache.configured.env_files
    }

    /// The directories and files that declare something.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let workspaces = self.workspaces.values().flat_map(|it| [it.dir.clone(), it.dir.join("config.json")]);
        let jobs = self.jobs.values().map(|job| job.file.to_path_buf());
        let processes = self.processes.values().map(|declared| declared.origin.file().to_path_buf());
        workspaces.chain(jobs).chain(processes).collect()
    }

    /// Whether the same surrounds declarations of processes in both.
    pub fn same_surroundings(&self, other: &Catalog) -> bool {
        let (own, other) = (&self.cache.configured, &other.cache.configured);
        own.surroundings == other.surroundings && own.env_files == other.env_files
    }

    /// Whether processes and groups are declared alike in both.
    pub fn same_processes(&self, other: &Catalog) -> bool {
        self.processes == other.processes && self.groups == other.groups
    }

    /// Every subject: workspaces, then jobs.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.workspaces.keys().cloned().map(Subject::Workspace).chain(self.jobs.keys().cloned())
    }

    /// The jobs of a workspace, or the standalone ones, by name.
    pub fn jobs_of(&self, workspace: Option<&Name>) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.values().filter(move |job| job.workspace() == workspace)
    }

    /// The workspaces and jobs that are made from a template.
    pub fn users_of(&self, template: &Name) -> Vec<Subject> {
        let workspaces = self.workspaces.values().filter(|w| w.template() == Some(template)).map(|w| w.subject());
        let uses = |job: &&Arc<Job>| matches!(&job.work, crate::JobWork::Template(name) if name == template);
        workspaces.chain(self.jobs.values().filter(uses).map(|job| job.subject.clone())).collect()
    }

    /// What is different in `new`, in the order of the subjects.
    pub fn diff(old: &Catalog, new: &Catalog) -> Vec<Change> {
        let mut changes = Vec::new();
        compare(&old.workspaces, &new.workspaces, |name| Subject::Workspace(name.clone()), &mut changes);
        compare(&old.jobs, &new.jobs, Subject::clone, &mut changes);
        changes.sort_by(|a, b| a.subject().cmp(b.subject()));
        changes
    }
}

fn compare<K: Ord, V: PartialEq>(
    old: &BTreeMap<K, Arc<V>>,
    new: &BTreeMap<K, Arc<V>>,
    subject: impl Fn(&K) -> Subject,
    changes: &mut Vec<Change>,
) {
    for (key, before) in old {
        match new.get(key) {
            None => changes.push(Change::Removed(subject(key))),
            Some(after) if !Arc::ptr_eq(before, after) && before != after => {
                changes.push(Change::Changed(subject(key)));
            }
            Some(_) => {}
        }
    }
    changes.extend(new.keys().filter(|key| !old.contains_key(key)).map(|key| Change::Added(subject(key))));
}
