//! Processes joined to one another and to their groups: names are unique, dependencies exist and form no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use piton_model::{Group, Name, Process};

use super::process::ProcessDraft;
use super::program::GroupDraft;
use crate::diagnostic::Diagnostic;
use crate::order::{self, Participant};
use crate::suggest::nearest;
use crate::{Catalog, DeclaredIn, DeclaredProcess};

/// What is known of processes before they are joined.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The good ones, in the order in which a name is taken.
    pub(crate) drafts: Vec<(Arc<ProcessDraft>, DeclaredIn)>,
    /// Files in which something is broken, and its name where it is known: what they declared when they were good
    /// stays.
    pub(crate) broken: Vec<(Arc<Path>, Option<Name>)>,
}

/// What came of joining.
#[derive(Debug, Default)]
pub(crate) struct JoinedProcesses {
    pub(crate) processes: BTreeMap<Name, DeclaredProcess>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Processes.
pub(crate) const WORDS: order::Words = order::Words {
    noun: "processes",
    hint: "it depends on processes that are declared, each by its name without the number of an instance",
};

/// Joins processes. One that cannot be joined keeps its last good version. A name stays with the file that has it, as
/// long as that file declares it or is broken: what runs under it is nobody else's. Paths are shown relative to `root`.
pub(crate) fn join_processes(candidates: Candidates, previous: &Catalog, root: &Path) -> JoinedProcesses {
    let mut joined = JoinedProcesses::default();
    let Candidates { drafts: mut good, mut broken } = candidates;
    let mut drafts: BTreeMap<Name, (Arc<ProcessDraft>, DeclaredIn)> = BTreeMap::new();
    let short = |path: &Arc<Path>| path.strip_prefix(root).unwrap_or(path).to_path_buf();
    let has_name = |draft: &ProcessDraft| {
        let known = previous.processes.get(&draft.process.name);
        known.is_some_and(|known| *known.origin.file() == draft.file)
    };
    good.sort_by_key(|(draft, _)| !has_name(draft));
    for (draft, origin) in good {
        let name = draft.process.name.clone();
        let other = drafts.get(&name).map(|(other, _)| Arc::clone(&other.file));
        match other.or_else(|| kept_in(&name, &broken, previous)) {
            None => {
                drafts.insert(name, (draft, origin));
            }
            Some(other) => {
                joined.diagnostics.push(draft.name_taken(&short(&other)));
                broken.push((Arc::clone(&draft.file), origin.is_configuration().then_some(name)));
            }
        }
    }
    let mut kept: BTreeMap<Name, DeclaredProcess> = BTreeMap::new();
    for (file, name) in broken {
        keep(&file, name.as_ref(), previous, &drafts, &mut kept);
    }
    loop {
        let taken = taken_by_instances(&drafts, &kept, previous, short);
        if !taken.is_empty() {
            let mut refused = Vec::new();
            for (name, problem) in taken {
                joined.diagnostics.push(problem);
                refused.extend(drafts.remove(&name).map(|draft| (name, draft)));
            }
            for (name, (draft, origin)) in refused {
                let name = Some(&name).filter(|_| origin.is_configuration());
                keep(&draft.file, name, previous, &drafts, &mut kept);
            }
            continue;
        }
        let participants: Vec<Participant<'_>> = drafts
            .values()
            .map(|(draft, _)| Participant {
                name: &draft.process.name,
                depends_on: dependencies(&draft.process),
                references: &draft.depends_on,
            })
            .chain(kept.values().map(|kept| Participant {
                name: &kept.process.name,
                depends_on: dependencies(&kept.process),
                references: &[],
            }))
            .collect();
        let problems = order::check(&participants, WORDS);
        if problems.is_empty() {
            break;
        }
        let refused: BTreeSet<Name> = problems.iter().map(|problem| problem.name.clone()).collect();
        joined.diagnostics.extend(problems.into_iter().map(|problem| problem.diagnostic));
        for name in refused {
            if let Some((draft, origin)) = drafts.remove(&name) {
                let name = Some(&name).filter(|_| origin.is_configuration());
                keep(&draft.file, name, previous, &drafts, &mut kept);
            }
        }
    }
    joined.processes = kept;
    for (name, (draft, origin)) in drafts {
        let known = previous.processes.get(&name).filter(|known| *known.process == *draft.process);
        let process = known.map_or_else(|| Arc::clone(&draft.process), |known| Arc::clone(&known.process));
        joined.processes.insert(name, DeclaredProcess { process, origin });
    }
    joined
}

fn dependencies(process: &Process) -> Vec<&Name> {
    process.depends_on.iter().map(|dependency| &dependency.name).collect()
}

/// Keeps what `file` declared when it was last good, unless the name is taken by now.
fn keep(
    file: &Path,
    name: Option<&Name>,
    previous: &Catalog,
    drafts: &BTreeMap<Name, (Arc<ProcessDraft>, DeclaredIn)>,
    kept: &mut BTreeMap<Name, DeclaredProcess>,
) {
    let of_file = |(known, declared): &(&Name, &DeclaredProcess)| {
        **declared.origin.file() == *file && name.is_none_or(|name| name == *known) && !drafts.contains_key(*known)
    };
    for (name, declared) in previous.processes.iter().filter(of_file) {
        kept.entry(name.clone()).or_insert_with(|| declared.clone());
    }
}

/// The broken file that declared this when it was good, and so has the name still.
fn kept_in(name: &Name, broken: &[(Arc<Path>, Option<Name>)], previous: &Catalog) -> Option<Arc<Path>> {
    let file = previous.processes.get(name)?.origin.file();
    let is_broken = |(path, of): &(Arc<Path>, Option<Name>)| path == file && of.as_ref().is_none_or(|of| of == name);
    broken.iter().any(is_broken).then(|| Arc::clone(file))
}

/// Drafts in the way of the name that an instance of another process has, be that a draft or `kept` of a broken file. Of two
/// that are in each other's way the one is refused that was not there before.
fn taken_by_instances(
    drafts: &BTreeMap<Name, (Arc<ProcessDraft>, DeclaredIn)>,
    kept: &BTreeMap<Name, DeclaredProcess>,
    previous: &Catalog,
    short: impl Fn(&Arc<Path>) -> PathBuf,
) -> Vec<(Name, Diagnostic)> {
    let declared = |name: &Name| match drafts.get(name) {
        Some((draft, _)) => Some((&draft.process, &draft.file)),
        None => kept.get(name).map(|kept| (&kept.process, kept.origin.file())),
    };
    let taken = |name: &Name| {
        let base = Name::parse(name.as_str().rsplit_once('-')?.0).ok()?;
        let (process, file) = declared(&base)?;
        if !is_instance(name, process) {
            return None;
        }
        let count = process.instances;
        match (drafts.get(name), drafts.get(&base)) {
            (Some((draft, _)), other) if other.is_none() || !previous.processes.contains_key(name) => {
                let by = short(file);
                let mut problem = draft.name_taken(&by);
                let by = by.display();
                problem.message =
                    format!("`{name}` is the name of an instance of `{base}`, which has {count} of them, in {by}");
                Some((name.clone(), problem))
            }
            (_, Some((other, _))) => {
                let by = short(declared(name)?.1);
                let mut problem = other.name_taken(&by);
                let by = by.display();
                problem.message =
                    format!("`{base}` has {count} instances, and `{name}` is the name of a process, in {by}");
                Some((base, problem))
            }
            // They got along when both were good.
            (_, None) => None,
        }
    };
    drafts.keys().chain(kept.keys()).filter_map(taken).collect()
}

/// Whether `name` is that of one of several instances of a process.
pub(crate) fn is_instance(name: &Name, of: &Process) -> bool {
    let number = name.as_str().strip_prefix(of.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| {
        !number.starts_with('0')
            && number.bytes().all(|b| b.is_ascii_digit())
            && number.parse::<u32>().is_ok_and(|number| of.instances > 1 && number <= of.instances)
    })
}

/// Joins groups to the processes that there are. A group that cannot be joined keeps what is left of its last good
/// version.
pub(crate) fn join_groups(
    drafts: &[GroupDraft],
    processes: &BTreeMap<Name, DeclaredProcess>,
    previous: &Catalog,
) -> (BTreeMap<Name, Arc<Group>>, Vec<Diagnostic>) {
    let mut groups: BTreeMap<Name, Arc<Group>> = BTreeMap::new();
    let mut found = Vec::new();
    for draft in drafts {
        let name = &draft.group.name;
        if groups.contains_key(name) {
            found.push(draft.twice.clone().hint("rename one of them"));
            continue;
        }
        let missing: Vec<_> = draft.members.iter().filter(|member| !processes.contains_key(&member.name)).collect();
        for member in &missing {
            let error = member.missing.clone();
            found.push(match nearest(member.name.as_str(), processes.keys().map(Name::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("a group has processes that are declared; jobs are in none"),
            });
        }
        let known = previous.groups.get(name);
        if missing.is_empty() {
            let same = known.filter(|known| ***known == draft.group);
            groups.insert(name.clone(), same.map_or_else(|| Arc::new(draft.group.clone()), Arc::clone));
        } else if let Some(known) = known {
            groups.insert(name.clone(), what_is_left(known, processes));
        }
    }
    (groups, found)
}

/// A group without the members that are gone.
pub(crate) fn what_is_left(group: &Arc<Group>, processes: &BTreeMap<Name, DeclaredProcess>) -> Arc<Group> {
    if group.members.iter().all(|member| processes.contains_key(member)) {
        return Arc::clone(group);
    }
    let members = group.members.iter().filter(|member| processes.contains_key(*member)).cloned().collect();
    Arc::new(Group { name: group.name.clone(), members })
}
