//! Evaluates pipelines, commands and operands.

use super::{At, Item, Result, State};
use crate::syntax::literal::Number;
use crate::syntax::node::{Arg, ArgKind, Command, Pipe};
use crate::value::{Type, Value};

/// What is asked of an argument.
#[derive(Clone, Copy)]
pub(super) enum Want {
    /// Nothing: it is the start of a chain of fields.
    Nothing,
    /// Any value, taken as it is found.
    Item,
    /// A value of the type.
    Type(Type),
}

impl<'t> State<'t, '_> {
    pub(super) fn pipeline(&mut self, dot: &Item, pipe: &'t Pipe) -> Result<Item> {
        self.at = At::Pipe(pipe);
        let mut value: Option<Item> = None;
        for command in &pipe.commands {
            let last = value.take();
            value = Some(self.command(dot, command, last)?.unboxed());
        }
        let value = value.unwrap_or(Item::Invalid);
        for name in &pipe.variables {
            if pipe.is_assignment {
                self.set_variable(name, value.clone())?;
            } else {
                self.push(name, value.clone());
            }
        }
        Ok(value)
    }

    /// `last` is the value of the command before, which becomes the last argument of this one.
    fn command(&mut self, dot: &Item, command: &'t Command, last: Option<Item>) -> Result<Item> {
        self.step()?;
        let Some((first, _)) = command.args.split_first() else { return Ok(Item::Invalid) };
        match &first.kind {
            ArgKind::Field(fields) => {
                self.at = At::Arg(first);
                return self.field_chain(dot, dot.clone(), first, fields, &command.args, last);
            }
            ArgKind::Chain { of, fields } => return self.chain(dot, first, of, fields, &command.args, last),
            ArgKind::Function(function) => {
                self.at = At::Arg(first);
                return self.call(dot, function, At::Command(command), &command.args, last);
            }
            ArgKind::Pipe(pipe) => {
                self.refuse_arguments(&command.args, last.as_ref())?;
                return self.pipeline(dot, pipe);
            }
            ArgKind::Variable { name, fields } => {
                return self.variable_node(dot, first, name, fields, &command.args, last);
            }
            _ => {}
        }
        self.at = At::Arg(first);
        self.refuse_arguments(&command.args, last.as_ref())?;
        match &first.kind {
            ArgKind::Dot => Ok(dot.clone()),
            ArgKind::Nil => Err(self.error("nil is not a command")),
            _ => self.constant(first),
        }
    }

    fn refuse_arguments(&mut self, args: &'t [Arg], last: Option<&Item>) -> Result<()> {
        match args {
            [first, ..] if args.len() > 1 || last.is_some() => {
                Err(self.error(format!("can't give argument to non-function {first}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn variable_node(
        &mut self,
        dot: &Item,
        arg: &'t Arg,
        name: &str,
        fields: &'t [crate::text::Text],
        args: &'t [Arg],
        last: Option<Item>,
    ) -> Result<Item> {
        self.at = At::Arg(arg);
        let value = self.variable(name)?;
        if fields.is_empty() {
            self.refuse_arguments(args, last.as_ref())?;
            return Ok(value);
        }
        self.field_chain(dot, value, arg, fields, args, last)
    }

    pub(super) fn chain(
        &mut self,
        dot: &Item,
        arg: &'t Arg,
        of: &'t Arg,
        fields: &'t [crate::text::Text],
        args: &'t [Arg],
        last: Option<Item>,
    ) -> Result<Item> {
        self.at = At::Arg(arg);
        if matches!(of.kind, ArgKind::Nil) {
            return Err(self.error(format!("indirection through explicit nil in {arg}")));
        }
        let receiver = self.arg(dot, Want::Nothing, of)?;
        self.field_chain(dot, receiver, arg, fields, args, last)
    }

    /// Evaluates an argument and checks its type.
    pub(super) fn arg(&mut self, dot: &Item, want: Want, arg: &'t Arg) -> Result<Item> {
        self.at = At::Arg(arg);
        let item = match &arg.kind {
            ArgKind::Dot => dot.clone(),
            ArgKind::Nil => {
                return match want {
                    Want::Type(wanted) if !wanted.takes_nil() => {
                        Err(self.error(format!("cannot assign nil to {}", wanted.name())))
                    }
                    Want::Type(_) => Ok(Item::Boxed(Value::Nil)),
                    Want::Item | Want::Nothing => Ok(Item::Invalid),
                };
            }
            ArgKind::Field(fields) => {
                self.field_chain(dot, dot.clone(), arg, fields, std::slice::from_ref(arg), None)?
            }
            ArgKind::Variable { name, fields } => self.variable_node(dot, arg, name, fields, &[], None)?,
            ArgKind::Pipe(pipe) => self.pipeline(dot, pipe)?,
            ArgKind::Function(function) => self.call(dot, function, At::Arg(arg), &[], None)?,
            ArgKind::Chain { of, fields } => self.chain(dot, arg, of, fields, &[], None)?,
            _ => return self.constant_arg(want, arg),
        };
        self.check_type(item, want)
    }

    fn constant_arg(&mut self, want: Want, arg: &'t Arg) -> Result<Item> {
        let Want::Type(wanted) = want else { return self.constant(arg) };
        let number = if let ArgKind::Number(number) = &arg.kind { Some(number) } else { None };
        let (found, expected) = match wanted {
            Type::Any => return self.constant(arg),
            Type::Bool => match &arg.kind {
                ArgKind::Bool(value) => (Some(Value::Bool(*value)), "bool"),
                _ => (None, "bool"),
            },
            Type::Text => match &arg.kind {
                ArgKind::Text { text, .. } => (Some(Value::Text(text.clone())), "string"),
                _ => (None, "string"),
            },
            Type::Float => (number.and_then(|number| number.float).map(Value::Float), "float"),
            Type::Int => (number.and_then(|number| number.int).map(Value::Int), "integer"),
            Type::Int64 => (number.and_then(|number| number.int).map(Value::Int64), "integer"),
            Type::Byte => {
                (number.and_then(|number| number.uint).map(|uint| Value::Byte(uint as u8)), "unsigned integer")
            }
            Type::Uint32 => (
                number.and_then(|number| number.uint).map(|uint| Value::Int(i64::from(uint as u32))),
                "unsigned integer",
            ),
            Type::List(_) | Type::Map(_) | Type::Named(_) => {
                return Err(self.error(format!("can't handle {arg} for arg of type {}", wanted.name())));
            }
        };
        match found {
            Some(value) => Ok(Item::Bare(value)),
            None => Err(self.error(format!("expected {expected}; found {arg}"))),
        }
    }

    /// A constant where nothing says which type it should have.
    fn constant(&mut self, arg: &'t Arg) -> Result<Item> {
        self.at = At::Arg(arg);
        match &arg.kind {
            ArgKind::Bool(value) => Ok(Item::Bare(Value::Bool(*value))),
            ArgKind::Text { text, .. } => Ok(Item::Bare(Value::Text(text.clone()))),
            ArgKind::Number(number) => self.number(number),
            _ => Err(self.error(format!("can't handle assignment of {arg} to empty interface argument"))),
        }
    }

    fn number(&mut self, number: &Number) -> Result<Item> {
        if let Some((real, imaginary)) = number.complex {
            return Ok(Item::Bare(crate::complex::value(real, imaginary)));
        }
        match (number.float, number.int) {
            (Some(float), _) if number.looks_like_float() => Ok(Item::Bare(Value::Float(float))),
            (_, Some(int)) => Ok(Item::Bare(Value::Int(int))),
            _ => Err(self.error(format!("{} overflows int", number.text))),
        }
    }

    pub(super) fn check_type(&mut self, item: Item, want: Want) -> Result<Item> {
        let Want::Type(wanted) = want else { return Ok(item) };
        let fits = |value: &Value| wanted == Type::Any || value.type_of() == Some(wanted);
        match item {
            Item::Invalid if wanted.takes_nil() => Ok(Item::Boxed(Value::Nil)),
            Item::Invalid => Err(self.error(format!("invalid value; expected {}", wanted.name()))),
            item if wanted == Type::Any => Ok(item),
            Item::Bare(value) | Item::Boxed(value) if fits(&value) => Ok(Item::Bare(value)),
            item => {
                let found = match &item {
                    Item::Boxed(Value::Nil) => "interface {}".into(),
                    item => item.value().type_name(),
                };
                Err(self.error(format!("wrong type for value; expected {}; got {found}", wanted.name())))
            }
        }
    }
}
