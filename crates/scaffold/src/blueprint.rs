//! A blueprint, and the rendering of it.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use piton_gotmpl::Surroundings;
use serde_json::{Map, Value};

use crate::data::{Data, Order};
use crate::declaration::Declaration;
use crate::engine::{Engines, Program};
use crate::error::{Error, Problem, Trouble};
use crate::limits::{Budget, Limits};
use crate::load;
use crate::path::TargetPath;
use crate::tree::{Entry, Made, Mode, Tree};
use crate::validate;

/// More mistakes than this are not told at once.
const MOST_PROBLEMS: usize = 20;

/// What blueprints are loaded and rendered with.
#[derive(Clone)]
pub struct Settings {
    /// How much they may take.
    pub limits: Limits,
    /// What templates can ask of the world: the time, random bytes.
    pub surroundings: Surroundings,
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A blueprint, read and compiled once. Renders as often as one likes, from any thread.
#[derive(Debug)]
pub struct Blueprint {
    pub(crate) declaration: Declaration,
    pub(crate) files: Vec<File>,
    /// Templates in names, of which many files may have the same.
    pub(crate) names: Vec<Program>,
    pub(crate) conditions: Vec<Program>,
    /// Of each declared value, its default if that is a template.
    pub(crate) defaults: Vec<Option<Program>>,
    pub(crate) engines: Engines,
    pub(crate) settings: Settings,
    pub(crate) size: u64,
}

/// A file of the blueprint.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) names: Vec<Name>,
    pub(crate) executable: bool,
    pub(crate) content: Content,
    /// Which conditions must hold.
    pub(crate) conditions: Vec<usize>,
}

/// A name in a path.
#[derive(Debug)]
pub(crate) enum Name {
    Text(String),
    /// One of [`Blueprint::names`].
    Template(usize),
}

#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Arc<[u8]>),
    Template(Program),
    Link(String),
    LinkTemplate(Program),
}

impl Blueprint {
    /// Reads and compiles a directory.
    pub fn load(directory: &Path, settings: &Settings) -> Result<Blueprint, Error> {
        load::load(directory, settings)
    }

    /// What it says about itself.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// How many files it has.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of its files.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Checks the values of an order and adds defaults.
    pub fn values(&self, order: &Order) -> Result<Map<String, Value>, Error> {
        self.complete(order, &Budget::new(&self.settings.limits))
    }

    fn complete(&self, order: &Order, budget: &Budget<'_>) -> Result<Map<String, Value>, Error> {
        let mut problems = Vec::new();
        if order.name.is_empty() {
            problems.push(Problem::new(Trouble::Values, "is empty").field("name").hint("a project needs a name"));
        }
        let completed = validate::complete(&self.declaration, &order.values, &mut |at, values| {
            let data = Data::of(order, values, self.declaration.scope);
            match self.defaults.get(at).and_then(Option::as_ref) {
                Some(program) => self.engines.render_text(program, &data, budget),
                None => Ok(String::new()),
            }
        });
        let values = match completed {
            Ok(values) => values,
            Err(wrong) => {
                problems.extend(wrong);
                Map::new()
            }
        };
        Error::of(problems).map(|()| values)
    }

    /// Renders the files that the order asks for.
    pub fn render(&self, order: &Order) -> Result<Tree, Error> {
        let budget = Budget::new(&self.settings.limits);
        let values = self.complete(order, &budget)?;
        let data = Data::of(order, &values, self.declaration.scope);
        let mut rendering = Rendering {
            blueprint: self,
            data: &data,
            budget,
            names: HashMap::new(),
            conditions: HashMap::new(),
            failed: Vec::new(),
        };
        let mut made = Vec::with_capacity(self.files.len());
        for file in &self.files {
            match rendering.file(file) {
                Ok(Some(entry)) => made.push(Made { source: file.path.clone(), entry }),
                Ok(None) => {}
                Err(problem) => rendering.note(problem)?,
            }
        }
        Error::of(rendering.failed)?;
        Tree::of(made)
    }
}

/// One rendering under way.
struct Rendering<'a> {
    blueprint: &'a Blueprint,
    data: &'a Data,
    budget: Budget<'a>,
    /// What names have become; the mistake in one is told once.
    names: HashMap<usize, Option<String>>,
    conditions: HashMap<usize, bool>,
    failed: Vec<Problem>,
}

impl Rendering<'_> {
    /// Goes on after a mistake of the author, to tell the next one too; not after what costs time or space.
    fn note(&mut self, problem: Problem) -> Result<(), Error> {
        let author = matches!(
            problem.trouble,
            Trouble::Rendering | Trouble::Syntax | Trouble::BadPath | Trouble::UnsafeEntry | Trouble::Values
        );
        if !author {
            return Err(problem.into());
        }
        self.failed.push(problem);
        if self.failed.len() >= MOST_PROBLEMS {
            return Error::of(std::mem::take(&mut self.failed));
        }
        Ok(())
    }

    fn file(&mut self, file: &File) -> Result<Option<Entry>, Problem> {
        self.budget.check()?;
        for &condition in &file.conditions {
            if !self.holds(condition)? {
                return Ok(None);
            }
        }
        let Some(path) = self.path(file)? else { return Ok(None) };
        let engines = &self.blueprint.engines;
        let (mode, bytes): (Mode, Arc<[u8]>) = match &file.content {
            Content::Bytes(bytes) => (mode(file), Arc::clone(bytes)),
            Content::Template(program) => (mode(file), engines.render(program, self.data, &self.budget)?.into()),
            Content::Link(target) => (Mode::Link, target.as_bytes().into()),
            Content::LinkTemplate(program) => (Mode::Link, engines.render(program, self.data, &self.budget)?.into()),
        };
        self.budget.spend(bytes.len() as u64).map_err(|problem| problem.file(file.path.clone()))?;
        Ok(Some(Entry { path, mode, bytes }))
    }

    /// Nothing if a name says that the file is not wanted.
    fn path(&mut self, file: &File) -> Result<Option<TargetPath>, Problem> {
        let mut path = String::new();
        for name in &file.names {
            let name = match name {
                Name::Text(text) => text.as_str(),
                Name::Template(at) => match self.name(*at)? {
                    Some(name) if !name.is_empty() => name,
                    _ => return Ok(None),
                },
            };
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
        }
        match TargetPath::parse(&path) {
            Ok(path) => Ok(Some(path)),
            Err(problem) => {
                let message = format!("it would become `{}`: {problem}", path.escape_debug());
                Err(Problem::new(Trouble::BadPath, message).file(file.path.clone()))
            }
        }
    }

    fn name(&mut self, at: usize) -> Result<Option<&str>, Problem> {
        if !self.names.contains_key(&at) {
            let blueprint = self.blueprint;
            let rendered = match blueprint.names.get(at) {
                Some(program) => blueprint.engines.render_text(program, self.data, &self.budget).map(Some),
                None => Ok(None),
            };
            match rendered {
                Ok(name) => drop(self.names.insert(at, name)),
                Err(problem) => {
                    self.names.insert(at, None);
                    return Err(problem);
                }
            }
        }
        Ok(self.names.get(&at).and_then(Option::as_deref))
    }

    fn holds(&mut self, at: usize) -> Result<bool, Problem> {
        if let Some(&holds) = self.conditions.get(&at) {
            return Ok(holds);
        }
        let Some(program) = self.blueprint.conditions.get(at) else { return Ok(true) };
        let rendered = self.blueprint.engines.render_text(program, self.data, &self.budget);
        // Nothing more is to be said about files whose condition is wrong.
        self.conditions.insert(at, rendered.as_deref().is_ok_and(is_yes));
        rendered.as_deref().map(is_yes).map_err(Problem::clone)
    }
}

fn mode(file: &File) -> Mode {
    if file.executable { Mode::Executable } else { Mode::File }
}

/// Whether what a condition rendered to means yes.
fn is_yes(text: &str) -> bool {
    const NO: [&str; 10] = ["", "false", "0", "no", "n", "off", "none", "null", "nil", "<no value>"];
    !NO.contains(&text.trim().to_ascii_lowercase().as_str())
}
