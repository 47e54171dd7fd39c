//! Pipelines, commands and operands.

use std::sync::Arc;

use super::{Parser, Result};
use crate::quote::{quote, unquote};
use crate::syntax::literal::Number;
use crate::syntax::node::{Arg, ArgKind, Command, Pipe};
use crate::syntax::token::Kind;
use crate::text::Text;

impl Parser<'_> {
    /// Declarations, if any, then commands, up to the word `end`, which is taken too.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe> {
        let mut pipe = Pipe { at: self.peek_non_space().at, ..Pipe::default() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.backup();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<()> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            // Only the word after the variable tells a declaration from an argument, and a space may be in between.
            let adjacent = self.peek();
            let next = self.peek_non_space();
            if matches!(next.kind, Kind::Assign | Kind::Declare) {
                pipe.is_assignment = next.kind == Kind::Assign;
                self.next_non_space();
                self.declare(pipe, &variable.text);
                return Ok(());
            }
            if next.kind == Kind::Char && next.text == "," {
                self.next_non_space();
                self.declare(pipe, &variable.text);
                if context == "range" && pipe.variables.len() < 2 {
                    match self.peek_non_space().kind {
                        Kind::Variable | Kind::RightDelimiter | Kind::RightParen => continue,
                        _ => return Err(self.error("range can only initialize variables")),
                    }
                }
                return Err(self.error(format!("too many declarations in {context}")));
            }
            if adjacent.kind == Kind::Space {
                self.backup_three(variable, adjacent);
            } else {
                self.backup_two(variable);
            }
            return Ok(());
        }
    }

    fn declare(&mut self, pipe: &mut Pipe, name: &str) {
        let name: Arc<str> = Arc::from(name);
        pipe.variables.push(name.clone());
        self.tree.variables.push(name);
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result<()> {
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (at, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.args.first().map(|arg| &arg.kind);
            if matches!(
                first,
                Some(ArgKind::Bool(_) | ArgKind::Dot | ArgKind::Nil | ArgKind::Number(_) | ArgKind::Text { .. })
            ) {
                return Err(self.error(format!("non executable command in pipeline stage {}", at + 1)));
            }
        }
        Ok(())
    }

    /// Operands up to a pipe, which is taken, or to the end of the pipeline, which is not.
    fn command(&mut self) -> Result<Command> {
        let mut command = Command { at: self.peek_non_space().at, args: Vec::new() };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelimiter | Kind::RightParen => {
                    self.backup();
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(&token, "operand")),
            }
        }
        if command.args.is_empty() { Err(self.error("empty command")) } else { Ok(command) }
    }

    /// A term with the fields behind it. `None` if what comes next is no operand.
    fn operand(&mut self) -> Result<Option<Arg>> {
        let Some(mut term) = self.term()? else { return Ok(None) };
        let next = self.peek();
        if next.kind != Kind::Field {
            return Ok(Some(term));
        }
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(Text::from(&self.next().text[1..]));
        }
        match &mut term.kind {
            ArgKind::Field(names) | ArgKind::Variable { fields: names, .. } => {
                names.append(&mut fields);
                term.at = next.at;
                Ok(Some(term))
            }
            ArgKind::Bool(_) | ArgKind::Text { .. } | ArgKind::Number(_) | ArgKind::Nil | ArgKind::Dot => {
                Err(self.error(format!("unexpected . after term {}", quote(term.to_string().as_bytes()))))
            }
            _ => Ok(Some(Arg { at: next.at, kind: ArgKind::Chain { of: Box::new(term), fields } })),
        }
    }

    fn term(&mut self) -> Result<Option<Arg>> {
        let token = self.next_non_space();
        let kind = match token.kind {
            Kind::Identifier => match self.source.functions.find(&token.text) {
                Some(function) => ArgKind::Function(function),
                None => return Err(self.error(format!("function {} not defined", quote(token.text.as_bytes())))),
            },
            Kind::Dot => ArgKind::Dot,
            Kind::Nil => ArgKind::Nil,
            Kind::Variable => match self.tree.variables.iter().find(|name| ***name == *token.text) {
                Some(name) => ArgKind::Variable { name: name.clone(), fields: Vec::new() },
                None => return Err(self.error(format!("undefined variable {}", quote(token.text.as_bytes())))),
            },
            Kind::Field => ArgKind::Field(vec![Text::from(&token.text[1..])]),
            Kind::Bool => ArgKind::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                ArgKind::Number(Number::parse(&token.text, token.kind).map_err(|message| self.error(message))?)
            }
            Kind::LeftParen => {
                let pipe = self.deeper(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                return Ok(Some(Arg { at: pipe.at, kind: ArgKind::Pipe(Box::new(pipe)) }));
            }
            Kind::String | Kind::RawString => {
                let bytes = unquote(&token.text).ok_or_else(|| self.error("invalid syntax"))?;
                ArgKind::Text { quoted: token.text.clone().into(), text: Text::from(bytes) }
            }
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Arg { at: token.at, kind }))
    }
}
