//! Where a value stands in a file, for what is found out about a declaration after it was read.

use std::path::Path;

use crate::diagnostic::Place;
use crate::document::{Document, Format, Node, Value, read_bounded};

/// One step from a value to one that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The member of a table.
    Key(&'a str),
    /// The element of a list whose `name` is this.
    Named(&'a str),
}

/// Where the value begins to which these steps lead from the whole of a file. None where there is no such value, or no
/// such file any more.
pub fn locate(file: &Path, way: &[Step<'_>]) -> Option<Place> {
    let document = Document::parse(file, read_bounded(file).ok()?, Format::of(file)?).ok()?;
    let node = way.iter().try_fold(&document.root, |node, step| below(node, *step))?;
    Some(document.place(node.start))
}

fn below<'n>(node: &'n Node, step: Step<'_>) -> Option<&'n Node> {
    match (step, &node.value) {
        (Step::Key(key), Value::Table(entries)) => {
            entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
        }
        (Step::Named(name), Value::List(items)) => items.iter().find(|item| {
            let found = below(item, Step::Key("name"));
            found.is_some_and(|found| matches!(&found.value, Value::Text(text) if text == name))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_every_format() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str, way: &[Step<'_>]| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            locate(&file, way).map(|place| (place.line, place.column))
        };
        let way = [Step::Key("jobs"), Step::Named("b"), Step::Key("environment"), Step::Key("X")];
        let json = "{\"jobs\": [{\"name\": \"a\"},\n  {\"name\": \"b\", \"environment\": {\"X\": \"y\"}}]}";
        assert_eq!(at("a.json", json, &way), Some((2, 38)));
        let toml = "[[jobs]]\nname = 'a'\n[[jobs]]\nname = 'b'\n[jobs.environment]\nX = 'y'\n";
        assert_eq!(at("a.toml", toml, &way), Some((6, 5)));
        assert_eq!(at("a.yaml", "jobs:\n- name: b\n  environment:\n    X: y\n", &way), Some((4, 8)));
        assert_eq!(at("b.json", json, &way[..3]), Some((2, 32)));
        assert_eq!(at("c.json", json, &[Step::Key("jobs"), Step::Named("c")]), None);
        assert_eq!(at("d.json", "{", &[]), None);
        assert_eq!(locate(&dir.path().join("none.json"), &[]), None);
    }
}
