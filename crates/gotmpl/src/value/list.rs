//! Slices.

use std::fmt;
use std::rc::Rc;

use super::{Element, Value};

/// An immutable slice. Slices of slices share their items, and like in Go can be extended again up to their capacity.
#[derive(Clone)]
pub struct List {
    items: Rc<Items>,
    start: usize,
    len: usize,
    element: Element,
    nil: bool,
    /// Room behind the items, as Go's JSON decoder leaves it. `slice` may reach into it and finds zeros.
    spare: usize,
}

/// Owns the items, so that a deep structure is dropped without recursion.
struct Items(Vec<Value>);

impl List {
    /// A slice of these items, which have to be of the type of the elements.
    pub fn new(element: Element, items: Vec<Value>) -> List {
        List { start: 0, len: items.len(), items: Rc::new(Items(items)), element, nil: false, spare: 0 }
    }

    /// A slice as Go's JSON decoder makes it, which doubles the room for the items whenever it runs out.
    pub(crate) fn decoded(items: Vec<Value>) -> List {
        let spare = if items.is_empty() { 0 } else { items.len().next_power_of_two() - items.len() };
        List { spare, ..List::new(Element::Any, items) }
    }

    /// A nil slice: empty, but `null` in JSON.
    pub fn nil(element: Element) -> List {
        List { nil: true, ..List::new(element, Vec::new()) }
    }

    /// A slice of strings.
    pub fn of_texts<T: Into<Value>>(texts: impl IntoIterator<Item = T>) -> List {
        List::new(Element::Text, texts.into_iter().map(Into::into).collect())
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.items.0[self.start..self.start + self.len]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The type of the elements.
    pub fn element(&self) -> Element {
        self.element
    }

    pub(crate) fn is_nil(&self) -> bool {
        self.nil
    }

    /// How far `slice` may go.
    pub(crate) fn capacity(&self) -> usize {
        self.items.0.len() - self.start + self.spare
    }

    /// `list[from:to]`; both within the capacity, in order.
    pub(crate) fn slice(&self, from: usize, to: usize) -> List {
        let there = self.items.0.len() - self.start;
        if to <= there {
            return List { start: self.start + from.min(to), len: to.saturating_sub(from), ..self.clone() };
        }
        let mut items: Vec<Value> = self.items.0[self.start..].to_vec();
        items.resize(to, self.element.zero());
        let spare = self.spare.saturating_sub(to - there);
        List { spare, ..List::new(self.element, items) }.slice(from, to)
    }
}

impl fmt::Debug for List {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "List of {}", self.len)
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        drop_values(std::mem::take(&mut self.0));
    }
}

/// Drops values of any depth with a bounded stack.
pub(super) fn drop_values(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(list) => {
                if let Ok(mut items) = Rc::try_unwrap(list.items) {
                    pending.append(&mut items.0);
                }
            }
            Value::Map(map) => map.drop_into(&mut pending),
            _ => {}
        }
    }
}
