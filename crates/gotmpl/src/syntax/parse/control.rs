//! What steers: conditions, loops, definitions.

use std::sync::Arc;

use super::{Ending, Parser, Result, Step, TreeState};
use crate::quote::unquote;
use crate::syntax::node::{Branch, Node};
use crate::syntax::token::{Kind, Token};

#[derive(Clone, Copy, PartialEq)]
enum Control {
    If,
    Range,
    With,
}

impl Control {
    fn context(self) -> &'static str {
        match self {
            Control::If => "if",
            Control::Range => "range",
            Control::With => "with",
        }
    }

    fn node(self, branch: Branch) -> Node {
        match self {
            Control::If => Node::If(branch),
            Control::Range => Node::Range(branch),
            Control::With => Node::With(branch),
        }
    }
}

impl Parser<'_> {
    pub(super) fn text_or_action(&mut self) -> Result<Step> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Step::Node(Node::Text((&*token.text).into()))),
            Kind::LeftDelimiter => {
                self.tree.action_line = Some(token.line);
                let step = self.action();
                self.tree.action_line = None;
                step
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Result<Step> {
        let token = self.next_non_space();
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break => self.exit_of_range("{{break}}", Node::Break)?,
            Kind::Continue => self.exit_of_range("{{continue}}", Node::Continue)?,
            Kind::Else => return self.otherwise(),
            Kind::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Step::Ending(Ending::End));
            }
            Kind::If => self.control(Control::If)?,
            Kind::Range => self.control(Control::Range)?,
            Kind::With => self.control(Control::With)?,
            Kind::Template => self.template()?,
            _ => {
                self.backup();
                let at = self.peek().at;
                // The variables it declares stay until the block ends.
                let pipe = self.pipeline("command", Kind::RightDelimiter)?;
                Node::Action { at, pipe }
            }
        };
        Ok(Step::Node(node))
    }

    fn exit_of_range(&mut self, word: &str, node: Node) -> Result<Node> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelimiter {
            return Err(self.unexpected(&token, word));
        }
        if self.tree.range_depth == 0 {
            return Err(self.error(format!("{word} outside {{{{range}}}}")));
        }
        Ok(node)
    }

    fn otherwise(&mut self) -> Result<Step> {
        // `else if` and `else with` leave the second word to the block that the else belongs to.
        if !matches!(self.peek_non_space().kind, Kind::If | Kind::With) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Step::Ending(Ending::Else))
    }

    fn control(&mut self, control: Control) -> Result<Node> {
        let variables = self.tree.variables.len();
        let node = self.deeper(|parser| parser.branch(control))?;
        self.tree.variables.truncate(variables);
        Ok(node)
    }

    fn branch(&mut self, control: Control) -> Result<Node> {
        let pipe = self.pipeline(control.context(), Kind::RightDelimiter)?;
        let ranges = usize::from(control == Control::Range);
        self.tree.range_depth += ranges;
        let (list, ending) = self.list()?;
        self.tree.range_depth -= ranges;
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else => Some(self.else_list(control)?),
        };
        Ok(control.node(Branch { at: pipe.at, pipe, list, otherwise }))
    }

    fn else_list(&mut self, control: Control) -> Result<Vec<Node>> {
        let next = self.peek().kind;
        let chained = match control {
            Control::If => next == Kind::If,
            Control::With => next == Kind::With,
            Control::Range => false,
        };
        if chained {
            // `{{else if}}` is an if within the else, and they share their end.
            self.next();
            return Ok(vec![self.control(control)?]);
        }
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return Err(self.error(format!("expected end; found {}", ending.shown())));
        }
        Ok(list)
    }

    fn template(&mut self) -> Result<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = if self.next_non_space().kind == Kind::RightDelimiter {
            None
        } else {
            self.backup();
            Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?)
        };
        Ok(Node::Template { at: token.at, name, pipe })
    }

    fn block(&mut self) -> Result<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        self.in_own_tree(|parser| parser.body(name.clone(), CONTEXT))?;
        Ok(Node::Template { at: token.at, name, pipe: Some(pipe) })
    }

    pub(super) fn definition(&mut self) -> Result<()> {
        const CONTEXT: &str = "define clause";
        self.in_own_tree(|parser| {
            let token = parser.next_non_space();
            let name = parser.template_name(&token, CONTEXT)?;
            parser.expect(Kind::RightDelimiter, CONTEXT)?;
            parser.body(name, CONTEXT)
        })
    }

    fn in_own_tree(&mut self, parse: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let outer = std::mem::take(&mut self.tree);
        let result = self.deeper(parse);
        // An error has been given its line already.
        let _: TreeState<'_> = std::mem::replace(&mut self.tree, outer);
        result
    }

    fn body(&mut self, name: Arc<str>, context: &str) -> Result<()> {
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return Err(self.error(format!("unexpected {} in {context}", ending.shown())));
        }
        self.add(name, list)
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Result<Arc<str>> {
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return Err(self.unexpected(token, context));
        }
        let bytes = unquote(&token.text).ok_or_else(|| self.error("invalid syntax"))?;
        Ok(Arc::from(String::from_utf8_lossy(&bytes)))
    }
}
