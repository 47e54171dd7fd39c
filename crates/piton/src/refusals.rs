//! What a declaration says that every run of it would refuse, found before there is a run.
//!
//! The loader knows files and not what tools, children and sources take; whoever runs things does, but only says so when
//! something is due.

use std::path::Path;

use piton_model::Source;
use piton_process::{Environment, Policy};
use piton_spec::{Catalog, Diagnostic, Job, JobWork, Layout, Step, Workspace, locate};
use piton_tools::{Error, Place as Written, Want};

use crate::place::Place;

/// Finds them in everything that is declared.
pub fn find(place: &Place, layout: &Layout, catalog: &Catalog) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let usual = place.config.iac.version.as_deref();
    if let Some((problem, hint)) = usual.and_then(problem_of) {
        found.push(place.config.fault("iac.version", "invalid_version", problem).hint(hint));
    }
    for workspace in catalog.workspaces.values() {
        let path = workspace.dir.join("config.json");
        let file = path.strip_prefix(&place.root).unwrap_or(&path);
        // What the configuration says was looked at.
        if let Some(version) = workspace.version.as_deref().filter(|version| Some(*version) != usual)
            && let Some((problem, hint)) = problem_of(version)
        {
            let told = Diagnostic::error(file, "invalid_version", problem).field("version").hint(hint);
            found.push(located(told, &path, &[Step::Key("version")]));
        }
        let env = workspace.env.iter().map(|(name, value)| (name.as_str(), value.expose().as_str()));
        let refused = refused_variables(file, "env", env, Policy::Infrastructure);
        found.extend(refused.map(|(name, told)| located(told, &path, &[Step::Key("env"), Step::Key(name)])));
        found.extend(missing_files(file, workspace, layout));
    }
    for job in catalog.jobs.values() {
        let policy = match job.work {
            JobWork::Template(_) => Policy::Infrastructure,
            JobWork::Script(_) | JobWork::Command(_) | JobWork::Batch(_) => Policy::Job,
        };
        let file = job.file.strip_prefix(&place.root).unwrap_or(&job.file);
        let env = job.extras.environment.iter().map(|(name, value)| (name.as_str(), value.expose().as_str()));
        let field = format!("{}: environment", job.name);
        let refused = refused_variables(file, &field, env, policy);
        found.extend(refused.map(|(name, told)| located(told, &job.file, &way_to_variable(job, name))));
    }
    found
}

/// What is wrong with a version that is asked for, and what to write. Where it is written is said beside it.
fn problem_of(version: &str) -> Option<(String, String)> {
    let error = Want::parse(version, &Written::Configuration).err()?;
    let problem = match &error {
        Error::InvalidConstraint { problem, .. } => problem.to_string(),
        other => other.to_string(),
    };
    Some((problem, error.hint()))
}

/// The variables that are refused, with what is to be said of them.
fn refused_variables<'a>(
    file: &Path,
    field: &str,
    declared: impl IntoIterator<Item = (&'a str, &'a str)>,
    policy: Policy,
) -> impl Iterator<Item = (&'a str, Diagnostic)> {
    let refused = move |(name, value): (&'a str, &'a str)| {
        let error = Environment::default().declare([(name, value)], policy).err()?;
        Some((name, Diagnostic::error(file, "env_refused", error.to_string()).field(field)))
    };
    declared.into_iter().filter_map(refused)
}

/// Adds line and column of what these steps lead to, where the file says it like that.
fn located(told: Diagnostic, path: &Path, way: &[Step<'_>]) -> Diagnostic {
    match locate(path, way) {
        Some(place) => told.at(place),
        None => told,
    }
}

fn way_to_variable<'a>(job: &'a Job, variable: &'a str) -> Vec<Step<'a>> {
    let within = [Step::Key("environment"), Step::Key(variable)];
    match job.workspace() {
        Some(_) => [Step::Key("jobs"), Step::Named(job.name.as_str())].into_iter().chain(within).collect(),
        None => within.to_vec(),
    }
}

/// A variable file may still be written before the next run, so this is no error.
fn missing_files(file: &Path, workspace: &Workspace, layout: &Layout) -> Vec<Diagnostic> {
    let is_there = |var_file: &Path| {
        let in_template = match &workspace.source {
            Source::Template { name, .. } => layout.template_dir(name).join(var_file).is_file(),
            Source::Directory { .. } | Source::Git(_) => false,
        };
        in_template || workspace.dir.join(var_file).is_file()
    };
    let missing = workspace.var_files.iter().filter(|var_file| !is_there(var_file));
    let told = missing.map(|var_file| {
        let message = format!("there is no variable file `{}`", var_file.display());
        Diagnostic::warning(file, "var_file_missing", message)
            .field("var_files")
            .hint("every run fails until it is there")
    });
    told.collect()
}
