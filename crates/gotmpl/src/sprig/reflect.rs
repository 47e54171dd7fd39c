//! What a value is.

use super::Entry;
use crate::value::{Type, Value};

const A: Type = Type::Any;
const T: Type = Type::Text;
const B: Type = Type::Bool;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("typeOf", &[A], None, T, |_, args| Ok(Value::from(args.get(0).type_name()))),
    ("typeIs", &[T, A], None, B, |_, args| Ok(Value::Bool(args.text(0) == args.get(1).type_name()))),
    ("typeIsLike", &[T, A], None, B, |_, args| {
        let (wanted, found) = (args.text(0), args.get(1).type_name());
        Ok(Value::Bool(wanted == found || found.strip_prefix('*') == Some(&*wanted)))
    }),
    ("kindOf", &[A], None, T, |_, args| Ok(Value::from(args.get(0).kind()))),
    ("kindIs", &[T, A], None, B, |_, args| Ok(Value::Bool(args.text(0) == args.get(1).kind()))),
    ("fail", &[T], None, T, |_, args| Err(args.text(0).into_owned().into())),
];
