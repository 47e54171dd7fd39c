//! What functions for strings, lists and dictionaries have in common.

use super::{Args, Entry};
use crate::format::shown;
use crate::function::{FunctionError, Outcome};
use crate::limits::{DEEPEST_VALUE, Limit, Meter};
use crate::text::Text;
use crate::value::{Element, List, Map, Type, Value};

const A: Type = Type::Any;
const B: Type = Type::Bool;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("default", &[A], Some(A), A, |_, args| {
        let given = args.get(1);
        Ok(if is_empty(given) { args.get(0).clone() } else { given.clone() })
    }),
    ("empty", &[A], None, B, |_, args| Ok(Value::Bool(is_empty(args.get(0))))),
    ("coalesce", &[], Some(A), A, |_, args| {
        Ok(args.0.iter().find(|value| !is_empty(value)).cloned().unwrap_or_default())
    }),
    ("all", &[], Some(A), B, |_, args| Ok(Value::Bool(!args.0.iter().any(is_empty)))),
    ("any", &[], Some(A), B, |_, args| Ok(Value::Bool(!args.0.iter().all(is_empty)))),
    ("ternary", &[A, A, B], None, A, |_, args| Ok(args.get(usize::from(!args.flag(2))).clone())),
    ("deepEqual", &[A, A], None, B, |meter, args| Ok(Value::Bool(deep_equal(meter, args.get(0), args.get(1), 0)?))),
    ("deepCopy", &[A], None, A, copy),
    ("mustDeepCopy", &[A], None, A, copy),
];

/// What `default` replaces.
pub(super) fn is_empty(value: &Value) -> bool {
    !value.is_true()
}

/// A value as a string.
pub(super) fn strval(meter: &mut Meter, value: &Value) -> Result<Vec<u8>, Limit> {
    match value {
        Value::Text(text) => Ok(text.as_bytes().to_vec()),
        value => shown(meter, value),
    }
}

/// The elements as strings, without those that are nil; of what is no list, itself.
pub(super) fn strings_of(meter: &mut Meter, value: &Value) -> Result<Vec<Text>, Limit> {
    let list = match value {
        Value::Nil => return Ok(Vec::new()),
        Value::List(list) => list,
        value => return Ok(vec![strval(meter, value)?.into()]),
    };
    let mut texts = Vec::with_capacity(list.len());
    for item in list.items() {
        match item {
            Value::Nil => {}
            Value::Text(text) => {
                meter.allocate(text.len())?;
                texts.push(text.clone());
            }
            item => {
                let text = shown(meter, item)?;
                meter.allocate(text.len())?;
                texts.push(text.into());
            }
        }
    }
    Ok(texts)
}

fn copy(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    deep_copy(meter, args.get(0), 0).map_err(FunctionError::Limit)
}

fn deep_copy(meter: &mut Meter, value: &Value, depth: usize) -> Result<Value, Limit> {
    if depth > DEEPEST_VALUE {
        return Err(Limit::Depth);
    }
    meter.allocate(size_of::<Value>())?;
    Ok(match value {
        Value::List(list) if list.is_nil() => value.clone(),
        Value::List(list) => {
            let items: Result<Vec<Value>, Limit> =
                list.items().iter().map(|item| deep_copy(meter, item, depth + 1)).collect();
            Value::List(List::new(list.element(), items?))
        }
        Value::Map(map) => {
            let copy = Map::new(map.element());
            for (key, item) in map.entries() {
                copy.insert(key, deep_copy(meter, &item, depth + 1)?);
            }
            Value::Map(copy)
        }
        value => value.clone(),
    })
}

/// Go's `reflect.DeepEqual`: types count, and so does whether a slice is nil.
#[expect(clippy::float_cmp, reason = "this is what templates ask for")]
pub(super) fn deep_equal(meter: &mut Meter, a: &Value, b: &Value, depth: usize) -> Result<bool, Limit> {
    if depth > DEEPEST_VALUE {
        return Err(Limit::Depth);
    }
    meter.spend(1)?;
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) | (Value::Int64(a), Value::Int64(b)) => a == b,
        (Value::Byte(a), Value::Byte(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Object(a), Value::Object(b)) => a.equals(&**b),
        (Value::List(a), Value::List(b)) => {
            if a.element() != b.element() || a.len() != b.len() || a.is_nil() != b.is_nil() {
                return Ok(false);
            }
            for (a, b) in a.items().iter().zip(b.items()) {
                if !deep_equal(meter, a, b, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.is(b) {
                return Ok(true);
            }
            if a.element() != b.element() || a.len() != b.len() {
                return Ok(false);
            }
            for (key, item) in a.entries() {
                match b.get(key.as_bytes()) {
                    Some(other) if deep_equal(meter, &item, &other, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ => false,
    })
}

/// Puts a value into a map, unless the map would then contain itself: nothing could print that.
pub(super) fn put(meter: &mut Meter, map: &Map, key: Text, value: Value) -> Result<(), FunctionError> {
    let mut pending = vec![value.clone()];
    while let Some(value) = pending.pop() {
        match &value {
            Value::List(list) if list.element() == Element::Any || list.element() == Element::List => {
                meter.spend(list.len() as u64)?;
                pending.extend(list.items().iter().filter(|item| is_container(item)).cloned());
            }
            Value::Map(inner) => {
                if inner.is(map) {
                    return Err("the dict would contain itself".into());
                }
                meter.spend(inner.len() as u64)?;
                pending.extend(inner.values().into_iter().filter(is_container));
            }
            _ => {}
        }
    }
    meter.allocate(key.len() + 2 * size_of::<Value>())?;
    map.insert(key, value);
    Ok(())
}

fn is_container(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Map(_))
}
