//! Calls functions and methods.

use super::operand::Want;
use super::{At, Item, Result, State};
use crate::function::{Body, Function, FunctionError, Signature};
use crate::limits::Limit;
use crate::syntax::node::Arg;
use crate::value::{Type, Value};

/// What a value takes beside the bytes of its text.
const VALUE_SIZE: usize = size_of::<Value>();

impl<'t> State<'t, '_> {
    /// `args` starts with the function itself, or is empty. `node` is what messages about the call quote.
    pub(super) fn call(
        &mut self,
        dot: &Item,
        function: &'t Function,
        node: At<'t>,
        args: &'t [Arg],
        last: Option<Item>,
    ) -> Result<Item> {
        let name = function.name();
        let args = args.get(1..).unwrap_or_default();
        self.check_count(name, &function.signature, args.len(), last.is_some())?;
        if matches!(function.body, Body::And | Body::Or) {
            return self.short_circuit(dot, matches!(function.body, Body::Or), args, last);
        }
        let callee = match (&function.body, args, &last) {
            (Body::Call, [first, ..], _) => first.to_string(),
            (Body::Call, [], Some(last)) => described(last),
            _ => String::new(),
        };
        let takes_anything = function.takes_anything();
        let mut items = Vec::with_capacity(args.len() + 1);
        for (at, arg) in args.iter().enumerate() {
            let want = if takes_anything { Want::Item } else { Want::Type(function.signature.param(at)) };
            let item = self.arg(dot, want, arg)?;
            items.push(item);
        }
        if let Some(last) = last {
            let want = if takes_anything { Want::Item } else { Want::Type(function.signature.param(args.len())) };
            let item = self.check_type(last, want)?;
            items.push(item);
        }
        let result = match &function.body {
            Body::Plain(call) => {
                let values: Vec<Value> = items.into_iter().map(Item::into_value).collect();
                call(&mut self.meter, &values).map(|value| Item::of(value, function.signature.result == Type::Any))
            }
            Body::Raw(call) => call(&mut self.meter, &items),
            Body::And | Body::Or | Body::Call => Err(no_function(&callee, items.first())),
        };
        let result = result.and_then(|item| self.charge(&item).map(|()| item).map_err(FunctionError::Limit));
        result.map_err(|error| {
            self.at = node;
            self.failed_call(name, error)
        })
    }

    /// Counts what a function has made.
    fn charge(&mut self, item: &Item) -> std::result::Result<(), Limit> {
        match item.value() {
            Value::Text(text) => self.meter.allocate(text.len()),
            Value::List(list) => self.meter.allocate(list.len().saturating_mul(VALUE_SIZE)),
            Value::Map(_) => self.meter.allocate(VALUE_SIZE),
            _ => Ok(()),
        }
    }

    pub(super) fn check_count(&mut self, name: &str, signature: &Signature, args: usize, has_last: bool) -> Result<()> {
        let count = args + usize::from(has_last);
        let wanted = signature.params.len();
        if signature.rest.is_some() {
            if count < wanted {
                return Err(self.error(format!("wrong number of args for {name}: want at least {wanted} got {args}")));
            }
        } else if count != wanted {
            return Err(self.error(format!("wrong number of args for {name}: want {wanted} got {count}")));
        }
        Ok(())
    }

    fn short_circuit(&mut self, dot: &Item, stops_at: bool, args: &'t [Arg], last: Option<Item>) -> Result<Item> {
        let mut value = Item::Invalid;
        for arg in args {
            value = self.arg(dot, Want::Item, arg)?;
            if value.value().is_true() == stops_at {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}

fn no_function(callee: &str, item: Option<&Item>) -> FunctionError {
    match item.map(Item::value) {
        None | Some(Value::Nil) => "call of nil".into(),
        Some(value) => format!("non-function {callee} of type {}", value.type_name()).into(),
    }
}

/// Go's `reflect.Value.String`.
fn described(item: &Item) -> String {
    match item {
        Item::Invalid => "<invalid Value>".into(),
        Item::Bare(Value::Text(text)) => text.to_string(),
        item => format!("<{} Value>", item.type_name()),
    }
}
