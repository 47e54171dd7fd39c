//! Declarations that come as the body of a request.

use std::path::Path;
use std::sync::Arc;

use piton_model::{Name, Process};
use serde_json::Value as Json;

use super::batch::{read_cronjob, read_job};
use super::items::{Form, Reading, without_places};
use super::join::WORDS;
use super::pointers::point;
use super::process::read_process;
use super::surroundings::Surroundings;
use crate::diagnostic::Diagnostic;
use crate::document::{Document, Format};
use crate::fields::{Fields, Findings};
use crate::order::{self, Participant};
use crate::read_job::Reference;
use crate::{Catalog, Job};

/// What a request declares, with what is odd about it; or what is wrong with it, by its fields.
pub type Parsed<T> = Result<(T, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads a process.
pub fn parse_process(json: &Json, around: &Surroundings) -> Parsed<Process> {
    let read = |fields: Fields<'_, '_>, file: &Arc<Path>, reading: Reading<'_>| {
        read_process(fields, file, reading).map(|draft| Process::clone(&draft.process))
    };
    parse(json, around, read)
}

/// Reads a job that runs once.
pub fn parse_job(json: &Json, around: &Surroundings) -> Parsed<Job> {
    parse(json, around, |fields, file, reading| read_job(fields, file, reading).map(|draft| Job::clone(&draft.job)))
}

/// Reads a job that runs on a schedule.
pub fn parse_cronjob(json: &Json, around: &Surroundings) -> Parsed<Job> {
    parse(json, around, |fields, file, reading| read_cronjob(fields, file, reading).map(|draft| Job::clone(&draft.job)))
}

fn parse<T>(
    json: &Json,
    around: &Surroundings,
    read: impl FnOnce(Fields<'_, '_>, &Arc<Path>, Reading<'_>) -> Option<T>,
) -> Parsed<T> {
    let file: Arc<Path> = Path::new("request").into();
    let document = match Document::parse(&file, json.to_string().into_bytes(), Format::Json) {
        Ok(document) => document,
        Err(error) => return Err(vec![without_places(*error)]),
    };
    let findings = Findings::new(&file, &document);
    let reading = Reading { around, form: Form::Request, inline: false };
    let read = findings.table().and_then(|fields| read(fields, &file, reading));
    let read = read.filter(|_| !findings.any_error());
    let mut found = findings.into_diagnostics();
    point(&document, &mut found);
    let found: Vec<Diagnostic> = found.into_iter().map(without_places).collect();
    match read {
        Some(read) => Ok((read, found)),
        None => Err(found),
    }
}

/// What keeps a process from being declared beside those that are: it depends on what is not there, on itself in a
/// circle, or has the name of an instance.
pub fn check_in(process: &Process, catalog: &Catalog) -> Vec<Diagnostic> {
    let about = |field: String, code, message: String| Diagnostic::error("request", code, message).field(field);
    let references: Vec<Reference> = process
        .depends_on
        .iter()
        .enumerate()
        .map(|(index, dependency)| {
            let name = dependency.name.clone();
            let message = format!("there is no process `{name}` to depend on");
            Reference { name, missing: about(format!("depends_on[{index}]"), "unknown_dependency", message) }
        })
        .collect();
    let dependencies = |process: &'_ Process| -> Vec<Name> {
        process.depends_on.iter().map(|dependency| dependency.name.clone()).collect()
    };
    let others: Vec<(Name, Vec<Name>)> = catalog
        .processes
        .iter()
        .filter(|(name, _)| **name != process.name)
        .map(|(name, declared)| (name.clone(), dependencies(&declared.process)))
        .collect();
    let own = dependencies(process);
    let participants: Vec<Participant<'_>> = others
        .iter()
        .map(|(name, depends_on)| Participant { name, depends_on: depends_on.iter().collect(), references: &[] })
        .chain([Participant { name: &process.name, depends_on: own.iter().collect(), references: &references }])
        .collect();
    let mut found: Vec<Diagnostic> =
        order::check(&participants, WORDS).into_iter().map(|problem| problem.diagnostic).collect();
    let others = catalog.processes.values().map(|declared| &*declared.process);
    for other in others.filter(|other| other.name != process.name) {
        for (name, base) in [(&process.name, other), (&other.name, process)] {
            if super::join::is_instance(name, base) {
                let message = format!("`{name}` is the name of an instance of `{}`", base.name);
                found.push(about("name".to_owned(), "duplicate_name", message).hint("take another name"));
            }
        }
    }
    found
}
