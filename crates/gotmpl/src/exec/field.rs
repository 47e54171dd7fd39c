//! Fields of maps and methods of objects.

use super::operand::Want;
use super::{At, Item, Result, State};
use crate::quote::quote;
use crate::syntax::node::Arg;
use crate::template::MissingKey;
use crate::text::Text;
use crate::value::{Object, Type, Value};

impl<'t> State<'t, '_> {
    /// Evaluates `.A.B.C`, starting at the receiver. Arguments go to the last of them.
    pub(super) fn field_chain(
        &mut self,
        dot: &Item,
        receiver: Item,
        node: &'t Arg,
        fields: &'t [Text],
        args: &'t [Arg],
        last: Option<Item>,
    ) -> Result<Item> {
        let Some((final_field, fields)) = fields.split_last() else { return Ok(receiver) };
        let mut receiver = receiver;
        for field in fields {
            receiver = self.field(dot, receiver, node, field, &[], None)?;
        }
        self.field(dot, receiver, node, final_field, args, last)
    }

    fn field(
        &mut self,
        dot: &Item,
        receiver: Item,
        node: &'t Arg,
        name: &'t Text,
        args: &'t [Arg],
        last: Option<Item>,
    ) -> Result<Item> {
        let has_arguments = args.len() > 1 || last.is_some();
        match receiver.value() {
            Value::Nil if matches!(receiver, Item::Invalid) => {
                if self.template.missing_key == MissingKey::Error {
                    return Err(self.error(format!("nil data; no entry for key {}", quote(name.as_bytes()))));
                }
                Ok(Item::Invalid)
            }
            Value::Nil => Err(self.error(format!("nil pointer evaluating {}.{name}", receiver.type_name()))),
            Value::Object(object) => {
                let object = object.clone();
                match object.method(&name.to_str()) {
                    Some(method) => {
                        let args = args.get(1..).unwrap_or_default();
                        self.check_count(&name.to_str(), &method.signature, args.len(), last.is_some())?;
                        let mut values = Vec::with_capacity(args.len() + 1);
                        for (at, arg) in args.iter().enumerate() {
                            values.push(self.arg(dot, Want::Type(method.signature.param(at)), arg)?.into_value());
                        }
                        if let Some(last) = last {
                            let want = Want::Type(method.signature.param(args.len()));
                            values.push(self.check_type(last, want)?.into_value());
                        }
                        let result: &dyn Object = &*object;
                        (method.call)(result, &values)
                            .map(|value| Item::of(value, method.signature.result == Type::Any))
                            .map_err(|error| {
                                self.at = At::Arg(node);
                                self.failed_call(&name.to_str(), error)
                            })
                    }
                    None => Err(self.no_field(name, &receiver)),
                }
            }
            Value::Map(map) => {
                if has_arguments {
                    return Err(self.error(format!("{name} is not a method but has arguments")));
                }
                match (map.get(name.as_bytes()), self.template.missing_key) {
                    (Some(value), _) => Ok(Item::element(value, map.element())),
                    (None, MissingKey::Default) => Ok(Item::Invalid),
                    (None, MissingKey::Zero) => Ok(Item::element(map.element().zero(), map.element())),
                    (None, MissingKey::Error) => {
                        Err(self.error(format!("map has no entry for key {}", quote(name.as_bytes()))))
                    }
                }
            }
            _ => Err(self.no_field(name, &receiver)),
        }
    }

    fn no_field(&self, name: &Text, receiver: &Item) -> Box<crate::error::ExecError> {
        self.error(format!("can't evaluate field {name} in type {}", receiver.type_name()))
    }
}
