//! Files of programs, `{type, spec}`, and what of that stands in the configuration.

use std::path::Path;
use std::sync::Arc;

use piton_model::{Group, Name};

use super::batch::{read_cronjob, read_job};
use super::items::{Form, Reading};
use super::process::{ProcessDraft, read_process, required_name};
use super::surroundings::Surroundings;
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{Document, Format, Node, Value};
use crate::fields::{Findings, Item};
use crate::read_job::{JobDraft, Reference};

/// What a declaration is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A program that is kept running.
    Process,
    /// Tasks that run once.
    Job,
    /// Tasks that run on a schedule.
    CronJob,
}

impl Kind {
    /// The word that `type` has.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Process => "process",
            Kind::Job => "job",
            Kind::CronJob => "cronjob",
        }
    }

    pub(crate) const WORDS: [(&'static str, Kind); 4] =
        [("process", Kind::Process), ("job", Kind::Job), ("cronjob", Kind::CronJob), ("cron", Kind::CronJob)];
}

/// What a file of a program declares.
#[derive(Debug, Clone)]
pub(crate) enum ProgramDraft {
    Process(Arc<ProcessDraft>),
    Job(JobDraft),
}

/// Reads a file of a program.
pub(crate) fn read_program_file(
    file: &Arc<Path>,
    document: &Document,
    format: Format,
    around: &Surroundings,
) -> (Option<ProgramDraft>, Vec<Diagnostic>) {
    let form = if format == Format::Json { Form::Json } else { Form::File };
    let findings = Findings::new(file, document);
    let draft = findings.table().and_then(|fields| {
        let item = fields.item.clone();
        read_program(&item, file, Reading { around, form, inline: false })
    });
    let draft = draft.filter(|_| !findings.any_error());
    (draft, findings.into_diagnostics())
}

fn read_program(item: &Item<'_, '_>, file: &Arc<Path>, reading: Reading<'_>) -> Option<ProgramDraft> {
    if reading.form == Form::Json && !reading.inline && is_bare(item) {
        return read_spec(item, Kind::Process, file, reading);
    }
    let mut fields = item.table()?;
    let kind_item = fields.get("type");
    let kind = match &kind_item {
        Some(item) => item.choice(&Kind::WORDS),
        None => {
            let error = item.error("missing_field", "a program needs a `type`: process, job or cronjob");
            item.report(error.hint("and what it is below `spec`"));
            None
        }
    };
    let Some(spec) = fields.get("spec") else {
        let error = item.error("missing_field", "a program needs a `spec`");
        let bare = fields.get("name").is_some() || fields.get("command").is_some();
        item.report(if bare { error.hint("put what is here into the table `spec`") } else { error });
        return None;
    };
    fields.finish(Severity::Error);
    read_spec(&spec, kind?, file, reading)
}

/// Whether it is a process and nothing around it, as provisr's own programs leave them.
fn is_bare(item: &Item<'_, '_>) -> bool {
    let Value::Table(entries) = &item.node.value else { return false };
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    !has("type") && !has("spec") && has("name") && (has("command") || has("args"))
}

fn read_spec(spec: &Item<'_, '_>, kind: Kind, file: &Arc<Path>, reading: Reading<'_>) -> Option<ProgramDraft> {
    let fields = spec.table()?;
    match kind {
        Kind::Process => read_process(fields, file, reading).map(Arc::new).map(ProgramDraft::Process),
        Kind::Job => read_job(fields, file, reading).map(ProgramDraft::Job),
        Kind::CronJob => read_cronjob(fields, file, reading).map(ProgramDraft::Job),
    }
}

/// A group as the configuration declares it.
#[derive(Debug, Clone)]
pub(crate) struct GroupDraft {
    pub(crate) group: Group,
    /// What to say if a member is missing; in the order of `group.members`.
    pub(crate) members: Vec<Reference>,
    /// What to say if there are two with its name.
    pub(crate) twice: Diagnostic,
}

/// What the configuration declares.
#[derive(Debug, Default)]
pub(crate) struct Inline {
    pub(crate) programs: Vec<ProgramDraft>,
    pub(crate) groups: Vec<GroupDraft>,
    /// Names of what is broken.
    pub(crate) broken: Vec<Name>,
    /// Something is broken of which not even the name is known.
    pub(crate) nameless: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Reads `[[processes]]`, `[[cronjobs]]` and `[[groups]]` of the configuration; the rest of it is read elsewhere.
pub(crate) fn read_inline(file: &Arc<Path>, document: &Document, format: Format, around: &Surroundings) -> Inline {
    let form = if format == Format::Json { Form::Json } else { Form::File };
    let reading = Reading { around, form, inline: true };
    let mut inline = Inline::default();
    if document.root.value == Value::Null {
        return inline;
    }
    let findings = Findings::new(file, document);
    if let Some(mut fields) = findings.table() {
        for item in fields.get("processes").and_then(|item| item.list()).unwrap_or_default() {
            let draft = read_program(&item, file, reading);
            inline.take(draft, &item);
        }
        for item in fields.get("cronjobs").and_then(|item| item.list()).unwrap_or_default() {
            let wrapped = matches!(&item.node.value, Value::Table(entries) if entries.iter().any(|e| e.key == "spec"));
            let draft = if wrapped {
                read_wrapped_cronjob(&item, file, reading)
            } else {
                read_spec(&item, Kind::CronJob, file, reading)
            };
            inline.take(draft, &item);
        }
        for item in fields.get("groups").and_then(|item| item.list()).unwrap_or_default() {
            inline.groups.extend(read_group(&item));
        }
    }
    inline.diagnostics = findings.into_diagnostics();
    inline
}

impl Inline {
    fn take(&mut self, draft: Option<ProgramDraft>, item: &Item<'_, '_>) {
        match (draft, name_in(item.node)) {
            (Some(draft), _) => self.programs.push(draft),
            (None, Some(name)) => self.broken.push(name),
            (None, None) => self.nameless = true,
        }
    }
}

/// `[[cronjobs]]` with a `spec` of its own, and a `type` that says what is known.
fn read_wrapped_cronjob(item: &Item<'_, '_>, file: &Arc<Path>, reading: Reading<'_>) -> Option<ProgramDraft> {
    let mut fields = item.table()?;
    let kind = fields.get("type").map(|item| item.choice(&[("cronjob", ()), ("cron", ())]));
    let spec = fields.get("spec")?;
    fields.finish(Severity::Error);
    if kind == Some(None) {
        return None;
    }
    read_spec(&spec, Kind::CronJob, file, reading)
}

/// The name of a declaration, as far as it can be read.
fn name_in(node: &Node) -> Option<Name> {
    let Value::Table(entries) = &node.value else { return None };
    let member = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node);
    match (member("name").map(|node| &node.value), member("spec")) {
        (Some(Value::Text(name)), _) => Name::parse(name).ok(),
        (_, Some(spec)) => name_in(spec),
        _ => None,
    }
}

fn read_group(item: &Item<'_, '_>) -> Option<GroupDraft> {
    let before = item.errors_so_far();
    let mut fields = item.table()?;
    let name_item = fields.get("name");
    let name = required_name(item, name_item.as_ref(), "group");
    let mut members: Vec<Reference> = Vec::new();
    match fields.get("members") {
        Some(list) => {
            for item in list.list().unwrap_or_default() {
                let Some(name) = item.name() else { continue };
                if members.iter().any(|member| member.name == name) {
                    item.report(item.warning("duplicate_name", format!("`{name}` is there twice")));
                    continue;
                }
                let missing = item.error("unknown_member", format!("there is no process `{name}`"));
                members.push(Reference { name, missing });
            }
        }
        None => item.report(item.error("missing_field", "a group needs `members`")),
    }
    fields.finish(Severity::Error);
    let name = name?;
    let place = name_item.as_ref().unwrap_or(item);
    let twice = place.error("duplicate_name", format!("there is another group with the name `{name}`"));
    let names = members.iter().map(|member| member.name.clone()).collect();
    let draft = GroupDraft { group: Group { name, members: names }, members, twice };
    (item.errors_so_far() == before).then_some(draft)
}
