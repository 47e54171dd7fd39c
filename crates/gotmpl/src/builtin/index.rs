//! Parts of collections and strings, and their length.

use crate::exec::Item;
use crate::function::FunctionError;
use crate::limits::Meter;
use crate::text::Text;
use crate::value::Value;

type Result<T> = std::result::Result<T, FunctionError>;

/// The place that an argument names, at most `most`.
fn place(item: &Item, most: usize) -> Result<usize> {
    match (item.value(), item.value().as_integer()) {
        (Value::Nil, _) => Err("cannot index slice/array with nil".into()),
        (value, None) => Err(format!("cannot index slice/array with type {}", value.type_name()).into()),
        (_, Some(number)) => match usize::try_from(number) {
            Ok(place) if place <= most => Ok(place),
            _ => Err(format!("index out of range: {number}").into()),
        },
    }
}

/// `index x 1 2` is `x[1][2]`.
pub(super) fn index(_: &mut Meter, args: &[Item]) -> Result<Item> {
    let Some((item, indexes)) = args.split_first() else { return Err("index of untyped nil".into()) };
    let mut item = item.clone().unboxed();
    if let Item::Invalid = item {
        return Err("index of untyped nil".into());
    }
    for key in indexes {
        let next = match item.value() {
            Value::Nil => return Err("index of nil pointer".into()),
            Value::List(list) => {
                let at = place(key, list.len())?;
                match list.items().get(at) {
                    Some(value) => Item::element(value.clone(), list.element()),
                    None => return Err("reflect: slice index out of range".into()),
                }
            }
            Value::Text(text) => {
                let at = place(key, text.len())?;
                match text.as_bytes().get(at) {
                    Some(byte) => Item::Bare(Value::Byte(*byte)),
                    None => return Err("reflect: string index out of range".into()),
                }
            }
            Value::Map(map) => match key.value() {
                Value::Text(name) => {
                    let value = map.get(name.as_bytes()).unwrap_or_else(|| map.element().zero());
                    Item::element(value, map.element())
                }
                Value::Nil => return Err("value is nil; should be of type string".into()),
                other => return Err(format!("value has type {}; should be string", other.type_name()).into()),
            },
            other => return Err(format!("can't index item of type {}", other.type_name()).into()),
        };
        item = next;
    }
    Ok(item)
}

/// `slice x 1 2` is `x[1:2]`.
pub(super) fn slice(_: &mut Meter, args: &[Item]) -> Result<Item> {
    let Some((item, indexes)) = args.split_first() else { return Err("slice of untyped nil".into()) };
    let value = match item.value() {
        Value::Nil => return Err("slice of untyped nil".into()),
        value => value,
    };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let (len, capacity) = match value {
        Value::Text(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Text(text) => (text.len(), text.len()),
        Value::List(list) => (list.len(), list.capacity()),
        other => return Err(format!("can't slice item of type {}", other.type_name()).into()),
    };
    let mut bounds = [0, len, capacity];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = place(index, capacity)?;
    }
    let [from, to, most] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}").into());
    }
    if to > most {
        return Err(format!("invalid slice index: {to} > {most}").into());
    }
    Ok(Item::Bare(match value {
        Value::Text(text) => Value::Text(Text::from(&text.as_bytes()[from..to])),
        Value::List(list) => Value::List(list.slice(from, to)),
        other => other.clone(),
    }))
}

pub(super) fn len(_: &mut Meter, args: &[Item]) -> Result<Item> {
    let len = match args.first() {
        None | Some(Item::Invalid) => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        Some(item) => match item.value() {
            Value::Nil => return Err("len of nil pointer".into()),
            Value::Text(text) => text.len(),
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            other => return Err(format!("len of type {}", other.type_name()).into()),
        },
    };
    Ok(Item::Bare(Value::Int(len as i64)))
}
