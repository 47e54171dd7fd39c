//! A table becomes a [`Process`].

use std::path::Path;
use std::sync::Arc;

use piton_model::{Dependency, DependencyCondition, Detector, Name, Process, StartPolicy};

use super::confinement::read_confinement;
use super::hooks::read_hooks;
use super::items::{Form, Reading, command, count, either, environment, integer, path, program, span};
use super::output::{Output, read_output};
use super::probes::read_probes;
use super::restart::read_restart;
use super::stop::read_stop;
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::document::Value;
use crate::fields::{Fields, Item};
use crate::read_job::Reference;

/// A process as its file declares it; whether what it depends on exists is not known yet.
#[derive(Debug, Clone)]
pub(crate) struct ProcessDraft {
    pub(crate) process: Arc<Process>,
    /// What to say if a process it depends on is missing; in the order of `process.depends_on`.
    pub(crate) depends_on: Vec<Reference>,
    pub(crate) file: Arc<Path>,
    /// Where its name stands.
    pub(crate) place: Place,
    pub(crate) field: Box<str>,
}

impl ProcessDraft {
    /// What to say if another declaration has the same name.
    pub(crate) fn name_taken(&self, by: &Path) -> Diagnostic {
        let name = &self.process.name;
        let message = format!("there is another process with the name `{name}`, in {}", by.display());
        let taken = Diagnostic::error(&*self.file, "duplicate_name", message).at(self.place).hint("rename one of them");
        if self.field.is_empty() { taken } else { taken.field(&*self.field) }
    }
}

/// More instances on one host are a mistake.
pub(crate) const MOST_INSTANCES: u32 = 10_000;

/// Reads the table of one process.
pub(crate) fn read_process(mut fields: Fields<'_, '_>, file: &Arc<Path>, reading: Reading<'_>) -> Option<ProcessDraft> {
    let whole = fields.item.clone();
    let before = whole.errors_so_far();
    let name_item = fields.get("name");
    let name = required_name(&whole, name_item.as_ref(), "process");
    let program = command(&mut fields);
    let env = environment(either(&mut fields, &["env", "environment"]).as_ref(), reading);
    let work_dir = optional_path(&mut fields, "work_dir", reading);
    let pid_file = optional_path(&mut fields, "pid_file", reading);
    let priority = fields.get("priority").and_then(|item| integer(&item, i64::from(i32::MIN), i64::from(i32::MAX)));
    let instances_item = fields.get("instances");
    let instances = instances_item.as_ref().and_then(|item| read_instances(item, reading)).unwrap_or(1);
    let auto_start = fields.get("auto_start").and_then(|item| item.flag()).unwrap_or(true);
    let usual = StartPolicy::default();
    let start = StartPolicy {
        duration: fields.get("start_duration").and_then(|item| span(&item, reading)).unwrap_or(usual.duration),
        retries: either(&mut fields, &["retry_count", "retries"])
            .and_then(|item| count(&item, 0, 1_000_000))
            .unwrap_or(usual.retries),
        retry_interval: fields
            .get("retry_interval")
            .and_then(|item| span(&item, reading))
            .unwrap_or(usual.retry_interval),
    };
    let restart = read_restart(&mut fields, reading);
    let stop = read_stop(&mut fields, reading);
    let depends_on = fields.get("depends_on").map(|item| read_dependencies(&item, name.as_ref())).unwrap_or_default();
    let probes = read_probes(&mut fields, reading);
    let detectors = fields.get("detectors").map(|item| read_detectors(&item, reading)).unwrap_or_default();
    let hooks = fields.get("lifecycle").map(|item| read_hooks(&item, &env, reading)).unwrap_or_default();
    let confinement = read_confinement(&mut fields, reading);
    let log = fields.get("log");
    let output = match &log {
        Some(item) => read_output(item, reading),
        None => Output { policy: reading.around.output.clone(), says_where: false },
    };
    if let Some(item) = fields.get("detached")
        && item.flag() == Some(true)
        && output.says_where
    {
        let error = item.error("conflicting_fields", "a detached process has no log");
        item.report(error.hint("remove `detached`: every process has a session of its own, and outlives Piton"));
    }
    fields.finish(Severity::Error);

    let (mut output, mut pid_file) = (output.policy, pid_file);
    if instances > 1 {
        let shared = |what: &str| format!("all {instances} instances would write to this file, so {what}");
        if let Some((item, _)) = pid_file.take() {
            item.report(item.warning("unused_field", shared("each has one of its own in `pid_dir`")));
        }
        if output.stdout.is_some() || output.stderr.is_some() {
            let item = log.as_ref().or(instances_item.as_ref()).unwrap_or(&whole);
            item.report(item.warning("unused_field", shared("each has files of its own in `log.dir`")));
            (output.stdout, output.stderr) = (None, None);
        }
    }
    let (name, program) = (name?, program?);
    let (place, field) = name_item.as_ref().unwrap_or(&whole).stands();
    if whole.errors_so_far() > before {
        return None;
    }
    let process = Process {
        name,
        program,
        work_dir: work_dir.map(|(_, path)| path),
        env,
        inherit_env: reading.around.inherit_env,
        instances,
        priority: priority.and_then(|number| i32::try_from(number).ok()).unwrap_or(0),
        auto_start,
        start,
        restart,
        stop,
        depends_on: depends_on.iter().map(|(dependency, _)| dependency.clone()).collect(),
        probes,
        detectors,
        hooks,
        pid_file: pid_file.map(|(_, path)| path),
        output,
        confinement,
    };
    let depends_on = depends_on.into_iter().map(|(_, reference)| reference).collect();
    Some(ProcessDraft { process: Arc::new(process), depends_on, file: Arc::clone(file), place, field: field.into() })
}

/// How many instances there shall be. Where programs write, a number that is zero says nothing, and text says it.
fn read_instances(item: &Item<'_, '_>, reading: Reading<'_>) -> Option<u32> {
    match &item.node.value {
        Value::Text(text) if reading.form != Form::File && text == "0" => Some(0),
        _ => count(item, 0, MOST_INSTANCES).filter(|count| reading.form == Form::File || *count > 0),
    }
}

/// The name that every declaration needs.
pub(crate) fn required_name(whole: &Item<'_, '_>, item: Option<&Item<'_, '_>>, noun: &str) -> Option<Name> {
    match item {
        Some(item) => item.name(),
        None => {
            whole.report(whole.error("missing_field", format!("a {noun} needs a `name`")));
            None
        }
    }
}

/// A path, where one is said: programs write empty text for none.
pub(crate) fn optional_path<'r, 'd>(
    fields: &mut Fields<'r, 'd>,
    key: &'static str,
    reading: Reading<'_>,
) -> Option<(Item<'r, 'd>, std::path::PathBuf)> {
    let item = fields.get(key)?;
    if reading.form != Form::File && matches!(&item.node.value, Value::Text(text) if text.is_empty()) {
        return None;
    }
    let path = path(&item, reading)?;
    Some((item, path))
}

const CONDITIONS: [(&str, DependencyCondition); 4] = [
    ("started", DependencyCondition::Started),
    ("healthy", DependencyCondition::Healthy),
    ("completed", DependencyCondition::Completed),
    ("completed_successfully", DependencyCondition::CompletedSuccessfully),
];

/// Names, or tables of a name and a condition.
fn read_dependencies(item: &Item<'_, '_>, of: Option<&Name>) -> Vec<(Dependency, Reference)> {
    let mut read: Vec<(Dependency, Reference)> = Vec::new();
    for item in item.one_or_many() {
        let (place, name, condition) = if matches!(item.node.value, Value::Table(_)) {
            let Some(mut fields) = item.table() else { continue };
            let name_item = fields.get("name");
            let name = required_name(&item, name_item.as_ref(), "dependency");
            let condition = fields.get("condition").and_then(|item| item.choice(&CONDITIONS));
            fields.finish(Severity::Error);
            (name_item.unwrap_or_else(|| item.clone()), name, condition)
        } else {
            (item.clone(), item.name(), None)
        };
        let Some(name) = name else { continue };
        if of == Some(&name) {
            place.report(place.error("dependency_cycle", "a process cannot depend on itself"));
            continue;
        }
        if read.iter().any(|(dependency, _)| dependency.name == name) {
            place.report(place.warning("duplicate_name", format!("`{name}` is there twice")));
            continue;
        }
        let missing = place.error("unknown_dependency", format!("there is no process `{name}` to depend on"));
        let dependency = Dependency { name: name.clone(), condition: condition.unwrap_or_default() };
        read.push((dependency, Reference { name, missing }));
    }
    read
}

/// Further ways to see that a process is alive.
fn read_detectors(item: &Item<'_, '_>, reading: Reading<'_>) -> Vec<Detector> {
    let read_one = |item: &Item<'_, '_>| {
        let mut fields = item.table()?;
        let kind = fields.get("type").or_else(|| {
            item.report(item.error("missing_field", "a detector needs a `type`: pidfile or command"));
            None
        });
        let is_command = kind.and_then(|item| item.choice(&[("pidfile", false), ("command", true)]));
        let path_item = fields.get("path");
        let command_item = fields.get("command");
        fields.finish(Severity::Error);
        let (key, value) = if is_command? { ("command", command_item) } else { ("path", path_item) };
        let Some(value) = value else {
            item.report(item.error("missing_field", format!("this detector needs a `{key}`")));
            return None;
        };
        match key {
            "command" => program(&value).map(|program| Detector::Command { program }),
            _ => path(&value, reading).map(|path| Detector::PidFile { path }),
        }
    };
    item.list().unwrap_or_default().iter().filter_map(read_one).collect()
}
