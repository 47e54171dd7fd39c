//! Standalone jobs joined to one another: names are unique, dependencies exist and form no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use piton_model::{Name, Subject};

use crate::diagnostic::Diagnostic;
use crate::order::{self, Participant};
use crate::read_job::JobDraft;
use crate::{Catalog, Job};

/// What came of joining.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) jobs: Vec<Arc<Job>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// What is known of a job before it is joined.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) file: Arc<Path>,
    /// None where it is broken.
    pub(crate) draft: Option<JobDraft>,
    /// The name of what is broken, where the file declares more than one and it is known.
    pub(crate) name: Option<Name>,
}

/// Joins jobs. One that cannot be joined keeps its last good version. A name stays with the file that has it, as long as
/// that file declares it or is broken. Paths are shown relative to `root`.
pub(crate) fn join_standalone_jobs(candidates: Vec<Candidate>, previous: &Catalog, root: &Path) -> Joined {
    let mut joined = Joined::default();
    let mut drafts: BTreeMap<Name, JobDraft> = BTreeMap::new();
    let mut kept: BTreeMap<Name, Arc<Job>> = BTreeMap::new();
    let (mut good, mut broken) = (Vec::new(), Vec::new());
    for Candidate { file, draft, name } in candidates {
        match draft {
            Some(draft) => good.push((file, draft)),
            None => broken.push((file, name)),
        }
    }
    let has_name = |draft: &JobDraft| {
        let known = previous.jobs.get(&draft.job.subject);
        known.is_some_and(|known| known.file == draft.job.file)
    };
    good.sort_by_key(|(_, draft)| !has_name(draft));
    for (file, draft) in good {
        let name = draft.job.name.clone();
        let other = drafts.get(&name).map(|other| Arc::clone(&other.job.file));
        match other.or_else(|| kept_in(&draft.job.subject, &broken, previous)) {
            None => {
                drafts.insert(name, draft);
            }
            Some(by) => {
                let taken = draft.name_taken(Some(by.strip_prefix(root).unwrap_or(&by)));
                joined.diagnostics.push(taken.hint("rename one of them"));
                broken.push((file, draft.job.inline.then_some(name)));
            }
        }
    }
    for (file, name) in broken {
        keep(&file, name.as_ref(), previous, &drafts, &mut kept);
    }
    loop {
        let participants: Vec<Participant<'_>> =
            drafts.values().map(Participant::of).chain(kept.values().map(|job| Participant::kept(job))).collect();
        let problems = order::check(&participants, order::JOBS);
        if problems.is_empty() {
            break;
        }
        let refused: BTreeSet<Name> = problems.iter().map(|problem| problem.name.clone()).collect();
        joined.diagnostics.extend(problems.into_iter().map(|problem| problem.diagnostic));
        for name in refused {
            if let Some(draft) = drafts.remove(&name) {
                keep(&draft.job.file, Some(&name).filter(|_| draft.job.inline), previous, &drafts, &mut kept);
            }
        }
    }
    joined.jobs = drafts.into_values().map(|draft| draft.job).chain(kept.into_values()).collect();
    joined
}

/// The broken file that declared this when it was good, and so has the name still.
fn kept_in(subject: &Subject, broken: &[(Arc<Path>, Option<Name>)], previous: &Catalog) -> Option<Arc<Path>> {
    let known = previous.jobs.get(subject)?;
    let is_broken =
        |(path, of): &(Arc<Path>, Option<Name>)| *path == known.file && of.as_ref().is_none_or(|of| *of == known.name);
    broken.iter().any(is_broken).then(|| Arc::clone(&known.file))
}

/// Keeps what the file declared when it was last good, unless the name is taken by now.
fn keep(
    file: &Path,
    name: Option<&Name>,
    previous: &Catalog,
    drafts: &BTreeMap<Name, JobDraft>,
    kept: &mut BTreeMap<Name, Arc<Job>>,
) {
    let of_file = |job: &&Arc<Job>| {
        *job.file == *file && name.is_none_or(|name| *name == job.name) && !drafts.contains_key(&job.name)
    };
    for job in previous.jobs_of(None).filter(of_file) {
        kept.entry(job.name.clone()).or_insert_with(|| Arc::clone(job));
    }
}
