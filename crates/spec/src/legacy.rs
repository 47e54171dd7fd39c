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

/// Reads `scheduler.json`: the state of each workspace.
pub fn parse_scheduler(file: &Path, bytes: &[u8]) -> Imported {
    let (root, mut found) = match parse(file, bytes) {
        Ok(root) => (root, Vec::new()),
        Err(error) => return (Vec::new(), vec![*error]),
    };
    let mut imported = Vec::new();
    let workspaces = root.get("workspaces").and_then(Value::as_object);
    for (key, value) in workspaces.into_iter().flatten() {
        let Some(state) = value.as_object() else {
            found.push(skipped(file, key, "it is not a table"));
            continue;
        };
        match Name::parse(key) {
            Ok(name) => {
                let state = workspace_state(state);
                imported.push((Subject::Workspace(name), Projection::Workspace(state)));
            }
            Err(error) => found.push(skipped(file, key, &error.to_string())),
        }
    }
    (imported, found)
}

/// Reads `jobs.json`: the state of each job, in one map or in maps by workspace.
pub fn parse_jobs(file: &Path, bytes: &[u8]) -> Imported {
    let root = match parse(file, bytes) {
        Ok(root) => root,
        Err(error) => return (Vec::new(), vec![*error]),
    };
    let mut imported: Imported = (Vec::new(), Vec::new());
    collect_jobs(file, &root, None, 0, &mut imported);
    imported.0.sort_by(|a, b| a.0.cmp(&b.0));
    imported.0.dedup_by(|a, b| a.0 == b.0);
    imported
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

fn skipped(file: &Path, key: &str, because: &str) -> Diagnostic {
    Diagnostic::warning(file, "not_imported", format!("`{}` is not imported: {because}", shown(key)))
}

/// Walks maps of maps; whatever has the fields of a job's state is one.
fn collect_jobs(file: &Path, map: &Map<String, Value>, parent: Option<&str>, depth: u8, imported: &mut Imported) {
    for (key, value) in map {
        let Some(state) = value.as_object() else { continue };
        let is_state = ["status", "run_count", "workspace_id"].iter().any(|field| state.contains_key(*field));
        if !is_state {
            if depth < 4 {
                collect_jobs(file, state, Some(key), depth + 1, imported);
            }
            continue;
        }
        let name = text(state, "name").unwrap_or_else(|| key.rsplit(['/', ':', '.']).next().unwrap_or(key).to_owned());
        let scope =
            text(state, "workspace_id").or_else(|| parent.filter(|parent| *parent != "jobs").map(str::to_owned));
        let scope = scope.filter(|scope| !scope.is_empty() && scope != STANDALONE && scope != "standalone");
        let subject = Name::parse(&name).and_then(|name| {
            let workspace = scope.as_deref().map(Name::parse).transpose()?;
            Ok(Subject::Job { workspace, name })
        });
        match subject {
            Ok(subject) => imported.0.push((subject, Projection::Job(job_state(state)))),
            Err(error) => imported.1.push(skipped(file, key, &error.to_string())),
        }
    }
}

fn workspace_state(state: &Map<String, Value>) -> WorkspaceState {
    let mode = text(state, "deployment_mode").and_then(|mode| Name::parse(&mode).ok()).map(Mode);
    let mut last_deploy_error = text(state, "last_deploy_error");
    let mut last_destroy_error = text(state, "last_destroy_error");
    let interrupted = || Some("the scheduler stopped in the middle of it".to_owned());
    let settled = match text(state, "status").unwrap_or_default().as_str() {
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
        _ => WorkspacePhase::Pending,
    };
    WorkspaceState {
        settled,
        last_deployed: time(state, "last_deployed"),
        last_destroyed: time(state, "last_destroyed"),
        last_deploy_error,
        last_destroy_error,
        ..WorkspaceState::default()
    }
}

fn job_state(state: &Map<String, Value>) -> JobState {
    let count = |key| state.get(key).and_then(Value::as_u64).unwrap_or(0);
    JobState {
        status: match text(state, "status").unwrap_or_default().as_str() {
            "success" | "succeeded" | "completed" => JobStatus::Success,
            // A run that was under way when the scheduler stopped did not succeed.
            "failed" | "failure" | "error" | "running" | "killed" => JobStatus::Failed,
            "timeout" | "timed_out" => JobStatus::Timeout,
            _ => JobStatus::Pending,
        },
        run_count: count("run_count"),
        success_count: count("success_count"),
        failure_count: count("failure_count"),
        last_run: time(state, "last_run"),
        last_success: time(state, "last_success"),
        last_failure: time(state, "last_failure"),
        last_error: text(state, "last_error"),
        last_exit_code: state.get("last_exit_code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok()),
        last_run_id: None,
        last_schedule: None,
    }
}

fn text(state: &Map<String, Value>, key: &str) -> Option<String> {
    state.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The year 1 is how Go writes "never".
fn time(state: &Map<String, Value>, key: &str) -> Option<Timestamp> {
    let text = state.get(key)?.as_str()?;
    if text.starts_with("0001-01-01T") { None } else { text.parse().ok() }
}
