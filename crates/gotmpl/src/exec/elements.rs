//! What a loop runs over.

use super::Item;
use crate::text::Text;
use crate::value::{Element, List, Value};

/// The elements that are left.
pub(super) enum Elements {
    List {
        list: List,
        next: usize,
    },
    /// The entries as they were when the loop began: its body may change the map.
    Map {
        entries: std::vec::IntoIter<(Text, Value)>,
        element: Element,
    },
    Numbers {
        next: i64,
        end: i64,
        like: Value,
    },
}

impl Elements {
    /// `None` of what cannot be iterated over. Nil can; it has no elements.
    pub(super) fn of(value: &Value) -> Option<Elements> {
        Some(match value {
            Value::Nil => Elements::Numbers { next: 0, end: 0, like: Value::Nil },
            Value::List(list) => Elements::List { list: list.clone(), next: 0 },
            Value::Map(map) => Elements::Map { entries: map.entries().into_iter(), element: map.element() },
            Value::Int(end) | Value::Int64(end) => Elements::Numbers { next: 0, end: *end, like: value.clone() },
            Value::Byte(end) => Elements::Numbers { next: 0, end: i64::from(*end), like: value.clone() },
            _ => return None,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Elements::List { list, next } => *next >= list.len(),
            Elements::Map { entries, .. } => entries.as_slice().is_empty(),
            Elements::Numbers { next, end, .. } => next >= end,
        }
    }
}

impl Iterator for Elements {
    /// The index or key, and the element.
    type Item = (Item, Item);

    fn next(&mut self) -> Option<(Item, Item)> {
        match self {
            Elements::List { list, next } => {
                let value = list.items().get(*next)?;
                let index = Item::Bare(Value::Int(*next as i64));
                *next += 1;
                Some((index, Item::element(value.clone(), list.element())))
            }
            Elements::Map { entries, element } => {
                let (key, value) = entries.next()?;
                Some((Item::Bare(Value::Text(key)), Item::element(value, *element)))
            }
            Elements::Numbers { next, end, like } => {
                if next >= end {
                    return None;
                }
                let number = *next;
                *next += 1;
                let value = match like {
                    Value::Int64(_) => Value::Int64(number),
                    Value::Byte(_) => Value::Byte(number as u8),
                    _ => Value::Int(number),
                };
                Some((Item::Invalid, Item::Bare(value)))
            }
        }
    }
}
