//! Lists. Functions take slices of any elements and return new ones.

use super::collection::{deep_equal, is_empty, strings_of, strval};
use super::numeric::to_int;
use super::{Args, Entry};
use crate::function::{FunctionError, Outcome};
use crate::limits::Meter;
use crate::value::{Element, List, Type, Value};

const A: Type = Type::Any;
const I: Type = Type::Int;
const L: Type = Type::List(Element::Any);
const LL: Type = Type::List(Element::List);

/// What Go says when it looks at the type of nothing.
const NIL_DEREFERENCE: &str = "runtime error: invalid memory address or nil pointer dereference";

pub(super) const FUNCTIONS: &[Entry] = &[
    ("list", &[], Some(A), L, |_, args| Ok(Value::from(args.0.to_vec()))),
    ("tuple", &[], Some(A), L, |_, args| Ok(Value::from(args.0.to_vec()))),
    ("append", &[A, A], None, L, append),
    ("push", &[A, A], None, L, append),
    ("mustAppend", &[A, A], None, L, append),
    ("mustPush", &[A, A], None, L, append),
    ("prepend", &[A, A], None, L, prepend),
    ("mustPrepend", &[A, A], None, L, prepend),
    ("first", &[A], None, A, first),
    ("mustFirst", &[A], None, A, first),
    ("last", &[A], None, A, last),
    ("mustLast", &[A], None, A, last),
    ("rest", &[A], None, L, rest),
    ("mustRest", &[A], None, L, rest),
    ("initial", &[A], None, L, initial),
    ("mustInitial", &[A], None, L, initial),
    ("reverse", &[A], None, L, reverse),
    ("mustReverse", &[A], None, L, reverse),
    ("compact", &[A], None, L, compact),
    ("mustCompact", &[A], None, L, compact),
    ("uniq", &[A], None, L, uniq),
    ("mustUniq", &[A], None, L, uniq),
    ("without", &[A], Some(A), L, without),
    ("mustWithout", &[A], Some(A), L, without),
    ("has", &[A, A], None, Type::Bool, has),
    ("mustHas", &[A, A], None, Type::Bool, has),
    ("slice", &[A], Some(A), A, slice),
    ("mustSlice", &[A], Some(A), A, slice),
    ("concat", &[], Some(A), A, concat),
    ("chunk", &[I, A], None, LL, chunk),
    ("mustChunk", &[I, A], None, LL, chunk),
    ("sortAlpha", &[A], None, Type::List(Element::Text), |meter, args| {
        let mut texts = match args.get(0) {
            Value::List(_) => strings_of(meter, args.get(0))?,
            other => vec![strval(meter, other)?.into()],
        };
        meter.spend(texts.len() as u64 * 4)?;
        texts.sort();
        Ok(Value::List(List::of_texts(texts.into_iter().map(Value::Text))))
    }),
];

/// The list, or what sprig says of something else.
fn items<'a>(value: &'a Value, doing: &str) -> Result<&'a [Value], FunctionError> {
    match value {
        Value::List(list) => Ok(list.items()),
        Value::Nil => Err(NIL_DEREFERENCE.into()),
        other => Err(format!("Cannot {doing} {}", other.kind()).into()),
    }
}

fn append(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let mut list = items(args.get(0), "push on type")?.to_vec();
    list.push(args.get(1).clone());
    Ok(Value::from(list))
}

fn prepend(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let mut list = vec![args.get(1).clone()];
    list.extend_from_slice(items(args.get(0), "prepend on type")?);
    Ok(Value::from(list))
}

fn first(_: &mut Meter, args: &Args<'_>) -> Outcome {
    Ok(items(args.get(0), "find first on type")?.first().cloned().unwrap_or_default())
}

fn last(_: &mut Meter, args: &Args<'_>) -> Outcome {
    Ok(items(args.get(0), "find last on type")?.last().cloned().unwrap_or_default())
}

fn rest(_: &mut Meter, args: &Args<'_>) -> Outcome {
    Ok(match items(args.get(0), "find rest on type")? {
        [] => Value::List(List::nil(Element::Any)),
        [_, rest @ ..] => Value::from(rest.to_vec()),
    })
}

fn initial(_: &mut Meter, args: &Args<'_>) -> Outcome {
    Ok(match items(args.get(0), "find initial on type")? {
        [] => Value::List(List::nil(Element::Any)),
        [initial @ .., _] => Value::from(initial.to_vec()),
    })
}

fn reverse(_: &mut Meter, args: &Args<'_>) -> Outcome {
    Ok(Value::from(items(args.get(0), "find reverse on type")?.iter().rev().cloned().collect::<Vec<_>>()))
}

fn compact(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let items = items(args.get(0), "compact on type")?;
    Ok(Value::from(items.iter().filter(|item| !is_empty(item)).cloned().collect::<Vec<_>>()))
}

fn is_among(meter: &mut Meter, items: &[Value], wanted: &Value) -> Result<bool, FunctionError> {
    for item in items {
        if deep_equal(meter, wanted, item, 0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    let mut unique: Vec<Value> = Vec::new();
    for item in items(args.get(0), "find uniq on type")? {
        if !is_among(meter, &unique, item)? {
            unique.push(item.clone());
        }
    }
    Ok(Value::from(unique))
}

fn without(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    let mut kept = Vec::new();
    for item in items(args.get(0), "find without on type")? {
        if !is_among(meter, args.rest(1), item)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::from(kept))
}

fn has(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    if let Value::Nil = args.get(1) {
        return Ok(Value::Bool(false));
    }
    let items = items(args.get(1), "find has on type")?;
    Ok(Value::Bool(is_among(meter, items, args.get(0))?))
}

fn slice(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let list = match args.get(0) {
        Value::List(list) => list,
        Value::Nil => return Err(NIL_DEREFERENCE.into()),
        other => return Err(format!("list should be type of slice or array but {}", other.kind()).into()),
    };
    if list.is_empty() {
        return Ok(Value::Nil);
    }
    let from = if args.len() > 1 { to_int(args.get(1)) } else { 0 };
    let to = if args.len() > 2 { to_int(args.get(2)) } else { list.len() as i64 };
    match (usize::try_from(from), usize::try_from(to)) {
        (Ok(from), Ok(to)) if from <= to && to <= list.capacity() => Ok(Value::List(list.slice(from, to))),
        _ => Err("reflect.Value.Slice: slice index out of bounds".into()),
    }
}

fn concat(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    let mut all = Vec::new();
    for list in args.0 {
        match list {
            Value::List(list) => {
                meter.spend(list.len() as u64)?;
                all.extend_from_slice(list.items());
            }
            Value::Nil => return Err(NIL_DEREFERENCE.into()),
            other => return Err(format!("Cannot concat type {} as list", other.kind()).into()),
        }
    }
    Ok(if all.is_empty() { Value::List(List::nil(Element::Any)) } else { Value::from(all) })
}

fn chunk(_: &mut Meter, args: &Args<'_>) -> Outcome {
    let items = items(args.get(1), "chunk type")?;
    if items.is_empty() {
        return Ok(Value::List(List::new(Element::List, Vec::new())));
    }
    match usize::try_from(args.int(0)) {
        Ok(size) if size > 0 => {
            let chunks = items.chunks(size).map(|chunk| Value::from(chunk.to_vec()));
            Ok(Value::List(List::new(Element::List, chunks.collect())))
        }
        _ => Err("runtime error: makeslice: len out of range".into()),
    }
}
