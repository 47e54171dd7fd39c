//! Reads every declaration there is: files become a [`Catalog`] and a list of diagnostics.
//!
//! Each file is read for itself first (which is cached), then declarations are joined to what they refer to:
//! templates, files, other jobs. Whatever fails keeps its last good version from the previous catalog.

mod programs;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use piton_model::{Digest, Name, Source};

use crate::cache::{Cache, Content, FileTime, ReadFile, ReadTree, Stamp};
use crate::diagnostic::Diagnostic;
use crate::document::{Document, Format, read_bounded};
use crate::read_job::{JobDraft, Reference, read_job_file};
use crate::read_workspace::{WorkspaceDraft, read_workspace_file};
use crate::schedule::Alike;
use crate::standalone::{Candidate, join_standalone_jobs};
use crate::suggest::nearest;
use crate::template::Registry;
use crate::{Catalog, Job, Layout, STANDALONE, Workspace, tree};

pub(crate) use programs::read_variables;

/// Reads every declaration below `layout`. `previous` supplies the last good version of what is broken now, and what
/// is known about files that did not change.
///
/// A directory or a file that is gone takes its declaration with it at once; whether an absence has lasted long enough
/// to be believed is the caller's decision.
pub fn load(layout: &Layout, previous: Option<&Catalog>) -> (Catalog, Vec<Diagnostic>) {
    let empty = Catalog::default();
    let previous = previous.unwrap_or(&empty);
    let known = Cache::default();
    let known = if previous.cache.defaults.as_ref() == Some(&layout.defaults) { &previous.cache } else { &known };
    let mut loader = Loader {
        layout,
        previous,
        known,
        now: FileTime::now(),
        catalog: Catalog {
            cache: Cache { defaults: Some(layout.defaults.clone()), ..Cache::default() },
            ..Catalog::default()
        },
        diagnostics: Vec::new(),
    };
    loader.load_templates();
    loader.load_workspaces();
    let programs = loader.load_programs();
    loader.load_standalone_jobs(programs);
    let Loader { mut catalog, diagnostics, .. } = loader;
    catalog.pack();
    let mut diagnostics: Vec<Diagnostic> = diagnostics.into_iter().map(|d| d.relative_to(&layout.root)).collect();
    diagnostics.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    (catalog, diagnostics)
}

struct Loader<'a> {
    layout: &'a Layout,
    previous: &'a Catalog,
    known: &'a Cache,
    now: FileTime,
    catalog: Catalog,
    diagnostics: Vec<Diagnostic>,
}

/// What came of looking for a file.
enum Found {
    Read(Arc<ReadFile>),
    Absent,
    Broken,
}

impl Loader<'_> {
    /// Reads a file unless it is known, and takes its diagnostics over.
    fn read(&mut self, path: &Arc<Path>, read: impl FnOnce(Vec<u8>) -> (Content, Vec<Diagnostic>)) -> Found {
        self.read_with(path, true, read)
    }

    /// The same. What is known does not count where its surroundings are others now.
    fn read_with(
        &mut self,
        path: &Arc<Path>,
        same_surroundings: bool,
        read: impl FnOnce(Vec<u8>) -> (Content, Vec<Diagnostic>),
    ) -> Found {
        let stamp = match fs::metadata(path) {
            Ok(metadata) => Stamp::of(&metadata),
            Err(error) if is_absence(&error) && !path.is_symlink() => return Found::Absent,
            Err(error) => {
                self.unreadable(path, &error);
                return Found::Broken;
            }
        };
        let file = match self.known.files.get(&**path).filter(|file| same_surroundings && file.stamp == stamp) {
            Some(file) => Arc::clone(file),
            None => match read_bounded(path) {
                Ok(bytes) => {
                    let (content, diagnostics) = read(bytes);
                    Arc::new(ReadFile { stamp, content, diagnostics: diagnostics.into() })
                }
                Err(diagnostic) => {
                    self.diagnostics.push(*diagnostic);
                    return Found::Broken;
                }
            },
        };
        self.diagnostics.extend(file.diagnostics.iter().cloned());
        // Whether a configuration is good depends on other files too: on certificates, for one.
        let is_final = !matches!(file.content, Content::Configuration(None));
        if is_final && stamp.is_settled(self.now) {
            self.catalog.cache.files.insert(Arc::clone(path), Arc::clone(&file));
        }
        Found::Read(file)
    }

    /// The path as earlier loads hold it, so that there is only one of each.
    fn shared(&self, path: PathBuf) -> Arc<Path> {
        match self.known.files.get_key_value(path.as_path()) {
            Some((known, _)) => Arc::clone(known),
            None => path.into(),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        if is_absence(error) && path.is_symlink() {
            let nowhere = Diagnostic::error(path, "unreadable", "this link leads nowhere");
            self.diagnostics.push(nowhere.hint("restore what it leads to, or remove the link"));
            return;
        }
        self.diagnostics.push(
            Diagnostic::error(path, "unreadable", format!("this cannot be read: {error}"))
                .hint("check that its permissions allow this user to read it"),
        );
    }

    /// The entries of a directory by name. An absent directory is empty; `None` when it cannot be read.
    fn entries(&mut self, dir: &Path) -> Option<Vec<PathBuf>> {
        let listed = fs::read_dir(dir)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
        match listed {
            Ok(mut paths) => {
                paths.sort();
                Some(paths)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Some(Vec::new()),
            Err(error) => {
                self.unreadable(dir, &error);
                None
            }
        }
    }

    fn load_templates(&mut self) {
        let path = self.shared(self.layout.registry());
        let found = self.read(&path, |bytes| {
            let (registry, diagnostics) = Registry::parse(&path, bytes);
            (Content::Registry(registry.map(Box::new)), diagnostics)
        });
        match found {
            Found::Absent => {}
            Found::Read(file) => match &file.content {
                Content::Registry(Some(registry)) => {
                    let templates = registry.templates.iter();
                    self.catalog.templates =
                        templates.map(|(name, template)| (name.clone(), Arc::new(template.clone()))).collect();
                }
                _ => self.catalog.templates = self.previous.templates.clone(),
            },
            Found::Broken => self.catalog.templates = self.previous.templates.clone(),
        }
    }

    fn load_workspaces(&mut self) {
        let Some(dirs) = self.entries(&self.layout.workspaces) else {
            self.catalog.workspaces = self.previous.workspaces.clone();
            let jobs = self.previous.jobs.iter().filter(|(subject, _)| subject.workspace().is_some());
            self.catalog.jobs.extend(jobs.map(|(subject, job)| (subject.clone(), Arc::clone(job))));
            return;
        };
        for dir in dirs {
            let Some(name) = self.workspace_name(&dir) else { continue };
            match fs::metadata(&dir) {
                // What it leads to may only be away, such as a mount.
                Err(error) if dir.is_symlink() => {
                    self.unreadable(&dir, &error);
                    self.keep_workspace(&name);
                }
                _ => self.load_workspace(&name, &dir),
            }
        }
    }

    /// The name of a directory, unless it is none or not that of a workspace. A link that leads nowhere counts as one.
    fn workspace_name(&mut self, dir: &Path) -> Option<Name> {
        let text = dir.file_name()?.to_string_lossy().into_owned();
        let is_directory = fs::metadata(dir).map_or_else(|_| dir.is_symlink(), |metadata| metadata.is_dir());
        if text.starts_with('.') || !is_directory {
            return None;
        }
        let problem = match Name::parse(&text) {
            Ok(name) if text == STANDALONE || text.starts_with("_job_") => {
                format!("`{name}` is reserved and cannot be the name of a workspace")
            }
            Ok(name) => return Some(name),
            Err(error) => error.to_string(),
        };
        self.diagnostics.push(Diagnostic::error(dir, "invalid_name", problem).hint("rename the directory"));
        None
    }

    fn load_workspace(&mut self, name: &Name, dir: &Path) {
        let path = self.shared(dir.join("config.json"));
        let defaults = &self.layout.defaults;
        let found = self.read(&path, |bytes| match Document::parse(&path, bytes, Format::Json) {
            Ok(document) => {
                let (draft, diagnostics) = read_workspace_file(name, dir, &path, &document, defaults);
                (Content::Workspace(draft.map(Box::new)), diagnostics)
            }
            Err(error) => (Content::Workspace(None), vec![*error]),
        });
        let file = match found {
            Found::Read(file) => file,
            Found::Broken => return self.keep_workspace(name),
            Found::Absent => {
                if tree::list(dir).is_ok_and(|listing| listing.has_code) {
                    let message = "the directory holds code but no config.json, so it is not a workspace";
                    self.diagnostics.push(
                        Diagnostic::warning(dir, "missing_config", message)
                            .hint("add a config.json; `{}` declares a workspace that is deployed by hand"),
                    );
                }
                return;
            }
        };
        match &file.content {
            Content::Workspace(Some(draft)) => self.join_workspace(draft, &path),
            _ => self.keep_workspace(name),
        }
    }

    /// Joins a workspace to its files and its template.
    fn join_workspace(&mut self, draft: &WorkspaceDraft, file: &Path) {
        let dir = &draft.workspace.dir;
        let listing = match tree::list(dir) {
            Ok(listing) => listing,
            // It vanished just now.
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => {
                self.unreadable(dir, &error);
                return self.keep_workspace(&draft.workspace.name);
            }
        };
        if listing.truncated {
            let message = "the directory holds more files than are looked at; changes in some of them go unnoticed";
            self.diagnostics.push(
                Diagnostic::warning(dir, "too_many_files", message)
                    .hint("move data and downloads into a directory whose name begins with a dot"),
            );
        }
        let (source, template, content) = if listing.has_code {
            (Source::Directory { path: dir.clone() }, "", String::new())
        } else if let Some(reference) = &draft.template {
            match self.template_content(reference) {
                Ok(content) => {
                    let name = reference.name.clone();
                    (Source::Template { name, overlay: Some(dir.clone()) }, reference.name.as_str(), content)
                }
                Err(missing) => {
                    self.diagnostics.push(*missing);
                    return self.keep_workspace(&draft.workspace.name);
                }
            }
        } else {
            let message = "the workspace has no code: there is no *.tf file beside config.json and no `template`";
            self.diagnostics.push(
                Diagnostic::error(file, "missing_source", message)
                    .hint("add a main.tf to the directory, or name a registered template"),
            );
            return self.keep_workspace(&draft.workspace.name);
        };
        let files = self.files_digest(dir, listing);
        let configuration = &draft.workspace.declaration_digest;
        let declaration = Digest::of(format!("workspace 1\n{configuration}\n{files}\n{template}\n").as_bytes());
        let digest = Digest::of(format!("{declaration}\n{content}\n").as_bytes());
        let workspace = Workspace { source, digest, declaration_digest: declaration, ..draft.workspace.clone() };
        for job in &draft.jobs {
            self.join_workspace_job(job);
        }
        let name = workspace.name.clone();
        let kept = self.previous.workspaces.get(&name).filter(|kept| ***kept == workspace);
        let workspace = kept.map_or_else(|| Arc::new(workspace), Arc::clone);
        self.catalog.workspaces.insert(name, workspace);
    }

    fn files_digest(&mut self, dir: &Path, listing: tree::Listing) -> Digest {
        let known: Option<&Arc<ReadTree>> = self.known.trees.get(dir);
        let (read, settled) = listing.digest(dir, known.map(AsRef::as_ref), self.now);
        let digest = read.digest.clone();
        if settled {
            self.catalog.cache.trees.insert(dir.to_path_buf(), Arc::new(read));
        }
        digest
    }

    /// What a template adds to the digest of its users; the diagnostic when it is not there.
    fn template_content(&self, reference: &Reference) -> Result<String, Box<Diagnostic>> {
        let name = &reference.name;
        let Some(template) = self.catalog.templates.get(name) else {
            let names = self.catalog.templates.keys().map(Name::as_str);
            let hint = match nearest(name.as_str(), names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("register it: `piton template add {name} URL`"),
            };
            return Err(Box::new(reference.missing.clone().hint(hint)));
        };
        if !self.layout.template_dir(name).is_dir() {
            let mut missing = reference.missing.clone();
            missing.message = format!("the template `{name}` is registered, but its files are missing");
            return Err(Box::new(missing.hint(format!("fetch them again: `piton template update {name}`"))));
        }
        Ok(template.content_hash.clone())
    }

    /// A job whose template is missing does not take its workspace with it.
    fn join_workspace_job(&mut self, draft: &JobDraft) {
        let missing = draft.template().and_then(|reference| self.template_content(reference).err());
        let subject = &draft.job.subject;
        let kept = self.previous.jobs.get(subject);
        match missing {
            Some(missing) => {
                self.diagnostics.push(*missing);
                if let Some(kept) = kept {
                    self.catalog.jobs.insert(subject.clone(), Arc::clone(kept));
                }
            }
            None => self.insert_job(&draft.job),
        }
    }

    fn insert_job(&mut self, job: &Arc<Job>) {
        let kept = self.previous.jobs.get(&job.subject).filter(|kept| **kept == *job);
        self.catalog.jobs.insert(job.subject.clone(), Arc::clone(kept.unwrap_or(job)));
    }

    /// Keeps the last good version of a workspace and its jobs.
    fn keep_workspace(&mut self, name: &Name) {
        let Some(workspace) = self.previous.workspaces.get(name) else { return };
        self.catalog.workspaces.insert(name.clone(), Arc::clone(workspace));
        for job in self.previous.jobs_of(Some(name)) {
            self.catalog.jobs.insert(job.subject.clone(), Arc::clone(job));
        }
    }

    /// Loads the files of `jobs/`, and joins them to the jobs that are declared elsewhere.
    fn load_standalone_jobs(&mut self, elsewhere: Vec<Candidate>) {
        let mut candidates = self.job_files();
        candidates.extend(elsewhere);
        let joined = join_standalone_jobs(candidates, self.previous, &self.layout.root);
        self.diagnostics.extend(joined.diagnostics);
        for job in joined.jobs {
            self.insert_job(&job);
        }
    }

    fn job_files(&mut self) -> Vec<Candidate> {
        let directory = &self.layout.jobs;
        let Some(paths) = self.entries(directory) else {
            let known = self.previous.jobs_of(None).filter(|job| job.file.starts_with(directory));
            let broken = |job: &Arc<Job>| Candidate { file: Arc::clone(&job.file), draft: None, name: None };
            return known.map(broken).collect();
        };
        let defaults = &self.layout.defaults;
        let mut candidates = Vec::new();
        let mut alike = Alike::default();
        let previous = self.previous;
        for path in paths {
            let Some(format) = declared_format(&path) else { continue };
            let path = self.shared(path);
            let found = self.read(&path, |bytes| match Document::parse(&path, bytes, format) {
                Ok(document) => {
                    let (mut draft, diagnostics) = read_job_file(&path, &document, defaults);
                    if let Some(draft) = &mut draft {
                        // Nobody else has it yet.
                        if let Some(job) = Arc::get_mut(&mut draft.job) {
                            alike.share(job);
                        }
                        draft.share(previous);
                    }
                    (Content::Job(draft), diagnostics)
                }
                Err(error) => (Content::Job(None), vec![*error]),
            });
            let draft = match found {
                Found::Absent => continue,
                Found::Broken => None,
                Found::Read(file) => match &file.content {
                    Content::Job(Some(draft)) => {
                        match draft.template().and_then(|reference| self.template_content(reference).err()) {
                            None => Some(draft.clone()),
                            Some(missing) => {
                                self.diagnostics.push(*missing);
                                None
                            }
                        }
                    }
                    _ => None,
                },
            };
            candidates.push(Candidate { file: path, draft, name: None });
        }
        candidates
    }
}

/// Whether something is not there. A link to that is broken, and no removal of what it declared.
fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The format of a file that declares something; none for hidden files, directories and other files.
fn declared_format(path: &Path) -> Option<Format> {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    Format::of(path).filter(|_| !hidden && !path.is_dir())
}
