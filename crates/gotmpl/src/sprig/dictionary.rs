//! Dictionaries. They are maps, and changed in place.

use super::collection::{put, strval};
use super::{Args, Entry};
use crate::function::{FunctionError, Outcome};
use crate::limits::{DEEPEST_VALUE, Limit, Meter};
use crate::text::Text;
use crate::value::{Element, List, Map, Type, Value};

const A: Type = Type::Any;
const T: Type = Type::Text;
const D: Type = Type::Map(Element::Any);
const L: Type = Type::List(Element::Any);

pub(super) const FUNCTIONS: &[Entry] = &[
    ("dict", &[], Some(A), D, dict),
    ("get", &[D, T], None, A, |_, args| {
        Ok(args.map(0).and_then(|map| map.get(args.bytes(1))).unwrap_or_else(|| Value::from("")))
    }),
    ("set", &[D, T, A], None, D, set),
    ("unset", &[D, T], None, D, |_, args| {
        if let Some(map) = args.map(0) {
            map.remove(args.bytes(1));
        }
        Ok(args.get(0).clone())
    }),
    ("hasKey", &[D, T], None, Type::Bool, |_, args| {
        Ok(Value::Bool(args.map(0).is_some_and(|map| map.contains(args.bytes(1)))))
    }),
    ("pluck", &[T], Some(D), L, |_, args| {
        let maps = (1..args.len()).filter_map(|at| args.map(at));
        Ok(Value::from(maps.filter_map(|map| map.get(args.bytes(0))).collect::<Vec<_>>()))
    }),
    ("keys", &[], Some(D), Type::List(Element::Text), |_, args| {
        let maps = (0..args.len()).filter_map(|at| args.map(at));
        Ok(Value::List(List::of_texts(maps.flat_map(Map::keys).map(Value::Text))))
    }),
    ("pick", &[D], Some(T), D, |_, args| Ok(filtered(args, true))),
    ("omit", &[D], Some(T), D, |_, args| Ok(filtered(args, false))),
    ("values", &[D], None, L, |_, args| Ok(Value::from(args.map(0).map(Map::values).unwrap_or_default()))),
    ("merge", &[D], Some(D), A, |meter, args| merge(meter, args, false)),
    ("mustMerge", &[D], Some(D), A, |meter, args| merge(meter, args, false)),
    ("mergeOverwrite", &[D], Some(D), A, |meter, args| merge(meter, args, true)),
    ("mustMergeOverwrite", &[D], Some(D), A, |meter, args| merge(meter, args, true)),
    ("dig", &[], Some(A), A, dig),
];

fn dict(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    let map = Map::new(Element::Any);
    for pair in args.0.chunks(2) {
        if let [key, value @ ..] = pair {
            let key = strval(meter, key)?;
            meter.allocate(key.len() + 2 * size_of::<Value>())?;
            map.insert(key.into(), value.first().cloned().unwrap_or_else(|| Value::from("")));
        }
    }
    Ok(Value::Map(map))
}

fn set(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    let Some(map) = args.map(0) else { return Err("assignment to entry in nil map".into()) };
    put(meter, map, Text::from(args.bytes(1)), args.get(2).clone())?;
    Ok(args.get(0).clone())
}

fn filtered(args: &Args<'_>, keep: bool) -> Value {
    let result = Map::new(Element::Any);
    for (key, value) in args.map(0).map(Map::entries).unwrap_or_default() {
        let named = (1..args.len()).any(|at| args.bytes(at) == key.as_bytes());
        if named == keep {
            result.insert(key, value);
        }
    }
    Value::Map(result)
}

fn merge(meter: &mut Meter, args: &Args<'_>, overwrite: bool) -> Outcome {
    let target = match args.map(0) {
        Some(map) => map.clone(),
        None => Map::new(Element::Any),
    };
    for at in 1..args.len() {
        if let Some(source) = args.map(at) {
            merge_into(meter, &target, source, overwrite, 0)?;
        }
    }
    Ok(Value::Map(target))
}

/// As `mergo` does it: maps are merged, lists are not, and what is empty in the target counts as not there.
fn merge_into(
    meter: &mut Meter,
    target: &Map,
    source: &Map,
    overwrite: bool,
    depth: usize,
) -> Result<(), FunctionError> {
    if depth > DEEPEST_VALUE {
        return Err(Limit::Depth.into());
    }
    if target.is(source) {
        return Ok(());
    }
    for (key, value) in source.entries() {
        meter.spend(1)?;
        let there = target.get(key.as_bytes());
        match (&value, &there) {
            (Value::Nil, _) => {
                if overwrite {
                    target.insert(key, value);
                }
                continue;
            }
            (Value::Map(source), Some(Value::Map(inner))) if source.element() == inner.element() => {
                merge_into(meter, inner, source, overwrite, depth + 1)?;
                if !inner.is_empty() {
                    continue;
                }
            }
            (Value::Map(_), Some(Value::Map(_))) => continue,
            _ => {}
        }
        let is_free = there.as_ref().is_none_or(|there| !there.is_true());
        if overwrite || is_free {
            put(meter, target, key, value)?;
        }
    }
    Ok(())
}

fn dig(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let [keys @ .., default, dict] = args.0 else { return Err("dig needs at least three arguments".into()) };
    if keys.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let as_map = |value: &Value| match value {
        Value::Map(map) if map.element() == Element::Any => Ok(map.clone()),
        other => Err(not_a(other, "map[string]interface {}")),
    };
    let mut map = as_map(dict)?;
    let mut names = Vec::with_capacity(keys.len());
    for key in keys {
        match key {
            Value::Text(name) => names.push(name),
            other => return Err(not_a(other, "string")),
        }
    }
    let Some((last, names)) = names.split_last() else { return Ok(default.clone()) };
    for name in names {
        match map.get(name.as_bytes()) {
            Some(value) => map = as_map(&value)?,
            None => return Ok(default.clone()),
        }
    }
    Ok(map.get(last.as_bytes()).unwrap_or_else(|| default.clone()))
}

fn not_a(value: &Value, wanted: &str) -> FunctionError {
    let found = match value {
        Value::Nil => "nil".into(),
        value => value.type_name(),
    };
    format!("interface conversion: interface {{}} is {found}, not {wanted}").into()
}
