//! Reads a directory and compiles what is a template.

use std::collections::HashMap;
use std::path::Path;

use crate::blueprint::{Blueprint, Content, File, Name, Settings};
use crate::declaration::{Declaration, Delimiters, Rendering, is_template};
use crate::engine::{Compiler, Engine, Origin, Program};
use crate::error::{Error, Problem, Trouble};
use crate::glob::any;
use crate::links;
use crate::source::{self, Found, Source};

/// Where a NUL tells that a file is no text.
const BINARY_WITHIN: usize = 8 << 10;

pub(crate) fn load(directory: &Path, settings: &Settings) -> Result<Blueprint, Error> {
    let top = Source::open(directory, &settings.limits)?;
    let declaration = Declaration::read(&top)?;
    let inner = match &declaration.files.root {
        Some(root) => Some(top.enter(root)?),
        None => None,
    };
    let found = inner.as_ref().unwrap_or(&top).read(&|path| declaration.wants(path))?;
    let size = found.iter().map(Found::size).sum();

    let compiler = Compiler::new(declaration.files.missing, settings);
    let mut loader = Loader {
        declaration: &declaration,
        settings,
        compiler,
        names: Vec::new(),
        seen: HashMap::new(),
        problems: Vec::new(),
    };
    let (partials, found): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|found| any(&declaration.files.partials, &found.path));
    for partial in partials {
        loader.partial(partial);
    }
    let files = found.into_iter().filter_map(|found| loader.file(found)).collect();
    let conditions = loader.conditions();
    let defaults = loader.defaults();
    let Loader { compiler, names, problems, .. } = loader;
    Error::of(problems)?;
    let engines = compiler.finish();
    Ok(Blueprint { files, names, conditions, defaults, engines, settings: settings.clone(), size, declaration })
}

struct Loader<'a> {
    declaration: &'a Declaration,
    settings: &'a Settings,
    compiler: Compiler,
    names: Vec<Program>,
    /// Which of the names a path ends with.
    seen: HashMap<String, usize>,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    /// What went well; else a problem more.
    fn note<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn partial(&mut self, found: Found) {
        let path = found.path;
        let name = path.rsplit('/').next().unwrap_or(&path);
        let source::Content::File { bytes, .. } = found.content else {
            let problem = Problem::new(Trouble::Declaration, "is a link, and partials are files").file(path);
            self.problems.push(problem);
            return;
        };
        let Some((engine, _)) = self.declaration.files.engine_of(&path, name) else {
            let problem = Problem::new(Trouble::Declaration, "is a partial, and no template").file(path);
            self.problems.push(problem.hint("partials end with .tmpl or .j2"));
            return;
        };
        let text = self.text(&path, &bytes);
        let added = text.and_then(|text| self.compiler.add_partial(engine, &path, text));
        self.note(added);
    }

    fn file(&mut self, found: Found) -> Option<File> {
        let path = found.path;
        let last = path.rsplit('/').next().unwrap_or(&path);
        let (content, executable, stem) = match found.content {
            source::Content::Link(target) => {
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                if let Err(problem) = links::stays(parent, &target) {
                    let message = format!("is a link to `{}`, which {problem}", target.escape_debug());
                    self.problems.push(Problem::new(Trouble::UnsafeEntry, message).file(path));
                    return None;
                }
                let content = if self.has_expression(&target) {
                    let engine = self.declaration.engine;
                    let compiled = self.compiler.compile(engine, Origin::Target(path.clone()), &target, None);
                    Content::LinkTemplate(self.note(compiled)?)
                } else {
                    Content::Link(target)
                };
                (content, false, last)
            }
            source::Content::File { bytes, executable } => {
                let (content, stem) = self.content(&path, last, bytes)?;
                (content, executable, stem)
            }
        };
        let conditions = self.declaration.files.when.iter().enumerate();
        let conditions = conditions.filter(|(_, (pattern, _))| pattern.matches(&path)).map(|(at, _)| at).collect();
        let names = self.path(&path, stem)?;
        Some(File { path, names, executable, content, conditions })
    }

    fn content<'n>(&mut self, path: &str, name: &'n str, bytes: Vec<u8>) -> Option<(Content, &'n str)> {
        let Some((engine, stem)) = self.declaration.files.engine_of(path, name) else {
            return Some((Content::Bytes(bytes.into()), name));
        };
        if self.declaration.files.rendering == Rendering::Everything && is_binary(&bytes) {
            return Some((Content::Bytes(bytes.into()), name));
        }
        let delimiters: Option<&Delimiters> = self.declaration.files.delimiters_of(path);
        let compiled = self.text(path, &bytes);
        let compiled =
            compiled.and_then(|text| self.compiler.compile(engine, Origin::File(path.to_owned()), text, delimiters));
        Some((Content::Template(self.note(compiled)?), stem))
    }

    /// The text of a template.
    fn text<'b>(&self, path: &str, bytes: &'b [u8]) -> Result<&'b str, Problem> {
        let limit = self.settings.limits.template_size;
        if bytes.len() as u64 > limit {
            let message = format!("the template has {} bytes, and {limit} are allowed", bytes.len());
            return Err(Problem::new(Trouble::TooLarge, message).file(path).hint("raise MAX_TEMPLATE_SIZE"));
        }
        let text = std::str::from_utf8(bytes).ok().filter(|_| !is_binary(bytes));
        text.ok_or_else(|| {
            Problem::new(Trouble::Syntax, "is a template by its name, and no UTF-8 text")
                .file(path)
                .hint("list it under `verbatim` to have it copied as it is")
        })
    }

    fn path(&mut self, path: &str, stem: &str) -> Option<Vec<Name>> {
        let mut names = Vec::new();
        let mut end = 0;
        for part in path.split('/') {
            end += part.len() + usize::from(end > 0);
            let is_last = end == path.len();
            let text = if is_last { stem } else { part };
            if !self.has_expression(text) {
                names.push(Name::Text(text.to_owned()));
                continue;
            }
            let prefix = &path[..end];
            let at = match self.seen.get(prefix) {
                Some(&at) => at,
                None => {
                    let engine = self.declaration.engine;
                    let origin = Origin::Path(prefix.to_owned());
                    let compiled = self.compiler.compile(engine, origin, text, None);
                    let program = self.note(compiled)?;
                    self.names.push(program);
                    self.seen.insert(prefix.to_owned(), self.names.len() - 1);
                    self.names.len() - 1
                }
            };
            names.push(Name::Template(at));
        }
        Some(names)
    }

    fn has_expression(&self, text: &str) -> bool {
        text.contains("{{") || self.declaration.engine == Engine::Jinja && text.contains("{%")
    }

    fn conditions(&mut self) -> Vec<Program> {
        let declaration = self.declaration;
        let mut programs = Vec::new();
        for (pattern, condition) in &declaration.files.when {
            let origin = Origin::Condition { file: declaration.source, pattern: pattern.text().to_owned() };
            let compiled = self.compiler.compile(declaration.engine, origin, condition, None);
            programs.extend(self.note(compiled));
        }
        programs
    }

    fn defaults(&mut self) -> Vec<Option<Program>> {
        let declaration = self.declaration;
        let mut programs = Vec::new();
        for rule in &declaration.values {
            let text =
                rule.default.as_ref().filter(|default| is_template(default)).and_then(|default| default.as_str());
            programs.push(text.and_then(|text| {
                let origin = Origin::Default { file: declaration.source, value: rule.name.clone() };
                let compiled = self.compiler.compile(declaration.engine, origin, text, None);
                self.note(compiled)
            }));
        }
        programs
    }
}

fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(BINARY_WITHIN)].contains(&0) || std::str::from_utf8(bytes).is_err()
}
