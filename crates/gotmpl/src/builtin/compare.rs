//! Comparisons. Integers and floats never meet; that is Go's rule.

use std::cmp::Ordering;

use super::shown;
use crate::exec::Item;
use crate::function::FunctionError;
use crate::limits::Meter;
use crate::value::Value;

type Result<T> = std::result::Result<T, FunctionError>;

/// What Go can compare.
#[derive(Clone, Copy, PartialEq)]
enum Basic {
    Other,
    Bool,
    Integer,
    /// The bytes of strings; they compare with integers.
    Unsigned,
    Float,
    Text,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Bool(_) => Basic::Bool,
        Value::Int(_) | Value::Int64(_) => Basic::Integer,
        Value::Byte(_) => Basic::Unsigned,
        Value::Float(_) => Basic::Float,
        Value::Text(_) => Basic::Text,
        Value::Object(object) if object.integer().is_some() => Basic::Integer,
        _ => Basic::Other,
    }
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Nil => true,
        Value::List(list) => list.is_nil(),
        _ => false,
    }
}

fn truth(value: bool) -> Item {
    Item::Bare(Value::Bool(value))
}

pub(super) fn eq(meter: &mut Meter, args: &[Item]) -> Result<Item> {
    match args.split_first() {
        Some((first, others)) if !others.is_empty() => {
            for other in others {
                if equal(meter, first, other)? {
                    return Ok(truth(true));
                }
            }
            Ok(truth(false))
        }
        _ => Err("missing argument for comparison".into()),
    }
}

#[expect(clippy::float_cmp, reason = "this is what templates ask for")]
fn equal(meter: &mut Meter, left: &Item, right: &Item) -> Result<bool> {
    let (a, b) = (left.value(), right.value());
    let (kind_a, kind_b) = (basic(a), basic(b));
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => return Ok(a == b),
        (Value::Float(a), Value::Float(b)) => return Ok(a == b),
        (Value::Text(a), Value::Text(b)) => return Ok(a == b),
        _ => {}
    }
    if let (Some(a), Some(b)) = (a.as_integer(), b.as_integer()) {
        return Ok(a == b);
    }
    if kind_a != kind_b {
        if matches!(a, Value::Nil) || matches!(b, Value::Nil) {
            return Ok(false);
        }
        return Err(incompatible(a, b));
    }
    // Neither is of a basic kind.
    let same_kind = a.kind() == b.kind() || matches!(a, Value::Nil) || matches!(b, Value::Nil);
    if !same_kind {
        let (text_a, text_b) = (shown(meter, left, b"%s")?, shown(meter, right, b"%v")?);
        return Err(format!("non-comparable types {text_a}: {}, {}: {text_b}", a.type_name(), b.type_name()).into());
    }
    if is_nil(a) || is_nil(b) {
        return Ok(is_nil(a) == is_nil(b));
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => Ok(a.equals(&**b)),
        _ => Err(format!("non-comparable type {}: {}", shown(meter, right, b"%s")?, b.type_name()).into()),
    }
}

fn incompatible(a: &Value, b: &Value) -> FunctionError {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()).into()
}

pub(super) fn ne(meter: &mut Meter, args: &[Item]) -> Result<Item> {
    let [left, right] = args else { return Err("missing argument for comparison".into()) };
    Ok(truth(!equal(meter, left, right)?))
}

/// `None` of floats that are no numbers.
fn order(args: &[Item]) -> Result<Option<Ordering>> {
    const BAD: &str = "invalid type for comparison";
    let [left, right] = args else { return Err("missing argument for comparison".into()) };
    let (a, b) = (left.value(), right.value());
    if basic(a) == Basic::Other || basic(b) == Basic::Other {
        return Err(BAD.into());
    }
    if let (Some(a), Some(b)) = (a.as_integer(), b.as_integer()) {
        return Ok(Some(a.cmp(&b)));
    }
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(_), Value::Bool(_)) => Err(BAD.into()),
        _ => Err(incompatible(a, b)),
    }
}

pub(super) fn lt(_: &mut Meter, args: &[Item]) -> Result<Item> {
    Ok(truth(order(args)? == Some(Ordering::Less)))
}

pub(super) fn le(_: &mut Meter, args: &[Item]) -> Result<Item> {
    Ok(truth(matches!(order(args)?, Some(Ordering::Less | Ordering::Equal))))
}

/// Go has these two as the inverses of the others, which shows with floats that are no numbers.
pub(super) fn gt(_: &mut Meter, args: &[Item]) -> Result<Item> {
    Ok(truth(!matches!(order(args)?, Some(Ordering::Less | Ordering::Equal))))
}

pub(super) fn ge(_: &mut Meter, args: &[Item]) -> Result<Item> {
    Ok(truth(order(args)? != Some(Ordering::Less)))
}
