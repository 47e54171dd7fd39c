//! Walks over nodes and writes.

use super::{At, Item, Result, State, Variable};
use crate::format::{Printer, print_value};
use crate::syntax::node::{Branch, Node, Pipe};
use crate::value::Value;

/// How the walk goes on.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl<'t> State<'t, '_> {
    pub(super) fn walk_list(&mut self, dot: &Item, nodes: &'t [Node]) -> Result<Flow> {
        for node in nodes {
            match self.walk(dot, node)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn walk(&mut self, dot: &Item, node: &'t Node) -> Result<Flow> {
        self.at = At::Node(node);
        self.step()?;
        match node {
            Node::Text(text) => self.write(text.as_bytes())?,
            Node::Action { pipe, .. } => {
                let value = self.pipeline(dot, pipe)?;
                // Declarations print nothing.
                if pipe.variables.is_empty() {
                    self.at = At::Node(node);
                    self.print(&value)?;
                }
            }
            Node::If(branch) => return self.deeper(|state| state.walk_condition(dot, branch, false)),
            Node::With(branch) => return self.deeper(|state| state.walk_condition(dot, branch, true)),
            Node::Range(branch) => self.deeper(|state| state.walk_range(dot, branch))?,
            Node::Template { name, pipe, .. } => self.walk_template(dot, node, name, pipe.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn walk_condition(&mut self, dot: &Item, branch: &'t Branch, sets_dot: bool) -> Result<Flow> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.value().is_true() {
            self.walk_list(if sets_dot { &value } else { dot }, &branch.list)
        } else {
            self.walk_list(dot, branch.otherwise.as_deref().unwrap_or_default())
        };
        self.variables.truncate(mark);
        flow
    }

    fn walk_range(&mut self, dot: &Item, branch: &'t Branch) -> Result<()> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?.into_value();
        let ran = match &value {
            Value::Nil => false,
            Value::List(list) => {
                let element = list.element();
                let items = list.items().iter().enumerate();
                self.iterate(branch, items.map(|(at, item)| (index(at), Item::element(item.clone(), element))))?
            }
            Value::Map(map) => {
                let element = map.element();
                let entries = map.entries().into_iter();
                self.iterate(
                    branch,
                    entries.map(|(key, value)| (Item::Bare(Value::Text(key)), Item::element(value, element))),
                )?
            }
            Value::Int(_) | Value::Int64(_) | Value::Byte(_) => {
                if branch.pipe.variables.len() > 1 {
                    let shown = self.shown(&value)?;
                    return Err(self.error(format!("can't use {shown} to iterate over more than one variable")));
                }
                let end = value.as_integer().unwrap_or(0);
                let same_type = |number: i64| match &value {
                    Value::Int64(_) => Value::Int64(number),
                    Value::Byte(_) => Value::Byte(number as u8),
                    _ => Value::Int(number),
                };
                self.iterate(branch, (0..end).map(|number| (Item::Invalid, Item::Bare(same_type(number)))))?
            }
            other => {
                let shown = self.shown(other)?;
                return Err(self.error(format!("range can't iterate over {shown}")));
            }
        };
        if !ran {
            // A break here would belong to a range around this one; the parser allows none.
            self.walk_list(dot, branch.otherwise.as_deref().unwrap_or_default())?;
        }
        self.variables.truncate(mark);
        Ok(())
    }

    /// Whether there was anything to iterate over.
    fn iterate(&mut self, branch: &'t Branch, items: impl Iterator<Item = (Item, Item)>) -> Result<bool> {
        let mark = self.variables.len();
        let mut ran = false;
        for (index, element) in items {
            ran = true;
            self.step()?;
            self.set_range_variables(&branch.pipe, index, &element)?;
            let flow = self.walk_list(&element, &branch.list)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(ran)
    }

    fn set_range_variables(&mut self, pipe: &'t Pipe, index: Item, element: &Item) -> Result<()> {
        let [.., last] = &*pipe.variables else { return Ok(()) };
        let two = pipe.variables.len() > 1;
        if pipe.is_assignment {
            if two {
                self.set_variable(&pipe.variables[0], index)?;
            }
            return self.set_variable(last, element.clone());
        }
        let top = self.variables.len();
        if let Some(variable) = self.variables.get_mut(top - 1) {
            variable.value = element.clone();
        }
        if two && let Some(variable) = self.variables.get_mut(top - 2) {
            variable.value = index;
        }
        Ok(())
    }

    fn walk_template(&mut self, dot: &Item, node: &'t Node, name: &str, pipe: Option<&'t Pipe>) -> Result<()> {
        let Some(tree) = self.template.tree(name) else { return Err(self.unknown_template(name)) };
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Item::Invalid,
        };
        self.at = At::Node(node);
        self.deeper(|state| {
            let caller = std::mem::replace(&mut state.tree, tree);
            let mark = state.variables.len();
            // A template sees no variables of its caller.
            let frame = std::mem::replace(&mut state.frame, mark);
            state.variables.push(Variable { name: "$", value: dot.clone() });
            state.walk_list(&dot, &tree.root)?;
            state.variables.truncate(mark);
            state.frame = frame;
            state.tree = caller;
            Ok(())
        })
    }

    fn print(&mut self, item: &Item) -> Result<()> {
        match item.value() {
            Value::Nil => self.write(b"<no value>"),
            Value::Text(text) => self.write(text.as_bytes()),
            value => {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                let mut printer = Printer::into(scratch, &mut self.meter);
                let printed = print_value(&mut printer, value);
                scratch = printer.finish();
                let result = match printed {
                    Ok(()) => self.write(&scratch),
                    Err(limit) => Err(self.limit(limit)),
                };
                self.scratch = scratch;
                result
            }
        }
    }

    /// A value as `%v` prints it.
    fn shown(&mut self, value: &Value) -> Result<String> {
        let mut printer = Printer::into(Vec::new(), &mut self.meter);
        let printed = print_value(&mut printer, value);
        let bytes = printer.finish();
        printed.map_err(|limit| self.limit(limit))?;
        Ok(crate::text::lossy(&bytes).into_owned())
    }
}

fn index(at: usize) -> Item {
    Item::Bare(Value::Int(at as i64))
}
