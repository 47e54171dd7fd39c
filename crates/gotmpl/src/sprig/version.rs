//! Semantic versions and constraints on them, in the dialect of the library that sprig uses.

mod constraint;
mod semantic;

use super::Entry;
use crate::value::{Type, Value};

const T: Type = Type::Text;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("semver", &[T], None, Type::Named(semantic::TYPE), |_, args| {
        Ok(semantic::Version::parse(&args.text(0))?.into_value())
    }),
    ("semverCompare", &[T, T], None, Type::Bool, |meter, args| {
        meter.spend(args.bytes(0).len() as u64)?;
        let constraints = constraint::parse(&args.text(0))?;
        let version = semantic::Version::parse(&args.text(1))?;
        let satisfied = constraints.iter().any(|all| all.iter().all(|constraint| constraint.allows(&version)));
        Ok(Value::Bool(satisfied))
    }),
];
