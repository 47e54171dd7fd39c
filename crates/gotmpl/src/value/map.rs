//! Maps from strings, shared and mutable.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::list::drop_values;
use super::{Element, Value};
use crate::text::Text;

/// A map. Clones are the same map; iteration is in the order of the keys, as Go's templates have it.
#[derive(Clone)]
pub struct Map(Rc<Entries>);

struct Entries {
    element: Element,
    // Borrowed for the length of one method only, in none of which foreign code runs; so no borrow ever fails.
    map: RefCell<BTreeMap<Text, Value>>,
}

impl Map {
    /// An empty map.
    pub fn new(element: Element) -> Map {
        Map(Rc::new(Entries { element, map: RefCell::default() }))
    }

    /// The type of the elements.
    pub fn element(&self) -> Element {
        self.0.element
    }

    /// What stands under the key.
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        self.0.map.borrow().get(key).cloned()
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.0.map.borrow().contains_key(key)
    }

    /// Sets the key.
    pub fn insert(&self, key: Text, value: Value) {
        let old = self.0.map.borrow_mut().insert(key, value);
        drop(old);
    }

    /// Removes the key.
    pub fn remove(&self, key: &[u8]) {
        let old = self.0.map.borrow_mut().remove(key);
        drop(old);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.map.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.map.borrow().is_empty()
    }

    /// The entries as they are now, in the order of the keys.
    pub fn entries(&self) -> Vec<(Text, Value)> {
        self.0.map.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<Text> {
        self.0.map.borrow().keys().cloned().collect()
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> Vec<Value> {
        self.0.map.borrow().values().cloned().collect()
    }

    /// Whether both are one and the same map.
    pub fn is(&self, other: &Map) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Hands over the values if nobody else holds the map.
    pub(super) fn drop_into(self, pending: &mut Vec<Value>) {
        if let Ok(mut entries) = Rc::try_unwrap(self.0) {
            pending.extend(std::mem::take(entries.map.get_mut()).into_values());
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Map of {}", self.len())
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        let map = std::mem::take(self.map.get_mut());
        if !map.is_empty() {
            drop_values(map.into_values().collect());
        }
    }
}
