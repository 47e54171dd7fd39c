//! Program files of CronJobs that are made and changed on request.

use std::fs;
use std::path::Path;

use axum::http::StatusCode;
use piton_model::Subject;
use piton_spec::provisr::{self, Kind, WriteError};
use piton_spec::{Catalog, Job, Layout};
use serde_json::Value;

use crate::job_files::declared_by;
use crate::problem::{Answer, Refusal};
use crate::processes::{refused, unwritten};

/// Writes the file of a new CronJob, if it is valid among the others.
pub(crate) fn create(layout: &Layout, catalog: &Catalog, spec: &Value) -> Answer<Subject> {
    let job = checked(catalog, spec)?;
    if catalog.jobs.contains_key(&job.subject) {
        return Err(exists(job.name.as_str()));
    }
    let made = provisr::write_program(&layout.programs, Kind::CronJob, &job.name, spec);
    let made = made.map_err(|error| match error {
        WriteError::Taken(_) => exists(job.name.as_str()),
        error => Refusal::internal(&error),
    })?;
    let declared = declared_by(layout, catalog, &made);
    if declared.is_err() {
        provisr::remove_program(&layout.programs, &made).map_err(|error| Refusal::internal(&error))?;
    }
    declared
}

/// Changes the file of a CronJob, if it is valid among the others.
pub(crate) fn change(layout: &Layout, catalog: &Catalog, old: &Job, spec: &Value) -> Answer<Subject> {
    checked(catalog, spec)?;
    if !is_program(layout, &old.file) {
        return Err(exists(old.name.as_str()));
    }
    let before = fs::read(&old.file).map_err(|error| Refusal::internal(&error))?;
    let changed = provisr::rewrite_program(&layout.programs, &old.file, Kind::CronJob, spec, catalog.surroundings());
    changed.map_err(|error| unwritten("invalid_job", &error))?;
    let declared = declared_by(layout, catalog, &old.file);
    if declared.is_err() {
        let put_back = provisr::put_back(&layout.programs, &old.file, &before);
        put_back.map_err(|error| Refusal::internal(&error))?;
    }
    declared
}

/// Lets a job or CronJob go on that its file suspends: the file says so from then on, and is otherwise as it was.
pub(crate) fn wake(layout: &Layout, catalog: &Catalog, job: &Job) -> Answer<()> {
    if !is_program(layout, &job.file) {
        return Ok(());
    }
    let (kind, mut spec) = provisr::read_program(&job.file).map_err(|error| Refusal::internal(&error))?;
    spec["suspend"] = Value::Bool(false);
    let changed = provisr::rewrite_program(&layout.programs, &job.file, kind, &spec, catalog.surroundings());
    changed.map_err(|error| unwritten("invalid_job", &error))
}

fn is_program(layout: &Layout, file: &Path) -> bool {
    file.parent() == Some(&*layout.programs)
}

fn checked(catalog: &Catalog, spec: &Value) -> Answer<Job> {
    let parsed = provisr::parse_cronjob(spec, catalog.surroundings());
    parsed.map(|(job, _)| job).map_err(|found| {
        let never = found.iter().any(|found| found.is_error() && found.code == "schedule_never_fires");
        refused(if never { "schedule_never_fires" } else { "invalid_job" }, &found)
    })
}

pub(crate) fn exists(name: &str) -> Refusal {
    let detail = format!("a job named '{name}' is declared already");
    let hint = Some("change that one, or delete it first".to_owned());
    Refusal::new(StatusCode::CONFLICT, "job_exists", detail, hint)
}
