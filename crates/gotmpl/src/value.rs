//! What templates compute with.
//!
//! Go's values carry types that show (`%T`, comparisons, error texts), so they are kept apart here where sprig makes
//! them: `int` and `int64`, `[]interface {}` and `[]string`.

mod list;
mod map;
mod object;

use std::rc::Rc;

use crate::text::Text;

pub use list::List;
pub use map::Map;
pub use object::{Method, Object};

/// A value of a template.
///
/// Lists never change; maps do (sprig's `set`), in place, for everyone who holds them. Values belong to the thread that
/// renders.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// An untyped nil.
    #[default]
    Nil,
    /// A `bool`.
    Bool(bool),
    /// An `int`.
    Int(i64),
    /// An `int64`, as sprig's arithmetic returns it.
    Int64(i64),
    /// A byte of a string (`uint8`).
    Byte(u8),
    /// A `float64`.
    Float(f64),
    /// A `string`.
    Text(Text),
    /// A slice.
    List(List),
    /// A map from strings.
    Map(Map),
    /// Anything else: a time, a version.
    Object(Rc<dyn Object>),
}

/// A type of Go, as far as templates can meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`: takes every value.
    Any,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `int64`.
    Int64,
    /// `uint8`.
    Byte,
    /// `uint32`, a parameter only.
    Uint32,
    /// `float64`.
    Float,
    /// `string`.
    Text,
    /// A slice of the elements.
    List(Element),
    /// A map from strings to the elements.
    Map(Element),
    /// A named type.
    Named(&'static str),
}

/// The types of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `interface {}`.
    Any,
    /// `string`.
    Text,
    /// `int`.
    Int,
    /// `[]interface {}`.
    List,
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Element::Any => "interface {}",
            Element::Text => "string",
            Element::Int => "int",
            Element::List => "[]interface {}",
        }
    }

    /// What an element is before anything is put there.
    pub(crate) fn zero(self) -> Value {
        match self {
            Element::Any => Value::Nil,
            Element::Text => Value::from(""),
            Element::Int => Value::Int(0),
            Element::List => Value::List(List::nil(Element::Any)),
        }
    }
}

impl Type {
    /// The type as Go writes it.
    pub fn name(self) -> String {
        match self {
            Type::Any => "interface {}".into(),
            Type::Bool => "bool".into(),
            Type::Int => "int".into(),
            Type::Int64 => "int64".into(),
            Type::Byte => "uint8".into(),
            Type::Uint32 => "uint32".into(),
            Type::Float => "float64".into(),
            Type::Text => "string".into(),
            Type::List(element) => format!("[]{}", element.name()),
            Type::Map(element) => format!("map[string]{}", element.name()),
            Type::Named(name) => name.into(),
        }
    }

    /// Whether a nil can stand for it.
    pub(crate) fn takes_nil(self) -> bool {
        match self {
            Type::Any | Type::List(_) | Type::Map(_) => true,
            Type::Named(name) => name.starts_with('*'),
            _ => false,
        }
    }
}

impl Value {
    /// The type; `None` of nil.
    pub fn type_of(&self) -> Option<Type> {
        Some(match self {
            Value::Nil => return None,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Int64(_) => Type::Int64,
            Value::Byte(_) => Type::Byte,
            Value::Float(_) => Type::Float,
            Value::Text(_) => Type::Text,
            Value::List(list) => Type::List(list.element()),
            Value::Map(map) => Type::Map(map.element()),
            Value::Object(object) => Type::Named(object.type_name()),
        })
    }

    /// The type as Go writes it; `<nil>` of nil.
    pub fn type_name(&self) -> String {
        self.type_of().map_or_else(|| "<nil>".into(), Type::name)
    }

    /// Go's `reflect.Kind`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "invalid",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Byte(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "slice",
            Value::Map(_) => "map",
            Value::Object(object) => object.kind(),
        }
    }

    /// What `if` thinks of it.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Int64(value) => *value != 0,
            Value::Byte(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => text.len() > 0,
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Object(object) => object.integer() != Some(0),
        }
    }

    /// The integer that it is, of whatever size.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Int(value) | Value::Int64(value) => Some(*value),
            Value::Byte(value) => Some(i64::from(*value)),
            Value::Object(object) => object.integer(),
            _ => None,
        }
    }

    /// An empty map, as `dict` makes it.
    pub fn new_map() -> Value {
        Value::Map(Map::new(Element::Any))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Text::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(Text::from(text))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Text(Text::from(bytes))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::List(List::new(Element::Any, items))
    }
}

impl From<&serde_json::Value> for Value {
    /// Numbers without a fraction or an exponent are `int`, the others `float64`; objects are `map[string]interface {}`.
    fn from(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Value::Int(value),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Value::from(text.as_str()),
            serde_json::Value::Array(items) => Value::List(List::decoded(items.iter().map(Value::from).collect())),
            serde_json::Value::Object(fields) => {
                let map = Map::new(Element::Any);
                for (name, value) in fields {
                    map.insert(Text::from(name.as_str()), Value::from(value));
                }
                Value::Map(map)
            }
        }
    }
}
