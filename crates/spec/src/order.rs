//! Whether the jobs of one scope, or processes, can be put in an order that respects `depends_on`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use piton_model::Name;

use crate::Job;
use crate::diagnostic::Diagnostic;
use crate::read_job::{JobDraft, Reference};
use crate::suggest::nearest;

/// A declaration that cannot be accepted because of what it depends on.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) name: Name,
    pub(crate) diagnostic: Diagnostic,
}

/// How the declarations of a scope are spoken of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// In the plural.
    pub(crate) noun: &'static str,
    /// What they may depend on.
    pub(crate) hint: &'static str,
}

/// Jobs.
pub(crate) const JOBS: Words =
    Words { noun: "jobs", hint: "a job depends on jobs of the same workspace, a standalone job on standalone ones" };

/// One declaration of a scope.
#[derive(Clone)]
pub(crate) struct Participant<'a> {
    pub(crate) name: &'a Name,
    pub(crate) depends_on: Vec<&'a Name>,
    /// What to say about its dependencies; empty for a last good version, which was accepted once.
    pub(crate) references: &'a [Reference],
}

impl<'a> Participant<'a> {
    pub(crate) fn of(draft: &'a JobDraft) -> Participant<'a> {
        Participant { references: draft.depends_on(), ..Participant::kept(&draft.job) }
    }

    pub(crate) fn kept(job: &'a Job) -> Participant<'a> {
        Participant { name: &job.name, depends_on: job.extras.depends_on.iter().collect(), references: &[] }
    }
}

/// The declarations of a scope by name.
type ByName<'a> = BTreeMap<&'a Name, &'a Participant<'a>>;

/// Finds unknown names and circles. Everything on a circle has a problem, unless it is a kept one.
pub(crate) fn check(participants: &[Participant<'_>], words: Words) -> Vec<Problem> {
    let by_name: ByName<'_> = participants.iter().map(|participant| (participant.name, participant)).collect();
    let mut problems = Vec::new();
    for participant in participants {
        for reference in participant.references.iter().filter(|reference| !by_name.contains_key(&reference.name)) {
            let names = by_name.keys().map(|name| name.as_str());
            let hint = match nearest(reference.name.as_str(), names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => words.hint.to_owned(),
            };
            let name = participant.name.clone();
            problems.push(Problem { name, diagnostic: reference.missing.clone().hint(hint) });
        }
    }
    let mut explained: BTreeSet<&Name> = BTreeSet::new();
    let suspects = on_circles(&by_name);
    for start in &suspects {
        if explained.contains(start) {
            continue;
        }
        let Some(circle) = circle_through(start, &by_name, &suspects) else { continue };
        for (index, name) in circle.iter().enumerate() {
            if explained.insert(name)
                && let Some(problem) = circle_problem(&circle, index, &by_name, words)
            {
                problems.push(problem);
            }
        }
    }
    problems
}

/// The problem of what is at `index` of a circle: its path begins and ends there.
fn circle_problem(circle: &[&Name], index: usize, by_name: &ByName<'_>, words: Words) -> Option<Problem> {
    let rotated = circle.iter().cycle().skip(index).take(circle.len() + 1);
    let path: Vec<&str> = rotated.map(|name| name.as_str()).collect();
    let participant = by_name.get(circle.get(index)?)?;
    let next = circle.get((index + 1) % circle.len())?;
    let reference = participant.references.iter().find(|reference| reference.name == **next)?;
    let path = match path.len() {
        0..=20 => path.join(" → "),
        long => format!("{} → … ({} more) → {}", path[..10].join(" → "), long - 11, path[long - 1]),
    };
    let mut diagnostic = reference.missing.clone().hint("remove one of these dependencies");
    diagnostic.code = "dependency_cycle";
    diagnostic.message = format!("{} depend on each other in a circle: {path}", words.noun);
    Some(Problem { name: participant.name.clone(), diagnostic })
}

/// Names that may lie on a circle: what is left after those without dependencies, and those nobody depends on, have
/// been peeled off again and again.
fn on_circles<'a>(by_name: &ByName<'a>) -> BTreeSet<&'a Name> {
    let mut users: BTreeMap<&Name, Vec<&'a Name>> = BTreeMap::new();
    let mut needs: BTreeMap<&'a Name, Vec<&'a Name>> = BTreeMap::new();
    for (name, participant) in by_name {
        for dependency in participant.depends_on.iter().copied().filter(|name| by_name.contains_key(name)) {
            users.entry(dependency).or_default().push(name);
            needs.entry(name).or_default().push(dependency);
        }
    }
    let mut left: BTreeSet<&'a Name> = by_name.keys().copied().collect();
    peel(&mut left, &needs, &users);
    peel(&mut left, &users, &needs);
    left
}

/// Removes every name from which no edge leads to another name that is left.
fn peel<'a>(
    left: &mut BTreeSet<&'a Name>,
    edges: &BTreeMap<&'a Name, Vec<&'a Name>>,
    reverse: &BTreeMap<&'a Name, Vec<&'a Name>>,
) {
    let open = |name: &Name| edges.get(name).map_or(0, |to| to.iter().filter(|to| left.contains(*to)).count());
    let mut degree: BTreeMap<&'a Name, usize> = left.iter().map(|name| (*name, open(name))).collect();
    let mut free: Vec<&'a Name> = degree.iter().filter(|(_, open)| **open == 0).map(|(name, _)| *name).collect();
    while let Some(name) = free.pop() {
        left.remove(name);
        for before in reverse.get(name).into_iter().flatten() {
            if let Some(open) = degree.get_mut(before) {
                *open = open.saturating_sub(1);
                if *open == 0 && left.contains(before) {
                    free.push(before);
                }
            }
        }
    }
}

/// The shortest circle from a name back to itself, among the suspects: the names on it, beginning with `start`.
fn circle_through<'a>(start: &'a Name, by_name: &ByName<'a>, suspects: &BTreeSet<&'a Name>) -> Option<Vec<&'a Name>> {
    let mut reached_from: BTreeMap<&'a Name, &'a Name> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(name) = queue.pop_front() {
        let participant = by_name.get(name)?;
        for dependency in participant.depends_on.iter().copied().filter(|name| suspects.contains(name)) {
            if dependency == start {
                let mut path = vec![name];
                let mut at = name;
                while let Some(before) = reached_from.get(at) {
                    path.push(before);
                    at = before;
                }
                path.reverse();
                return Some(path);
            }
            if !reached_from.contains_key(dependency) {
                reached_from.insert(dependency, name);
                queue.push_back(dependency);
            }
        }
    }
    None
}
