//! Templates, compiled and associated by name.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use crate::error::{ExecError, ParseError};
use crate::exec;
use crate::function::Functions;
use crate::limits::Limits;
use crate::syntax::node::{Tree, is_empty};
use crate::syntax::parse::{Source, parse};
use crate::value::Value;

/// What a map says about a key that it does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// Nothing, which prints as `<no value>`.
    #[default]
    Default,
    /// The zero of its elements.
    Zero,
    /// An error.
    Error,
}

/// How templates are read and run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What they may call.
    pub functions: Functions,
    /// What opens an action; empty means `{{`.
    pub left: String,
    /// What closes an action; empty means `}}`.
    pub right: String,
    /// What a map says about a key that it does not have.
    pub missing_key: MissingKey,
}

/// A compiled template with those that are associated with it. Compile once, render often, from any thread.
#[derive(Clone, Debug)]
pub struct Template {
    name: Arc<str>,
    trees: BTreeMap<Arc<str>, Arc<Tree>>,
    pub(crate) missing_key: MissingKey,
}

impl Template {
    /// Compiles a text.
    pub fn parse(name: &str, text: &str, options: &Options) -> Result<Template, ParseError> {
        let mut template = Template { name: Arc::from(name), trees: BTreeMap::new(), missing_key: options.missing_key };
        template.add(name, text, options)?;
        Ok(template)
    }

    /// Compiles another text and associates it and what it defines, in place of others of their names unless it is
    /// empty. Nothing changes if it is no template.
    pub fn add(&mut self, name: &str, text: &str, options: &Options) -> Result<(), ParseError> {
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let source = Source {
            name: &Arc::from(name),
            text: &Arc::from(text),
            left: &or(&options.left, "{{"),
            right: &or(&options.right, "}}"),
            functions: &options.functions,
        };
        for (name, tree) in parse(&source).map_err(|error| *error)? {
            if !self.trees.contains_key(&name) || !is_empty(&tree.root) {
                self.trees.insert(name, Arc::new(tree));
            }
        }
        Ok(())
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of all templates associated with it, its own among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(|name| &**name)
    }

    /// Renders it. What was written before an error stays written.
    pub fn render(&self, data: &Value, out: &mut impl Write, limits: &Limits) -> Result<(), ExecError> {
        self.render_named(&self.name, data, out, limits)
    }

    /// Renders the associated template of that name.
    pub fn render_named(
        &self,
        name: &str,
        data: &Value,
        out: &mut impl Write,
        limits: &Limits,
    ) -> Result<(), ExecError> {
        match self.trees.get(name) {
            Some(tree) => exec::execute(self, tree, data, out, limits),
            None => Err(ExecError::Unknown { name: name.to_owned(), of: self.name.to_string() }),
        }
    }

    /// Renders it into a text. Bytes that are no UTF-8 become U+FFFD.
    pub fn render_text(&self, data: &Value, limits: &Limits) -> Result<String, ExecError> {
        let mut out = Vec::new();
        self.render(data, &mut out, limits)?;
        Ok(match String::from_utf8(out) {
            Ok(text) => text,
            Err(error) => crate::text::lossy(error.as_bytes()).into_owned(),
        })
    }

    /// The tree of the named template as Go prints it, in one canonical form.
    pub fn canonical(&self, name: &str) -> Option<String> {
        self.trees.get(name).map(|tree| tree.to_string())
    }

    pub(crate) fn tree(&self, name: &str) -> Option<&Tree> {
        self.trees.get(name).map(|tree| &**tree)
    }
}
