//! The state files of the workspace scheduler that Piton replaces, read once: `scheduler.json` and `jobs.json`.

use std::path::Path;

use jiff::Timestamp;
use piton_model::{JobState, JobStatus, Mode, Name, Projection, Subject, WorkspacePhase, WorkspaceState};
use serde_json::{Map, Value};

use crate::STANDALONE;
use crate::diagnostic::Diagnostic;
use crate::fields::shown;

/// What a state file says of each subject, and what of it could not be understood.
pub type Imported = (Vec<(Subject, Projection)>, Vec<Diagnostic>);

/// Reads `scheduler.json`: the state of each workspace, which early versions called an environment.
pub fn parse_scheduler(file: &Path, bytes: &[u8]) -> Imported {
    let root = match parse(file, bytes) {
        Ok(root) => root,
        Err(error) => return (Vec::new(), vec![*error]),
    };
    let mut reading = Reading { file, imported: Vec::new(), found: Vec::new() };
    for member in ["environments", "workspaces"] {
        let Some(value) = root.get(member) else { continue };
        let Some(entries) = entries(value) else {
            reading.skip(member, "it is neither a table nor a list");
            continue;
        };
        for (key, value) in entries {
            reading.workspace(member, &key, value);
        }
    }
    reading.finish(&root, "workspaces")
}

/// Reads `jobs.json`: the state of each job, in one map or list or in those of workspaces.
pub fn parse_jobs(file: &Path, bytes: &[u8]) -> Imported {
    let root = match parse(file, bytes) {
        Ok(root) => root,
        Err(error) => return (Vec::new(), vec![*error]),
    };
    let mut reading = Reading { file, imported: Vec::new(), found: Vec::new() };
    for (key, value) in &root {
        reading.jobs(None, key, key, value, 0);
    }
    reading.finish(&root, "jobs")
}

/// The elements of a table, or of a list whose elements have names.
fn entries(value: &Value) -> Option<Vec<(String, &Value)>> {
    match value {
        Value::Object(table) => Some(table.iter().map(|(key, value)| (key.clone(), value)).collect()),
        Value::Array(list) => {
            let name = |(index, value): (usize, &Value)| {
                value.as_object().and_then(|state| text(state, "name")).unwrap_or_else(|| format!("[{index}]"))
            };
            Some(list.iter().enumerate().map(|element| (name(element), element.1)).collect())
        }
        Value::Null => Some(Vec::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// One state file, as far as it is read.
struct Reading<'a> {
    file: &'a Path,
    imported: Vec<(Subject, Projection)>,
    found: Vec<Diagnostic>,
}

/// The state of one subject, and where it stands in the file.
struct State<'r> {
    table: &'r Map<String, Value>,
    place: String,
    file: &'r Path,
    found: &'r mut Vec<Diagnostic>,
}

impl Reading<'_> {
    fn skip(&mut self, key: &str, because: &str) {
        let message = format!("`{}` is not imported: {because}", shown(key));
        self.found.push(Diagnostic::warning(self.file, "not_imported", message));
    }

    /// A file that says something, of which nothing was understood, is told of.
    fn finish(mut self, root: &Map<String, Value>, wanted: &str) -> Imported {
        let is_empty = |value: &Value| entries(value).is_some_and(|entries| entries.is_empty());
        let says_something =
            root.iter().any(|(key, value)| !matches!(key.as_str(), "last_updated" | "version") && !is_empty(value));
        if self.imported.is_empty() && self.found.is_empty() && says_something {
            let message = format!("nothing is imported: no `{wanted}` with a state was found");
            self.found.push(Diagnostic::warning(self.file, "not_imported", message));
        }
        self.imported.sort_by(|a, b| a.0.cmp(&b.0));
        // Of two states of the same the later one in the file counts.
        self.imported.reverse();
        self.imported.dedup_by(|a, b| a.0 == b.0);
        self.imported.reverse();
        (self.imported, self.found)
    }

    fn workspace(&mut self, member: &str, key: &str, value: &Value) {
        let Some(table) = value.as_object() else { return self.skip(key, "it is not a table") };
        match Name::parse(key) {
            Ok(name) => {
                let place = format!("{member}.{name}");
                let state = State { table, place, file: self.file, found: &mut self.found };
                let state = workspace_state(state);
                self.imported.push((Subject::Workspace(name), Projection::Workspace(state)));
            }
            Err(error) => self.skip(key, &error.to_string()),
        }
    }

    /// Walks maps and lists of them; whatever has the fields of a job's state is one.
    fn jobs(&mut self, parent: Option<&str>, key: &str, place: &str, value: &Value, depth: u8) {
        let table = match value {
            Value::Object(table) => table,
            Value::Array(_) if depth < 4 => {
                for (inner, value) in entries(value).into_iter().flatten() {
                    let place = format!("{place}.{inner}");
                    if value.is_object() {
                        self.jobs(Some(key), &inner, &place, value, depth + 1);
                    } else {
                        self.skip(&place, "it is not the state of a job");
                    }
                }
                return;
            }
            _ => return,
        };
        if !["status", "run_count", "workspace_id"].iter().any(|field| table.contains_key(*field)) {
            if depth < 4 {
                for (inner, value) in table {
                    self.jobs(Some(key), inner, &format!("{place}.{inner}"), value, depth + 1);
                }
            }
            return;
        }
        let name = text(table, "name").unwrap_or_else(|| key.rsplit(['/', ':', '.']).next().unwrap_or(key).to_owned());
        let scope =
            text(table, "workspace_id").or_else(|| parent.filter(|parent| *parent != "jobs").map(str::to_owned));
        let scope = scope.filter(|scope| !scope.is_empty() && scope != STANDALONE && scope != "standalone");
        let subject = Name::parse(&name).and_then(|name| {
            let workspace = scope.as_deref().map(Name::parse).transpose()?;
            Ok(Subject::Job { workspace, name })
        });
        match subject {
            Ok(subject) => {
                let place = shown(place);
                let state = State { table, place, file: self.file, found: &mut self.found };
                let state = job_state(state);
                self.imported.push((subject, Projection::Job(state)));
            }
            Err(error) => self.skip(key, &error.to_string()),
        }
    }
}

impl State<'_> {
    fn text(&self, key: &str) -> Option<String> {
        text(self.table, key)
    }

    /// A field that cannot be understood is told of, and the rest of the state is taken.
    fn odd(&mut self, key: &str, instead: &str) {
        let message = match self.table.get(key) {
            Some(Value::String(text)) => format!("`{}` is not understood: {instead}", shown(text)),
            Some(value) => format!("`{}` is not understood: {instead}", shown(&value.to_string())),
            None => format!("this is missing: {instead}"),
        };
        let found = Diagnostic::warning(self.file, "not_imported", message);
        self.found.push(found.field(format!("{}.{key}", self.place)));
    }

    /// The year 1 is how Go writes "never".
    fn time(&mut self, key: &str) -> Option<Timestamp> {
        let text = match self.table.get(key)? {
            Value::Null => return None,
            Value::String(text) if text.is_empty() || text.starts_with("0001-01-01T") => return None,
            value => value.as_str().and_then(|text| text.parse().ok()),
        };
        if text.is_none() {
            self.odd(key, "it is taken for `never`");
        }
        text
    }
}

fn parse(file: &Path, bytes: &[u8]) -> Result<Map<String, Value>, Box<Diagnostic>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err(Box::new(Diagnostic::error(file, "syntax", "a table is expected"))),
        Err(error) => {
            let sentence = error.to_string();
            let sentence = sentence.split(" at line ").next().unwrap_or_default();
            let mut found = Diagnostic::error(file, "syntax", format!("invalid JSON: {sentence}"));
            found.line = u32::try_from(error.line()).ok();
            found.column = u32::try_from(error.column().max(1)).ok();
            Err(Box::new(found))
        }
    }
}

fn workspace_state(mut state: State<'_>) -> WorkspaceState {
    let mode = state.text("deployment_mode").and_then(|mode| Name::parse(&mode).ok()).map(Mode);
    let mut last_deploy_error = state.text("last_deploy_error");
    let mut last_destroy_error = state.text("last_destroy_error");
    let interrupted = || Some("the scheduler stopped in the middle of it".to_owned());
    let settled = match state.text("status").unwrap_or_default().as_str() {
        "deployed" => WorkspacePhase::Deployed { mode },
        "destroyed" => WorkspacePhase::Destroyed,
        // Nobody knows how these ended.
        "deploying" => {
            last_deploy_error = last_deploy_error.or_else(interrupted);
            WorkspacePhase::Failed
        }
        "destroying" => {
            last_destroy_error = last_destroy_error.or_else(interrupted);
            WorkspacePhase::Failed
        }
        status if status.contains("fail") || status.contains("error") => WorkspacePhase::Failed,
        status => {
            if status != "pending" && !state.table.is_empty() {
                state.odd("status", "the workspace is taken for one that was never deployed");
            }
            WorkspacePhase::Pending
        }
    };
    WorkspaceState {
        settled,
        last_deployed: state.time("last_deployed"),
        last_destroyed: state.time("last_destroyed"),
        last_deploy_error,
        last_destroy_error,
        ..WorkspaceState::default()
    }
}

fn job_state(mut state: State<'_>) -> JobState {
    let table = state.table;
    let count = |key| table.get(key).and_then(Value::as_u64).unwrap_or(0);
    let exit_code = table.get("last_exit_code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
    JobState {
        status: match state.text("status").unwrap_or_default().as_str() {
            "success" | "succeeded" | "completed" => JobStatus::Success,
            // A run that was under way when the scheduler stopped did not succeed.
            "failed" | "failure" | "error" | "running" | "killed" => JobStatus::Failed,
            "timeout" | "timed_out" => JobStatus::Timeout,
            status => {
                if !matches!(status, "" | "pending") {
                    state.odd("status", "the job is taken for one that never ran");
                }
                JobStatus::Pending
            }
        },
        run_count: count("run_count"),
        success_count: count("success_count"),
        failure_count: count("failure_count"),
        last_run: state.time("last_run"),
        last_success: state.time("last_success"),
        last_failure: state.time("last_failure"),
        last_error: state.text("last_error"),
        last_exit_code: exit_code,
        last_run_id: None,
        last_schedule: None,
    }
}

fn text(state: &Map<String, Value>, key: &str) -> Option<String> {
    state.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}
