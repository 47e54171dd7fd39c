//! `config.json` becomes a [`Workspace`] and its jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use piton_model::{ApprovalPolicy, CustomCommands, Digest, Mode, Name, Source, ToolChoice};

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::Document;
use crate::fields::{Fields, Findings, Item, shown};
use crate::layout::Defaults;
use crate::order::{self, Participant};
use crate::read_job::{JobDraft, Reference, Surroundings, read_job, read_template};
use crate::schedule::{read_schedules, read_time_zone};
use crate::workspace::WorkspaceCommands;
use crate::{CatchUp, Effect, ScheduleLine, Workspace};

/// A workspace as its file declares it; its source and its digest are not known yet.
#[derive(Debug)]
pub(crate) struct WorkspaceDraft {
    /// Everything but `source` and the digests: that of the configuration alone stands in `declaration_digest`.
    pub(crate) workspace: Workspace,
    /// The template it names, and what to say if it is missing.
    pub(crate) template: Option<Reference>,
    pub(crate) jobs: Vec<JobDraft>,
}

/// Reads `config.json` of the workspace `name`.
pub(crate) fn read_workspace_file(
    name: &Name,
    dir: &Path,
    file: &Arc<Path>,
    document: &Document,
    defaults: &Defaults,
) -> (Option<WorkspaceDraft>, Vec<Diagnostic>) {
    let findings = Findings::new(file, document);
    let draft = findings.table().map(|fields| read(name, dir, file, fields, defaults));
    let draft = draft.filter(|_| !findings.any_error());
    (draft, findings.into_diagnostics())
}

const TOOLS: [(&str, ToolChoice); 4] = [
    ("auto", ToolChoice::Auto),
    ("tofu", ToolChoice::Tofu),
    ("opentofu", ToolChoice::Tofu),
    ("terraform", ToolChoice::Terraform),
];

fn read(name: &Name, dir: &Path, file: &Arc<Path>, mut fields: Fields<'_, '_>, defaults: &Defaults) -> WorkspaceDraft {
    if let Some(item) = fields.get("name")
        && item.text().is_some_and(|text| text != name.as_str())
    {
        item.report(
            item.warning("name_differs", format!("the workspace is known as `{name}`, the name of its directory"))
                .hint("remove `name`, or rename the directory"),
        );
    }
    let template = fields.get("template").and_then(|item| read_template(&item));
    let (lines, modes) = read_lines(&mut fields, template.is_some());
    let time_zone = fields.get("timezone").and_then(|item| read_time_zone(&item));
    let time_zone = time_zone.unwrap_or_else(|| defaults.time_zone.clone());
    let jobs = match fields.get("jobs") {
        Some(item) => {
            let around = Surroundings { workspace: Some(name), file, defaults, time_zone: &time_zone };
            read_jobs(&item, &around)
        }
        None => Vec::new(),
    };
    let manual = ApprovalPolicy::Manual { timeout: defaults.approval_timeout };
    let approvals = [("none", ApprovalPolicy::None), ("manual", manual)];
    let mut workspace = Workspace {
        name: name.clone(),
        dir: dir.to_path_buf(),
        enabled: fields.get("enabled").and_then(|item| item.flag()).unwrap_or(true),
        description: fields.get("description").and_then(|item| item.text()).map(str::to_owned),
        source: Source::Directory { path: dir.to_path_buf() },
        lines,
        time_zone,
        tool: fields.get("tool").and_then(|item| item.choice(&TOOLS)).unwrap_or(defaults.tool),
        version: fields
            .get("version")
            .and_then(|item| item.filled())
            .map(|text| text.trim().to_owned())
            .or_else(|| defaults.version.clone()),
        vars: fields.get("vars").map(|item| read_vars(&item)).unwrap_or_default(),
        var_files: fields.get("var_files").map(|item| read_var_files(&item)).unwrap_or_default(),
        env: fields.get("env").map(|item| item.environment()).unwrap_or_default(),
        timeout: fields.get("timeout").and_then(|item| item.duration()).unwrap_or(defaults.timeout),
        approval: fields.get("approval").and_then(|item| item.choice(&approvals)).unwrap_or_default(),
        catch_up: fields.get("catch_up").and_then(|item| item.choice(&CatchUp::CHOICES)).unwrap_or(defaults.catch_up),
        tags: fields.get("tags").map(|item| item.tags()).unwrap_or_default(),
        commands: WorkspaceCommands {
            deploy: fields.get("custom_deploy").map(|item| read_commands(&item, "apply_command")).unwrap_or_default(),
            destroy: fields
                .get("custom_destroy")
                .map(|item| read_commands(&item, "destroy_command"))
                .unwrap_or_default(),
        },
        modes,
        jobs: jobs.iter().map(|draft| draft.job.name.clone()).collect(),
        digest: Digest::of(b""),
        declaration_digest: Digest::of(b""),
    };
    fields.finish(Severity::Warning);
    workspace.declaration_digest = workspace.configuration_digest();
    WorkspaceDraft { workspace, template, jobs }
}

fn read_lines(fields: &mut Fields<'_, '_>, has_template: bool) -> (Vec<ScheduleLine>, BTreeSet<Mode>) {
    let mut lines = Vec::new();
    let mut modes = BTreeSet::new();
    let mut add = |item: &Item<'_, '_>, effect: Effect| {
        for (text, schedule) in read_schedules(item) {
            lines.push(ScheduleLine { text, schedule, effect: effect.clone() });
        }
    };
    let deploy = fields.get("deploy_schedule");
    if let Some(item) = &deploy {
        add(item, Effect::Deploy(None));
    }
    if let Some(item) = fields.get("mode_schedules") {
        if deploy.is_some() {
            item.report(
                item.error("conflicting_fields", "this excludes deploy_schedule, and both are there")
                    .hint("a plain deployment can be a mode of its own: move deploy_schedule into mode_schedules"),
            );
        }
        if !has_template {
            item.report(
                item.error("missing_field", "this needs a `template`").hint(
                    "a mode reaches the template as the variable `deployment_mode`; add `\"template\": \"NAME\"`",
                ),
            );
        }
        if let Some(table) = item.table() {
            for (word, schedules) in table.all() {
                match Name::parse(word) {
                    Ok(name) => {
                        let mode = Mode(name);
                        add(&schedules, Effect::Deploy(Some(mode.clone())));
                        modes.insert(mode);
                    }
                    Err(error) => item.report(
                        table
                            .key_error(word, "invalid_name", error.to_string())
                            .hint("a mode is a word of letters, digits, `.`, `_` and `-`, for example `busy`"),
                    ),
                }
            }
            if table.all().next().is_none() {
                item.report(item.error("empty", "this names no mode"));
            }
        }
    }
    if let Some(item) = fields.get("destroy_schedule") {
        match item.node.value {
            crate::document::Value::Bool(false) => {}
            crate::document::Value::Bool(true) => {
                let error = item.error("wrong_type", "expected a cron expression, a list of them, or false");
                item.report(error.hint("`false` says that the workspace is never destroyed by itself"));
            }
            _ => add(&item, Effect::Destroy),
        }
    }
    (lines, modes)
}

fn read_jobs(item: &Item<'_, '_>, around: &Surroundings<'_>) -> Vec<JobDraft> {
    let mut drafts: Vec<JobDraft> = Vec::new();
    let mut names = BTreeSet::new();
    for element in item.list().unwrap_or_default() {
        let Some(draft) = element.table().and_then(|fields| read_job(fields, around)) else { continue };
        if names.insert(draft.job.name.clone()) {
            drafts.push(draft);
        } else {
            element.report(draft.name_taken(None));
        }
    }
    let participants: Vec<Participant<'_>> = drafts.iter().map(Participant::of).collect();
    for problem in order::check(&participants, order::JOBS) {
        item.report(problem.diagnostic);
    }
    drafts
}

fn read_vars(item: &Item<'_, '_>) -> BTreeMap<String, serde_json::Value> {
    let mut vars = BTreeMap::new();
    let Some(table) = item.table() else { return vars };
    for (name, value) in table.all() {
        let mut characters = name.chars();
        let valid = characters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        if valid {
            vars.insert(name.to_owned(), value.node.value.to_json());
        } else {
            let message = format!("`{}` cannot be the name of an input variable", shown(name));
            item.report(table.key_error(name, "invalid_variable", message));
        }
    }
    vars
}

fn read_var_files(item: &Item<'_, '_>) -> Vec<PathBuf> {
    let read_one = |item: Item<'_, '_>| {
        let path = PathBuf::from(item.filled()?);
        if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            item.report(
                item.error("path_outside", "a variable file must not lead out of the directory")
                    .hint("put the file into the workspace's directory, and write its path below that, without `..`"),
            );
            return None;
        }
        Some(path)
    };
    item.one_or_many().into_iter().filter_map(read_one).collect()
}

/// `last` is the key of the command that changes the world in this operation.
fn read_commands(item: &Item<'_, '_>, last: &'static str) -> CustomCommands {
    let Some(mut fields) = item.table() else { return CustomCommands::default() };
    let mut command = |key| fields.get(key).and_then(|item| item.filled()).map(str::to_owned);
    let commands =
        CustomCommands { init: command("init_command"), plan: command("plan_command"), apply: command(last) };
    let other = if last == "apply_command" { "destroy_command" } else { "apply_command" };
    if let Some(unused) = fields.get(other) {
        let message = format!("this has no effect here; the command is `{last}`");
        unused.report(unused.warning("unused_field", message));
    }
    fields.finish(Severity::Warning);
    commands
}
