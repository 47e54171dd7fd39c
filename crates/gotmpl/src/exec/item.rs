//! What expressions evaluate to.

use crate::value::Value;

/// A value the way Go's reflection sees it: an element of a map of `interface {}` is not the value but an interface
/// that holds it, and messages tell the two apart.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// There is no value.
    Invalid,
    /// The value, never nil.
    Bare(Value),
    /// An interface that holds the value or nil.
    Boxed(Value),
}

impl Item {
    /// The value in the interface.
    pub(crate) fn unboxed(self) -> Item {
        match self {
            Item::Boxed(Value::Nil) => Item::Invalid,
            Item::Boxed(value) => Item::Bare(value),
            item => item,
        }
    }

    /// The value, nil where there is none.
    pub(crate) fn value(&self) -> &Value {
        const NIL: &Value = &Value::Nil;
        match self {
            Item::Invalid => NIL,
            Item::Bare(value) | Item::Boxed(value) => value,
        }
    }

    pub(crate) fn into_value(self) -> Value {
        match self {
            Item::Invalid => Value::Nil,
            Item::Bare(value) | Item::Boxed(value) => value,
        }
    }

    /// The type as Go's messages have it.
    pub(crate) fn type_name(&self) -> String {
        match self {
            Item::Boxed(_) => "interface {}".into(),
            item => item.value().type_name(),
        }
    }

    /// A value of the static type `interface {}` if `any`, else of its own.
    pub(crate) fn of(value: Value, any: bool) -> Item {
        match value {
            value if any => Item::Boxed(value),
            Value::Nil => Item::Invalid,
            value => Item::Bare(value),
        }
    }

    /// An element of a collection.
    pub(crate) fn element(value: Value, element: crate::value::Element) -> Item {
        Item::of(value, element == crate::value::Element::Any)
    }
}
