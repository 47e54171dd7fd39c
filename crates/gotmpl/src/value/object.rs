//! Values with methods, such as times and versions.

use std::any::Any;
use std::fmt::Debug;

use super::Value;
use crate::function::{FunctionError, Signature};

/// A value of a named type.
pub trait Object: Debug + Any {
    /// The type as Go writes it, such as `time.Time`.
    fn type_name(&self) -> &'static str;

    /// Go's kind of the type.
    fn kind(&self) -> &'static str {
        "struct"
    }

    /// How it prints.
    fn text(&self) -> String;

    /// The number, where the kind is an integer.
    fn integer(&self) -> Option<i64> {
        None
    }

    /// The method of that name.
    fn method(&self, name: &str) -> Option<Method> {
        let _ = name;
        None
    }

    /// How it stands in JSON.
    fn json(&self) -> Option<serde_json::Value> {
        None
    }

    /// Whether both are equal in Go's sense.
    fn equals(&self, other: &dyn Object) -> bool;
}

/// A method that can be called.
pub struct Method {
    /// What it takes and returns.
    pub signature: Signature,
    /// Its body. The arguments are of the types of the signature.
    pub call: fn(&dyn Object, &[Value]) -> Result<Value, FunctionError>,
}
