//! Walks over nodes and writes.

use super::elements::Elements;
use super::{At, Item, Result, State};
use crate::format::{Printer, print_value};
use crate::limits::Limit;
use crate::syntax::node::{Branch, Node, Pipe, Tree};
use crate::value::Value;

/// Nodes that are being walked over. They are kept here and not on the stack of the thread, so that templates may call
/// one another as deep as the limits say.
struct Frame<'t> {
    nodes: Nodes<'t>,
    /// How many variables there were before.
    mark: usize,
}

enum Nodes<'t> {
    /// The rest of a list.
    List { rest: std::slice::Iter<'t, Node>, dot: Item },
    /// The list of a called template, after which its caller goes on.
    Called { rest: std::slice::Iter<'t, Node>, dot: Item, caller: &'t Tree, variables: usize },
    /// A loop between two iterations.
    Range { branch: &'t Branch, elements: Elements },
}

/// How the walk goes on after a node.
enum Flow<'t> {
    Next,
    Enter(Frame<'t>),
    Break,
    Continue,
}

/// Blocks are inside templates, so there may be more of them; a few for each template are enough.
const BLOCKS_PER_TEMPLATE: usize = 4;
/// What a single template may need.
const BLOCKS: usize = 1000;

impl<'t> State<'t, '_> {
    /// Walks over a list of nodes and all that they enter.
    pub(super) fn walk(&mut self, dot: Item, nodes: &'t [Node]) -> Result<()> {
        let most = self.deepest.saturating_mul(BLOCKS_PER_TEMPLATE).saturating_add(BLOCKS);
        let mut frames = vec![Frame { nodes: Nodes::List { rest: nodes.iter(), dot }, mark: self.variables.len() }];
        while let Some(frame) = frames.last_mut() {
            let flow = match &mut frame.nodes {
                Nodes::List { rest, dot } | Nodes::Called { rest, dot, .. } => match rest.next() {
                    Some(node) => self.node(dot, node)?,
                    None => {
                        self.leave(frame);
                        frames.pop();
                        continue;
                    }
                },
                Nodes::Range { branch, elements } => match elements.next() {
                    Some((index, element)) => {
                        self.step()?;
                        self.set_range_variables(&branch.pipe, index, &element)?;
                        let rest = branch.list.iter();
                        Flow::Enter(Frame { nodes: Nodes::List { rest, dot: element }, mark: self.variables.len() })
                    }
                    None => {
                        self.leave(frame);
                        frames.pop();
                        continue;
                    }
                },
            };
            match flow {
                Flow::Next => {}
                Flow::Enter(frame) if frames.len() < most => frames.push(frame),
                Flow::Enter(_) => return Err(self.limit(Limit::Depth)),
                Flow::Break => {
                    self.leave_iteration(&mut frames);
                    if let Some(range) = frames.pop() {
                        self.leave(&range);
                    }
                }
                Flow::Continue => self.leave_iteration(&mut frames),
            }
        }
        Ok(())
    }

    fn leave(&mut self, frame: &Frame<'t>) {
        self.variables.truncate(frame.mark);
        if let Nodes::Called { caller, variables, .. } = frame.nodes {
            self.tree = caller;
            self.frame = variables;
            self.depth -= 1;
        }
    }

    /// Leaves everything inside the innermost loop. The parser has seen to it that there is one.
    fn leave_iteration(&mut self, frames: &mut Vec<Frame<'t>>) {
        while let Some(frame) = frames.last() {
            if let Nodes::Range { .. } = frame.nodes {
                return;
            }
            self.leave(frame);
            frames.pop();
        }
    }

    fn node(&mut self, dot: &Item, node: &'t Node) -> Result<Flow<'t>> {
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
            Node::If(branch) => return self.condition(dot, branch, false),
            Node::With(branch) => return self.condition(dot, branch, true),
            Node::Range(branch) => return self.range(dot, branch),
            Node::Template { name, pipe, .. } => return self.template(dot, node, name, pipe.as_ref()),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn condition(&mut self, dot: &Item, branch: &'t Branch, sets_dot: bool) -> Result<Flow<'t>> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let nodes = if value.value().is_true() {
            let dot = if sets_dot { value } else { dot.clone() };
            Nodes::List { rest: branch.list.iter(), dot }
        } else {
            otherwise(branch, dot)
        };
        Ok(Flow::Enter(Frame { nodes, mark }))
    }

    fn range(&mut self, dot: &Item, branch: &'t Branch) -> Result<Flow<'t>> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?.into_value();
        if value.as_integer().is_some() && branch.pipe.variables.len() > 1 {
            let shown = self.shown(&value)?;
            return Err(self.error(format!("can't use {shown} to iterate over more than one variable")));
        }
        let Some(elements) = Elements::of(&value) else {
            let shown = self.shown(&value)?;
            return Err(self.error(format!("range can't iterate over {shown}")));
        };
        let nodes = if elements.is_empty() { otherwise(branch, dot) } else { Nodes::Range { branch, elements } };
        Ok(Flow::Enter(Frame { nodes, mark }))
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

    fn template(&mut self, dot: &Item, node: &'t Node, name: &str, pipe: Option<&'t Pipe>) -> Result<Flow<'t>> {
        let Some(tree) = self.template.tree(name) else { return Err(self.unknown_template(name)) };
        if self.depth >= self.deepest {
            return Err(self.limit(Limit::Templates(self.deepest)));
        }
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Item::Invalid,
        };
        self.at = At::Node(node);
        self.depth += 1;
        let caller = std::mem::replace(&mut self.tree, tree);
        let mark = self.variables.len();
        // A template sees no variables of its caller.
        let variables = std::mem::replace(&mut self.frame, mark);
        self.push("$", dot.clone());
        Ok(Flow::Enter(Frame { nodes: Nodes::Called { rest: tree.root.iter(), dot, caller, variables }, mark }))
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

fn otherwise<'t>(branch: &'t Branch, dot: &Item) -> Nodes<'t> {
    Nodes::List { rest: branch.otherwise.as_deref().unwrap_or_default().iter(), dot: dot.clone() }
}
