//! The functions of the language.

mod compare;
mod escape;
mod index;

use crate::exec::Item;
use crate::format::{Printer, print_value, sprint, sprintf, sprintln};
use crate::function::{Body, FunctionError, Functions, Outcome, Raw, Signature};
use crate::limits::Meter;
use crate::value::{Type, Value};

/// Adds them all.
pub(crate) fn add(functions: &mut Functions) {
    let any = [Type::Any, Type::Any];
    let raw = |count: usize| Signature::new(&any[..count], Type::Any);
    let variadic = |count: usize| raw(count).with_rest(Type::Any);
    functions.insert("and", variadic(1), Body::And);
    functions.insert("or", variadic(1), Body::Or);
    functions.insert("call", variadic(1), Body::Call);
    let raws: [(&str, Signature, Raw); 10] = [
        ("index", variadic(1), index::index),
        ("slice", variadic(1), index::slice),
        ("len", raw(1), index::len),
        ("not", raw(1), |_, args| Ok(Item::Bare(Value::Bool(!truth(args.first()))))),
        ("eq", variadic(1), compare::eq),
        ("ne", raw(2), compare::ne),
        ("lt", raw(2), compare::lt),
        ("le", raw(2), compare::le),
        ("gt", raw(2), compare::gt),
        ("ge", raw(2), compare::ge),
    ];
    for (name, signature, call) in raws {
        functions.insert(name, signature, Body::Raw(call));
    }
    let texts = Signature::new(&[], Type::Text).with_rest(Type::Any);
    functions.add("print", texts.clone(), |meter, args| Ok(sprint(meter, args)?.into()));
    functions.add("println", texts.clone(), |meter, args| Ok(sprintln(meter, args)?.into()));
    functions.add("html", texts.clone(), |meter, args| escaped(meter, args, escape::html));
    functions.add("js", texts.clone(), |meter, args| escaped(meter, args, escape::js));
    functions.add("urlquery", texts, |meter, args| escaped(meter, args, escape::url_query));
    let format = Signature::new(&[Type::Text], Type::Text).with_rest(Type::Any);
    functions.add("printf", format, |meter, args| match args {
        [Value::Text(format), values @ ..] => Ok(sprintf(meter, format.as_bytes(), values)?.into()),
        _ => Err("the format is no string".into()),
    });
}

fn truth(item: Option<&Item>) -> bool {
    item.is_some_and(|item| item.value().is_true())
}

/// Escapes what the arguments print as; nil prints as it does in templates.
fn escaped(meter: &mut Meter, args: &[Value], escape: fn(&[u8]) -> Vec<u8>) -> Outcome {
    let text = match args {
        [Value::Text(text)] => text.as_bytes().to_vec(),
        args => {
            let args: Vec<Value> = args
                .iter()
                .map(|arg| if let Value::Nil = arg { Value::from("<no value>") } else { arg.clone() })
                .collect();
            sprint(meter, &args)?
        }
    };
    // At most six bytes for one.
    if text.len().saturating_mul(6) > meter.memory_left() {
        return Err(FunctionError::Limit(crate::limits::Limit::Memory));
    }
    Ok(escape(&text).into())
}

/// A value as a verb prints it, for messages.
fn shown(meter: &mut Meter, item: &Item, format: &[u8]) -> Result<String, FunctionError> {
    let bytes = match item.value() {
        Value::Nil => b"<nil>".to_vec(),
        value if format == b"%v" => {
            let mut printer = Printer::into(Vec::new(), meter);
            print_value(&mut printer, value)?;
            printer.finish()
        }
        value => sprintf(meter, format, std::slice::from_ref(value))?,
    };
    Ok(crate::text::lossy(&bytes).into_owned())
}
