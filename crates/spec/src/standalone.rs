//! Standalone jobs joined to one another: names are unique, dependencies exist and form no circle.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use piton_model::Subject;

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

/// Joins the jobs of `files` (none where the file is broken). A job that cannot be joined keeps its last good version.
pub(crate) fn join_standalone_jobs(files: Vec<(Arc<Path>, Option<Arc<JobDraft>>)>, previous: &Catalog) -> Joined {
    let mut joined = Joined::default();
    let mut drafts: Vec<Arc<JobDraft>> = Vec::new();
    let mut kept: Vec<Arc<Job>> = Vec::new();
    let mut taken: BTreeSet<Subject> = BTreeSet::new();
    let mut broken = Vec::new();
    for (path, draft) in files {
        match draft {
            Some(draft) if taken.insert(draft.job.subject.clone()) => drafts.push(draft),
            Some(draft) => {
                joined.diagnostics.push(draft.name_taken().hint("rename one of them"));
                broken.push(path);
            }
            None => broken.push(path),
        }
    }
    // Files that are broken come after all others, so that a kept job never takes the name of a good one.
    for path in broken {
        kept.extend(last_good(&path, previous, &mut taken));
    }
    loop {
        let participants: Vec<Participant<'_>> = drafts
            .iter()
            .map(|draft| Participant::of(draft))
            .chain(kept.iter().map(|job| Participant::kept(job)))
            .collect();
        let problems = order::check(&participants);
        if problems.is_empty() {
            break;
        }
        let refused: BTreeSet<Subject> = problems.iter().map(|problem| problem.subject.clone()).collect();
        joined.diagnostics.extend(problems.into_iter().map(|problem| problem.diagnostic));
        let (bad, good): (Vec<_>, Vec<_>) = drafts.into_iter().partition(|draft| refused.contains(&draft.job.subject));
        drafts = good;
        for draft in bad {
            taken.remove(&draft.job.subject);
            kept.extend(last_good(&draft.job.file, previous, &mut taken));
        }
    }
    joined.jobs = drafts.into_iter().map(|draft| draft.job.clone()).chain(kept).collect();
    joined
}

/// What the file declared when it was last good, unless the name is taken by now.
fn last_good(file: &Path, previous: &Catalog, taken: &mut BTreeSet<Subject>) -> Option<Arc<Job>> {
    let job = previous.jobs_of(None).find(|job| *job.file == *file)?;
    taken.insert(job.subject.clone()).then(|| Arc::clone(job))
}
