//! Arguments of functions, whose types have been checked against the signature before.

use std::borrow::Cow;

use crate::value::{Map, Value};

/// The arguments of one call.
pub(super) struct Args<'a>(pub(super) &'a [Value]);

impl<'a> Args<'a> {
    pub(super) fn get(&self, at: usize) -> &'a Value {
        const NIL: &Value = &Value::Nil;
        self.0.get(at).unwrap_or(NIL)
    }

    /// All arguments from that place on.
    pub(super) fn rest(&self, from: usize) -> &'a [Value] {
        self.0.get(from..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self, at: usize) -> &'a [u8] {
        match self.get(at) {
            Value::Text(text) => text.as_bytes(),
            _ => &[],
        }
    }

    pub(super) fn text(&self, at: usize) -> Cow<'a, str> {
        match self.get(at) {
            Value::Text(text) => text.to_str(),
            _ => Cow::Borrowed(""),
        }
    }

    pub(super) fn int(&self, at: usize) -> i64 {
        self.get(at).as_integer().unwrap_or(0)
    }

    pub(super) fn flag(&self, at: usize) -> bool {
        matches!(self.get(at), Value::Bool(true))
    }

    /// `None` of a nil map, which is empty and cannot be written to.
    pub(super) fn map(&self, at: usize) -> Option<&'a Map> {
        match self.get(at) {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }
}
