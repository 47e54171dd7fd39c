//! The tree of a template.

use std::sync::Arc;

use super::literal::Number;
use crate::function::Function;
use crate::text::Text;

/// One named template.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) name: Arc<str>,
    /// The template in whose text it stands: what messages name.
    pub(crate) parse_name: Arc<str>,
    pub(crate) text: Arc<str>,
    pub(crate) root: Vec<Node>,
}

impl Tree {
    /// The line, from 1, and the column in bytes, from 0, as Go's messages have them.
    pub(crate) fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let column = memchr::memrchr(b'\n', before).map_or(before.len(), |newline| before.len() - newline - 1);
        (line, column)
    }
}

#[derive(Debug)]
pub(crate) enum Node {
    Text(Text),
    Action { at: usize, pipe: Pipe },
    If(Branch),
    Range(Branch),
    With(Branch),
    Template { at: usize, name: Arc<str>, pipe: Option<Pipe> },
    Break,
    Continue,
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) at: usize,
    pub(crate) pipe: Pipe,
    pub(crate) list: Vec<Node>,
    pub(crate) otherwise: Option<Vec<Node>>,
}

#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    /// The variables are assigned to, not declared.
    pub(crate) is_assignment: bool,
    pub(crate) variables: Vec<Arc<str>>,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) at: usize,
    /// The operand and its arguments; never empty.
    pub(crate) args: Vec<Arg>,
}

#[derive(Debug)]
pub(crate) struct Arg {
    pub(crate) at: usize,
    pub(crate) kind: ArgKind,
}

#[derive(Debug)]
pub(crate) enum ArgKind {
    Function(Arc<Function>),
    Variable { name: Arc<str>, fields: Vec<Text> },
    Dot,
    Nil,
    Field(Vec<Text>),
    Chain { of: Box<Arg>, fields: Vec<Text> },
    Bool(bool),
    Number(Number),
    Text { quoted: Box<str>, text: Text },
    Pipe(Box<Pipe>),
}

/// Whether nothing but spaces is in there; such a template does not replace another of its name.
pub(crate) fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(text) => text.to_str().chars().all(crate::unicode::is_space),
        _ => false,
    })
}
