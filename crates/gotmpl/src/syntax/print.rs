//! Trees as text: what messages quote.

use std::fmt::{Display, Formatter, Result, Write};

use super::node::{Arg, ArgKind, Branch, Command, Node, Pipe, Tree};
use crate::quote::quote;
use crate::text::Text;

impl Display for Tree {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write_all(out, &self.root)
    }
}

fn write_all(out: &mut Formatter<'_>, nodes: &[Node]) -> Result {
    nodes.iter().try_for_each(|node| node.fmt(out))
}

impl Display for Node {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Node::Text(text) => out.write_str(&quote(text.as_bytes())),
            Node::Action { pipe, .. } => write!(out, "{{{{{pipe}}}}}"),
            Node::If(branch) => write_branch(out, "if", branch),
            Node::Range(branch) => write_branch(out, "range", branch),
            Node::With(branch) => write_branch(out, "with", branch),
            Node::Template { name, pipe, .. } => {
                write!(out, "{{{{template {}", quote(name.as_bytes()))?;
                if let Some(pipe) = pipe {
                    write!(out, " {pipe}")?;
                }
                out.write_str("}}")
            }
            Node::Break => out.write_str("{{break}}"),
            Node::Continue => out.write_str("{{continue}}"),
        }
    }
}

fn write_branch(out: &mut Formatter<'_>, word: &str, branch: &Branch) -> Result {
    write!(out, "{{{{{word} {}}}}}", branch.pipe)?;
    write_all(out, &branch.list)?;
    if let Some(otherwise) = &branch.otherwise {
        out.write_str("{{else}}")?;
        write_all(out, otherwise)?;
    }
    out.write_str("{{end}}")
}

impl Display for Pipe {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        if !self.variables.is_empty() {
            out.write_str(&self.variables.join(", "))?;
            out.write_str(if self.is_assignment { " = " } else { " := " })?;
        }
        for (at, command) in self.commands.iter().enumerate() {
            if at > 0 {
                out.write_str(" | ")?;
            }
            command.fmt(out)?;
        }
        Ok(())
    }
}

impl Display for Command {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        for (at, arg) in self.args.iter().enumerate() {
            if at > 0 {
                out.write_char(' ')?;
            }
            write_in_parens(out, arg)?;
        }
        Ok(())
    }
}

fn write_in_parens(out: &mut Formatter<'_>, arg: &Arg) -> Result {
    if matches!(arg.kind, ArgKind::Pipe(_)) { write!(out, "({arg})") } else { arg.fmt(out) }
}

impl Display for Arg {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match &self.kind {
            ArgKind::Function(function) => out.write_str(function.name()),
            ArgKind::Variable { name, fields } => {
                out.write_str(name)?;
                write_fields(out, fields)
            }
            ArgKind::Dot => out.write_str("."),
            ArgKind::Nil => out.write_str("nil"),
            ArgKind::Field(fields) => write_fields(out, fields),
            ArgKind::Chain { of, fields } => {
                write_in_parens(out, of)?;
                write_fields(out, fields)
            }
            ArgKind::Bool(value) => write!(out, "{value}"),
            ArgKind::Number(number) => out.write_str(&number.text),
            ArgKind::Text { quoted, .. } => out.write_str(quoted),
            ArgKind::Pipe(pipe) => pipe.fmt(out),
        }
    }
}

fn write_fields(out: &mut Formatter<'_>, fields: &[Text]) -> Result {
    fields.iter().try_for_each(|field| write!(out, ".{field}"))
}
