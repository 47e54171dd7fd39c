//! Whose ends somebody may hear. Pure.

use std::collections::BTreeSet;

use piton_model::{LedgerEntry, Name, Record, Seq, Subject};
use piton_spec::{Catalog, Job, JobTrigger};

/// How many jobs are remembered that waited by declarations of before. Whoever changes more while they wait has to look.
const MOST_WAITING: usize = 1_000;

/// The subjects whose end somebody may hear: so that the runs of all others need not be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Audience {
    workspaces: BTreeSet<Name>,
    dependencies: BTreeSet<Subject>,
    /// Jobs that may wait by declarations of before, the latest last. They are not remembered over a restart.
    waiting: Vec<Waiting>,
}

/// A job for which something has changed of what it may be waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    job: Subject,
    /// What it depended on, be it by way of others.
    on: BTreeSet<Subject>,
    /// The last entry that was acted on by those declarations.
    until: Seq,
}

impl Audience {
    pub(super) fn of(catalog: &Catalog) -> Audience {
        let mut audience = Audience::default();
        for job in catalog.jobs.values().filter(|job| listens(job)) {
            audience.workspaces.extend(job.workspace().cloned());
            audience.dependencies.extend(job.dependencies());
        }
        audience
    }

    /// The same, and what is still to be heard for jobs that were declared otherwise before, up to `acted`.
    pub(super) fn following(self, now: &Catalog, audience: &Audience, before: &Catalog, acted: Seq) -> Audience {
        let same = |subject: &Subject| match (before.jobs.get(subject), now.jobs.get(subject)) {
            (Some(before), Some(now)) => {
                before.triggers == now.triggers && before.extras.depends_on == now.extras.depends_on
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let changed = before.jobs.values().filter(|job| listens(job)).filter_map(|job| {
            let on = all_dependencies(before, job);
            let waits_as_before = same(&job.subject) && on.iter().all(same);
            (!waits_as_before).then(|| Waiting { job: job.subject.clone(), on, until: acted })
        });
        let mut waiting: Vec<Waiting> = audience.waiting.iter().cloned().chain(changed).collect();
        waiting.retain(|waiting| now.jobs.contains_key(&waiting.job));
        let surplus = waiting.len().saturating_sub(MOST_WAITING);
        waiting.drain(..surplus);
        Audience { waiting, ..self }
    }

    pub(super) fn hears(&self, entry: &LedgerEntry) -> bool {
        match &entry.record {
            Record::Run { subject: Subject::Workspace(name), outcome: Some(_), .. } => self.workspaces.contains(name),
            Record::Run { subject, outcome: Some(_), .. } => {
                self.dependencies.contains(subject) || self.waiting.iter().any(|waiting| waiting.on.contains(subject))
            }
            Record::Run { .. } | Record::Skipped { .. } | Record::Removed { .. } | Record::Audit(_) => false,
        }
    }

    /// Whether `job`, when it heard of the entry `heard`, may have begun to wait for `ended`, be it by way of others, and
    /// would not hear of it by the present declarations.
    pub(super) fn waited(&self, job: &Subject, heard: Seq, ended: &Subject) -> bool {
        let is = |waiting: &Waiting| waiting.job == *job && heard <= waiting.until && waiting.on.contains(ended);
        self.waiting.iter().any(is)
    }
}

fn listens(job: &Job) -> bool {
    job.triggers.iter().any(|trigger| matches!(trigger, JobTrigger::Word(_)))
}

/// What a job depends on, and what that depends on.
fn all_dependencies(catalog: &Catalog, job: &Job) -> BTreeSet<Subject> {
    let mut all = BTreeSet::new();
    let mut next: Vec<Subject> = job.dependencies().collect();
    while let Some(subject) = next.pop() {
        if let Some(job) = catalog.jobs.get(&subject) {
            next.extend(job.dependencies().filter(|subject| !all.contains(subject)));
        }
        all.insert(subject);
    }
    all
}
