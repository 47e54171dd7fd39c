//! Processes, groups and jobs of tasks: what the configuration declares, and one file for each of the others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Found, Loader, declared_format};
use crate::cache::{Configured, Content, ReadConfiguration};
use crate::diagnostic::Diagnostic;
use crate::document::{Document, Format};
use crate::layout::Configuration;
use crate::provisr::dotenv::{self, Variables};
use crate::provisr::join::{Candidates, join_groups, join_processes, what_is_left};
use crate::provisr::program::{Inline, ProgramDraft, read_inline, read_program_file};
use crate::provisr::{ProcessDefaults, Surroundings};
use crate::standalone::Candidate;
use crate::{Config, DeclaredIn, Sources};

/// That keys of the configuration changed which the daemon reads when it starts.
fn restart_needed(path: &Path, keys: &[&str]) -> Option<Diagnostic> {
    if keys.is_empty() {
        return None;
    }
    let named = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let message = format!("{named} changed, which takes effect after a restart of the daemon");
    Some(Diagnostic::warning(path, "restart_needed", message).hint("restart the daemon, or put the file back"))
}

/// The content of environment files, in their order.
type Layers = Vec<(PathBuf, Variables)>;

impl Loader<'_> {
    /// Loads processes and groups, and returns the jobs that are declared beside them.
    pub(super) fn load_programs(&mut self) -> Vec<Candidate> {
        let mut candidates = Candidates::default();
        let mut jobs = Vec::new();
        let good = self.load_configuration();
        let inline = Arc::clone(&self.catalog.cache.configured.inline);
        if let Some(configuration) = &self.layout.configuration {
            let file = self.shared(configuration.file.clone());
            if good {
                self.diagnostics.extend(inline.diagnostics.iter().cloned());
                take_inline(&inline, &file, &mut candidates, &mut jobs);
            } else {
                give_up(&file, None, &mut candidates, &mut jobs);
            }
        }
        self.load_program_files(&mut candidates, &mut jobs);
        let joined = join_processes(candidates, self.previous, &self.layout.root);
        self.diagnostics.extend(joined.diagnostics);
        self.catalog.processes = joined.processes;
        if good {
            let (groups, found) = join_groups(&inline.groups, &self.catalog.processes, self.previous);
            self.diagnostics.extend(found);
            self.catalog.groups = groups;
        } else {
            let left = self.previous.groups.iter();
            self.catalog.groups =
                left.map(|(name, group)| (name.clone(), what_is_left(group, &self.catalog.processes))).collect();
        }
        jobs
    }

    /// Brings up to date what the configuration says. Returns whether it is good; where it is not, its last good
    /// version stays. It is not good where it names an environment file that never was: what runs would be started
    /// again without the variables in it.
    fn load_configuration(&mut self) -> bool {
        let before = self.previous.cache.configured.clone();
        let (read, good) = match &self.layout.configuration {
            None => (None, true),
            Some(configuration) => match self.read_configuration(configuration) {
                Some(read) => (Some(read), true),
                None => (before.read.clone(), false),
            },
        };
        let defaults = read.as_ref().map_or(&self.layout.processes, |read| &read.defaults);
        let (layers, variables) = self.env_files(defaults, &before);
        let root = self.layout.root.clone();
        let file = self.layout.configuration.as_ref().map_or(&root, |configuration| &configuration.file).clone();
        let env_files = defaults.env_files.clone();
        let missing = env_files.iter().find(|file| !variables.contains_key(*file));
        if let Some(missing) = missing
            && before.read.is_some()
        {
            let missing = missing.strip_prefix(&root).unwrap_or(missing).display();
            let message =
                format!("{missing} cannot be used; what the configuration said about processes stays in force");
            let error = Diagnostic::error(&*file, "missing_env_file", message).field("env_files");
            self.diagnostics.push(error.hint("mend that file, or remove it from `env_files`"));
            self.catalog.cache.configured = Configured { env_files, ..before };
            return false;
        }
        let (surroundings, found) = defaults.resolve(&layers, &file);
        self.diagnostics.extend(found);
        let same = *before.surroundings == surroundings;
        let surroundings = if same { Arc::clone(&before.surroundings) } else { Arc::new(surroundings) };
        let unchanged = same
            && match (&read, &before.read) {
                (Some(now), Some(before)) => Arc::ptr_eq(now, before),
                (None, None) => true,
                _ => false,
            };
        let inline = match &read {
            Some(_) if unchanged => Arc::clone(&before.inline),
            Some(read) => {
                let format = Format::of(&file).unwrap_or(Format::Toml);
                let file = self.shared(file);
                Arc::new(read_inline(&file, &read.document, format, &surroundings))
            }
            None => Arc::default(),
        };
        self.catalog.cache.configured = Configured { read, variables, env_files, surroundings, inline };
        good
    }

    fn read_configuration(&mut self, configuration: &Configuration) -> Option<Arc<ReadConfiguration>> {
        let path = self.shared(configuration.file.clone());
        let format = Format::of(&path).unwrap_or(Format::Toml);
        let said = self.previous.cache.configured.read.as_ref().is_some_and(|read| !read.document.is_blank());
        let found = self.read(&path, |bytes| {
            let read = Document::parse(&path, bytes, format).map_err(|error| vec![*error]);
            let read = read.and_then(|document| {
                // Mostly somebody is just writing it, and what it declared must not be stopped for that.
                if said && document.is_blank() {
                    let message = "the configuration is empty; what it said about processes stays in force";
                    let empty = Diagnostic::error(&*path, "empty_file", message);
                    return Err(vec![empty.hint("if it is to say nothing, write a comment into it that says so")]);
                }
                let sources = Sources { file: Some(path.to_path_buf()), ..(*configuration.sources).clone() };
                let (config, _) = Config::load_alone(&sources)?;
                let waiting = restart_needed(&path, &config.waits_for_restart(&configuration.in_force));
                Ok((ReadConfiguration { defaults: config.processes.defaults, document }, waiting))
            });
            match read {
                // Other warnings were told when the daemon began.
                Ok((read, waiting)) => (Content::Configuration(Some(Arc::new(read))), waiting.into_iter().collect()),
                Err(found) => (Content::Configuration(None), found.into_iter().filter(Diagnostic::is_error).collect()),
            }
        });
        match found {
            Found::Read(file) => match &file.content {
                Content::Configuration(read) => read.clone(),
                _ => None,
            },
            Found::Absent => {
                let message = "the configuration is gone; what it said about processes stays in force";
                let gone = Diagnostic::error(&*path, "missing_config", message);
                self.diagnostics.push(gone.hint("restore it, or restart the daemon without it"));
                None
            }
            Found::Broken => None,
        }
    }

    /// Reads the environment files. One that is broken keeps its last good content.
    fn env_files(
        &mut self,
        defaults: &ProcessDefaults,
        before: &Configured,
    ) -> (Layers, BTreeMap<PathBuf, Arc<Variables>>) {
        let mut layers = Vec::new();
        let mut variables = BTreeMap::new();
        for file in &defaults.env_files {
            let path = self.shared(file.clone());
            let found = self.read(&path, |bytes| match read_variables(&path, bytes) {
                Ok(read) => (Content::Variables(Some(Arc::new(read))), Vec::new()),
                Err(error) => (Content::Variables(None), vec![*error]),
            });
            let read = match found {
                Found::Read(file) => match &file.content {
                    Content::Variables(read) => read.clone(),
                    _ => None,
                },
                Found::Absent => {
                    let missing = Diagnostic::error(&*path, "missing_env_file", "this environment file is not there");
                    self.diagnostics.push(missing.hint("restore it, or remove it from `env_files`"));
                    None
                }
                Found::Broken => None,
            };
            if let Some(read) = read.or_else(|| before.variables.get(file).cloned()) {
                layers.push((file.clone(), (*read).clone()));
                variables.insert(file.clone(), read);
            }
        }
        (layers, variables)
    }

    fn load_program_files(&mut self, candidates: &mut Candidates, jobs: &mut Vec<Candidate>) {
        let directory = &self.layout.programs;
        let Some(paths) = self.entries(directory) else {
            let previous = self.previous;
            let processes = previous.processes.values().map(|declared| declared.origin.file());
            let files = processes.chain(previous.jobs_of(None).map(|job| &job.file));
            for file in files.filter(|file| file.starts_with(directory)) {
                give_up(file, None, candidates, jobs);
            }
            return;
        };
        let around: Arc<Surroundings> = Arc::clone(&self.catalog.cache.configured.surroundings);
        let same = Arc::ptr_eq(&around, &self.previous.cache.configured.surroundings);
        for path in paths {
            let Some(format) = declared_format(&path) else { continue };
            let path = self.shared(path);
            let found = self.read_with(&path, same, |bytes| match Document::parse(&path, bytes, format) {
                Ok(document) => {
                    let (draft, diagnostics) = read_program_file(&path, &document, format, &around);
                    (Content::Program(draft), diagnostics)
                }
                Err(error) => (Content::Program(None), vec![*error]),
            });
            let draft = match &found {
                Found::Absent => continue,
                Found::Broken => None,
                Found::Read(file) => match &file.content {
                    Content::Program(draft) => draft.as_ref(),
                    _ => None,
                },
            };
            match draft {
                Some(draft) => take(draft, DeclaredIn::Program(path), candidates, jobs),
                None => give_up(&path, None, candidates, jobs),
            }
        }
    }
}

fn take_inline(inline: &Inline, file: &Arc<Path>, candidates: &mut Candidates, jobs: &mut Vec<Candidate>) {
    for draft in &inline.programs {
        take(draft, DeclaredIn::Configuration(Arc::clone(file)), candidates, jobs);
    }
    for name in &inline.broken {
        give_up(file, Some(name.clone()), candidates, jobs);
    }
    if inline.nameless {
        give_up(file, None, candidates, jobs);
    }
}

fn take(draft: &ProgramDraft, origin: DeclaredIn, candidates: &mut Candidates, jobs: &mut Vec<Candidate>) {
    match draft {
        ProgramDraft::Process(draft) => candidates.drafts.push((Arc::clone(draft), origin)),
        ProgramDraft::Job(draft) => {
            jobs.push(Candidate { file: Arc::clone(&draft.job.file), draft: Some(draft.clone()), name: None });
        }
    }
}

/// Something in this file is broken: a process or a job, which nobody knows.
fn give_up(file: &Arc<Path>, name: Option<piton_model::Name>, candidates: &mut Candidates, jobs: &mut Vec<Candidate>) {
    candidates.broken.push((Arc::clone(file), name.clone()));
    jobs.push(Candidate { file: Arc::clone(file), draft: None, name });
}

/// The variables of a file.
pub(crate) fn read_variables(path: &Path, bytes: Vec<u8>) -> Result<Variables, Box<Diagnostic>> {
    let text = String::from_utf8(bytes)
        .map_err(|_| Box::new(Diagnostic::error(path, "invalid_utf8", "the environment file is not UTF-8")))?;
    dotenv::parse(&text).map_err(|error| {
        let found = Diagnostic::error(path, "syntax", format!("invalid environment file: {}", error.message));
        Box::new(found.at(crate::Place { line: error.line, column: 1 }))
    })
}
