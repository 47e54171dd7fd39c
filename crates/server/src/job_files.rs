//! Files of standalone jobs that are made on request.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use axum::http::StatusCode;
use piton_api::{Fault, JobDraft};
use piton_model::{Name, Subject};
use piton_spec::{Catalog, Diagnostic, Layout};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::problem::{Answer, Refusal};

/// A body that declares something: by the text of a file, or by its members.
///
/// Texts are read as such, and no member is there twice, so that nothing else gets any further than this.
#[derive(Debug)]
pub(crate) struct Draft(pub(crate) Map<String, Value>);

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Draft, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Draft;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draft, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate field `{}`", key.escape_debug())));
            }
            let value = match key.as_str() {
                "file" | "text" => Value::String(map.next_value()?),
                _ => map.next_value()?,
            };
            members.insert(key, value);
        }
        Ok(Draft(members))
    }
}

const FORMATS: [&str; 4] = ["json", "toml", "yaml", "yml"];

/// Writes the file of a job. It stays only if it declares one that is valid among the others.
pub(crate) fn create(layout: &Layout, catalog: &Catalog, draft: &JobDraft) -> Answer<Subject> {
    check_name(&draft.file)?;
    fs::create_dir_all(&layout.jobs).map_err(|error| Refusal::internal(&error))?;
    let path = layout.jobs.join(&draft.file);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let detail = format!("there is a file {} already", path.display());
            Refusal::new(
                StatusCode::CONFLICT,
                "job_exists",
                detail,
                Some("change that file, or delete the job first".to_owned()),
            )
        }
        _ => Refusal::internal(&error),
    })?;
    let written =
        file.write_all(draft.text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| Refusal::internal(&error));
    let checked = written.and_then(|()| declared_by(layout, catalog, &path));
    if checked.is_err() {
        // Nothing may be left of a job that was refused; whoever asked has the text.
        fs::remove_file(&path).map_err(|error| Refusal::internal(&error))?;
    }
    checked
}

fn check_name(file: &str) -> Answer<()> {
    let (stem, format) = file.rsplit_once('.').unwrap_or((file, ""));
    if FORMATS.contains(&format) && Name::parse(stem).is_ok() {
        return Ok(());
    }
    let detail = format!("'{}' cannot be the name of a job's file", file.escape_debug());
    let hint = Some("a name and .json, .toml or .yaml".to_owned());
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_file_name", detail, hint))
}

/// What a file declares among the others, or what is wrong with it.
pub(crate) fn declared_by(layout: &Layout, catalog: &Catalog, path: &Path) -> Answer<Subject> {
    let (now, diagnostics) = piton_spec::load(layout, Some(catalog));
    if let Some(job) = now.jobs.values().find(|job| *job.file == *path) {
        return Ok(job.subject.clone());
    }
    let about_it = |diagnostic: &&Diagnostic| path.ends_with(&diagnostic.file);
    let found: Vec<&Diagnostic> = diagnostics.iter().filter(about_it).collect();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    let detail = if lines.is_empty() { "the file declares no job".to_owned() } else { lines.join("\n") };
    let never = |found: &&Diagnostic| found.is_error() && found.code == "schedule_never_fires";
    let code = if found.iter().any(never) { "schedule_never_fires" } else { "invalid_job" };
    let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail, None);
    Err(lines.into_iter().fold(refusal, |refusal, detail| refusal.at(Fault { pointer: "/text".to_owned(), detail })))
}
