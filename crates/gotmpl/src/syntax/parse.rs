//! Turns words into trees.
#![expect(clippy::unnecessary_box_returns, reason = "errors are boxed so that results stay small")]

mod control;
mod expression;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lex::Lexer;
use super::node::{Node, Tree, is_empty};
use super::token::{Kind, Token};
use crate::error::ParseError;
use crate::function::Functions;

/// How deep blocks and parentheses may nest together. What is parsed is also printed, run and dropped by recursion.
const DEEPEST: usize = 200;

pub(crate) type Result<T> = std::result::Result<T, Box<ParseError>>;

/// The trees of one text, by name.
pub(crate) type Trees = BTreeMap<Arc<str>, Tree>;

pub(crate) struct Source<'a> {
    pub(crate) name: &'a Arc<str>,
    pub(crate) text: &'a Arc<str>,
    pub(crate) left: &'a str,
    pub(crate) right: &'a str,
    pub(crate) functions: &'a Functions,
}

pub(crate) fn parse(source: &Source<'_>) -> Result<Trees> {
    let mut lexer = Lexer::new(source.text, source.left, source.right);
    lexer.set_keywords(!source.functions.contains("break"), !source.functions.contains("continue"));
    let mut parser = Parser { source, lexer, tree: TreeState::default(), trees: Trees::new(), depth: 0 };
    let root = parser.top()?;
    parser.add(source.name.clone(), root)?;
    Ok(parser.trees)
}

struct Parser<'a> {
    source: &'a Source<'a>,
    lexer: Lexer<'a>,
    tree: TreeState<'a>,
    trees: Trees,
    depth: usize,
}

/// What belongs to the tree that is being parsed; a definition inside of it has its own.
struct TreeState<'a> {
    /// Words that were read ahead, the newest first.
    tokens: [Option<Token<'a>>; 3],
    peeked: usize,
    variables: Vec<Arc<str>>,
    /// The line on which the current action starts.
    action_line: Option<usize>,
    range_depth: usize,
}

impl Default for TreeState<'_> {
    fn default() -> Self {
        TreeState {
            tokens: [None, None, None],
            peeked: 0,
            variables: vec![Arc::from("$")],
            action_line: None,
            range_depth: 0,
        }
    }
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    End,
    Else,
}

impl Ending {
    fn shown(self) -> &'static str {
        match self {
            Ending::End => "{{end}}",
            Ending::Else => "{{else}}",
        }
    }
}

/// A node, or the end of the list in which it would stand.
enum Step {
    Node(Node),
    Ending(Ending),
}

impl<'a> Parser<'a> {
    // Words

    fn next(&mut self) -> Token<'a> {
        if self.tree.peeked > 0 {
            self.tree.peeked -= 1;
        } else {
            self.tree.tokens[0] = Some(self.lexer.next_token());
        }
        let token = self.tree.tokens[self.tree.peeked].clone();
        token.unwrap_or(Token { kind: Kind::Eof, at: self.source.text.len(), text: "".into(), line: 0 })
    }

    fn backup(&mut self) {
        self.tree.peeked += 1;
    }

    /// Puts back a word before the one that was read last.
    fn backup_two(&mut self, first: Token<'a>) {
        self.tree.tokens[1] = Some(first);
        self.tree.peeked = 2;
    }

    /// Puts back two words before the one that was read last.
    fn backup_three(&mut self, first: Token<'a>, second: Token<'a>) {
        self.tree.tokens[1] = Some(second);
        self.tree.tokens[2] = Some(first);
        self.tree.peeked = 3;
    }

    fn peek(&mut self) -> Token<'a> {
        let token = self.next();
        self.backup();
        token
    }

    fn next_non_space(&mut self) -> Token<'a> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token<'a> {
        let token = self.next_non_space();
        self.backup();
        token
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token<'a>> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    // Errors

    fn error(&self, message: impl Into<String>) -> Box<ParseError> {
        let line = self.tree.tokens[0].as_ref().map_or(0, |token| token.line);
        Box::new(ParseError { name: self.source.name.to_string(), line, message: message.into() })
    }

    fn unexpected(&self, token: &Token<'_>, context: &str) -> Box<ParseError> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.shown()));
        }
        let started = self.tree.action_line.filter(|line| *line != token.line);
        let extra = started.map(|line| {
            let action = if token.text.ends_with(" action") { "" } else { " in action" };
            format!("{action} started at {}:{line}", self.source.name)
        });
        self.error(format!("{}{}", token.text, extra.unwrap_or_default()))
    }

    /// One level deeper, unless that is too deep.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEEPEST {
            return Err(self.error(format!("blocks and parentheses are nested more than {DEEPEST} deep")));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    // Lists

    /// Everything up to the end of the text. Definitions stand here only.
    fn top(&mut self) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            let token = self.peek();
            if token.kind == Kind::Eof {
                return Ok(nodes);
            }
            if token.kind == Kind::LeftDelimiter {
                let delimiter = self.next();
                if self.next_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.backup_two(delimiter);
            }
            match self.text_or_action()? {
                Step::Node(node) => nodes.push(node),
                Step::Ending(ending) => return Err(self.error(format!("unexpected {}", ending.shown()))),
            }
        }
    }

    /// Everything up to an end or an else.
    fn list(&mut self) -> Result<(Vec<Node>, Ending)> {
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Step::Node(node) => nodes.push(node),
                Step::Ending(ending) => return Ok((nodes, ending)),
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn add(&mut self, name: Arc<str>, root: Vec<Node>) -> Result<()> {
        match self.trees.get(&name) {
            Some(tree) if !is_empty(&tree.root) => {
                if is_empty(&root) {
                    return Ok(());
                }
                let shown = crate::quote::quote(name.as_bytes());
                Err(self.error(format!("template: multiple definition of template {shown}")))
            }
            _ => {
                let parse_name = self.source.name.clone();
                let tree = Tree { name: name.clone(), parse_name, text: self.source.text.clone(), root };
                self.trees.insert(name, tree);
                Ok(())
            }
        }
    }
}
