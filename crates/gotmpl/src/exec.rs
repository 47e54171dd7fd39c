//! Runs trees over data.
//!
//! Follows Go's evaluator step by step, since its order of evaluation and the node it has last looked at show in the
//! messages.
#![expect(clippy::unnecessary_box_returns, reason = "errors are boxed so that results stay small")]

mod call;
mod elements;
mod field;
mod item;
mod operand;
mod walk;

use std::io::Write;

use crate::error::{ExecError, Place};
use crate::function::FunctionError;
use crate::limits::{Limit, Limits, Meter};
use crate::quote::quote;
use crate::syntax::node::{Arg, Command, Node, Pipe, Tree};
use crate::template::Template;
use crate::value::Value;

pub(crate) use item::Item;

type Result<T> = std::result::Result<T, Box<ExecError>>;

pub(crate) fn execute(
    template: &Template,
    tree: &Tree,
    data: &Value,
    out: &mut dyn Write,
    limits: &Limits,
) -> std::result::Result<(), ExecError> {
    let root = match data {
        Value::Nil => Item::Invalid,
        data => Item::Bare(data.clone()),
    };
    let mut state = State {
        template,
        tree,
        out,
        output_left: limits.output,
        at: At::Nowhere,
        variables: vec![Variable { name: "$", value: root.clone() }],
        frame: 0,
        depth: 0,
        deepest: limits.depth,
        meter: Meter::new(limits),
        scratch: Vec::new(),
    };
    state.walk(root, &tree.root).map_err(|error| *error)
}

struct State<'t, 'o> {
    template: &'t Template,
    /// What is being executed.
    tree: &'t Tree,
    out: &'o mut dyn Write,
    output_left: usize,
    /// What was looked at last, for messages.
    at: At<'t>,
    variables: Vec<Variable<'t>>,
    /// Where the variables of this template start; those before are the callers'.
    frame: usize,
    /// How many templates have called one another.
    depth: usize,
    deepest: usize,
    meter: Meter,
    /// Room for printing, kept from value to value.
    scratch: Vec<u8>,
}

struct Variable<'t> {
    name: &'t str,
    value: Item,
}

/// A piece of a template.
#[derive(Clone, Copy)]
enum At<'t> {
    Nowhere,
    Node(&'t Node),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Arg(&'t Arg),
}

impl<'t> State<'t, '_> {
    fn place(&self) -> (Place, String) {
        let (at, context) = match self.at {
            At::Nowhere => (0, String::new()),
            At::Node(node) => {
                let at = match node {
                    Node::Action { at, .. } | Node::Template { at, .. } => *at,
                    Node::If(branch) | Node::Range(branch) | Node::With(branch) => branch.at,
                    Node::Text(_) | Node::Break | Node::Continue => 0,
                };
                (at, node.to_string())
            }
            At::Pipe(pipe) => (pipe.at, pipe.to_string()),
            At::Command(command) => (command.at, command.to_string()),
            At::Arg(arg) => (arg.at, arg.to_string()),
        };
        let (line, column) = self.tree.place(at);
        (Place { name: self.tree.parse_name.to_string(), line, column }, context)
    }

    fn error(&self, message: impl Into<String>) -> Box<ExecError> {
        let (place, context) = self.place();
        Box::new(ExecError::Failed { place, template: self.tree.name.to_string(), context, message: message.into() })
    }

    fn limit(&self, limit: Limit) -> Box<ExecError> {
        let (place, context) = self.place();
        Box::new(ExecError::Limit { place, template: self.tree.name.to_string(), context, limit })
    }

    fn failed_call(&self, name: &str, error: FunctionError) -> Box<ExecError> {
        match error {
            FunctionError::Refused(message) => self.error(format!("error calling {name}: {message}")),
            FunctionError::Limit(limit) => self.limit(limit),
        }
    }

    fn step(&mut self) -> Result<()> {
        self.meter.spend(1).map_err(|limit| self.limit(limit))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let fits = bytes.len().min(self.output_left);
        self.output_left -= fits;
        self.out.write_all(&bytes[..fits]).map_err(|error| Box::new(ExecError::Write(error)))?;
        if fits < bytes.len() {
            return Err(self.limit(Limit::Output));
        }
        Ok(())
    }

    fn push(&mut self, name: &'t str, value: Item) {
        self.variables.push(Variable { name, value });
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.variables[self.frame..].iter().rposition(|variable| variable.name == name).map(|at| self.frame + at)
    }

    fn set_variable(&mut self, name: &str, value: Item) -> Result<()> {
        match self.position(name) {
            Some(at) => {
                self.variables[at].value = value;
                Ok(())
            }
            None => Err(self.error(format!("undefined variable: {name}"))),
        }
    }

    fn variable(&self, name: &str) -> Result<Item> {
        match self.position(name) {
            Some(at) => Ok(self.variables[at].value.clone()),
            None => Err(self.error(format!("undefined variable: {name}"))),
        }
    }

    fn unknown_template(&self, name: &str) -> Box<ExecError> {
        self.error(format!("template {} not defined", quote(name.as_bytes())))
    }
}
