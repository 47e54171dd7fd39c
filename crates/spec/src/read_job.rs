//! A table becomes a [`Job`]: as an element of a workspace's `jobs`, or as a file of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use piton_model::{Name, Secret, Subject, TriggerWord};

use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::document::Document;
use crate::fields::{Fields, Findings, Item};
use crate::layout::Defaults;
use crate::placeholder::fill;
use crate::schedule::{read_time_zone, read_triggers};
use crate::{Catalog, CatchUp, Extras, Job, JobTrigger, JobWork, RunRules};

/// A job as its file declares it; whether what it refers to exists is not known yet.
#[derive(Debug, Clone)]
pub(crate) struct JobDraft {
    pub(crate) job: Arc<Job>,
    /// What it refers to; most refer to nothing.
    refers: Option<Box<Refers>>,
    /// Where its name stands.
    named: Named,
}

/// What a job refers to.
#[derive(Debug, Clone)]
struct Refers {
    template: Option<Reference>,
    depends_on: Vec<Reference>,
}

/// Where the name of a job stands. Every job has one of these for as long as it is declared.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    place: Place,
    /// None where it is the usual one.
    field: Option<Box<str>>,
}

/// The field that the name of a job has in a file of its own.
const NAME: &str = "name";

impl Named {
    /// The name stands where `item` does.
    pub(crate) fn of(item: &Item<'_, '_>) -> Named {
        let (place, field) = item.stands();
        Named { place, field: (field != NAME).then(|| field.into()) }
    }
}

impl JobDraft {
    /// A job that refers to nothing.
    pub(crate) fn alone(job: Job, named: Named) -> JobDraft {
        JobDraft { job: Arc::new(job), refers: None, named }
    }

    /// What to say if the template it names is missing.
    pub(crate) fn template(&self) -> Option<&Reference> {
        self.refers.as_ref()?.template.as_ref()
    }

    /// What to say if a job it depends on is missing; in the order of the job's own list.
    pub(crate) fn depends_on(&self) -> &[Reference] {
        self.refers.as_ref().map_or(&[], |refers| &refers.depends_on)
    }

    /// Takes the job that is known already where it is the same, so that there are not two of each for as long as both
    /// what was read and what is in force are held.
    pub(crate) fn share(&mut self, known: &Catalog) {
        if let Some(same) = known.jobs.get(&self.job.subject).filter(|same| **same == self.job) {
            self.job = Arc::clone(same);
        }
    }

    /// What to say if another declaration has the same name: that of another file, where it is one.
    pub(crate) fn name_taken(&self, by: Option<&Path>) -> Diagnostic {
        let place = by.map(|by| format!(", in {}", by.display())).unwrap_or_default();
        let message = format!("there is another job with the name `{}`{place}", self.job.name);
        let taken = Diagnostic::error(&*self.job.file, "duplicate_name", message).at(self.named.place);
        match self.named.field.as_deref().unwrap_or(NAME) {
            "" => taken,
            field => taken.field(field),
        }
    }
}

/// A name that must exist elsewhere, and the diagnostic for when it does not.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) name: Name,
    pub(crate) missing: Diagnostic,
}

/// What surrounds the declaration of a job.
pub(crate) struct Surroundings<'a> {
    pub(crate) workspace: Option<&'a Name>,
    pub(crate) file: &'a Arc<Path>,
    pub(crate) defaults: &'a Defaults,
    /// Zone of the workspace, where it has one of its own.
    pub(crate) time_zone: &'a jiff::tz::TimeZone,
}

/// Reads a file that declares one standalone job.
pub(crate) fn read_job_file(
    file: &Arc<Path>,
    document: &Document,
    defaults: &Defaults,
) -> (Option<JobDraft>, Vec<Diagnostic>) {
    let findings = Findings::new(file, document);
    let surroundings = Surroundings { workspace: None, file, defaults, time_zone: &defaults.time_zone };
    let draft = findings.table().and_then(|fields| read_job(fields, &surroundings));
    let draft = draft.filter(|_| !findings.any_error());
    (draft, findings.into_diagnostics())
}

/// Reads the table of one job. Yields a draft as soon as the job has a name, even if other fields are wrong: the
/// caller asks the findings.
pub(crate) fn read_job(mut fields: Fields<'_, '_>, around: &Surroundings<'_>) -> Option<JobDraft> {
    let whole = fields.item.clone();
    let name_item = fields.get("name");
    let name = match &name_item {
        Some(item) => item.name(),
        None => name_of_file(around).or_else(|| {
            whole.report(whole.error("missing_field", "a job needs a `name`"));
            None
        }),
    };
    let work = read_work(&mut fields);
    let mut triggers = fields.get("schedule").map(|item| read_triggers(&item)).unwrap_or_default();
    triggers.shrink_to_fit();
    let time_zone = fields.get("timezone").and_then(|item| read_time_zone(&item));
    let catch_up = fields.get("catch_up").and_then(|item| item.choice(&CatchUp::CHOICES));
    let environment = fields.get("environment").map(|item| {
        let variables = item.environment();
        fill_in(&item, variables, around.workspace, name.as_ref())
    });
    let working_dir = fields.get("working_dir").and_then(|item| item.filled()).map(PathBuf::from);
    let timeout = fields.get("timeout").and_then(|item| item.duration());
    let enabled = fields.get("enabled").and_then(|item| item.flag());
    let description = fields.get("description").and_then(|item| item.text()).map(str::to_owned);
    let depends_on = fields.get("depends_on").map(|item| read_dependencies(&item)).unwrap_or_default();
    let tags = fields.get("tags").map(|item| item.tags()).unwrap_or_default();
    if around.workspace.is_none() {
        warn_of_dead_triggers(fields.get("schedule").as_ref(), &triggers);
    }
    fields.finish(Severity::Warning);

    let name = name?;
    let (work, template) = work?;
    let named = Named::of(name_item.as_ref().unwrap_or(&whole));
    let extras = Extras {
        description,
        environment: environment.unwrap_or_default(),
        working_dir,
        depends_on: depends_on.iter().map(|reference| reference.name.clone()).collect(),
        tags,
    };
    let job = Job {
        subject: Subject::Job { workspace: around.workspace.cloned(), name: name.clone() },
        name,
        file: Arc::clone(around.file),
        enabled: enabled.unwrap_or(true),
        work,
        triggers,
        time_zone: time_zone.unwrap_or_else(|| around.time_zone.clone()),
        catch_up: catch_up.unwrap_or(CatchUp::Skip),
        timeout: timeout.unwrap_or(around.defaults.job_timeout),
        extras: extras.shared(),
        rules: RunRules::usual(),
        inline: false,
    };
    let refers = template.is_some() || !depends_on.is_empty();
    let refers = refers.then(|| Box::new(Refers { template, depends_on }));
    Some(JobDraft { job: Arc::new(job), refers, named })
}

/// A standalone job without a name has that of its file.
fn name_of_file(around: &Surroundings<'_>) -> Option<Name> {
    match around.workspace {
        None => Name::parse(around.file.file_stem()?.to_str()?).ok(),
        Some(_) => None,
    }
}

fn read_work(fields: &mut Fields<'_, '_>) -> Option<(JobWork, Option<Reference>)> {
    let whole = fields.item.clone();
    let kind = fields.get("type");
    let [script, command, template] = ["script", "command", "template"].map(|key| fields.get(key));
    let Some(kind_item) = kind else {
        let present = [("script", &script), ("command", &command), ("template", &template)];
        let word = present.iter().find(|(_, item)| item.is_some()).map_or("command", |(word, _)| *word);
        let error = whole.error("missing_field", "a job needs a `type`: script, command or template");
        whole.report(error.hint(format!("add `\"type\": \"{word}\"`")));
        return None;
    };
    let kind = kind_item.choice(&[("script", 0), ("command", 1), ("template", 2)])?;
    let all = [("script", script), ("command", command), ("template", template)];
    let mut chosen = None;
    for (index, (word, item)) in all.into_iter().enumerate() {
        if index == kind {
            chosen = Some((word, item));
        } else if let Some(item) = item {
            let message = format!("a job of type `{}` does not use this", ["script", "command", "template"][kind]);
            item.report(item.warning("unused_field", message));
        }
    }
    let (word, item) = chosen?;
    let Some(item) = item else {
        let message = format!("a job of type `{word}` needs a `{word}`");
        kind_item.report(kind_item.error("missing_field", message));
        return None;
    };
    match word {
        "script" => Some((JobWork::Script(item.filled()?.to_owned()), None)),
        "command" => Some((JobWork::Command(item.filled()?.to_owned()), None)),
        _ => {
            let reference = read_template(&item)?;
            Some((JobWork::Template(reference.name.clone()), Some(reference)))
        }
    }
}

/// Reads the name of a template.
pub(crate) fn read_template(item: &Item<'_, '_>) -> Option<Reference> {
    let name = item.name()?;
    let missing = item.error("missing_template", format!("there is no template `{name}`"));
    Some(Reference { name, missing })
}

fn read_dependencies(item: &Item<'_, '_>) -> Vec<Reference> {
    let mut references: Vec<Reference> = Vec::new();
    for item in item.one_or_many() {
        let Some(name) = item.name() else { continue };
        if references.iter().any(|reference| reference.name == name) {
            item.report(item.warning("duplicate_name", format!("`{name}` is there twice")));
            continue;
        }
        let missing = item.error("unknown_dependency", format!("there is no job `{name}` to depend on"));
        references.push(Reference { name, missing });
    }
    references
}

fn fill_in(
    item: &Item<'_, '_>,
    variables: BTreeMap<String, Secret<String>>,
    workspace: Option<&Name>,
    job: Option<&Name>,
) -> BTreeMap<String, Secret<String>> {
    let lookup = |key: &str| match key {
        "workspace_name" => Some(workspace.map_or(crate::STANDALONE.to_owned(), Name::to_string)),
        "job_name" => job.map(Name::to_string),
        _ => None,
    };
    let mut filled_in = BTreeMap::new();
    for (name, value) in variables {
        let (filled, unknown) = fill(value.expose(), lookup);
        for placeholder in unknown.iter().filter(|placeholder| **placeholder != "job_name") {
            // The value may be a secret: the placeholder's own text is shown, nothing around it.
            let message =
                format!("`{name}` holds the unknown placeholder `{{{{{}}}}}`", crate::fields::shown(placeholder));
            item.report(
                item.warning("unknown_placeholder", message)
                    .hint("`{{workspace_name}}` and `{{job_name}}` are filled in; anything else stays as it is"),
            );
        }
        filled_in.insert(name, Secret::new(filled));
    }
    filled_in
}

/// Only a workspace is deployed and destroyed.
pub(crate) fn warn_of_dead_triggers(item: Option<&Item<'_, '_>>, triggers: &[JobTrigger]) {
    let Some(item) = item else { return };
    for trigger in triggers {
        if let JobTrigger::Word(word) = trigger
            && *word != TriggerWord::Reboot
        {
            let message = format!("`{word}` never happens to a standalone job, which has no deployment");
            item.report(item.warning("dead_trigger", message).hint("declare the job in a workspace's config.json"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Format;

    #[test]
    fn what_is_read_again_and_is_the_same_is_held_once() {
        let file: Arc<Path> = Path::new("/jobs/tick.json").into();
        let read = |command: &str| {
            let text = format!(r#"{{ "type": "command", "command": "{command}" }}"#);
            let document = Document::parse(&file, text.into_bytes(), Format::Json).unwrap();
            read_job_file(&file, &document, &Defaults::default()).0.unwrap()
        };
        let first = read("true").job;
        let mut known = Catalog::default();
        known.jobs.insert(first.subject.clone(), Arc::clone(&first));
        let (mut same, mut other) = (read("true"), read("false"));
        same.share(&known);
        other.share(&known);
        assert!(Arc::ptr_eq(&same.job, &first));
        assert!(!Arc::ptr_eq(&other.job, &first));
    }
}
