//! What is wrong with a request is known by its place; whoever sent the request wants a pointer (RFC 6901) to the
//! member.
//!
//! The field of a finding is for people: keys that hold a dot or a bracket are not told apart in it, and a key that
//! nobody knows has none.

use std::fmt::Write as _;

use piton_model::json_pointer;

use crate::diagnostic::{Diagnostic, Place};
use crate::document::{Document, Node, Value};

/// One step down in a document.
#[derive(Clone, Copy)]
enum Step<'d> {
    Key(&'d str),
    Index(usize),
}

/// Adds to each finding that still has its place where it points.
pub(super) fn point(document: &Document, found: &mut [Diagnostic]) {
    if !found.is_empty() {
        walk(document, &document.root, &mut Vec::new(), found);
    }
}

fn walk<'d>(document: &Document, node: &'d Node, way: &mut Vec<Step<'d>>, found: &mut [Diagnostic]) {
    for one in at(document.place(node.start), found) {
        // It may also be about something that should stand within.
        if one.pointer.is_none() && one.field.as_deref().unwrap_or_default() == field(way) {
            one.pointer = Some(pointer(way));
        }
    }
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                way.push(Step::Key(&entry.key));
                for one in at(document.place(entry.key_start), found) {
                    one.pointer = Some(pointer(way));
                }
                walk(document, &entry.node, way, found);
                way.pop();
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                way.push(Step::Index(index));
                walk(document, item, way, found);
                way.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

fn at(place: Place, found: &mut [Diagnostic]) -> impl Iterator<Item = &mut Diagnostic> {
    found.iter_mut().filter(move |one| (one.line, one.column) == (Some(place.line), Some(place.column)))
}

fn pointer(way: &[Step<'_>]) -> String {
    json_pointer(way.iter().map(|step| match step {
        Step::Key(key) => (*key).to_owned(),
        Step::Index(index) => index.to_string(),
    }))
}

/// As findings name it.
fn field(way: &[Step<'_>]) -> String {
    let mut field = String::new();
    for step in way {
        // Writing to a String cannot fail.
        let _ = match step {
            Step::Key(key) if field.is_empty() => write!(field, "{key}"),
            Step::Key(key) => write!(field, ".{key}"),
            Step::Index(index) => write!(field, "[{index}]"),
        };
    }
    field
}
